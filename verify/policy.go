package verify

import (
	"context"
	"time"
)

// Policy is what one client accepts of one issuer. A Policy must not be modified after its first use; then it is safe
// for concurrent use. No field weakens a check when it is empty: a Policy that lacks something refuses everything.
type Policy struct {
	// Issuer is compared with iss byte for byte. Required.
	Issuer string
	// ClientID must be in aud, and must be azp if azp is there (Core 3.1.3.7). Required.
	ClientID string
	// Audiences are values of aud that are trusted beside ClientID. Nil trusts none: a token with a further audience
	// is refused.
	Audiences []string
	// Algorithm is the only JWS alg that is accepted: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512,
	// EdDSA (with an Ed25519 key), Ed25519 (RFC 9864), HS256, HS384 or HS512. "" is RS256. There is no "none".
	Algorithm string
	// Keys are the issuer's keys. Required, unless Algorithm is HS*; then it must be nil.
	Keys KeySet
	// Secret is the shared key for HS*, at least as long as the hash (RFC 7518 3.2). With any other Algorithm it
	// must be nil.
	Secret []byte
	// Leeway is the clock difference that is forgiven. 0 is 30 seconds; more than 5 minutes is refused.
	Leeway time.Duration
	// MaxIssued is the oldest iat at login, on both channels; it does not bind refreshed tokens. 0 is 10 minutes.
	MaxIssued time.Duration
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
}

// Expect is what one authorization request promised. An empty field is never a reason to skip: an empty Nonce is
// refused, and so is at the token endpoint a hash of a Code or AccessToken that is not given.
type Expect struct {
	// Nonce is the request's nonce. Always required.
	Nonce string
	// State is the request's state: an s_hash in the token must be its hash.
	State string
	// Code is the code of the same answer. [Policy.FrontChannel] requires c_hash if, and only if, there is one.
	Code string
	// AccessToken is the access token of the same answer. [Policy.FrontChannel] requires at_hash if, and only if,
	// there is one.
	AccessToken string
	// MaxAge is the max_age that was sent, nil if none was: auth_time is then required, and not older.
	MaxAge *time.Duration
	// ACR holds the acr values of which one was requested as essential. Nil: none was, any acr will do. An empty list
	// that is not nil accepts no token.
	ACR []string
	// Claims are string values that the request asked to see again (sub, org_id, hd, tid), by claim name.
	Claims map[string]string
}

// Validate reports the first field that is missing or contradicts another, as an error that wraps [ErrPolicy] and
// names the field. Every check of a token begins with it; call it at start to fail early.
func (p *Policy) Validate() error { return nil }

// FrontChannel verifies an ID Token that came through the browser (Core 3.3.2.9 to 3.3.2.12). If e has a Code, c_hash
// must be its hash; if e has an AccessToken, at_hash must be its hash; a hash whose input is not in the answer is
// ignored. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDTValidation
func (p *Policy) FrontChannel(ctx context.Context, raw string, e Expect) (*IDToken, error) {
	return nil, ErrPolicy
}

// TokenEndpoint verifies the ID Token of a code exchange (Core 3.3.3.7), its signature included although Core lets TLS
// stand for it. at_hash and c_hash may be absent, and must be right if they are there. Call [Match] next if a first
// ID Token came through the browser. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDTValidation2
func (p *Policy) TokenEndpoint(ctx context.Context, raw string, e Expect) (*IDToken, error) {
	return nil, ErrPolicy
}

// Refreshed verifies the ID Token of a refresh against the session's ID Token so far (Core 12.2): same iss and sub,
// aud with every value that the previous one had, and auth_time, nonce and azp, where they are there, unchanged.
// [Policy.MaxIssued] does not apply. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
func (p *Policy) Refreshed(ctx context.Context, raw string, previous *IDToken) (*IDToken, error) {
	return nil, ErrPolicy
}
