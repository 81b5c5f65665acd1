package rp

import (
	"encoding/json"
	"slices"

	"github.com/twofold-auth/twofold/verify"
)

// loginClaims are claims of a login, as JSON values, that must outlive an ID Token because a later one may lack them.
// Tokens hold only those that their newest ID Token lacks.
type loginClaims map[string]json.RawMessage

var (
	// carried are shown among the user's claims; they say how the user logged in, which a refresh does not change.
	carried = []string{"auth_time", "acr", "amr", "sid"}
	// kept are carried, and what must not change in any later ID Token that has it (Core 12.2).
	kept = append([]string{"nonce", "azp"}, carried...)
)

// claimsOf returns the named claims of t, or all of them for nil.
func claimsOf(t *verify.IDToken, names []string) loginClaims {
	var all map[string]json.RawMessage
	if t == nil || t.Claims(&all) != nil {
		return nil
	}
	if names == nil {
		return all
	}
	return loginClaims(all).only(names)
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

// original returns the newest ID Token with what it lacks of the login: what a refreshed token is compared with (Core
// 12.2: "the ID Token issued when the original authentication occurred").
func (t *Tokens) original() (*verify.IDToken, error) {
	newest := t.newest()
	if newest == nil || len(t.login) == 0 {
		return newest, nil
	}
	claims, err := json.Marshal(claimsOf(newest, nil).over(t.login))
	if err != nil {
		return nil, err
	}
	return restoreToken(string(claims))
}
