package rp

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// EndSession returns where to send the browser to log out at the provider. idTokenHint is [verify.IDToken.Raw] of the
// session, state comes back to PostLogoutRedirectURL; both may be empty. ctx bounds the discovery that a [Lazy] client
// may still have to do.
//
// [ErrUnsupported] if the provider has no end_session_endpoint; [ErrUnavailable] if its metadata cannot be had. Either
// way end the local session, and do that first.
//
// See RP-Initiated Logout 1.0, https://openid.net/specs/openid-connect-rpinitiated-1_0.html.
func (c *Client) EndSession(ctx context.Context, idTokenHint, state string) (*Redirect, error) {
	start := c.cfg.Now()
	r, err := c.endSession(ctx, idTokenHint, state)
	c.observe(ctx, eventEndSession, start, nil, err)
	return r, err
}

func (c *Client) endSession(ctx context.Context, idTokenHint, state string) (*Redirect, error) {
	p, err := c.provider.get(ctx)
	if err != nil {
		return nil, err
	}
	endpoint := p.endpoints.EndSession
	if endpoint == "" {
		return nil, fmt.Errorf("rp: %w: the provider has no end_session_endpoint", ErrUnsupported)
	}
	fields := url.Values{"client_id": {c.cfg.ClientID}}
	if idTokenHint != "" {
		fields.Set("id_token_hint", idTokenHint)
	}
	if c.cfg.PostLogoutRedirectURL != "" {
		fields.Set("post_logout_redirect_uri", c.cfg.PostLogoutRedirectURL)
		if state != "" {
			fields.Set("state", state)
		}
	}
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	if query := fields.Encode(); len(endpoint)+1+len(query) <= maxURL {
		return &Redirect{URL: endpoint + separator + query}, nil
	}
	return &Redirect{URL: endpoint, Fields: fields}, nil
}
