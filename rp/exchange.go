package rp

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/twofold-auth/twofold/verify"
)

// Exchange redeems the code of a and returns the second token set: its ID Token verified, signature included, and
// matched with the first as Config.Match says. The code is sent at most once by this Client, whatever happens after; if
// it was certainly not sent the error is [ErrNotSent], beside its reason, and Exchange may be called again.
//
// [ErrNotVerified] for a value that VerifyResponse did not make; [ErrOtherClient]; [ErrNoCode]; [ErrCodeSpent] if this
// Client has sent this code before (it remembers ten minutes), however a was made; an [*Error] if the provider refused;
// [ErrUnavailable] if it could not be reached in time or answered 5xx: without ErrNotSent the code is spent even so;
// [ErrTokenResponse]; a [*verify.Error] if the second ID Token was refused or does not match the first: then what came is
// revoked, in the background, where the provider has a revocation_endpoint.
//
// See Core 3.3.3, https://openid.net/specs/openid-connect-core-1_0.html#HybridTokenEndpoint.
func (c *Client) Exchange(ctx context.Context, a *AuthResponse) (*Tokens, error) {
	start := c.cfg.Now()
	t, err := c.exchange(ctx, a)
	if err != nil {
		err = fmt.Errorf("rp: code exchange: %w", err)
		t = nil
	}
	c.observe(ctx, eventExchange, start, c.receiptOf(t.newest()), err)
	return t, err
}

func (c *Client) exchange(ctx context.Context, a *AuthResponse) (*Tokens, error) {
	switch {
	case a == nil || !a.verified:
		return nil, ErrNotVerified
	case a.request.binding != c.binding:
		return nil, ErrOtherClient
	case a.code == "":
		return nil, ErrNoCode
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {a.code}, "redirect_uri": {c.cfg.RedirectURL},
	}
	if a.request.verifier != "" {
		form.Set("code_verifier", a.request.verifier)
	}
	counted := false
	response, err := c.grant(ctx, form, func() error {
		err := c.spend(a.code)
		counted = err == nil
		return err
	})
	if counted && errors.Is(err, ErrNotSent) {
		c.spent.forget(a.code)
	}
	if err != nil {
		return nil, err
	}
	t, err := c.secondTokens(ctx, a, response)
	if err != nil {
		c.discard(ctx, c.tokens(response))
	}
	return t, err
}

// spend lets a code pass once.
func (c *Client) spend(code string) error {
	first, full := c.spent.spend(code)
	switch {
	case full:
		return fmt.Errorf("%w: too many codes in ten minutes", ErrUnavailable)
	case !first:
		return ErrCodeSpent
	}
	return nil
}

// secondTokens verifies the token endpoint's ID Token (Core 3.3.3.7) and proves that it belongs to the first.
func (c *Client) secondTokens(ctx context.Context, a *AuthResponse, r *tokenResponse) (*Tokens, error) {
	if r.idToken == "" {
		return nil, malformed("id_token is missing (Core 3.1.3.3)")
	}
	expect := a.request.expectation()
	expect.Code, expect.AccessToken = a.code, r.access
	second, err := c.policy.TokenEndpoint(ctx, r.idToken, expect)
	if err != nil {
		return nil, c.advise(err)
	}
	t := c.tokens(r)
	t.idToken.set(second)
	if a.idToken == nil {
		return t, nil
	}
	if t.diff, err = verify.Match(a.idToken, second, c.cfg.Match); err != nil {
		return nil, err
	}
	t.first.set(a.idToken)
	t.login = claimsOf(a.idToken, kept).without(claimsOf(second, kept))
	return t, nil
}
