package rp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Group A, as far as VerifyResponse decides it. The rest (A03 to A08, A12 to A15, A26, A27, A34 to A41, A44 to A53, A58)
// is about cookies, bodies and methods, which package middleware has. A33: endpoints on other hosts than the issuer's are
// normal (design, decision 15); what a lying discovery document gains is in F01, F05, F19 and D36.

// responseRow is one answer that is not what it should be. The token endpoint is never called.
type responseRow struct {
	name   string
	set    func(*setting)
	lie    func(*optest.Answer)                      // what the provider changes, before it signs
	change func(*world, *rp.AuthRequest, url.Values) // what the way changes
	want   error                                     // nil: the answer is good
	keys   int                                       // fetches of the key set: 0 where nothing remote may happen
}

func (row responseRow) run(t *testing.T) {
	t.Parallel()
	w := newWorld(t, row.set)
	if row.lie != nil {
		w.lie("/authorize", row.lie)
	}
	q := w.request(rp.AuthOptions{})
	params := w.answer(q)
	if row.change != nil {
		row.change(w, q, params)
	}
	a, err := w.client.VerifyResponse(t.Context(), q, params)
	w.want(err, row.want)
	w.said.value(a)
	if row.want == nil {
		w.calls(pathKeys, row.keys)
		_, err = w.client.Exchange(t.Context(), a)
		w.must(err)
		return
	}
	if a != nil {
		t.Error("a refused answer was handed out")
	}
	_, err = w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrNotVerified)
	w.calls(pathKeys, row.keys)
	w.calls(pathToken, 0)
}

// put makes a change that sets a parameter.
func put(name, value string) func(*world, *rp.AuthRequest, url.Values) {
	return func(_ *world, _ *rp.AuthRequest, p url.Values) { p.Set(name, value) }
}

// drop makes a change that takes parameters away.
func drop(names ...string) func(*world, *rp.AuthRequest, url.Values) {
	return func(_ *world, _ *rp.AuthRequest, p url.Values) {
		for _, name := range names {
			p.Del(name)
		}
	}
}

// edit makes a change of a parameter's value.
func edit(name string, f func(string) string) func(*world, *rp.AuthRequest, url.Values) {
	return func(_ *world, _ *rp.AuthRequest, p url.Values) { p.Set(name, f(p.Get(name))) }
}

// ofAnother takes parameters from the answer to another request of the same client and user.
func ofAnother(names ...string) func(*world, *rp.AuthRequest, url.Values) {
	return func(w *world, _ *rp.AuthRequest, p url.Values) {
		other := w.answer(w.request(rp.AuthOptions{}))
		for _, name := range names {
			p.Set(name, other.Get(name))
		}
	}
}

// claim makes a lie about one claim of the ID Token; a nil value leaves it out.
func claim(name string, value any) func(*optest.Answer) {
	return func(a *optest.Answer) {
		a.Claims[name] = value
		if value == nil {
			delete(a.Claims, name)
		}
	}
}

func responseType(t rp.ResponseType) func(*setting) {
	return func(s *setting) { s.rp.ResponseType = t }
}

func TestAuthorizationResponse(t *testing.T) {
	t.Parallel()
	three := responseType(rp.CodeIDTokenToken)
	for _, row := range []responseRow{
		{name: "A00_the_valid_answer_that_all_rows_change", keys: 1},
		{name: "A00_with_three_parts", set: three, keys: 1},
		{name: "A00_code_token", set: responseType(rp.CodeToken)},
		{name: "A00_code", set: responseType(rp.Code)},

		{name: "A01_state_missing", change: drop("state"), want: rp.ErrState},
		{name: "A01_state_empty", change: put("state", ""), want: rp.ErrState},
		{name: "A02_state_unknown", change: put("state", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), want: rp.ErrState},
		{name: "A02_state_prefix", change: edit("state", func(s string) string { return s[:len(s)-1] }), want: rp.ErrState},
		{name: "A02_state_longer", change: edit("state", func(s string) string { return s + "A" }), want: rp.ErrState},
		{name: "A02_state_in_another_case", change: edit("state", swapCase), want: rp.ErrState},
		{name: "A02_state_with_a_space", change: edit("state", func(s string) string { return s + " " }), want: rp.ErrState},
		{name: "A02_state_with_NUL", change: edit("state", func(s string) string { return s + "\x00" }), want: rp.ErrState},
		{name: "A02_state_percent_encoded_twice", change: edit("state", percent), want: rp.ErrState},
		{name: "A02_State_in_another_spelling_of_its_name", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("State", p.Get("state"))
			p.Del("state")
		}, want: rp.ErrState},

		{name: "A16_id_token_missing", change: drop("id_token"), want: rp.ErrParameters},
		{name: "A16_id_token_empty", change: put("id_token", ""), want: rp.ErrParameters},
		{name: "A16_id_token_missing_of_three", set: three, change: drop("id_token"), want: rp.ErrParameters},
		{name: "A17_code_missing", change: drop("code"), want: rp.ErrParameters},
		{name: "A17_code_empty", change: put("code", ""), want: rp.ErrParameters},
		{name: "A17_code_missing_of_three", set: three, change: drop("code"), want: rp.ErrParameters},
		{name: "A18_unsolicited_access_token", change: put("access_token", "x"), want: rp.ErrParameters},
		{name: "A18_unsolicited_access_token_with_type", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("access_token", "x")
			p.Set("token_type", "Bearer")
		}, want: rp.ErrParameters},
		{
			name: "A18_unsolicited_id_token", set: responseType(rp.Code), want: rp.ErrParameters,
			change: put("id_token", "e30.e30.AA"),
		},
		{name: "A19_refresh_token", change: put("refresh_token", "x"), want: rp.ErrParameters},
		{name: "A19_client_secret", change: put("client_secret", "x"), want: rp.ErrParameters},
		{name: "A20_access_token_missing", set: three, change: drop("access_token"), want: rp.ErrParameters},
		{name: "A20_token_type_missing", set: three, change: drop("token_type"), want: rp.ErrParameters},
		{name: "A20_token_type_mac", set: three, change: put("token_type", "mac"), want: rp.ErrParameters},
		{name: "A20_token_type_DPoP", set: three, change: put("token_type", "DPoP"), want: rp.ErrParameters},
		{name: "A20_token_type_with_a_space", set: three, change: put("token_type", "Bearer "), want: rp.ErrParameters},
		{name: "A20_token_type_in_lower_case", set: three, change: put("token_type", "bearer"), keys: 1},
		{name: "A20_at_hash_missing", set: three, lie: claim("at_hash", nil), want: verify.ErrAccessTokenHash, keys: 1},
		{name: "A20_at_hash_wrong", set: three, lie: claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), want: verify.ErrAccessTokenHash, keys: 1},
		{name: "A20_access_token_swapped", set: three, change: ofAnother("access_token"), want: verify.ErrAccessTokenHash, keys: 1},

		{name: "A21_error_beside_valid_tokens", change: put("error", "access_denied"), want: says("access_denied", 0)},
		{name: "A21_empty_error_beside_valid_tokens_is_none", change: put("error", ""), keys: 1},
		{name: "A22_error_without_state", change: refuse("access_denied", drop("state")), want: rp.ErrState},
		{name: "A23_error_with_foreign_state", change: refuse("login_required", put("state", "x")), want: rp.ErrState},
		{name: "A23_error_with_the_state_of_another_request", change: refuse("login_required", ofAnother("state")), want: rp.ErrState},

		{name: "A28_iss_wrong", change: put("iss", "https://evil.example"), want: rp.ErrIssuerParameter},
		{name: "A28_iss_wrong_beside_an_error", change: refuse("access_denied", put("iss", "https://evil.example")), want: rp.ErrIssuerParameter},
		{name: "A28_iss_with_line_breaks", change: put("iss", "x\r\n\x1b[31m\u202e\xff"), want: rp.ErrIssuerParameter},
		{name: "A28_iss_of_a_megabyte", change: put("iss", strings.Repeat("x", 1<<20)), want: rp.ErrIssuerParameter},
		{name: "A28_after_state", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("iss", "https://evil.example")
			p.Set("state", "x")
		}, want: rp.ErrState},
		{name: "A28_after_duplicates", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("iss", "https://evil.example")
			p.Add("code", "x")
		}, want: rp.ErrParameters},
		{name: "A29_iss_missing_beside_an_ID_Token", change: drop("iss"), keys: 1},
		{name: "A29_iss_missing_and_required", set: func(s *setting) { s.rp.RequireIss = true }, change: drop("iss"), want: rp.ErrIssuerParameter},
		{name: "A29_iss_empty_and_required", set: func(s *setting) { s.rp.RequireIss = true }, change: put("iss", ""), want: rp.ErrIssuerParameter},
		{name: "A29_iss_missing_with_code_token", set: responseType(rp.CodeToken), change: drop("iss"), want: rp.ErrIssuerParameter},
		{name: "A29_iss_missing_with_code", set: responseType(rp.Code), change: drop("iss"), want: rp.ErrIssuerParameter},
		{name: "A29_iss_missing_and_tolerated", set: func(s *setting) {
			s.rp.ResponseType, s.rp.Insecure.NoIssuerParameter = rp.Code, true
		}, change: drop("iss")},
		{name: "A29_iss_wrong_and_missing_tolerated", set: func(s *setting) {
			s.rp.ResponseType, s.rp.Insecure.NoIssuerParameter = rp.Code, true
		}, change: put("iss", "https://evil.example"), want: rp.ErrIssuerParameter},
		{name: "A29_iss_right_but_not_the_ID_Tokens", lie: claim("iss", "https://evil.example"), want: verify.ErrIssuer, keys: 1},
		{name: "A30_iss_with_a_slash", change: put("iss", opIssuer+"/"), want: rp.ErrIssuerParameter},
		{name: "A30_iss_in_another_case", change: put("iss", "http://LOCALHOST"), want: rp.ErrIssuerParameter},
		{name: "A30_iss_with_its_default_port", change: put("iss", opIssuer+":80"), want: rp.ErrIssuerParameter},
		{name: "A30_iss_percent_encoded", change: put("iss", "http://%6cocalhost"), want: rp.ErrIssuerParameter},
		{name: "A30_iss_with_a_space", change: put("iss", opIssuer+" "), want: rp.ErrIssuerParameter},
		{name: "A30_iss_with_a_query", change: put("iss", opIssuer+"?"), want: rp.ErrIssuerParameter},

		{name: "A42_JARM_response", change: put("response", "e30.e30.AA"), want: rp.ErrParameters},
		{name: "A42_JARM_response_alone", change: func(_ *world, q *rp.AuthRequest, p url.Values) {
			clear(p)
			p.Set("response", "e30.e30.AA")
			p.Set("state", q.State())
		}, want: rp.ErrParameters},
		{name: "A43_unknown_parameters", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("session_state", "x")
			p.Set("scope", "openid admin")
			p.Set("expires_in", "3600")
			p["x"] = []string{"1", "2"}
			p[""] = []string{"nameless"}
			p["ID_TOKEN"] = []string{"not ours"}
		}, keys: 1},

		{name: "A54_code_of_another_login", change: ofAnother("code"), want: verify.ErrCodeHash, keys: 1},
		{name: "A54_code_of_another_login_with_three_parts", set: three, change: ofAnother("code"), want: verify.ErrCodeHash, keys: 1},
		{name: "A54_code_in_another_case", change: edit("code", swapCase), want: verify.ErrCodeHash, keys: 1},
		{name: "A55_whole_answer_of_another_login", change: ofAnother("code", "id_token"), want: verify.ErrNonce, keys: 1},
		{name: "A55_ID_Token_of_another_login", change: ofAnother("id_token"), want: verify.ErrNonce, keys: 1},
		{name: "A56_s_hash_wrong", lie: claim("s_hash", optest.HalfHash("RS256", "x")), want: verify.ErrStateHash, keys: 1},
		{name: "A56_s_hash_empty", lie: claim("s_hash", ""), want: verify.ErrStateHash, keys: 1},
		// A56, s_hash missing in FAPI 1 mode: profiles are a later issue; without one it may be missing.
		{name: "A56_s_hash_missing", lie: claim("s_hash", nil), keys: 1},

		// The purpose of a value is part of it.
		{name: "L01_code_as_ID_Token", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("id_token", p.Get("code"))
		}, want: verify.ErrMalformed},
		{name: "L01_ID_Token_as_code", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("code", p.Get("id_token"))
		}, want: verify.ErrCodeHash, keys: 1},
		{name: "L01_ID_Token_as_access_token", set: three, change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("access_token", p.Get("id_token"))
		}, want: verify.ErrAccessTokenHash, keys: 1},
		{name: "L01_access_token_as_ID_Token", set: func(s *setting) {
			s.rp.ResponseType, s.rp.Resources = rp.CodeIDTokenToken, []string{"https://api.example"}
		}, change: func(_ *world, _ *rp.AuthRequest, p url.Values) { p.Set("id_token", p.Get("access_token")) }, want: verify.ErrType},
		{name: "L01_ID_Token_of_the_token_endpoint", lie: func(a *optest.Answer) {
			delete(a.Claims, "c_hash") // what a token endpoint leaves out
		}, want: verify.ErrCodeHash, keys: 1},
		{name: "L02_our_own_assertion_as_ID_Token", set: func(s *setting) {
			s.rp.ClientAuth, s.rp.IDTokenAlgorithm, s.op.Algorithm = rp.SecretJWT(clientSecret), "HS256", "HS256"
		}, change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			now := time.Now().Unix()
			claims := fmt.Sprintf(`{"iss":"app","sub":"app","aud":%q,"jti":"x","iat":%d,"exp":%d}`, opIssuer, now, now+60)
			p.Set("id_token", optest.JWS("HS256", []byte(clientSecret), []byte(`{"alg":"HS256","typ":"JWT"}`), []byte(claims)))
		}, want: verify.ErrIssuer},
		{name: "L03_state_as_nonce", lie: func(a *optest.Answer) {
			a.Claims["nonce"] = a.Request.URL.Query().Get("state")
		}, want: verify.ErrNonce, keys: 1},

		// What cannot be a code or a token is not sent anywhere.
		{name: "L04_code_with_a_line_break", change: put("code", "a\r\nX-Evil: 1"), want: rp.ErrParameters},
		{name: "L04_code_with_a_space", change: put("code", "a b"), want: rp.ErrParameters},
		{name: "L04_code_not_ASCII", change: put("code", "cödé"), want: rp.ErrParameters},
		{name: "L04_code_with_NUL", change: put("code", "a\x00"), want: rp.ErrParameters},
		{name: "L04_code_of_a_megabyte", change: put("code", strings.Repeat("c", 1<<20)), want: rp.ErrParameters},
		{name: "L04_access_token_with_a_line_break", set: three, change: put("access_token", "a\nb"), want: rp.ErrParameters},
		{name: "L04_access_token_of_a_megabyte", set: three, change: put("access_token", strings.Repeat("a", 1<<20)), want: rp.ErrParameters},
		{name: "L04_id_token_of_a_megabyte", change: put("id_token", strings.Repeat("a", 1<<20)), want: verify.ErrMalformed},
		{name: "X05_state_as_a_list", change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
			p["state[]"] = p["state"]
			p.Del("state")
		}, want: rp.ErrState},
	} {
		t.Run(row.name, row.run)
	}
}

// refuse makes an error answer without tokens of what the provider granted, and changes it further.
func refuse(code string, more func(*world, *rp.AuthRequest, url.Values)) func(*world, *rp.AuthRequest, url.Values) {
	return func(w *world, q *rp.AuthRequest, p url.Values) {
		drop("code", "id_token", "access_token")(w, q, p)
		p.Set("error", code)
		more(w, q, p)
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func percent(s string) string { return fmt.Sprintf("%%%02x%s", s[0], s[1:]) }

// A10 and A11: no parameter with a meaning may be there twice, whatever the copies say, and whether it is wanted or not.
func TestDuplicateParameters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"state", "code", "id_token", "iss", "error", "error_description", "error_uri", "access_token", "token_type", "expires_in",
		"scope", "response", "refresh_token", "session_state",
	} {
		for copyName, values := range map[string]func(string) []string{
			"same":        func(v string) []string { return []string{v, v} },
			"other":       func(v string) []string { return []string{v, "other"} },
			"other_first": func(v string) []string { return []string{"other", v} },
			"empty":       func(v string) []string { return []string{"", v} },
		} {
			id := "A11"
			if name == "state" {
				id = "A10"
			}
			responseRow{
				name: id + "_" + name + "_twice_" + copyName, want: rp.ErrParameters,
				set: responseType(rp.CodeIDTokenToken),
				change: func(_ *world, _ *rp.AuthRequest, p url.Values) {
					p[name] = values(p.Get(name))
				},
			}.sub(t)
		}
	}
}

func (row responseRow) sub(t *testing.T) { t.Run(row.name, row.run) }

// A24, A25: what a stranger wrote into an error comes out short, printable and with an address of a web page, if any.
func TestHostileErrorAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, row := range []struct{ name, code, description, uri, wantCode, wantURI string }{
		{"A24_script", "access_denied", "<script>alert(1)</script>", "", "access_denied", ""},
		{"A24_line_breaks", "access_denied", "a\r\nSet-Cookie: evil=1\r\n\r\n<html>", "", "access_denied", ""},
		{"A24_a_megabyte", "access_denied", strings.Repeat("x", 1<<20), "", "access_denied", ""},
		{"A24_a_megabyte_of_halves_of_characters", "access_denied", strings.Repeat("\x80", 1<<20), "", "access_denied", ""},
		{"A24_a_cut_within_a_character", "access_denied", "x" + strings.Repeat("\U0001f512", 100), "", "access_denied", ""},
		{"A24_a_megabyte_of_code", strings.Repeat("x", 1<<20), "", "", "unreadable_error", ""},
		{"A24_right_to_left", "access_denied", "\u202egnp.exe\u2066\u200f", "", "access_denied", ""},
		{"A24_invalid_UTF8", "access_denied", "\xff\xfe\xc0\xaf", "", "access_denied", ""},
		{"A24_terminal_escape", "access_denied", "\x1b[2J\x1b]0;evil\x07\u009b31m", "", "access_denied", ""},
		{"A24_code_with_line_break", "access_denied\r\nx: y", "", "", "unreadable_error", ""},
		{"A24_code_with_script", `"><script>`, "", "", "unreadable_error", ""},
		{"A24_code_with_separators_of_lines", "a\u2028b\u2029", "a\u2028b\u2029", "", "unreadable_error", ""},
		{"A25_javascript", "x", "", "javascript:alert(1)", "x", ""},
		{"A25_javascript_in_another_case", "x", "", " JaVaScRiPt:alert(1)", "x", ""},
		{"A25_data", "x", "", "data:text/html,<script>", "x", ""},
		{"A25_relative", "x", "", "//evil.example/x", "x", ""},
		{"A25_with_a_user_name", "x", "", "https://op.example@evil.example/", "x", ""},
		{"A25_with_a_line_break", "x", "", "https://op.example/\r\nx", "x", ""},
		{"A25_a_megabyte", "x", "", "https://op.example/" + strings.Repeat("x", 1<<20), "x", ""},
		{"A25_no_host", "x", "", "https:///x", "x", ""},
		{"A25_no_hierarchy", "x", "", "https:evil.example", "x", ""},
		{"A25_a_web_page_in_the_clear", "x", "", "http://op.example/errors", "x", "http://op.example/errors"},
		{"A25_a_web_page", "x", "", "https://op.example/errors?x=1", "x", "https://op.example/errors?x=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := w.request(rp.AuthOptions{})
			_, err := w.client.VerifyResponse(t.Context(), q, url.Values{
				"state": {q.State()}, "iss": {opIssuer}, "error": {row.code}, "error_description": {row.description}, "error_uri": {row.uri},
			})
			w.want(err, says(row.wantCode, 0))
			e, _ := errors.AsType[*rp.Error](err)
			if e.URI != row.wantURI {
				t.Errorf("URI is %q, want %q", e.URI, row.wantURI)
			}
			odd := func(r rune) bool { return !unicode.IsPrint(r) }
			if len(e.Description) > 256 || strings.ContainsFunc(e.Description, odd) || !utf8.ValidString(e.Description) {
				t.Errorf("description %q", e.Description)
			}
		})
	}
	w.calls(pathKeys, 0)
	w.calls(pathToken, 0)
}

// evilWorld is an honest provider and an evil one, with a client of each. Both clients have one client ID and one redirect
// URI, which is the worst case for a mix-up.
func evilWorld(t *testing.T, set func(*setting)) (honest, evil *world) {
	t.Helper()
	honest = newWorld(t, set)
	evil = newWorld(t, func(s *setting) {
		if set != nil {
			set(s)
		}
		s.rp.Issuer = evilIssuer
	})
	return honest, evil
}

// A09, A31, A32, A57: what one provider said never helps a login at another one, and no code goes to the wrong one.
func TestMixUp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		set  func(*setting)
		// attack makes the answer to the evil client's request q out of what the honest provider would answer to the
		// same state, nonce and challenge.
		attack func(honest, evil *world, q *rp.AuthRequest, p url.Values)
		want   error
	}{
		{name: "A09_state_of_another_issuer", attack: func(honest, _ *world, _ *rp.AuthRequest, p url.Values) {
			p.Set("state", honest.request(rp.AuthOptions{}).State())
			p.Set("iss", evilIssuer)
		}, want: rp.ErrState},
		{name: "A31_honest_answer_at_the_evil_client", want: rp.ErrIssuerParameter},
		{name: "A31_the_same_without_iss", attack: without("iss"), want: verify.ErrKey},
		{name: "A31_the_same_with_code", set: responseType(rp.Code), want: rp.ErrIssuerParameter},
		{name: "A32_the_same_with_code_without_iss", set: responseType(rp.Code), attack: without("iss"), want: rp.ErrIssuerParameter},
		{name: "A32_the_same_with_code_token_without_iss", set: responseType(rp.CodeToken), attack: without("iss"), want: rp.ErrIssuerParameter},
		{name: "A31_iss_rewritten", attack: rewrite("iss", evilIssuer), want: verify.ErrKey},
		{name: "A57_evil_ID_Token_with_honest_code", attack: func(_, evil *world, q *rp.AuthRequest, p url.Values) {
			code := p.Get("code")
			evil.lie("/authorize", func(a *optest.Answer) { a.Claims["c_hash"] = optest.HalfHash("RS256", code) })
			p.Set("id_token", evil.answer(q).Get("id_token"))
		}, want: rp.ErrIssuerParameter},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			honest, evil := evilWorld(t, row.set)
			q := evil.request(rp.AuthOptions{})
			// The evil provider sends the browser on to the honest one, with the same parameters.
			p := honest.open(q, opIssuer+strings.TrimPrefix(q.Redirect().URL, evilIssuer))
			if row.attack != nil {
				row.attack(honest, evil, q, p)
			}
			_, err := evil.client.VerifyResponse(t.Context(), q, p)
			evil.want(err, row.want)
			evil.calls(pathToken, 0)
			honest.calls(pathToken, 0)
			_, err = honest.client.VerifyResponse(t.Context(), q, p)
			honest.want(err, rp.ErrOtherClient)
		})
	}
	// A32, and no iss from a provider that never sends it: then only different redirect URIs help, which is why
	// transactions are found by issuer, client and redirect URI together. Here: the honest client's own request.
	t.Run("A57_ID_Token_of_the_evil_issuer_at_the_honest_client", func(t *testing.T) {
		t.Parallel()
		honest, evil := evilWorld(t, nil)
		for name, iss := range map[string]string{"its own iss": evilIssuer, "the honest iss": opIssuer} {
			q := honest.request(rp.AuthOptions{})
			p := honest.answer(q)
			evil.lie("/authorize", func(a *optest.Answer) {
				a.Claims["iss"], a.Claims["c_hash"] = iss, optest.HalfHash("RS256", p.Get("code"))
			})
			p.Set("id_token", evil.open(q, evilIssuer+strings.TrimPrefix(q.Redirect().URL, opIssuer)).Get("id_token"))
			_, err := honest.client.VerifyResponse(t.Context(), q, p)
			if honest.want(err, verify.ErrKey); t.Failed() {
				t.Error(name)
			}
		}
		honest.calls(pathToken, 0)
	})
}

// A31 one step later: an answer that the honest client verified is worth nothing at the evil one, in memory or sealed.
func TestVerifiedAnswersDoNotTravel(t *testing.T) {
	t.Parallel()
	honest, evil := evilWorld(t, nil)
	a := honest.verified(rp.AuthOptions{})
	_, err := evil.client.Exchange(t.Context(), a)
	evil.want(err, rp.ErrOtherClient)
	_, err = evil.client.ParseAuthResponse(a.Bytes())
	evil.want(err, rp.ErrOtherClient)
	tokens, err := honest.client.Exchange(t.Context(), a)
	honest.must(err)
	_, err = evil.client.Refresh(t.Context(), tokens, rp.Target{})
	evil.want(err, rp.ErrOtherClient)
	_, err = evil.client.UserInfo(t.Context(), tokens)
	evil.want(err, rp.ErrOtherClient)
	evil.calls(pathToken, 0)
	evil.calls("/userinfo", 0)
}

// A22 with RFC 9207: an error without iss is an error even so, and somebody hears of it.
func TestErrorWithoutIssuer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		set   func(*setting)
		iss   []string
		heard bool
	}{
		"A22_missing_and_advertised":     {nil, nil, true},
		"A22_missing_and_required":       {func(s *setting) { s.rp.RequireIss = true }, nil, true},
		"A22_missing_before_any_contact": {lazy, nil, false},
		"A22_there":                      {nil, []string{opIssuer}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.set)
			far := newWorld(t, row.set)
			q, err := far.client.ParseAuthRequest(w.request(rp.AuthOptions{}).Bytes())
			far.must(err)
			_, err = far.client.VerifyResponse(t.Context(), q, url.Values{"state": {q.State()}, "error": {"access_denied"}, "iss": row.iss})
			far.want(err, says("access_denied", 0))
			if heard := strings.Contains(far.said.String(), "error_without_issuer"); heard != row.heard {
				t.Errorf("reported: %v", heard)
			}
			far.calls(pathKeys, 0)
		})
	}
}

func without(name string) func(_, _ *world, _ *rp.AuthRequest, p url.Values) {
	return func(_, _ *world, _ *rp.AuthRequest, p url.Values) { p.Del(name) }
}

func rewrite(name, value string) func(_, _ *world, _ *rp.AuthRequest, p url.Values) {
	return func(_, _ *world, _ *rp.AuthRequest, p url.Values) { p.Set(name, value) }
}

// A28: before anything remote means: even a client that has never reached its provider refuses.
func TestCheapChecksNeedNoProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	q := w.request(rp.AuthOptions{})
	far := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
	far.op.Fault(func(a *optest.Answer) { a.Status = 500 })
	parsed, err := far.client.ParseAuthRequest(q.Bytes())
	w.must(err)
	for name, row := range map[string]struct {
		params url.Values
		want   error
	}{
		"A01_no_state":          {url.Values{"id_token": {"x"}, "code": {"x"}}, rp.ErrState},
		"A11_code_twice":        {url.Values{"state": {q.State()}, "code": {"x", "y"}}, rp.ErrParameters},
		"A28_wrong_iss":         {url.Values{"state": {q.State()}, "iss": {"https://evil.example"}, "code": {"x"}}, rp.ErrIssuerParameter},
		"A16_no_id_token":       {url.Values{"state": {q.State()}, "code": {"x"}}, rp.ErrParameters},
		"A22_an_error":          {url.Values{"state": {q.State()}, "error": {"access_denied"}}, says("access_denied", 0)},
		"J03_malformed_token":   {url.Values{"state": {q.State()}, "code": {"x"}, "id_token": {"x"}}, verify.ErrMalformed},
		"J03_another_algorithm": {url.Values{"state": {q.State()}, "code": {"x"}, "id_token": {"eyJhbGciOiJub25lIn0.e30."}}, verify.ErrAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := far.client.VerifyResponse(t.Context(), parsed, row.params)
			far.want(err, row.want)
		})
	}
	far.calls(pathMeta, 0)
	far.calls(pathKeys, 0)
}

// wants are options whose claims parameter says this of the ID Token.
func wants(idToken string) rp.AuthOptions {
	return rp.AuthOptions{Claims: json.RawMessage(`{"id_token":` + idToken + `}`)}
}

// B36: what the claims parameter wishes for, but does not call indispensable, the answer need not show, nor what it has.
func TestClaimsThatAreWishes(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		options rp.AuthOptions
		lie     func(*optest.Answer)
	}{
		"B36_acr_that_is_not_essential":      {wants(`{"acr":{"values":["gold"]}}`), claim("acr", "silver")},
		"B36_essential_acr_without_values":   {wants(`{"acr":{"essential":true}}`), claim("acr", nil)},
		"B36_one_of_the_essential_values":    {wants(`{"acr":{"essential":true,"values":["gold","platin"]}}`), claim("acr", "platin")},
		"B36_of_the_UserInfo_answer":         {rp.AuthOptions{Claims: json.RawMessage(`{"userinfo":{"acr":{"essential":true,"value":"gold"}}}`)}, nil},
		"B35_auth_time_that_is_wished_for":   {wants(`{"auth_time":null}`), claim("auth_time", nil)},
		"B35_essential_auth_time_of_decades": {wants(`{"auth_time":{"essential":true}}`), claim("auth_time", 1)},
		"G04_the_sub_that_was_asked_for":     {wants(`{"sub":{"value":"bob"}}`), claim("sub", "bob")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if row.lie != nil {
				w.lie("/authorize", row.lie)
			}
			w.verified(row.options)
		})
	}
}

// B37 and its kin: what a request asked to see again is checked in both tokens, also when the request went through Bytes.
func TestRequestsRememberWhatTheyAsked(t *testing.T) {
	t.Parallel()
	age := time.Minute
	old := time.Now().Add(-time.Hour).Unix()
	for _, row := range []struct {
		name    string
		options rp.AuthOptions
		lie     func(*optest.Answer)
		want    error
	}{
		{"B37_max_age_and_an_old_login", rp.AuthOptions{MaxAge: &age}, claim("auth_time", old), verify.ErrAuthTime},
		{"B37_max_age_and_no_auth_time", rp.AuthOptions{MaxAge: &age}, claim("auth_time", nil), verify.ErrAuthTime},
		{"B37_max_age_0_and_no_auth_time", rp.AuthOptions{MaxAge: new(time.Duration)}, claim("auth_time", nil), verify.ErrAuthTime},
		{"B36_essential_acr_missing", rp.AuthOptions{EssentialACR: []string{"gold"}}, claim("acr", nil), verify.ErrACR},
		{"B36_essential_acr_lower", rp.AuthOptions{EssentialACR: []string{"gold"}}, claim("acr", "silver"), verify.ErrACR},
		{"B36_essential_acr_of_claims_missing", wants(`{"acr":{"essential":true,"values":["gold","platin"]}}`), claim("acr", nil), verify.ErrACR},
		{"B36_essential_acr_of_claims_lower", wants(`{"acr":{"essential":true,"value":"gold"}}`), claim("acr", "silver"), verify.ErrACR},
		{"B35_essential_auth_time_missing", wants(`{"auth_time":{"essential":true}}`), claim("auth_time", nil), verify.ErrAuthTime},
		{"G04_sub_of_claims_and_another_user", wants(`{"sub":{"value":"alice"}}`), claim("sub", "bob"), verify.ErrClaim},
		{"G04_hint_and_another_user", rp.AuthOptions{IDTokenHint: "alice's"}, claim("sub", "bob"), verify.ErrClaim},
		{"L05_organization_and_none", rp.AuthOptions{Extra: url.Values{"organization": {"org_1"}}}, nil, verify.ErrClaim},
		{
			"L05_organization_and_another",
			rp.AuthOptions{Extra: url.Values{"organization": {"org_1"}}},
			claim("org_id", "org_2"), verify.ErrClaim,
		},
		{"L05_hosted_domain_as_a_list", rp.AuthOptions{Extra: url.Values{"hd": {"a.example"}}}, claim("hd", []string{"a.example"}), verify.ErrClaim},
		{"L05_tenant", rp.AuthOptions{Expect: map[string]string{"tid": "1"}}, claim("tid", 1), verify.ErrClaim},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if row.options.IDTokenHint != "" {
				row.options.IDTokenHint = w.verified(rp.AuthOptions{}).IDToken().Raw()
			}
			if row.lie != nil {
				w.lie("/authorize", row.lie)
			}
			q := w.request(row.options)
			p := w.answer(q)
			parsed, err := w.client.ParseAuthRequest(q.Bytes())
			w.must(err)
			for _, q := range []*rp.AuthRequest{q, parsed} {
				_, err := w.client.VerifyResponse(t.Context(), q, p)
				w.want(err, row.want)
			}
			w.calls(pathToken, 0)
		})
	}
}

// L06: the answer of one tab is no answer for the other, whatever is exchanged between them.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	q1, q2 := w.request(rp.AuthOptions{}), w.request(rp.AuthOptions{})
	p1, p2 := w.answer(q1), w.answer(q2)
	mix := func(from url.Values, with url.Values, names ...string) url.Values {
		mixed := url.Values{}
		for name, values := range from {
			mixed[name] = values
		}
		for _, name := range names {
			mixed[name] = with[name]
		}
		return mixed
	}
	for name, row := range map[string]struct {
		params url.Values
		want   error
	}{
		"L06_the_whole_answer_of_the_other": {p2, rp.ErrState},
		"L06_all_but_state":                 {mix(p2, p1, "state"), verify.ErrNonce},
		"L06_only_the_code":                 {mix(p1, p2, "code"), verify.ErrCodeHash},
		"L06_only_the_ID_Token":             {mix(p1, p2, "id_token"), verify.ErrNonce},
		"L06_its_own":                       {p1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.client.VerifyResponse(t.Context(), q1, row.params)
			w.want(err, row.want)
		})
	}
}

// X08: a value that crosses a JSON or slog boundary inside a bigger one stays redacted, and comes back as nothing.
func TestRedactedValuesDoNotComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	q := w.request(rp.AuthOptions{})
	b, err := json.Marshal(map[string]any{"q": q})
	w.must(err)
	var back struct{ Q *rp.AuthRequest }
	if err := json.Unmarshal(b, &back); err == nil && back.Q != nil && back.Q.State() != "" {
		t.Errorf("a request came back from %s", b)
	}
	_, err = w.client.VerifyResponse(t.Context(), back.Q, url.Values{"state": {""}})
	w.want(err, rp.ErrNotVerified)
}
