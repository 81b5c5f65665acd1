package rp

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/oauth2"
)

// maxSources bounds how many targets a Client remembers sources for.
const maxSources = 1 << 10

// ClientCredentials returns a source of access tokens for the client itself, for which no user has to log in: for a job
// at night, and for what an app does in its own name. It authenticates as it does for every grant. The zero Target asks
// for what the provider gives by default.
//
// All callers of one Client share the token of a target. It is replaced shortly before it ends, while the old one is
// still handed out; a provider that fails is left alone for a while, two seconds and up to a minute, and meanwhile its
// error is returned at once. A token whose end the provider does not say is used until an API rejects it. The source can
// be used with [Transport], which renews a rejected token once, and with [OAuth2TokenSource].
//
// Its Token returns [ErrConfig] for a [Public] client: "The client credentials grant type MUST only be used by
// confidential clients"; [ErrOptions] if the target cannot be sent; an [*Error] if the provider refused;
// [ErrUnavailable]; [ErrTokenResponse].
//
// See RFC 6749, section 4.4, https://www.rfc-editor.org/rfc/rfc6749#section-4.4.
func (c *Client) ClientCredentials(to Target) TokenSource {
	to.Scopes = slices.Clone(to.Scopes)
	return clientSource{shared: c.sources.get(to.key(), func() *sharedToken {
		return &sharedToken{client: c, fetch: func(ctx context.Context) (*oauth2.Token, error) {
			return c.clientCredentials(ctx, to)
		}}
	})}
}

// clientSource hides the methods and the content of a sharedToken.
type clientSource struct {
	redacted
	shared *sharedToken
}

// Token implements TokenSource.
func (s clientSource) Token(ctx context.Context) (*oauth2.Token, error) { return s.shared.Token(ctx) }

// Renew is for Transport.
func (s clientSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	return s.shared.Renew(ctx, rejected)
}

// clientCredentials asks for one token. "A refresh token SHOULD NOT be included" (section 4.4.3), and is dropped.
func (c *Client) clientCredentials(ctx context.Context, to Target) (*oauth2.Token, error) {
	start := c.cfg.Now()
	r, err := c.credentialsGrant(ctx, to)
	if err != nil {
		err = fmt.Errorf("rp: client credentials: %w", err)
	}
	c.observe(ctx, eventClientCredentials, start, nil, err)
	if err != nil {
		return nil, err
	}
	return r.accessToken(), nil
}

func (c *Client) credentialsGrant(ctx context.Context, to Target) (*tokenResponse, error) {
	if !c.cfg.ClientAuth.confidential() {
		return nil, fmt.Errorf("%w: ClientAuth: a public client has no credentials", ErrConfig)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if err := to.add(form); err != nil {
		return nil, err
	}
	return c.grant(ctx, form, func() error { return nil })
}

// accessToken is the access token alone, with the granted scope if the provider said it.
func (r *tokenResponse) accessToken() *oauth2.Token {
	token := &oauth2.Token{AccessToken: r.access, TokenType: "Bearer", Expiry: r.expiry}
	if r.scope == "" {
		return token
	}
	return token.WithExtra(map[string]any{"scope": r.scope})
}

// key names a target: the order of scopes means nothing; none, which asks for the granted ones, is no scope of any name.
func (to Target) key() string {
	scopes := "granted"
	if to.Scopes != nil {
		scopes = fmt.Sprintf("asked: %q", slices.Compact(slices.Sorted(slices.Values(to.Scopes))))
	}
	return fmt.Sprintf("%q %q %s", to.Resource, to.Audience, scopes)
}

// sources are token sources by the key of their target.
type sources struct {
	mu    sync.Mutex // guards byKey
	byKey map[string]*sharedToken
}

// get returns the source of a key, a new one if there is none. With too many keys the new one is not remembered.
func (s *sources) get(key string, create func() *sharedToken) *sharedToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.byKey[key]; found != nil {
		return found
	}
	created := create()
	if s.byKey == nil {
		s.byKey = map[string]*sharedToken{}
	}
	if len(s.byKey) < maxSources {
		s.byKey[key] = created
	}
	return created
}
