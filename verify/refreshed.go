package verify

import "slices"

// Core 12.2 about an ID Token that comes with a refresh.

// issUnchanged: "its iss Claim Value MUST be the same as in the ID Token issued when the original authentication
// occurred".
func (v *verification) issUnchanged() error {
	if v.previous == nil || v.token.Issuer != v.previous.Issuer {
		return ErrIssuer
	}
	return nil
}

// subUnchanged: "its sub Claim Value MUST be the same as in the ID Token issued when the original authentication
// occurred".
func (v *verification) subUnchanged() error {
	if v.token.Subject != v.previous.Subject {
		return ErrSubject
	}
	return nil
}

// audUnchanged: "its aud Claim Value MUST include the aud Claim Value that was in the ID Token issued when the original
// authentication occurred".
func (v *verification) audUnchanged() error {
	for _, a := range v.previous.Audience {
		if !slices.Contains(v.token.Audience, a) {
			return because(ErrAudience, "an audience of the login is missing")
		}
	}
	return nil
}

// authTimeUnchanged: "if the ID Token contains an auth_time Claim, its value MUST represent the time of the original
// authentication - not the time that the new ID token is issued".
func (v *verification) authTimeUnchanged() error {
	if v.token.AuthTime.IsZero() || v.previous.AuthTime.IsZero() {
		return errNotApplicable
	}
	if !v.token.AuthTime.Equal(v.previous.AuthTime) {
		return because(ErrAuthTime, "not that of the login")
	}
	return nil
}

// nonceUnchanged: "it SHOULD NOT have a nonce Claim, even when the ID Token issued at the time of the original
// authentication contained nonce; however, if it is present, its value MUST be the same".
func (v *verification) nonceUnchanged() error {
	if !v.claims.nonce.Exists() {
		return errNotApplicable
	}
	got, ok := v.claims.nonce.Text()
	if !ok {
		return because(ErrNonce, "not a string")
	}
	before, err := parseClaims(v.previous.payload())
	if err != nil {
		return because(ErrNonce, "the previous token cannot be read")
	}
	if !before.nonce.Exists() {
		return errNotApplicable // the previous token was a refreshed one itself
	}
	if want, ok := before.nonce.Text(); !ok || !sameText(got, want) {
		return because(ErrNonce, "not that of the login")
	}
	return nil
}

// azpUnchanged: "its azp Claim Value MUST be the same as in the ID Token issued when the original authentication
// occurred; if no azp Claim was present in the original ID Token, one MUST NOT be present in the new ID Token".
func (v *verification) azpUnchanged() error {
	if !v.claims.azp.Exists() {
		return errNotApplicable
	}
	if v.token.AuthorizedParty != v.previous.AuthorizedParty {
		return because(ErrAuthorizedParty, "not that of the login")
	}
	return nil
}
