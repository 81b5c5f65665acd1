package middleware

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
)

// apiTimeout is that of the clients we make.
const apiTimeout = 30 * time.Second

// Transport returns a RoundTripper for one http.Client per process: each request gets the access token of the session
// in its context, refreshed first if need be. Only these origins (scheme://host[:port]) get one; a request to any
// other, by a redirect too, fails with [rp.ErrOrigin]; a request without a session fails with [ErrNoSession]. An origin is
// https, or http on loopback, without a path; with any other, every request fails, and that is logged as an error here.
// base nil is http.DefaultTransport. It keeps no token: another user's request can never get this one's.
//
// An API that answers 401 with the error insufficient_user_authentication and says what it wants, acr_values or max_age
// (RFC 9470), makes the request fail with an error that wraps a [*Challenge]: give it to [Auth.StepUp]. Every other answer
// comes as it is.
func (a *Auth) Transport(base http.RoundTripper, origins ...string) http.RoundTripper {
	return a.transport(contextSource{auth: a}, base, origins...)
}

func (a *Auth) transport(source rp.TokenSource, base http.RoundTripper, origins ...string) http.RoundTripper {
	t := rp.Transport(source, base, origins...)
	if checked, ok := t.(interface{ Err() error }); ok && checked.Err() != nil {
		a.config.Logger.Error("twofold: Auth.Transport will refuse every request", "error", checked.Err())
	}
	return stepUps{t}
}

// contextSource takes the token of the session that the request's context names.
type contextSource struct {
	auth *Auth
	to   rp.Target
}

// errNoSessionInContext is mostly a request that was made without the handler's context.
var errNoSessionInContext = fmt.Errorf("%w in the request's context: give it that of a request behind RequireLogin, RequireTokens, Require or LoadSession", ErrNoSession)

func (c contextSource) Token(ctx context.Context) (*oauth2.Token, error) {
	s := c.auth.Session(ctx)
	if s == nil {
		return nil, errNoSessionInContext
	}
	return s.For(c.to).Token(ctx)
}

// Renew is asked after an API refused a token.
func (c contextSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	s := c.auth.Session(ctx)
	if s == nil {
		return nil, errNoSessionInContext
	}
	if source, ok := s.For(c.to).(interface {
		Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error)
	}); ok {
		return source.Renew(ctx, rejected)
	}
	return nil, ErrNoTokens
}

// sessionSource takes the token of one session.
type sessionSource struct{ s *Session }

func (t sessionSource) Token(ctx context.Context) (*oauth2.Token, error) { return t.s.Token(ctx) }

// renewEvery is how old a refreshed token must be before an API's word that it is worth nothing makes us refresh again: an
// API that refuses every token must not make us refresh for every call.
const renewEvery = 30 * time.Second

// Renew returns another token than the rejected one: what a parallel request got meanwhile, or a refreshed one.
func (t sessionSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	if t.s.state.test != nil {
		return nil, ErrNoTokens
	}
	part, err := t.s.state.usable()
	if err != nil {
		return nil, err
	}
	if token := t.s.state.tokenOf(part); token.AccessToken != rejected.AccessToken {
		return withoutRefresh(token), nil
	}
	if part.refreshed && t.s.state.auth.config.Now().Sub(part.obtained) < renewEvery {
		return nil, ErrLoginRequired
	}
	if err := t.s.Refresh(ctx); err != nil {
		return nil, err
	}
	return t.s.Token(ctx)
}

var _ rp.TokenSource = sessionSource{}
