package verify

import (
	"cmp"
	"context"
	"slices"
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
	// MaxIssued is the oldest iat at login, on both channels, and of a logout token; it does not bind refreshed tokens.
	// 0 is 10 minutes.
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
	// RequestedAt is when the request was made: MaxAge counts back from there, so that a user who takes long at the
	// provider after logging in is not refused. The zero time counts back from now.
	RequestedAt time.Time
	// ACR holds the acr values of which one was requested as essential. Nil: none was, any acr will do. An empty list
	// that is not nil accepts no token.
	ACR []string
	// Claims are string values that the request asked to see again (sub, org_id, hd, tid), by claim name.
	Claims map[string]string
}

// Validate reports the first field that is missing or contradicts another, as an error that wraps [ErrPolicy] and
// names the field. Every check of a token begins with it; call it at start to fail early.
func (p *Policy) Validate() error {
	_, err := p.resolve()
	return err
}

// FrontChannel verifies an ID Token that came through the browser (Core 3.3.2.9 to 3.3.2.12). If e has a Code, c_hash
// must be its hash; if e has an AccessToken, at_hash must be its hash; a hash whose input is not in the answer is
// ignored. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDTValidation
func (p *Policy) FrontChannel(ctx context.Context, raw string, e Expect) (*IDToken, error) {
	return p.verify(ctx, raw, front, against{expect: e})
}

// TokenEndpoint verifies the ID Token of a code exchange (Core 3.3.3.7), its signature included although Core lets TLS
// stand for it. at_hash and c_hash may be absent, and must be right if they are there. Call [Match] next if a first
// ID Token came through the browser. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDTValidation2
func (p *Policy) TokenEndpoint(ctx context.Context, raw string, e Expect) (*IDToken, error) {
	return p.verify(ctx, raw, exchange, against{expect: e})
}

// Refreshed verifies the ID Token of a refresh against the session's ID Token so far (Core 12.2): same iss and sub,
// aud with every value that the previous one had, and auth_time, nonce and azp, where they are there, unchanged.
// [Policy.MaxIssued] does not apply. Every refusal is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
func (p *Policy) Refreshed(ctx context.Context, raw string, previous *IDToken) (*IDToken, error) {
	return p.verify(ctx, raw, refresh, against{previous: previous})
}

// UserInfo verifies a signed UserInfo answer (application/jwt) of this issuer and returns its claims, a JSON object
// that is checked as strictly as an ID Token's: the signature, sub, which must be subject, and iss, aud, exp and nbf
// where they are there. It gives no [IDToken]: such an answer says who somebody is, not that he is here. Every refusal
// is an [*Error].
//
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponseValidation
func (p *Policy) UserInfo(ctx context.Context, raw, subject string) (claims []byte, err error) {
	t, err := p.verify(ctx, raw, userInfo, against{subject: subject})
	if err != nil {
		return nil, err
	}
	return []byte(t.payload()), nil
}

const (
	defaultLeeway    = 30 * time.Second
	largestLeeway    = 5 * time.Minute
	defaultMaxIssued = 10 * time.Minute
	largestMaxIssued = 24 * time.Hour
)

// resolve validates the policy and looks its algorithm up.
func (p *Policy) resolve() (*algorithm, error) {
	if p == nil {
		return nil, because(ErrPolicy, "it is nil")
	}
	a := algorithmNamed(p.Algorithm)
	switch {
	case p.Issuer == "":
		return nil, because(ErrPolicy, "Issuer is empty")
	case p.ClientID == "":
		return nil, because(ErrPolicy, "ClientID is empty")
	case slices.Contains(p.Audiences, ""):
		return nil, because(ErrPolicy, "Audiences has an empty value")
	case a == nil:
		return nil, because(ErrPolicy, "Algorithm is not a signature algorithm that is supported")
	case p.Leeway < 0 || p.Leeway > largestLeeway:
		return nil, because(ErrPolicy, "Leeway is not within 0 and 5 minutes")
	case p.MaxIssued < 0 || p.MaxIssued > largestMaxIssued:
		return nil, because(ErrPolicy, "MaxIssued is not within 0 and 24 hours")
	}
	return a, p.validateKeys(a)
}

func (p *Policy) validateKeys(a *algorithm) error {
	switch {
	case a.family != mac && p.Secret != nil:
		return because(ErrPolicy, "Secret is set although Algorithm "+a.name+" uses Keys")
	case a.family != mac && p.Keys == nil:
		return because(ErrPolicy, "Keys is nil")
	case a.family == mac && p.Keys != nil:
		return because(ErrPolicy, "Keys is set although Algorithm "+a.name+" uses Secret")
	case a.family == mac && len(p.Secret) < a.hash.Size():
		// RFC 7518 3.2: "A key of the same size as the hash output […] or larger MUST be used with this algorithm."
		return because(ErrPolicy, "Secret is shorter than the hash of Algorithm "+a.name)
	}
	return nil
}

func (p *Policy) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now() //nolint:forbidigo // the default
}

func (p *Policy) leeway() time.Duration {
	return cmp.Or(p.Leeway, defaultLeeway)
}

func (p *Policy) maxIssued() time.Duration {
	return cmp.Or(p.MaxIssued, defaultMaxIssued)
}
