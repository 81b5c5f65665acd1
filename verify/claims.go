package verify

import (
	"slices"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// maxLifetime bounds exp: nobody means a hundred years.
const maxLifetime = 366 * 24 * time.Hour

// claims are the claims that rules look at.
type claims struct {
	iss, sub, aud, azp, exp, iat, nbf, nonce, codeHash, accessTokenHash, stateHash strictjson.Value
	authTime, acr, amr, sid, events, jti                                           strictjson.Value
}

func (v *verification) readClaims() error {
	var err error
	if v.claims, err = parseClaims(v.payload); err != nil {
		return because(ErrMalformed, "payload: "+err.Error())
	}
	v.token = v.claims.token()
	return nil
}

func parseClaims(payload string) (c claims, err error) {
	var members [48]strictjson.Member
	object, err := strictjson.AppendObject(members[:0], payload)
	if err != nil {
		return claims{}, err
	}
	for _, m := range object {
		if known := c.named(m.Name); known != nil {
			*known = m.Value
		}
	}
	return c, nil
}

func (c *claims) named(name string) *strictjson.Value { //nolint:cyclop // a list
	switch name {
	case "iss":
		return &c.iss
	case "sub":
		return &c.sub
	case "aud":
		return &c.aud
	case "azp":
		return &c.azp
	case "exp":
		return &c.exp
	case "iat":
		return &c.iat
	case "nbf":
		return &c.nbf
	case "nonce":
		return &c.nonce
	case "c_hash":
		return &c.codeHash
	case "at_hash":
		return &c.accessTokenHash
	case "s_hash":
		return &c.stateHash
	case "auth_time":
		return &c.authTime
	case "acr":
		return &c.acr
	case "amr":
		return &c.amr
	case "sid":
		return &c.sid
	case "events":
		return &c.events
	case "jti":
		return &c.jti
	}
	return nil
}

// token fills a token. A claim of the wrong type leaves its field zero; the rules look at that.
func (c *claims) token() *IDToken {
	t := newToken()
	t.Audience, t.AMR = texts(c.aud), texts(c.amr)
	t.Issuer, _ = c.iss.Text()
	t.Subject, _ = c.sub.Text()
	t.AuthorizedParty, _ = c.azp.Text()
	t.SessionID, _ = c.sid.Text()
	t.ACR, _ = c.acr.Text()
	t.Expiry, _ = numericDate(c.exp)
	t.IssuedAt, _ = numericDate(c.iat)
	t.AuthTime, _ = numericDate(c.authTime)
	return t
}

// texts reads a string or an array of strings; nil if v is neither.
func texts(v strictjson.Value) []string {
	if one, ok := v.Text(); ok {
		return []string{one}
	}
	list, _ := v.Texts()
	return list
}

// numericDate reads seconds since 1970 (RFC 7519 2), whole or with a fraction, up to the year 9999.
func numericDate(v strictjson.Value) (time.Time, bool) {
	const last = 253402300799
	if whole, ok := v.Int64(); ok {
		if whole < 0 || whole > last {
			return time.Time{}, false
		}
		return time.Unix(whole, 0), true
	}
	f, ok := v.Float64()
	if !ok || !(f >= 0 && f <= last) {
		return time.Time{}, false
	}
	whole := int64(f)
	return time.Unix(whole, int64((f-float64(whole))*1e9)), true
}

// events: the claim makes a JWT a security event, a logout token for one.
func (v *verification) events() error {
	if v.claims.events.Exists() {
		return because(ErrType, "it has events")
	}
	return nil
}

// iss: "The Issuer Identifier for the OpenID Provider MUST exactly match the value of the iss Claim."
func (v *verification) iss() error {
	if v.token.Issuer != v.policy.Issuer {
		return ErrIssuer
	}
	return nil
}

// sub: "It MUST NOT exceed 255 ASCII [RFC20] characters in length."
func (v *verification) sub() error {
	if !printable(v.token.Subject) {
		return ErrSubject
	}
	return nil
}

// printable reports whether s is 1 to 255 ASCII characters, none of them a control character.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// aud: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience, or if it contains
// additional audiences not trusted by the Client."
func (v *verification) aud() error {
	if !slices.Contains(v.token.Audience, v.policy.ClientID) {
		return ErrAudience
	}
	for _, a := range v.token.Audience {
		if a != v.policy.ClientID && !slices.Contains(v.policy.Audiences, a) {
			return because(ErrAudience, "another audience is not trusted")
		}
	}
	return nil
}

// azp must be the client if it is there, and must be there if somebody else is in aud.
func (v *verification) azp() error {
	if v.claims.azp.Exists() {
		if v.token.AuthorizedParty != v.policy.ClientID {
			return ErrAuthorizedParty
		}
		return nil
	}
	if slices.ContainsFunc(v.token.Audience, func(a string) bool { return a != v.policy.ClientID }) {
		return because(ErrAuthorizedParty, "azp is missing beside several audiences")
	}
	return errNotApplicable
}

// exp: "The current time MUST be before the time represented by the exp Claim."
func (v *verification) exp() error {
	exp := v.token.Expiry
	switch {
	case exp.IsZero():
		return because(ErrExpired, "exp is missing or no time")
	case !v.now.Before(exp.Add(v.policy.leeway())):
		return ErrExpired
	case exp.After(v.now.Add(maxLifetime)):
		return because(ErrExpired, "exp is more than a year away")
	}
	return nil
}

func (v *verification) iat() error {
	iat := v.token.IssuedAt
	switch {
	case iat.IsZero():
		return because(ErrIssuedAt, "iat is missing or no time")
	case iat.After(v.now.Add(v.policy.leeway())):
		return because(ErrIssuedAt, "in the future")
	case iat.After(v.token.Expiry):
		return because(ErrIssuedAt, "after exp")
	}
	return nil
}

// iatAge: "The iat Claim can be used to reject tokens that were issued too far away from the current time."
func (v *verification) iatAge() error {
	if v.now.Sub(v.token.IssuedAt) > v.policy.maxIssued()+v.policy.leeway() {
		return because(ErrIssuedAt, "too long ago")
	}
	return nil
}

func (v *verification) nbf() error {
	if !v.claims.nbf.Exists() {
		return errNotApplicable
	}
	nbf, ok := numericDate(v.claims.nbf)
	if !ok || nbf.After(v.now.Add(v.policy.leeway())) {
		return ErrNotBefore
	}
	return nil
}
