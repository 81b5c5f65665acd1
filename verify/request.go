package verify

import (
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// nonce: "If a nonce value was sent in the Authentication Request, a nonce Claim MUST be present and its value checked
// to verify that it is the same value as the one that was sent." We always send one.
func (v *verification) nonce() error {
	got, ok := v.claims.nonce.Text()
	if !ok || v.expect.Nonce == "" || !sameText(got, v.expect.Nonce) {
		return ErrNonce
	}
	return nil
}

// codeHash: c_hash is "REQUIRED" in an ID Token that comes with a code from the authorization endpoint (3.3.2.11).
func (v *verification) codeHash() error {
	if v.expect.Code == "" {
		return errNotApplicable
	}
	return v.hashOf(v.expect.Code, v.claims.codeHash, ErrCodeHash)
}

// accessTokenHash: at_hash is "REQUIRED" in an ID Token that comes with an access token from the authorization
// endpoint (3.3.2.11).
func (v *verification) accessTokenHash() error {
	if v.expect.AccessToken == "" {
		return errNotApplicable
	}
	return v.hashOf(v.expect.AccessToken, v.claims.accessTokenHash, ErrAccessTokenHash)
}

// laterCodeHash: at the token endpoint c_hash is optional, and right if it is there.
func (v *verification) laterCodeHash() error {
	if !v.claims.codeHash.Exists() {
		return errNotApplicable
	}
	return v.hashOf(v.expect.Code, v.claims.codeHash, ErrCodeHash)
}

// laterAccessTokenHash: at the token endpoint at_hash is optional, and right if it is there.
func (v *verification) laterAccessTokenHash() error {
	if !v.claims.accessTokenHash.Exists() {
		return errNotApplicable
	}
	return v.hashOf(v.expect.AccessToken, v.claims.accessTokenHash, ErrAccessTokenHash)
}

func (v *verification) stateHash() error {
	if !v.claims.stateHash.Exists() {
		return errNotApplicable
	}
	return v.hashOf(v.expect.State, v.claims.stateHash, ErrStateHash)
}

// hashOf compares claim with the base64url encoding of the left half of input's hash, whole: a shorter or longer
// spelling is another text. Nothing is compared with the hash of nothing.
func (v *verification) hashOf(input string, claim strictjson.Value, sentinel error) error {
	got, ok := claim.Text()
	if !ok || input == "" {
		return sentinel
	}
	sum := v.digest(input)
	var want [44]byte // SHA-512: 32 bytes, 43 characters
	half := sum[:len(sum)/2]
	base64.RawURLEncoding.Encode(want[:], half)
	if subtle.ConstantTimeCompare([]byte(got), want[:base64.RawURLEncoding.EncodedLen(len(half))]) != 1 {
		return sentinel
	}
	return nil
}

// authTime looks at the form, and at what no clock explains.
func (v *verification) authTime() error {
	switch {
	case !v.claims.authTime.Exists():
		return errNotApplicable
	case v.token.AuthTime.IsZero():
		return because(ErrAuthTime, "no time")
	case v.token.AuthTime.After(v.now.Add(v.policy.leeway())):
		return because(ErrAuthTime, "in the future")
	}
	return nil
}

// maxAge: "When max_age is used, the ID Token returned MUST include an auth_time Claim Value."
func (v *verification) maxAge() error {
	switch {
	case v.expect.MaxAge == nil:
		return errNotApplicable
	case v.token.AuthTime.IsZero():
		return because(ErrAuthTime, "missing although max_age was sent")
	case v.requestedAt().Sub(v.token.AuthTime) > *v.expect.MaxAge+v.policy.leeway():
		return because(ErrAuthTime, "the login is older than max_age")
	}
	return nil
}

// requestedAt is when the provider was to compare auth_time with max_age; never in the future.
func (v *verification) requestedAt() time.Time {
	if at := v.expect.RequestedAt; !at.IsZero() && at.Before(v.now) {
		return at
	}
	return v.now
}

func (v *verification) acr() error {
	if _, ok := v.claims.acr.Text(); v.claims.acr.Exists() && !ok {
		return because(ErrACR, "not a string")
	}
	if v.expect.ACR == nil {
		return errNotApplicable
	}
	if !v.claims.acr.Exists() || !slices.Contains(v.expect.ACR, v.token.ACR) {
		return ErrACR
	}
	return nil
}

// amr decides nothing, so one string is as good as a list of one, and null as good as none.
func (v *verification) amr() error {
	switch {
	case !v.claims.amr.Exists():
		return errNotApplicable
	case v.token.AMR == nil && v.claims.amr.Raw() != "null" && v.claims.amr.Raw() != "[]":
		return because(ErrMalformed, "amr is not a list of strings")
	}
	return nil
}

// sid becomes part of keys by which sessions are found again.
func (v *verification) sid() error {
	if !v.claims.sid.Exists() {
		return errNotApplicable
	}
	if !printable(v.token.SessionID) {
		return because(ErrMalformed, "sid is not a string of 1 to 255 printable ASCII characters")
	}
	return nil
}

// requestedClaims: what the request asked to see again is there, as a string, unchanged.
func (v *verification) requestedClaims() error {
	if len(v.expect.Claims) == 0 {
		return errNotApplicable
	}
	object, err := strictjson.Parse(v.payload)
	if err != nil {
		return because(ErrMalformed, err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(v.expect.Claims)) {
		if got, ok := object.Get(name).Text(); !ok || got != v.expect.Claims[name] {
			v.about = name
			return ErrClaim
		}
	}
	return nil
}

func sameText(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
