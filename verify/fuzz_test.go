package verify_test

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// FuzzFrontChannel: C46. The fuzzer writes header and payload, we sign them: whatever FrontChannel accepts, a slow
// second implementation of the same sections, written with encoding/json and without a thought of speed, accepts too.
func FuzzFrontChannel(f *testing.F) {
	tok := valid("HS256")
	f.Add(string(must(json.Marshal(tok.header))), tok.json())
	f.Add(`{"alg":"HS256"}`, tok.json())
	for _, r := range append(append(claimRows[:len(claimRows):len(claimRows)], loginRows...), frontRows...) {
		row := valid("HS256")
		r.change(row)
		if row.alg == "HS256" && row.rawHeader == "" {
			claims := row.rawClaims
			if claims == "" {
				claims = row.json()
			}
			f.Add(string(must(json.Marshal(row.header))), claims)
		}
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		tok := valid("HS256")
		raw := jws("HS256", tok.key, header, claims)
		got, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
		if err != nil {
			var refusal *verify.Error
			if got != nil || !errors.As(err, &refusal) {
				t.Errorf("refused as %v", err)
			}
			return
		}
		if why := second(raw); why != "" {
			t.Errorf("the second implementation refuses: %s\n%s\n%s", why, header, claims)
		}
	})
}

// FuzzRaw: C46. The fuzzer writes the whole token. Whatever is accepted is its own canonical encoding.
func FuzzRaw(f *testing.F) {
	tok := valid("HS256")
	f.Add(tok.raw())
	f.Add(tok.raw() + "=")
	f.Add(strings.Replace(tok.raw(), ".", "\n.", 1))
	f.Fuzz(func(t *testing.T, raw string) {
		tok := valid("HS256")
		got, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
		if err != nil {
			return
		}
		parts := strings.Split(raw, ".")
		for i, p := range parts {
			parts[i] = b64(must(base64.RawURLEncoding.DecodeString(p)))
		}
		if strings.Join(parts, ".") != raw || got.Raw() != raw || second(raw) != "" {
			t.Errorf("accepted: %q", raw)
		}
	})
}

// second reads Core 3.1.3.7 and 3.3.2.9 to 3.3.2.12 again, for the world of valid("HS256"). It returns a reason to
// refuse, or "".
func second(raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "parts"
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(sig, sign("HS256", []byte(secret), parts[0]+"."+parts[1])) {
		return "signature"
	}
	header, ok := decodeExactly(parts[0])
	if !ok || header["alg"] != "HS256" || header["crit"] != nil || header["b64"] != nil {
		return "header"
	}
	c, ok := decodeExactly(parts[1])
	if !ok {
		return "claims"
	}
	for name, want := range map[string]string{
		"iss": issuer, "nonce": nonce, "c_hash": half("HS256", code), "at_hash": half("HS256", accessToken),
	} {
		if c[name] != want {
			return name
		}
	}
	if s, there := c["s_hash"]; there && s != half("HS256", state) {
		return "s_hash"
	}
	if sub, ok := c["sub"].(string); !ok || sub == "" || len(sub) > 255 {
		return "sub"
	}
	return secondAudience(c) + secondTimes(c)
}

func secondAudience(c map[string]any) string {
	list, ok := c["aud"].([]any)
	if !ok {
		list = []any{c["aud"]}
	}
	if len(list) == 0 {
		return "aud"
	}
	for _, a := range list {
		if a != client {
			return "aud"
		}
	}
	if azp, there := c["azp"]; there && azp != client {
		return "azp"
	}
	return ""
}

// secondTimes compares exact rationals of seconds.
func secondTimes(c map[string]any) string {
	seconds := func(name string) *big.Rat {
		n, ok := c[name].(json.Number)
		if !ok || len(n) > 100 || strings.ContainsAny(string(n), "eE") && len(n) > 25 {
			return nil
		}
		r, _ := new(big.Rat).SetString(string(n))
		return r
	}
	at := func(offset int64) *big.Rat { return new(big.Rat).SetInt64(now.Unix() + offset) }
	exp, iat := seconds("exp"), seconds("iat")
	switch {
	case exp == nil || exp.Cmp(at(-30)) <= 0 || exp.Cmp(at(366*86400+1)) > 0:
		return "exp"
	case iat == nil || iat.Cmp(at(31)) > 0 || iat.Cmp(at(-631)) < 0:
		return "iat"
	}
	for _, name := range []string{"nbf", "auth_time"} {
		if _, there := c[name]; there {
			if n := seconds(name); n == nil || n.Sign() < 0 || n.Cmp(at(31)) > 0 {
				return name
			}
		}
	}
	return ""
}

// decodeExactly decodes with encoding/json and refuses a name that comes twice by counting.
func decodeExactly(part string) (map[string]any, bool) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil {
		return nil, false
	}
	return m, countNames(text) == len(m)
}

// countNames counts the members of the outermost object.
func countNames(text []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(text))
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return n
		}
		switch fmt.Sprint(token) {
		case "{", "[":
			if _, ok := token.(json.Delim); ok {
				depth++
				continue
			}
		case "}", "]":
			if _, ok := token.(json.Delim); ok {
				depth--
				continue
			}
		}
		if depth == 1 { // a name; its value is skipped
			n++
			var value json.RawMessage
			if d.Decode(&value) != nil {
				return n
			}
		}
	}
}
