package rp

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/twofold-auth/twofold/verify"
)

// loginClaims are claims of a login, as JSON values, that must outlive an ID Token because a later one may lack them.
// Tokens hold only those that their newest ID Token lacks.
type loginClaims map[string]json.RawMessage

var (
	// carried are shown among the user's claims; they say how the user logged in, which a refresh does not change.
	carried = []string{"auth_time", "acr", "amr", "sid"}
	// compared must not change in any later ID Token that has them (Core 12.2).
	compared = []string{"auth_time", "nonce", "azp"}
	kept     = []string{"auth_time", "acr", "amr", "sid", "nonce", "azp"}
)

// claimsOf returns the named claims of t, or all of them for nil.
func claimsOf(t *verify.IDToken, names []string) loginClaims {
	var all loginClaims
	if t == nil || t.Claims(&all) != nil {
		return nil
	}
	if names == nil {
		return all
	}
	return all.only(names)
}

func (l loginClaims) only(names []string) loginClaims {
	var some loginClaims
	for _, name := range names {
		if value, ok := l[name]; ok {
			if some == nil {
				some = loginClaims{}
			}
			some[name] = value
		}
	}
	return some
}

// over returns l, and what only older has.
func (l loginClaims) over(older loginClaims) loginClaims {
	all := loginClaims{}
	for _, claims := range []loginClaims{older, l} {
		for name, value := range claims {
			all[name] = value
		}
	}
	return all
}

// without returns what newer lacks.
func (l loginClaims) without(newer loginClaims) loginClaims {
	var rest loginClaims
	for name, value := range l {
		if _, ok := newer[name]; !ok {
			if rest == nil {
				rest = loginClaims{}
			}
			rest[name] = value
		}
	}
	return rest
}

// shown reports whether l adds to the user's claims.
func (l loginClaims) shown() bool {
	for name := range l {
		if slices.Contains(carried, name) {
			return true
		}
	}
	return false
}

// compare refuses a refreshed token that differs from the login in a claim that its predecessor lacked; where the
// predecessor has the claim, verify has compared it.
func (l loginClaims) compare(t *verify.IDToken) error {
	reasons := map[string]error{
		"auth_time": verify.ErrAuthTime, "nonce": verify.ErrNonce, "azp": verify.ErrAuthorizedParty,
	}
	later := claimsOf(t, compared)
	for _, name := range compared {
		before, had := l[name]
		now, has := later[name]
		if had && has && !sameJSON(before, now) {
			rule := verify.Rule{Name: "refreshed_" + name, Section: "OIDC Core 12.2"}
			return &verify.Error{Rule: rule, Claim: name, Err: reasons[name]}
		}
	}
	return nil
}

// sameJSON compares two values of checked tokens.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
