package rp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// The values of token_type_hint (RFC 7009, section 2.1).
const (
	hintRefresh = "refresh_token"
	hintAccess  = "access_token"
)

// Revoke asks the provider to revoke the refresh token of t, and then the access token unless it has expired: most
// providers end it together with the refresh token, but none has to. Each token is sent once. ctx bounds all of it, and
// each request has the Client's own timeout; a logout must not wait for it, nor fail with it.
//
// An error means that a token may still be good at the provider. [ErrNotVerified]; [ErrOtherClient]; [ErrUnsupported] if
// the provider has no revocation_endpoint; an [*Error] if it refused; [ErrUnavailable] if it could not be reached or
// answered 5xx: then the rest is not tried.
//
// See RFC 7009, https://www.rfc-editor.org/rfc/rfc7009.
func (c *Client) Revoke(ctx context.Context, t *Tokens) error {
	start := c.cfg.Now()
	return c.revoked(ctx, start, c.revoke(ctx, t))
}

// revoked reports a revocation.
func (c *Client) revoked(ctx context.Context, start time.Time, err error) error {
	if err != nil {
		err = fmt.Errorf("rp: revoke: %w", err)
	}
	c.observe(ctx, eventRevoke, start, nil, err)
	return err
}

func (c *Client) revoke(ctx context.Context, t *Tokens) error {
	if err := c.owns(t); err != nil {
		return err
	}
	p, err := c.provider.get(ctx)
	if err != nil {
		return err
	}
	if p.endpoints.Revocation == "" {
		return fmt.Errorf("%w: the provider has no revocation_endpoint", ErrUnsupported)
	}
	var refused error
	if t.token.RefreshToken != "" {
		refused = c.revokeToken(ctx, p.endpoints.Revocation, t.token.RefreshToken, hintRefresh)
		if errors.Is(refused, ErrUnavailable) {
			return refused
		}
	}
	if over := t.token.Expiry; !over.IsZero() && !c.cfg.Now().Before(over) {
		return refused
	}
	err = c.revokeToken(ctx, p.endpoints.Revocation, t.token.AccessToken, hintAccess)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "unsupported_token_type" && t.token.RefreshToken != "" {
		err = nil // access tokens that cannot be revoked end by themselves, and there are no new ones
	}
	if refused != nil && err != nil {
		return fmt.Errorf("%w; %w", refused, err)
	}
	return cmp.Or(refused, err)
}

// revokeToken sends one token. "The content of the response body is ignored by the client as all necessary information is
// conveyed in the response code"; a token that the provider does not know is no error (RFC 7009, section 2.2).
func (c *Client) revokeToken(ctx context.Context, endpoint, token, hint string) error {
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	a, err := c.post(ctx, endpoint, form, func() error { return nil })
	if err != nil {
		return err
	}
	if a.status < http.StatusOK || a.status >= http.StatusMultipleChoices {
		return c.tokenError(a, form)
	}
	return nil
}

// discardTimeout bounds a revocation for which nobody waits.
const discardTimeout = 5 * time.Second

// discard revokes, in the background and as far as the provider lets it, what came with an ID Token that is not believed:
// nobody gets these tokens, and they may be another user's.
func (c *Client) discard(ctx context.Context, t *Tokens) {
	c.work.run(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, discardTimeout)
		defer cancel()
		start := c.cfg.Now()
		if err := c.revoke(ctx, t); !errors.Is(err, ErrUnsupported) {
			_ = c.revoked(ctx, start, err) // there it is told
		}
	})
}
