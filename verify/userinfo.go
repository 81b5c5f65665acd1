package verify

// Core 5.3.2 about a signed UserInfo answer.

func (v *verification) issIfAny() error {
	if !v.claims.iss.Exists() {
		return errNotApplicable
	}
	return v.iss()
}

// audIfAny: "The aud value SHOULD be or include the RP's Client ID value."
func (v *verification) audIfAny() error {
	if !v.claims.aud.Exists() {
		return errNotApplicable
	}
	return v.aud()
}

func (v *verification) expIfAny() error {
	if !v.claims.exp.Exists() {
		return errNotApplicable
	}
	return v.exp()
}

// subjectIsExpected: "The sub Claim in the UserInfo Response MUST be verified to exactly match the sub Claim in the ID
// Token; if they do not match, the UserInfo Response values MUST NOT be used."
func (v *verification) subjectIsExpected() error {
	if v.subject == "" || v.token.Subject != v.subject {
		return ErrSubject
	}
	return nil
}
