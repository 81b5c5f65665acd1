package verify

import "errors"

// The reasons for a refusal. Each [*Error] wraps exactly one of them.
var (
	// ErrPolicy: the Policy contradicts itself; a mistake in the program, not in the token. See [Policy.Validate].
	ErrPolicy = errors.New("verify: the policy contradicts itself")
	// ErrMalformed: not a compact JWS with strict base64url and strict JSON, or a claim of the wrong shape.
	ErrMalformed = errors.New("verify: malformed token")
	// ErrType: a JWT of another kind: an access token; a logout token instead of an ID Token, or the reverse.
	ErrType = errors.New("verify: a token of another kind")
	// ErrAlgorithm: alg is not the one that the Policy names.
	ErrAlgorithm = errors.New("verify: another algorithm than the configured one")
	// ErrKey: the key set has no usable key for this token.
	ErrKey = errors.New("verify: no key fits the token")
	// ErrSignature: no key that fits the token made its signature.
	ErrSignature = errors.New("verify: wrong signature")
	// ErrIssuer: iss is missing or not the Policy's.
	ErrIssuer = errors.New("verify: wrong issuer")
	// ErrSubject: sub is missing, empty, longer than 255 characters or not ASCII, or changed in a refreshed token; a
	// logout token has neither sub nor sid.
	ErrSubject = errors.New("verify: missing, malformed or changed subject")
	// ErrAudience: aud lacks the client, or names someone who is not trusted.
	ErrAudience = errors.New("verify: wrong audience")
	// ErrAuthorizedParty: azp is not the client, or is missing although aud has several values.
	ErrAuthorizedParty = errors.New("verify: wrong authorized party")
	// ErrExpired: exp is missing, malformed, over, or absurdly far away.
	ErrExpired = errors.New("verify: expired, or no usable expiry")
	// ErrIssuedAt: iat is missing, malformed, in the future, too old, or after exp.
	ErrIssuedAt = errors.New("verify: issued too early or too late, or no usable time of issue")
	// ErrNotBefore: nbf is malformed or in the future.
	ErrNotBefore = errors.New("verify: not valid yet")
	// ErrNonce: nonce is missing or not the request's, or is there in a logout token, which must have none.
	ErrNonce = errors.New("verify: wrong, missing or forbidden nonce")
	// ErrCodeHash: c_hash is missing or not the code's.
	ErrCodeHash = errors.New("verify: c_hash does not match the code")
	// ErrAccessTokenHash: at_hash is missing or not the access token's.
	ErrAccessTokenHash = errors.New("verify: at_hash does not match the access token")
	// ErrStateHash: s_hash is not the state's.
	ErrStateHash = errors.New("verify: s_hash does not match the state")
	// ErrAuthTime: auth_time is missing although max_age was sent, malformed, too old, in the future, or changed.
	ErrAuthTime = errors.New("verify: missing, outdated or changed auth_time")
	// ErrACR: acr is malformed, or none of the values that the request called essential.
	ErrACR = errors.New("verify: authentication context class not met")
	// ErrClaim: a claim that the request asked to see again (Expect.Claims) is missing or has another value.
	ErrClaim = errors.New("verify: a claim does not have the requested value")
	// ErrMismatch: the ID Tokens of the two channels do not belong together. See [Match].
	ErrMismatch = errors.New("verify: the two ID Tokens do not match")
	// ErrKeySet: the keys could not be had, so nothing is known about the token; try later.
	ErrKeySet = errors.New("verify: the key set is not available")
)

// Error is every refusal. It holds no part of the token, so it may be logged.
type Error struct {
	Rule  Rule   // the rule that refused
	Claim string // the claim or header member that the rule is about; "" if none
	Err   error  // wraps exactly one of the sentinels
}

// Error names the reason, the rule and its section.
func (e *Error) Error() string {
	return e.Err.Error() + " (rule " + e.Rule.Name + ", " + e.Rule.Section + ")"
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
