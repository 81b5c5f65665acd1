package verify

import (
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// IDToken is a verified ID Token. Only a [Policy] fills one. Its fields are the claims that decide about a login; a
// field is zero if the claim is absent. It prints, marshals and logs itself as a fixed text, because whoever has the
// token can use it. It must not be modified, and is then safe for concurrent use.
type IDToken struct {
	Issuer, Subject string
	AuthorizedParty string // azp
	SessionID       string // sid, the provider's session
	ACR             string
	Audience, AMR   []string
	Expiry          time.Time
	IssuedAt        time.Time
	AuthTime        time.Time // zero if the token has no auth_time

	state *tokenState
}

// tokenState is what the methods of an IDToken need.
type tokenState struct {
	text             *tokenText
	algorithm, keyID string
	passed           uint64 // bit i: rules[i] was checked
	signature, total time.Duration
}

// keptToken is all of a token, so that it takes one allocation.
type keptToken struct {
	token IDToken
	state tokenState
	text  tokenText
}

// newToken returns a token whose parts are there.
func newToken() *IDToken {
	k := &keptToken{}
	k.token.state, k.state.text = &k.state, &k.text
	return &k.token
}

// tokenText is behind two pointers: package fmt reads the unexported fields of somebody else's struct without asking
// for our Format, and follows one pointer if the verb does not fit (%s), but never two.
type tokenText struct{ raw, payload string }

// Claims decodes all claims into v, a pointer, as [encoding/json.Unmarshal] does, with one difference: a claim fills a
// struct field only if its name is the field's name exactly. encoding/json would let the claim NAME, or ſub with a long
// s, fill a field name or sub. Types with an UnmarshalJSON of their own decode what is below them as they like.
//
// Claim names are the provider's, sometimes its users' choice: in a map, treat them as data. A [json.RawMessage] gets
// the claims as they stand.
func (t *IDToken) Claims(v any) error {
	if t.payload() == "" {
		return because(ErrMalformed, "there is no token")
	}
	return strictjson.Unmarshal(t.payload(), v)
}

// Raw returns the JWS as it came, for id_token_hint. It is "" for a token that was kept without its signature.
func (t *IDToken) Raw() string {
	if t == nil || t.state == nil {
		return ""
	}
	return t.state.text.raw
}

// Receipt tells how the token was verified.
func (t *IDToken) Receipt() Receipt {
	if t == nil {
		return Receipt{}
	}
	return t.state.receipt()
}

func (s *tokenState) receipt() Receipt {
	if s == nil {
		return Receipt{}
	}
	r := Receipt{Algorithm: s.algorithm, KeyID: s.keyID, Signature: s.signature, Total: s.total}
	for i := range rules {
		if s.passed&(1<<i) != 0 {
			r.Rules = append(r.Rules, rules[i].Rule)
		}
	}
	return r
}

func (t *IDToken) payload() string {
	if t == nil || t.state == nil {
		return ""
	}
	return t.state.text.payload
}

// Receipt tells how a token was verified. It holds no secret. Rules is empty for a token that was not verified by this
// process but restored from a session.
type Receipt struct {
	Algorithm, KeyID string        // alg and kid of the token's header
	Rules            []Rule        // what was checked, in order; what did not apply is not listed
	Signature, Total time.Duration // the signature with the search for its key; everything
}

// Rule is one rule of a specification, e.g. "c_hash" of "OIDC Core 3.3.2.10".
type Rule struct{ Name, Section string }
