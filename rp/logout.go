package rp

import (
	"context"
	"errors"
	"fmt"

	"github.com/twofold-auth/twofold/verify"
)

// VerifyLogoutToken verifies raw, the logout_token of a back-channel logout request: the provider tells that a session has
// ended. It must be signed as ID Tokens are. The caller ends the sessions of the token's SessionID, or if it has none those
// of its Subject, whose logins are not newer than its IssuedAt; it may see one token twice.
//
// [ErrLogoutToken] with a [*verify.Error] if the token is refused; [ErrUnavailable] if the provider's keys could not be
// had: then nothing is known about the token, and the provider should send it again.
//
// See Back-Channel Logout 1.0, section 2.6, https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation.
func (c *Client) VerifyLogoutToken(ctx context.Context, raw string) (*verify.LogoutToken, error) {
	start := c.cfg.Now()
	t, err := c.logout.LogoutToken(ctx, raw)
	switch {
	case errors.Is(err, verify.ErrKeySet):
		err = fmt.Errorf("rp: logout token: %w", unavailable(err))
	case err != nil:
		err = fmt.Errorf("rp: %w: %w", ErrLogoutToken, c.advise(err))
	}
	var receipt *verify.Receipt
	if t != nil && c.cfg.Observe != nil {
		r := t.Receipt()
		receipt = &r
	}
	c.observe(ctx, eventLogout, start, receipt, err)
	return t, err
}
