package verify_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// FuzzLogoutToken: the fuzzer writes header and payload, we sign them. What LogoutToken accepts, a slow second reading of
// Back-Channel Logout 2.4 and 2.6 accepts too, and no channel of ID Tokens does.
func FuzzLogoutToken(f *testing.F) {
	for _, r := range logoutRows {
		row := validLogout("HS256")
		r.change(row)
		if row.alg == "HS256" && row.rawHeader == "" && row.rawClaims == "" {
			f.Add(string(must(json.Marshal(row.header))), row.json())
		}
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		tok := validLogout("HS256")
		raw := jws("HS256", tok.key, header, claims)
		got, err := tok.policy.LogoutToken(t.Context(), raw)
		if err != nil {
			var refusal *verify.Error
			if got != nil || !errors.As(err, &refusal) {
				t.Errorf("refused as %v", err)
			}
			return
		}
		if why := secondLogout(header, claims); why != "" {
			t.Errorf("the second implementation refuses: %s\n%s\n%s", why, header, claims)
		}
		if _, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect); err == nil {
			t.Error("an ID Token too")
		}
		if _, err := tok.policy.UserInfo(t.Context(), raw, got.Subject); err == nil {
			t.Error("a UserInfo answer too")
		}
	})
}

// secondLogout returns a reason to refuse, or "".
func secondLogout(header, claims string) string {
	var h, c map[string]any
	if json.Unmarshal([]byte(header), &h) != nil || json.Unmarshal([]byte(claims), &c) != nil {
		return "JSON"
	}
	text := func(name string) string { s, _ := c[name].(string); return s }
	number := func(name string) float64 { n, _ := c[name].(float64); return n }
	_, hasNonce := c["nonce"]
	_, hasSub := c["sub"]
	_, hasSid := c["sid"]
	events, _ := c["events"].(map[string]any)
	_, isEvent := events[event].(map[string]any)
	typ, _ := h["typ"].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	_, hasTyp := h["typ"]
	aud := []any{c["aud"]}
	if list, ok := c["aud"].([]any); ok {
		aud = list
	}
	at := float64(now.Unix())
	switch {
	case h["alg"] != "HS256":
		return "alg"
	case hasTyp && typ != "jwt" && typ != "logout+jwt":
		return "typ"
	case text("iss") != issuer:
		return "iss"
	case len(aud) == 0:
		return "aud"
	case number("exp") <= at-30 || number("exp") > at+367*86400:
		return "exp"
	case number("iat") < at-631 || number("iat") > at+30 || number("iat") > number("exp"):
		return "iat"
	case text("jti") == "" || !isEvent || hasNonce:
		return "jti, events or nonce"
	case !hasSub && !hasSid, hasSub && text("sub") == "", hasSid && text("sid") == "":
		return "sub or sid"
	}
	for _, a := range aud {
		if a != client {
			return "aud"
		}
	}
	return ""
}
