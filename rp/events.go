package rp

import (
	"context"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// Event is one step of the protocol, for logs, metrics and traces. It holds no token, code, state or secret.
type Event struct {
	// Name says which step; the list is closed, see the package documentation.
	Name string
	// Code is the [ErrorCode] of Err.
	Code string
	// Reference is the correlation ID that the user was shown, if the step belongs to an HTTP request.
	Reference string
	// Err is the reason of a refusal; nil if the step succeeded.
	Err error
	// Took is the duration of the step, by Config.Now; 0 if that clock was put back meanwhile, so that it is never negative.
	Took time.Duration
	// Receipt says what was checked in the step's ID Token or logout token; nil if it had none, or refused it.
	Receipt *verify.Receipt
}

// The names of the events: a closed list, kept by a golden file.
const (
	eventDiscovery  = "discovery"
	eventKeys       = "keys"
	eventRequest    = "auth_request"
	eventResponse   = "auth_response"
	eventNoIssuer   = "error_without_issuer"
	eventExchange   = "exchange"
	eventRefresh    = "refresh"
	eventUserInfo   = "userinfo"
	eventEndSession = "end_session"
	eventLogout     = "logout_token"
	eventRevoke     = "revoke"
	eventSave       = "save"

	eventClientCredentials = "client_credentials"
	eventTokenExchange     = "token_exchange"
)

// observe reports a step that began at start.
func (c *Client) observe(ctx context.Context, name string, start time.Time, receipt *verify.Receipt, err error) {
	if c.cfg.Observe == nil {
		return
	}
	c.cfg.Observe(ctx, Event{
		Name: name, Code: ErrorCode(err), Err: err, Took: max(c.cfg.Now().Sub(start), 0), Receipt: receipt,
	})
}

// receiptOf returns the receipt of t, if there is a token and somebody watches.
func (c *Client) receiptOf(t *verify.IDToken) *verify.Receipt {
	if t == nil || c.cfg.Observe == nil {
		return nil
	}
	r := t.Receipt()
	return &r
}
