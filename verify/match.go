package verify

import (
	"slices"
	"strings"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

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

// pair is the two ID Tokens of one login.
type pair struct {
	first, second           *IDToken
	firstNonce, secondNonce string
	strictness              Strictness
	diff                    Diff
}

// matchRules is Core 3.3.3.6, "If an ID Token is returned from both the Authorization Endpoint and from the Token
// Endpoint". A rule returns the claim that it refuses, "" if none.
var matchRules = [...]struct {
	Rule
	check func(*pair) (claim string)
}{
	// "The iss and sub Claim Values MUST be identical in both ID Tokens."
	{Rule{"match_iss", "OIDC Core 3.3.3.6"}, (*pair).iss},
	{Rule{"match_sub", "OIDC Core 3.3.3.6"}, (*pair).sub},
	{Rule{"match_nonce", "OIDC Core 3.1.3.7 (11)"}, (*pair).nonce},
	// "All Claims about the Authentication event present in either SHOULD be present in both."
	{Rule{"match_authentication", "OIDC Core 3.3.3.6"}, (*pair).authentication},
	// "If either ID Token contains Claims about the End-User, any that are present in both SHOULD have the same values
	// in both."
	{Rule{"match_strict", "OIDC Core 3.3.3.6"}, (*pair).strict},
}

// Match proves that the ID Tokens of both channels belong together (Core 3.3.3.6). Each must have been verified before.
// aud and azp were validated in each token by itself. The error, if any, is an [*Error] that wraps [ErrMismatch]; the
// Diff is there in any case.
//
// https://openid.net/specs/openid-connect-core-1_0.html#HybridIDToken2
func Match(first, second *IDToken, s Strictness) (Diff, error) {
	p := &pair{first: first, second: second, strictness: s}
	if !p.compare() {
		return nil, &Error{Rule: matchRules[0].Rule, Err: because(ErrMismatch, "a token is missing")}
	}
	for i := range matchRules {
		if claim := matchRules[i].check(p); claim != "" {
			return p.diff, &Error{Rule: matchRules[i].Rule, Claim: shortName(claim), Err: ErrMismatch}
		}
	}
	return p.diff, nil
}

// compare reads both tokens' claims and lists the differences.
func (p *pair) compare() bool {
	a, errA := strictjson.Parse(p.first.payload())
	b, errB := strictjson.Parse(p.second.payload())
	if errA != nil || errB != nil {
		return false
	}
	first, second := a.Map(), b.Map()
	p.firstNonce, _ = first["nonce"].Text()
	p.secondNonce, _ = second["nonce"].Text()
	for _, m := range a {
		if !p.same(m.Name, m.Value, second[m.Name]) {
			p.diff = append(p.diff, Difference{m.Name, m.Value.Raw(), second[m.Name].Raw()})
		}
	}
	for _, m := range b {
		if !first[m.Name].Exists() && !p.same(m.Name, strictjson.Value{}, m.Value) {
			p.diff = append(p.diff, Difference{m.Name, "", m.Value.Raw()})
		}
	}
	return true
}

func (p *pair) same(name string, a, b strictjson.Value) bool {
	switch name {
	case "exp", "iat", "nbf", "jti", "c_hash", "at_hash", "s_hash", "nonce":
		return true
	case "aud":
		return sameSet(p.first.Audience, p.second.Audience)
	case "amr":
		return a.Exists() == b.Exists() && sameSet(p.first.AMR, p.second.AMR)
	}
	return strictjson.Equal(a, b)
}

func sameSet(a, b []string) bool {
	return slices.Equal(sortedSet(a), sortedSet(b))
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func (p *pair) iss() string {
	if p.first.Issuer != p.second.Issuer || p.first.Issuer == "" {
		return "iss"
	}
	return ""
}

func (p *pair) sub() string {
	if p.first.Subject != p.second.Subject || p.first.Subject == "" {
		return "sub"
	}
	return ""
}

// nonce: both tokens answer one request.
func (p *pair) nonce() string {
	if p.firstNonce == "" || !sameText(p.firstNonce, p.secondNonce) {
		return "nonce"
	}
	return ""
}

// authentication refuses another authentication event. A claim that one of the tokens leaves out says nothing.
func (p *pair) authentication() string {
	if p.strictness == MatchReport {
		return ""
	}
	for _, d := range p.diff {
		switch d.Claim {
		case "auth_time", "acr", "amr", "sid":
			if d.First != "" && d.Second != "" {
				return d.Claim
			}
		}
	}
	return ""
}

// strict refuses any difference. So does a Strictness that does not exist.
func (p *pair) strict() string {
	if p.strictness == MatchReport || p.strictness == MatchAuthentication || len(p.diff) == 0 {
		return ""
	}
	return p.diff[0].Claim
}

// shortName makes a claim name that the provider chose fit for a log.
func shortName(claim string) string {
	if len(claim) > 64 || strings.ContainsFunc(claim, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "(a claim with an odd name)"
	}
	return claim
}
