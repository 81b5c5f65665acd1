package verify

import (
	"context"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// logoutEventName is the member of events that makes a JWT a logout token.
const logoutEventName = "http://schemas.openid.net/event/backchannel-logout"

// LogoutToken is a verified logout token: the provider says that a session has ended. Only a [Policy] fills one. It
// prints, marshals and logs itself as a fixed text, because SessionID and ID name what ends. It must not be modified, and
// is then safe for concurrent use.
type LogoutToken struct {
	Issuer    string
	Subject   string    // sub; "" if the token names a session alone
	SessionID string    // sid; "" if all sessions of Subject are meant
	ID        string    // jti
	IssuedAt  time.Time // the provider's clock: sessions of logins up to here end, later ones do not
	Expiry    time.Time // for callers that remember ID

	state *tokenState
}

// LogoutToken verifies the logout_token of a back-channel logout request, every rule of Back-Channel Logout 1.0, sections
// 2.4 and 2.6: the type (typ absent, JWT or logout+jwt), the signature with the Policy's algorithm, iss, aud, exp and jti,
// iat (not older than [Policy.MaxIssued]), the event, sub or sid or both, and that there is no nonce. An encrypted token
// is refused. Every refusal is an [*Error].
//
// Whether the same jti came before is the caller's to know, who ends sessions; ending them twice does no harm.
//
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
func (p *Policy) LogoutToken(ctx context.Context, raw string) (*LogoutToken, error) {
	v, err := p.judge(ctx, raw, logout, against{})
	if err != nil {
		return nil, err
	}
	t := &LogoutToken{
		Issuer: v.token.Issuer, Subject: v.token.Subject, SessionID: v.token.SessionID,
		IssuedAt: v.token.IssuedAt, Expiry: v.token.Expiry, state: v.token.state,
	}
	t.ID, _ = v.claims.jti.Text()
	return t, nil
}

// Receipt tells how the token was verified.
func (t *LogoutToken) Receipt() Receipt {
	if t == nil {
		return Receipt{}
	}
	return t.state.receipt()
}

// logoutTyp: typ is recommended to be logout+jwt, and older providers send JWT or nothing. "application/" may stand
// before it (RFC 7515, section 4.1.9).
func (v *verification) logoutTyp() error {
	if !v.header.typ.Exists() {
		return errNotApplicable
	}
	typ, ok := v.header.typ.Text()
	if !ok {
		return because(ErrType, "typ is not a string")
	}
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	if !strings.EqualFold(typ, "logout+jwt") && !strings.EqualFold(typ, "JWT") {
		return because(ErrType, "not a logout token")
	}
	return nil
}

// logoutEvent: "Verify that the Logout Token contains an events Claim whose value is JSON object containing the member
// name http://schemas.openid.net/event/backchannel-logout"; the member's "value MUST be a JSON object". Other members,
// here and there, are ignored.
func (v *verification) logoutEvent() error {
	if !v.claims.events.Exists() {
		return because(ErrType, "there are no events")
	}
	var members [8]strictjson.Member
	events, err := strictjson.AppendObject(members[:0], v.claims.events.Raw())
	if err != nil {
		return because(ErrType, "events is not an object")
	}
	for _, m := range events {
		if m.Name != logoutEventName {
			continue
		}
		if _, ok := m.Value.Object(); !ok {
			return because(ErrType, "the logout event is not an object")
		}
		return nil
	}
	return because(ErrType, "events has no logout event")
}

// noNonce: "Verify that the Logout Token does not contain a nonce Claim."
func (v *verification) noNonce() error {
	if v.claims.nonce.Exists() {
		return because(ErrNonce, "a logout token has none")
	}
	return nil
}

// azpIfAny: a logout token needs no azp; one that names another client is not for us.
func (v *verification) azpIfAny() error {
	if !v.claims.azp.Exists() {
		return errNotApplicable
	}
	return v.azp()
}

// jti is "REQUIRED" in a logout token.
func (v *verification) jti() error {
	if id, ok := v.claims.jti.Text(); !ok || !printable(id) {
		return because(ErrMalformed, "jti is not a string of 1 to 255 printable ASCII characters")
	}
	return nil
}

func (v *verification) subIfAny() error {
	if !v.claims.sub.Exists() {
		return errNotApplicable
	}
	return v.sub()
}

// subOrSid: "Verify that the Logout Token contains a sub Claim, a sid Claim, or both."
func (v *verification) subOrSid() error {
	if !v.claims.sub.Exists() && !v.claims.sid.Exists() {
		return because(ErrSubject, "there is neither sub nor sid")
	}
	return nil
}
