package verify

// Strictness says what of a difference between the two ID Tokens of one login is refused. iss, sub and nonce must
// agree in any case.
type Strictness uint8

const (
	// MatchAuthentication also refuses auth_time, acr, amr (as a set) and sid that are in both tokens and differ. The
	// default.
	MatchAuthentication Strictness = iota
	// MatchStrict refuses every Difference: a claim in one token only, and every value that differs.
	MatchStrict
	// MatchReport refuses nothing more.
	MatchReport
)

// Diff is how the claims of two ID Tokens differ, in the order of the first token, then what only the second has.
// Left out is what differs by its nature (exp, iat, nbf, jti, c_hash, at_hash, s_hash), nonce, and the form of aud.
// It holds personal data.
type Diff []Difference

// Difference is one claim that differs. First and Second are JSON values, "" where the token has no such claim.
type Difference struct{ Claim, First, Second string }

// Match proves that the ID Tokens of both channels belong together (Core 3.3.3.6). Each must have been verified before.
// The error, if any, is an [*Error] that wraps [ErrMismatch]; the Diff is there in any case.
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDToken2
func Match(first, second *IDToken, s Strictness) (Diff, error) { return nil, ErrMismatch }
