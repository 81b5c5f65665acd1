package rp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/twofold-auth/twofold/verify"
)

// Target says which API a token is for. The zero Target is the original grant.
type Target struct {
	Resource string   // an absolute URI without fragment (RFC 8707); "" sends none
	Audience string   // what some providers want in place of a resource: Auth0, and RFC 8693; "" sends none
	Scopes   []string // nil sends none: the scope that was granted (RFC 6749, section 6)
}

const maxAudience = 2 << 10

// Refresh gets a new access token with the refresh token of t, which stays as it is. If the provider sends no new
// refresh token, the old one is kept; if it sends an ID Token, that is verified against the login's (Core 12.2) and
// becomes the newest.
//
// [ErrNotVerified]; [ErrOtherClient]; [ErrNoRefreshToken]; an [*Error] if the provider refused: with the code
// invalid_grant the refresh token is dead; [ErrUnavailable] if the provider could not be reached in time or answered
// 5xx: t is as good as before, unless its refresh token was rotated before the answer was lost; [ErrTokenResponse]; a
// [*verify.Error]: the new tokens are discarded, and revoked in the background where the provider has a
// revocation_endpoint, and the session should end. Concurrent calls with one t are not merged: that is the caller's, who
// knows the session.
//
// Beside one error there is a result: if the keys for the ID Token that came could not be had ([verify.ErrKeySet], with
// ErrUnavailable) and the refresh token was replaced, it is t with the new refresh token alone. Keep it in place of t, for
// the provider takes the old one no more, and refresh again later. In every other case of an error it is nil.
//
// See Core 12, https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokens.
func (c *Client) Refresh(ctx context.Context, t *Tokens, to Target) (*Tokens, error) {
	start := c.cfg.Now()
	next, renewed, err := c.refresh(ctx, t, to)
	if err != nil {
		err = fmt.Errorf("rp: refresh: %w", err)
	}
	c.observe(ctx, eventRefresh, start, c.receiptOf(renewed), err)
	return next, err
}

func (c *Client) refresh(ctx context.Context, t *Tokens, to Target) (*Tokens, *verify.IDToken, error) {
	if err := c.owns(t); err != nil {
		return nil, nil, err
	}
	if t.token.RefreshToken == "" {
		return nil, nil, ErrNoRefreshToken
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.token.RefreshToken}}
	if err := to.add(form); err != nil {
		return nil, nil, err
	}
	response, err := c.grant(ctx, form, func() error { return nil })
	if err != nil {
		return nil, nil, err
	}
	next := c.tokens(response)
	next.renewed, next.diff, next.login = t.renewed, t.diff, t.login
	if next.token.RefreshToken == "" {
		next.token.RefreshToken = t.token.RefreshToken
	}
	if next.scope == "" && to.Scopes == nil {
		next.scope = t.scope // "identical to the scope requested" (RFC 6749, sections 5.1 and 6)
	}
	next.idToken.set(t.IDToken())
	next.first.set(t.First())
	if response.idToken == "" {
		return next, nil, nil
	}
	original, err := t.original()
	if err != nil {
		return nil, nil, err
	}
	renewed, err := c.policy.Refreshed(ctx, response.idToken, original)
	switch {
	case errors.Is(err, verify.ErrKeySet) && next.token.RefreshToken != t.token.RefreshToken:
		return next.WithAccessTokenOf(t), nil, err
	case errors.Is(err, verify.ErrKeySet): // t is as good as before
		return nil, nil, err
	case err != nil:
		came := c.tokens(response)
		if came.token.RefreshToken == t.token.RefreshToken {
			came.token.RefreshToken = "" // t's, whose end is not ours to decide
		}
		c.discard(ctx, came)
		return nil, nil, c.advise(err)
	}
	next.idToken.set(renewed)
	next.renewed, next.diff = true, nil
	next.login = claimsOf(original, kept).without(claimsOf(renewed, kept))
	return next, renewed, nil
}

// owns says whether t was made by this client.
func (c *Client) owns(t *Tokens) error {
	switch {
	case t == nil || !t.verified:
		return ErrNotVerified
	case t.binding != c.binding:
		return ErrOtherClient
	}
	return nil
}

// add puts what the target asks for into the form of a grant.
func (to Target) add(form url.Values) error {
	if to.Resource != "" {
		if err := absoluteURI(to.Resource); err != nil {
			return badOption("Target.Resource: %w", err)
		}
		form.Set("resource", to.Resource)
	}
	if to.Audience != "" {
		if !isVisible(to.Audience, maxAudience) {
			return badOption("Target.Audience: %q", clean(to.Audience, maxErrorCode))
		}
		form.Set("audience", to.Audience)
	}
	if to.Scopes == nil {
		return nil
	}
	if err := checkList(to.Scopes, scopeToken); err != nil {
		return badOption("Target.Scopes: %w", err)
	}
	form.Set("scope", strings.Join(to.Scopes, " "))
	return nil
}
