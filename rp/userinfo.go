package rp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/twofold-auth/twofold/internal/limitbody"
	"github.com/twofold-auth/twofold/internal/strictjson"
	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/verify"
)

// UserInfo is a UserInfo response whose sub is that of the ID Token. It holds personal data and redacts itself.
// Distributed and aggregated claims (Core 5.6.2) are left as they came: nothing in a response makes us send a request.
type UserInfo struct {
	redacted
	Subject string
	binding [bindingSize]byte
	raw     json.RawMessage
}

// Claims decodes all claims into v; names must match exactly.
func (u *UserInfo) Claims(v any) error { return strictjson.Unmarshal(string(u.raw), v) }

// Bytes returns u for [Client.ParseUserInfo].
func (u *UserInfo) Bytes() []byte {
	w := wire.NewWriter(formatUserInfo, len(u.raw)+64)
	w.Bytes(u.binding[:])
	w.String(u.Subject)
	w.Bytes(u.raw)
	return w.Done()
}

// ParseUserInfo reverses [UserInfo.Bytes]. It believes b, as [Client.ParseAuthRequest] does, with the same errors.
func (c *Client) ParseUserInfo(b []byte) (*UserInfo, error) {
	r, err := c.open(b, formatUserInfo)
	if err != nil {
		return nil, err
	}
	u := &UserInfo{binding: c.binding, Subject: r.String(), raw: append(json.RawMessage(nil), r.Bytes()...)}
	if r.Close() != nil || u.Subject == "" {
		return nil, errFormat
	}
	return u, nil
}

// UserInfo asks the UserInfo endpoint with the access token of t, once. The response is JSON, or a JWT that is signed
// with Config.UserInfoAlgorithm; its sub must be that of the ID Token.
//
// [ErrNotVerified]; [ErrOtherClient]; [ErrUnsupported] if the provider has no such endpoint; an [*Error] if it refused;
// [ErrUnavailable]; [ErrUserInfo] if the response, its signature or its sub is not what it must be.
//
// See Core 5.3, https://openid.net/specs/openid-connect-core-1_0.html#UserInfo.
func (c *Client) UserInfo(ctx context.Context, t *Tokens) (*UserInfo, error) {
	start := c.cfg.Now()
	u, err := c.askUserInfo(ctx, t)
	if err != nil {
		err = fmt.Errorf("rp: userinfo: %w", err)
	}
	c.observe(ctx, eventUserInfo, start, nil, err)
	return u, err
}

func (c *Client) askUserInfo(ctx context.Context, t *Tokens) (*UserInfo, error) {
	if err := c.owns(t); err != nil {
		return nil, err
	}
	id := t.IDToken()
	if id == nil {
		return nil, ErrNotVerified
	}
	p, err := c.provider.get(ctx)
	if err != nil {
		return nil, err
	}
	if p.endpoints.UserInfo == "" {
		return nil, fmt.Errorf("%w: the provider has no userinfo_endpoint", ErrUnsupported)
	}
	r, err := c.userInfoRequest(ctx, p.endpoints.UserInfo, t.token.AccessToken)
	if err != nil {
		return nil, err
	}
	a, err := c.send(r, maxUserInfo)
	if errors.Is(err, limitbody.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", ErrUserInfo, err)
	}
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, bearerError(a, t.token.AccessToken)
	}
	return c.readUserInfo(ctx, a, id.Subject)
}

// userInfoRequest sends the token in the header, or in a form body (RFC 6750, sections 2.1 and 2.2), never in the URL.
func (c *Client) userInfoRequest(ctx context.Context, endpoint, token string) (*http.Request, error) {
	var r *http.Request
	var err error
	if c.cfg.UserInfoBody {
		r, err = newForm(ctx, endpoint)
	} else {
		r, err = http.NewRequestWithContext(ctx, http.MethodGet, endpoint, http.NoBody)
	}
	if err != nil {
		return nil, err
	}
	if c.cfg.UserInfoBody {
		r, _ = setForm(r, url.Values{"access_token": {token}})
	} else {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Accept", c.userInfoType())
	return r, nil
}

// userInfoType is the content type that the response must have (Core 5.3.2).
func (c *Client) userInfoType() string {
	if c.cfg.UserInfoAlgorithm != "" {
		return "application/jwt"
	}
	return "application/json"
}

func (c *Client) readUserInfo(ctx context.Context, a *answer, subject string) (*UserInfo, error) {
	if t := a.mediaType(); t != c.userInfoType() {
		return nil, fmt.Errorf("%w: content type %s, not %s", ErrUserInfo, shownType(t), c.userInfoType())
	}
	raw := a.body
	if c.cfg.UserInfoAlgorithm != "" {
		claims, err := c.userInfo.UserInfo(ctx, string(a.body), subject)
		if errors.Is(err, verify.ErrKeySet) {
			return nil, unavailable(err)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUserInfo, err)
		}
		raw = claims
	}
	claims, err := strictjson.Parse(string(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUserInfo, err)
	}
	// "The sub Claim in the UserInfo Response MUST be verified to exactly match the sub Claim in the ID Token; if they do
	// not match, the UserInfo Response values MUST NOT be used" (Core 5.3.2).
	if sub, ok := claims.Get("sub").Text(); !ok || sub != subject {
		return nil, fmt.Errorf("%w: sub is not that of the ID Token", ErrUserInfo)
	}
	return &UserInfo{Subject: subject, binding: c.binding, raw: raw}, nil
}
