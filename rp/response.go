package rp

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/verify"
)

// AuthResponse is a successful answer to an AuthRequest, every check of the front channel passed. Only
// [Client.VerifyResponse] and [Client.ParseAuthResponse] make one; the zero value is refused everywhere.
type AuthResponse struct {
	redacted
	verified bool
	request  requestState
	code     string
	idToken  *verify.IDToken
	access   *oauth2.Token
}

// IDToken is a verified ID Token.
type IDToken = verify.IDToken

// IDToken returns the first ID Token; nil for [Code] and [CodeToken].
func (a *AuthResponse) IDToken() *IDToken { return a.idToken }

// AccessToken returns a copy of the front-channel access token; nil if the response type promises none. It is a lesser
// token (Core 3.3.3.8): it came through the browser, and must not become the session's.
func (a *AuthResponse) AccessToken() *oauth2.Token {
	if a.access == nil {
		return nil
	}
	t := *a.access
	return &t
}

// WithoutAccessToken returns a copy without the front-channel access token: for who keeps the answer, to exchange its
// code later. The token's at_hash was compared when the answer came.
func (a *AuthResponse) WithoutAccessToken() *AuthResponse {
	next := *a
	next.access = nil
	return &next
}

// known are the response parameters with a meaning (RFC 6749, section 4.1.2; Core 3.3.2.5; RFC 9207; JARM; Session
// Management). "Request and response parameters MUST NOT be included more than once" (RFC 6749, section 3.1).
var known = [...]string{
	"state", "iss", "error", "error_description", "error_uri", "code", "id_token", "access_token", "token_type",
	"expires_in", "scope", "response", "refresh_token", "client_secret", "session_state",
}

// Sizes that no honest parameter reaches.
const (
	maxCode        = 8 << 10
	maxAccessToken = 64 << 10
)

// VerifyResponse checks the provider's answer to q. params must hold the parameters of the place that
// [AuthRequest.ResponseMode] names, and of no other. The checks are ordered: first what costs nothing (duplicates,
// state, iss, error, the parameters that the response type promises), then the ID Token with its signature, whose key
// is the only thing that may be fetched, c_hash, at_hash and what the request asked to see again.
//
// [ErrParameters], [ErrState], [ErrIssuerParameter]; an [*Error] if the provider refused; a [*verify.Error] if the
// ID Token was refused; [ErrUnavailable] if keys or metadata could not be had; [ErrOtherClient] if q was made for
// another client.
//
// See Core 3.3.2.8 to 3.3.2.12, https://openid.net/specs/openid-connect-core-1_0.html#HybridAuthResponseValidation, and
// RFC 9207, section 2.4.
func (c *Client) VerifyResponse(ctx context.Context, q *AuthRequest, params url.Values) (*AuthResponse, error) {
	start := c.cfg.Now()
	a, err := c.verifyResponse(ctx, q, params)
	if err != nil {
		err = fmt.Errorf("rp: authorization response: %w", err)
		a = nil
	}
	c.observe(ctx, eventResponse, start, c.receiptOf(a.first()), err)
	return a, err
}

// first returns the first ID Token of an answer that may be nil.
func (a *AuthResponse) first() *verify.IDToken {
	if a == nil {
		return nil
	}
	return a.idToken
}

func (c *Client) verifyResponse(ctx context.Context, q *AuthRequest, params url.Values) (*AuthResponse, error) {
	if q == nil || q.state == "" {
		return nil, ErrNotVerified
	}
	if q.binding != c.binding {
		return nil, ErrOtherClient
	}
	if err := checkDuplicates(params); err != nil {
		return nil, err
	}
	if err := checkState(q, params); err != nil {
		return nil, err
	}
	if iss := params.Get("iss"); iss != "" && iss != c.cfg.Issuer {
		return nil, fmt.Errorf("%w: %q", ErrIssuerParameter, clean(iss, maxDescription))
	}
	if params.Get("error") != "" {
		return nil, c.providerError(ctx, q, params)
	}
	if err := c.requireIssuer(ctx, q, params); err != nil {
		return nil, err
	}
	if err := checkPromise(q.responseType, params); err != nil {
		return nil, err
	}
	return c.verifyTokens(ctx, q, params)
}

func checkDuplicates(params url.Values) error {
	for _, name := range known {
		if len(params[name]) > 1 {
			return fmt.Errorf("%w: %s is there %d times", ErrParameters, name, len(params[name]))
		}
	}
	return nil
}

// checkState compares in constant time: state is what a stranger would have to guess.
func checkState(q *AuthRequest, params url.Values) error {
	if subtle.ConstantTimeCompare([]byte(params.Get("state")), []byte(q.state)) != 1 {
		return ErrState
	}
	return nil
}

// providerError returns what the provider answered. Whatever came beside the error is ignored (Core 3.3.2.6). A missing
// iss changes nothing about an error that ends nothing but its own request, but is reported.
func (c *Client) providerError(ctx context.Context, q *AuthRequest, params url.Values) error {
	err := newError(0, params.Get("error"), params.Get("error_description"), params.Get("error_uri"),
		q.state, q.nonce, q.verifier, params.Get("code"), params.Get("id_token"), params.Get("access_token"))
	p := c.provider.peek()
	if params.Get("iss") == "" && (c.cfg.RequireIss || (p != nil && p.advertisesIss)) {
		c.observe(ctx, eventNoIssuer, c.cfg.Now(), nil, nil)
	}
	return err
}

// requireIssuer: "If the authorization server provides the iss parameter, clients MUST […] reject" an answer without it
// (RFC 9207, section 2.4), except where an ID Token, which names its issuer too, comes along.
func (c *Client) requireIssuer(ctx context.Context, q *AuthRequest, params url.Values) error {
	if params.Get("iss") != "" || (q.responseType.has("id_token") && !c.cfg.RequireIss) {
		return nil
	}
	if c.cfg.RequireIss {
		return fmt.Errorf("%w: missing, and RequireIss is set", ErrIssuerParameter)
	}
	p, err := c.provider.get(ctx)
	if err != nil {
		return err
	}
	if p.advertisesIss && !c.cfg.Insecure.NoIssuerParameter {
		return fmt.Errorf("%w: missing, and the provider advertises it", ErrIssuerParameter)
	}
	return nil
}

// checkPromise compares what came with what the response type promises (Core 3.3.2.5, MRT section 3): neither less nor
// more. "Parameters sent without a value MUST be treated as if they were omitted" (RFC 6749, section 3.1).
func checkPromise(t ResponseType, params url.Values) error {
	for _, p := range [...]struct {
		name     string
		promised bool
	}{
		{"code", t.has("code")},
		{"id_token", t.has("id_token")},
		{"access_token", t.has("token")},
		{"response", false},
		{"refresh_token", false},
		{"client_secret", false},
	} {
		switch there := params.Get(p.name) != ""; {
		case there && !p.promised:
			return fmt.Errorf("%w: %s was not asked for", ErrParameters, p.name)
		case !there && p.promised:
			return fmt.Errorf("%w: %s is missing", ErrParameters, p.name)
		}
	}
	if t.has("token") && !isBearer(params.Get("token_type")) {
		return fmt.Errorf("%w: token_type is not Bearer", ErrParameters)
	}
	if !isVisible(params.Get("code"), maxCode) {
		return fmt.Errorf("%w: code is malformed", ErrParameters)
	}
	if !isVisible(params.Get("access_token"), maxAccessToken) {
		return fmt.Errorf("%w: access_token is malformed", ErrParameters)
	}
	return nil
}

// isBearer: "The value is case insensitive" (RFC 6749, section 5.1).
func isBearer(tokenType string) bool { return strings.EqualFold(tokenType, "Bearer") }

// isVisible allows VSCHAR (RFC 6749, appendix A) without space: what fits into a header and a form as it is.
func isVisible(text string, limit int) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return len(text) <= limit
}

// verifyTokens verifies the ID Token, bound to code and access token, and collects what is kept.
func (c *Client) verifyTokens(ctx context.Context, q *AuthRequest, params url.Values) (*AuthResponse, error) {
	a := &AuthResponse{verified: true, request: q.requestState, code: params.Get("code")}
	if q.responseType.has("token") {
		a.access = &oauth2.Token{
			AccessToken: params.Get("access_token"), TokenType: params.Get("token_type"),
			Expiry: c.expiry(params.Get("expires_in")),
		}
		if scope := params.Get("scope"); scope != "" {
			a.access = a.access.WithExtra(map[string]any{"scope": clean(scope, maxScope)})
		}
	}
	if !q.responseType.has("id_token") {
		return a, nil
	}
	expect := q.expectation()
	expect.Code, expect.AccessToken = a.code, params.Get("access_token")
	var err error
	a.idToken, err = c.policy.FrontChannel(ctx, params.Get("id_token"), expect)
	return a, c.advise(err)
}

// expectation is what the ID Tokens of both channels must show.
func (q *requestState) expectation() verify.Expect {
	return verify.Expect{Nonce: q.nonce, State: q.state, MaxAge: q.maxAge, RequestedAt: q.requestedAt, ACR: q.acr, Claims: q.expect}
}
