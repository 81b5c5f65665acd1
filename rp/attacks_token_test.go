package rp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Group D. Not here: D12 and D38 (DPoP), D37's use of the aliases (mTLS), D47 (PAR), D48 (JAR) are features that do not
// exist; D46 (a panic in the app's hook) is about package middleware; D40 is in attacks_network_test.go; D42 to D44 in
// attacks_refresh_test.go; D32 to D36 in attacks_clientauth_test.go.

// tokenRow is one answer of the token endpoint that is not what it should be. The code is spent by it, whatever it is.
type tokenRow struct {
	name  string
	set   func(*setting)
	lie   func(*optest.Answer)
	want  error
	check func(*testing.T, *rp.Tokens)
}

func (row tokenRow) run(t *testing.T) {
	t.Parallel()
	w := newWorld(t, row.set)
	a := w.verified(rp.AuthOptions{})
	if row.lie != nil {
		w.lie(pathToken, row.lie)
	}
	tokens, err := w.client.Exchange(t.Context(), a)
	w.want(err, row.want)
	w.said.value(tokens)
	switch {
	case row.want != nil && tokens != nil:
		t.Error("refused tokens were handed out")
	case row.want == nil && row.check != nil:
		row.check(t, tokens)
	}
	_, err = w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrCodeSpent)
	w.calls(pathToken, 1)
}

// member makes a lie about one member of a JSON answer; a nil value leaves it out.
func member(name string, value any) func(*optest.Answer) {
	return func(a *optest.Answer) {
		a.JSON[name] = value
		if value == nil {
			delete(a.JSON, name)
		}
	}
}

// moment makes a lie about a time, counted from when the token was issued. The row is frozen.
func moment(name string, from time.Duration) func(*optest.Answer) {
	return func(a *optest.Answer) { a.Claims[name] = a.Claims["iat"].(int64) + int64(from.Seconds()) }
}

// frozen stops the clocks of both sides: the row does not depend on a fast machine.
func frozen(s *setting) {
	now := time.Now()
	s.rp.Now = func() time.Time { return now }
	s.op.Now = s.rp.Now
}

// body makes a lie that sends other bytes, as they are.
func body(text string) func(*optest.Answer) {
	return func(a *optest.Answer) { a.Body = []byte(text) }
}

func contentType(text string) func(*optest.Answer) {
	return func(a *optest.Answer) { a.HTTPHeader.Set("Content-Type", text) }
}

// status makes a lie of a status and a page that nobody may see.
func status(code int) func(*optest.Answer) {
	return func(a *optest.Answer) {
		a.Status, a.Body = code, []byte("<html>canary-body-of-an-error</html>")
		a.HTTPHeader.Set("Content-Type", "text/html")
		a.HTTPHeader.Set("Location", "http://"+evilPlace+"/")
	}
}

func oauthError(code string, status int) func(*optest.Answer) {
	return func(a *optest.Answer) {
		a.Status, a.JSON = status, map[string]any{"error": code, "error_description": "because\r\n\x1b[31m"}
	}
}

func lies(all ...func(*optest.Answer)) func(*optest.Answer) {
	return func(a *optest.Answer) {
		for _, f := range all {
			f(a)
		}
	}
}

func match(s verify.Strictness) func(*setting) { return func(c *setting) { c.rp.Match = s } }

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	for _, row := range []tokenRow{
		{name: "D00_the_valid_answer_that_all_rows_change"},

		{name: "D03_500", lie: status(500), want: down(500)},
		{name: "D03_502", lie: status(502), want: down(502)},
		{name: "D03_503", lie: status(503), want: down(503)},
		{name: "D03_429", lie: status(429), want: down(429)},
		{name: "D03_400_html", lie: status(400), want: says("", 400)},
		{name: "D03_500_with_an_OAuth_error", lie: oauthError("invalid_grant", 500), want: joined(rp.ErrUnavailable, says("invalid_grant", 500))},
		{name: "D04_301", lie: status(301), want: says("", 301)},
		{name: "D04_302", lie: status(302), want: says("", 302)},
		{name: "D04_303", lie: status(303), want: says("", 303)},
		{name: "D04_307", lie: status(307), want: says("", 307)},
		{name: "D04_308", lie: status(308), want: says("", 308)},
		{name: "D05_text_html", lie: contentType("text/html"), want: rp.ErrTokenResponse},
		{name: "D05_text_plain", lie: contentType("text/plain"), want: rp.ErrTokenResponse},
		{name: "D05_no_content_type", lie: contentType(""), want: rp.ErrTokenResponse},
		{name: "D05_form", lie: contentType("application/x-www-form-urlencoded"), want: rp.ErrTokenResponse},
		{name: "D05_with_a_charset", lie: contentType("Application/JSON; charset=UTF-8")},
		{name: "D05_empty", lie: body(""), want: rp.ErrTokenResponse},
		{name: "D05_array", lie: body("[]"), want: rp.ErrTokenResponse},
		{name: "D05_null", lie: body("null"), want: rp.ErrTokenResponse},
		{name: "D05_a_string", lie: body(`"canary-body-of-an-error"`), want: rp.ErrTokenResponse},
		{name: "D05_an_empty_object", lie: body("{}"), want: rp.ErrTokenResponse},
		{name: "D05_member_twice", lie: raw(func(s string) string { return `{"access_token":"other",` + s[1:] }), want: rp.ErrTokenResponse},
		{name: "D05_member_twice_by_an_escape", lie: raw(func(s string) string { return `{"access\u005ftoken":"other",` + s[1:] }), want: rp.ErrTokenResponse},
		{name: "D05_member_twice_deep_inside", lie: raw(func(s string) string { return `{"x":{"y":[{"z":1,"z":2}]},` + s[1:] }), want: rp.ErrTokenResponse},
		{name: "D05_member_in_another_case_beside_it", lie: raw(func(s string) string { return `{"ID_TOKEN":"other","acceſſ_token":"other",` + s[1:] })},
		{name: "D05_byte_order_mark", lie: raw(func(s string) string { return "\ufeff" + s }), want: rp.ErrTokenResponse},
		{name: "D05_data_after_it", lie: raw(func(s string) string { return s + "{}" }), want: rp.ErrTokenResponse},
		{name: "D05_invalid_UTF8", lie: raw(func(s string) string { return "{\"x\":\"\xff\"," + s[1:] }), want: rp.ErrTokenResponse},
		{name: "D05_very_deep", lie: raw(func(s string) string {
			return `{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "," + s[1:]
		}), want: rp.ErrTokenResponse},
		{name: "D06_two_megabytes", lie: member("x", strings.Repeat("x", 2<<20)), want: rp.ErrTokenResponse},
		{name: "D07_invalid_grant", lie: oauthError("invalid_grant", 400), want: says("invalid_grant", 400)},
		{name: "D08_invalid_client", lie: oauthError("invalid_client", 401), want: says("invalid_client", 401)},
		{name: "D08_error_that_is_no_text", lie: lies(oauthError("", 400), member("error", 7)), want: says("", 400)},
		{name: "D08_error_with_line_break", lie: oauthError("a\nb", 400), want: says("unreadable_error", 400)},

		{name: "D09_id_token_missing", lie: member("id_token", nil), want: rp.ErrTokenResponse},
		{name: "D09_id_token_empty", lie: member("id_token", ""), want: rp.ErrTokenResponse},
		{name: "D09_id_token_null", lie: member("id_token", json.RawMessage("null")), want: rp.ErrTokenResponse},
		{name: "D09_id_token_missing_with_code", set: responseType(rp.Code), lie: member("id_token", nil), want: rp.ErrTokenResponse},
		{name: "D10_access_token_missing", lie: member("access_token", nil), want: rp.ErrTokenResponse},
		{name: "D10_access_token_empty", lie: member("access_token", ""), want: rp.ErrTokenResponse},
		{name: "D10_access_token_null", lie: member("access_token", json.RawMessage("null")), want: rp.ErrTokenResponse},
		{name: "D10_access_token_a_number", lie: member("access_token", 7), want: rp.ErrTokenResponse},
		{name: "D10_access_token_an_object", lie: member("access_token", map[string]any{"a": 1}), want: rp.ErrTokenResponse},
		{name: "D10_access_token_with_a_line_break", lie: member("access_token", "a\r\nX-Evil: 1"), want: rp.ErrTokenResponse},
		{name: "D10_access_token_with_a_space", lie: member("access_token", "a b"), want: rp.ErrTokenResponse},
		{name: "D10_access_token_not_ASCII", lie: member("access_token", "tokén"), want: rp.ErrTokenResponse},
		{name: "D10_access_token_of_100_KB", lie: member("access_token", strings.Repeat("a", 100<<10)), want: rp.ErrTokenResponse},
		{name: "D11_token_type_missing", lie: member("token_type", nil), want: rp.ErrTokenResponse},
		{name: "D11_token_type_mac", lie: member("token_type", "mac"), want: rp.ErrTokenResponse},
		{name: "D11_token_type_DPoP", lie: member("token_type", "DPoP"), want: rp.ErrTokenResponse},
		{name: "D11_token_type_a_list", lie: member("token_type", []string{"Bearer"}), want: rp.ErrTokenResponse},
		{name: "D11_token_type_bearer", lie: member("token_type", "bearer")},
		{name: "D11_token_type_BEARER", lie: member("token_type", "BEARER")},
		{name: "D14_refresh_token_a_number", lie: member("refresh_token", 7), want: rp.ErrTokenResponse},
		{name: "D14_refresh_token_of_100_KB", lie: member("refresh_token", strings.Repeat("a", 100<<10)), want: rp.ErrTokenResponse},
		{name: "D14_refresh_token_with_a_line_break", lie: member("refresh_token", "a\nb"), want: rp.ErrTokenResponse},
		{name: "D14_refresh_token_missing", lie: member("refresh_token", nil), check: func(t *testing.T, tokens *rp.Tokens) {
			if got := tokens.OAuth2().RefreshToken; got != "" {
				t.Errorf("refresh token %q", got)
			}
		}},

		{name: "D15_another_sub", lie: claim("sub", "bob"), want: verify.ErrMismatch},
		{name: "D15_sub_in_another_case", lie: claim("sub", "Alice"), want: verify.ErrMismatch},
		{name: "D15_sub_missing", lie: claim("sub", nil), want: verify.ErrSubject},
		{name: "D15_another_sub_reported_only", set: match(verify.MatchReport), lie: claim("sub", "bob"), want: verify.ErrMismatch},
		{name: "D16_another_iss", lie: claim("iss", "https://evil.example"), want: verify.ErrIssuer},
		{name: "D16_iss_with_a_slash", lie: claim("iss", opIssuer+"/"), want: verify.ErrIssuer},
		{name: "D17_aud_of_another_client", lie: claim("aud", "other"), want: verify.ErrAudience},
		{name: "D17_aud_with_an_untrusted_one", lie: claim("aud", []string{"app", "other"}), want: verify.ErrAudience},
		{name: "D17_azp_of_another_client", lie: claim("azp", "other"), want: verify.ErrAuthorizedParty},
		{name: "D17_aud_as_a_list_of_one", lie: claim("aud", []string{"app"})},
		{name: "D17_aud_with_a_trusted_one", set: func(s *setting) { s.rp.Audiences = []string{"other"} }, lie: claim("aud", []string{"app", "other"})},
		{name: "D17_two_aud_without_azp", set: func(s *setting) { s.rp.Audiences = []string{"other"} }, lie: lies(claim("aud", []string{"app", "other"}), claim("azp", nil)), want: verify.ErrAuthorizedParty},
		{name: "D17_azp_missing_in_the_second_only", lie: claim("azp", nil)},
		{name: "D18_another_nonce", lie: claim("nonce", "other"), want: verify.ErrNonce},
		{name: "D18_nonce_missing", lie: claim("nonce", nil), want: verify.ErrNonce},
		{name: "D18_nonce_missing_with_code", set: responseType(rp.Code), lie: claim("nonce", nil), want: verify.ErrNonce},
		{name: "D18_nonce_missing_with_code_token", set: responseType(rp.CodeToken), lie: claim("nonce", nil), want: verify.ErrNonce},

		{name: "D21_at_hash_wrong", lie: claim("at_hash", optest.HalfHash("RS256", "other")), want: verify.ErrAccessTokenHash},
		{name: "D21_at_hash_empty", lie: claim("at_hash", ""), want: verify.ErrAccessTokenHash},
		{name: "D21_access_token_swapped", lie: member("access_token", "another-access-token"), want: verify.ErrAccessTokenHash},
		{name: "D22_at_hash_and_c_hash_missing", lie: lies(claim("at_hash", nil), claim("c_hash", nil))},
		{name: "D23_c_hash_wrong", lie: claim("c_hash", optest.HalfHash("RS256", "other")), want: verify.ErrCodeHash},
		{name: "D24_unsigned", lie: func(a *optest.Answer) { a.Header["alg"] = "none" }, want: verify.ErrAlgorithm},
		{name: "D24_signature_cut_off", lie: func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string { s := a.JWS(h, c); return s[:strings.LastIndexByte(s, '.')+1] }
		}, want: verify.ErrSignature},
		{name: "D25_another_algorithm", lie: func(a *optest.Answer) { a.Header["alg"] = "ES256" }, want: verify.ErrAlgorithm},
		{name: "D25_HS256_with_the_client_secret", lie: func(a *optest.Answer) { a.Header["alg"] = "HS256" }, want: verify.ErrAlgorithm},
		{name: "D25_signature_of_something_else", lie: func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string { return optest.Tamper(a.JWS(h, c)) }
		}, want: verify.ErrSignature},
		{name: "D27_expired", set: frozen, lie: moment("exp", -time.Minute), want: verify.ErrExpired},
		{name: "D27_issued_11_minutes_ago", set: frozen, lie: moment("iat", -11*time.Minute), want: verify.ErrIssuedAt},
		{name: "D27_issued_in_a_minute", set: frozen, lie: moment("iat", time.Minute), want: verify.ErrIssuedAt},
		{name: "L01_access_token_as_ID_Token", set: func(s *setting) { s.rp.Resources = []string{"https://api.example"} }, lie: func(a *optest.Answer) {
			a.Sign = func(_, _ []byte) string {
				h, _ := json.Marshal(a.AccessHeader)
				c, _ := json.Marshal(a.AccessClaims)
				return a.JWS(h, c)
			}
		}, want: verify.ErrType},

		// An answer that is both an error and a success, or not quite a success, is none.
		{name: "L07_200_with_an_error_beside_tokens", lie: member("error", "invalid_grant"), want: says("invalid_grant", 200)},
		{name: "L07_200_with_only_an_error", lie: func(a *optest.Answer) {
			a.JSON = map[string]any{"error": "invalid_grant"}
		}, want: says("invalid_grant", 200)},
		{name: "L07_201_with_tokens", lie: func(a *optest.Answer) { a.Status = 201 }, want: says("", 201)},
		{name: "L07_206_with_tokens", lie: func(a *optest.Answer) { a.Status = 206 }, want: says("", 206)},
		{name: "L07_400_with_tokens", lie: func(a *optest.Answer) { a.Status = 400 }, want: says("", 400)},
		// A provider that repeats what it was sent must not bring it into our log.
		{name: "L08_description_repeats_the_code", lie: repeat("code"), want: says("invalid_grant", 400)},
		{name: "L08_description_repeats_the_verifier", lie: repeat("code_verifier"), want: says("invalid_grant", 400)},
		{name: "L08_description_repeats_the_secret", set: func(s *setting) {
			s.rp.ClientAuth = rp.SecretPost(clientSecret)
		}, lie: repeat("client_secret"), want: says("invalid_grant", 400)},
		{name: "L08_error_repeats_the_code", lie: func(a *optest.Answer) {
			oauthError(a.Request.Form.Get("code"), 400)(a)
		}, want: says("unreadable_error", 400)},
	} {
		t.Run(row.name, row.run)
	}
}

// repeat makes an error whose description holds what the client sent.
func repeat(name string) func(*optest.Answer) {
	return func(a *optest.Answer) {
		oauthError("invalid_grant", 400)(a)
		a.JSON["error_description"] = "no grant for " + a.Request.Form.Get(name) + " was found"
	}
}

func joined(errs ...error) error { return fmt.Errorf(strings.Repeat("%w ", len(errs)), anys(errs)...) }

func anys[T any](list []T) []any {
	var all []any
	for _, v := range list {
		all = append(all, v)
	}
	return all
}

// raw makes a lie about the text of a token response that is otherwise honest.
func raw(change func(string) string) func(*optest.Answer) {
	return func(a *optest.Answer) {
		if a.Header == nil {
			return
		}
		header, _ := json.Marshal(a.Header)
		claims, _ := json.Marshal(a.Claims)
		a.JSON["id_token"] = a.JWS(header, claims)
		text, _ := json.Marshal(a.JSON)
		a.Body = []byte(change(string(text)))
	}
}

// D19: a claim about the login that is in both tokens and differs; D20: one about the user, or one in one token only.
func TestTwoIDTokens(t *testing.T) {
	t.Parallel()
	both := map[string]any{"acr": "silver", "amr": []string{"pwd", "otp"}, "sid": "sid-1", "email": "a@example.com", "groups": []string{"a"}}
	set := func(s verify.Strictness) func(*setting) {
		return func(c *setting) { c.rp.Match, c.op.Claims = s, both }
	}
	for _, row := range []struct {
		name, claim   string
		value         any
		plain, strict error // MatchAuthentication, MatchStrict; MatchReport refuses none of these
		diff          int
	}{
		{"D19_auth_time", "auth_time", time.Now().Add(-time.Hour).Unix(), verify.ErrMismatch, verify.ErrMismatch, 1},
		{"D19_acr", "acr", "gold", verify.ErrMismatch, verify.ErrMismatch, 1},
		{"D19_amr", "amr", []string{"pwd"}, verify.ErrMismatch, verify.ErrMismatch, 1},
		{"D19_sid", "sid", "sid-2", verify.ErrMismatch, verify.ErrMismatch, 1},
		{"D19_amr_in_another_order", "amr", []string{"otp", "pwd", "otp"}, nil, nil, 0},
		{"D19_acr_in_one_only", "acr", nil, nil, verify.ErrMismatch, 1},
		{"D19_sid_in_one_only", "sid", nil, nil, verify.ErrMismatch, 1},
		{"D20_email", "email", "b@example.com", nil, verify.ErrMismatch, 1},
		{"D20_email_in_one_only", "email", nil, nil, verify.ErrMismatch, 1},
		{"D20_groups", "groups", []string{"a", "admin"}, nil, verify.ErrMismatch, 1},
		{"D20_jti_in_one_only", "jti", "x", nil, nil, 0},
	} {
		for s, want := range map[verify.Strictness]error{
			verify.MatchAuthentication: row.plain, verify.MatchStrict: row.strict, verify.MatchReport: nil,
		} {
			tokenRow{
				name: fmt.Sprintf("%s_match_%d", row.name, s), set: set(s), lie: claim(row.claim, row.value), want: want,
				check: func(t *testing.T, tokens *rp.Tokens) {
					if d := tokens.Diff(); len(d) != row.diff || (row.diff == 1 && d[0].Claim != row.claim) {
						t.Errorf("the difference is %v", d)
					}
				},
			}.sub(t)
		}
	}
}

func (row tokenRow) sub(t *testing.T) { t.Run(row.name, row.run) }

// D26: the first token once more, byte for byte.
func TestTheFirstTokenOnceMore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		set  func(*setting)
		want error
	}{
		{"D26_identical_bytes", nil, nil},
		{"D26_with_an_at_hash_of_the_other_access_token", responseType(rp.CodeIDTokenToken), verify.ErrAccessTokenHash},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.set)
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, member("id_token", a.IDToken().Raw()))
			_, err := w.client.Exchange(t.Context(), a)
			w.want(err, row.want)
		})
	}
	t.Run("L01_the_first_token_of_another_login", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		other := w.verified(rp.AuthOptions{}).IDToken().Raw()
		a := w.verified(rp.AuthOptions{})
		w.lie(pathToken, member("id_token", other))
		_, err := w.client.Exchange(t.Context(), a)
		w.want(err, verify.ErrNonce)
	})
}

// D13: what the provider says about the life of a token. "" is unknown.
func TestExpiresIn(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	w := newWorld(t, func(s *setting) {
		clock := func() time.Time { return now }
		s.rp.Now, s.op.Now = clock, clock
	})
	const decade = 10 * 365 * 24 * time.Hour
	for _, row := range []struct {
		name string
		json string
		life time.Duration // 0: unknown
	}{
		{"D13_number", `3600`, time.Hour},
		{"D13_text", `"3600"`, time.Hour},
		{"D13_missing", ``, 0},
		{"D13_null", `null`, 0},
		{"D13_zero", `0`, 0},
		{"D13_negative", `-1`, 0},
		{"D13_fraction", `1.5`, time.Second},
		{"D13_1e3", `1e3`, 1000 * time.Second},
		{"D13_1e30", `1e30`, decade},
		{"D13_1e999", `1e999`, decade},
		{"D13_2_to_the_63", `9223372036854775808`, decade},
		{"D13_beyond_2038", `3000000000`, decade},
		{"D13_text_NaN", `"NaN"`, 0},
		{"D13_text_Infinity", `"Infinity"`, 0},
		{"D13_text_hexadecimal", `"0x10"`, 0},
		{"D13_text_with_underscores", `"3_600"`, 0},
		{"D13_text_empty", `""`, 0},
		{"D13_list", `[3600]`, 0},
		{"D13_object", `{"a":3600}`, 0},
		{"D13_true", `true`, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, func(a *optest.Answer) {
				if delete(a.JSON, "expires_in"); row.json != "" {
					raw(func(s string) string { return `{"expires_in":` + row.json + "," + s[1:] })(a)
				}
			})
			tokens, err := w.client.Exchange(t.Context(), a)
			w.must(err)
			want := time.Time{}
			if row.life != 0 {
				want = now.Add(row.life)
			}
			if got := tokens.OAuth2().Expiry; !got.Equal(want) {
				t.Errorf("expiry %v, want %v", got, want)
			}
		})
	}
}

// D28: what was granted is said, also when it is less or more than what was asked for; an unsaid scope is the asked one.
func TestGrantedScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, row := range []struct {
		name  string
		scope any
		want  any
		err   error
	}{
		{"D28_as_requested", "openid email offline_access", "openid email offline_access", nil},
		{"D28_reduced", "openid", "openid", nil},
		{"D28_more", "openid email admin", "openid email admin", nil},
		{"D28_missing", nil, nil, nil},
		{"D28_empty", "", nil, nil},
		{"D28_a_list", []string{"openid"}, nil, rp.ErrTokenResponse},
		{"D28_a_number", 1, nil, rp.ErrTokenResponse},
		{"D28_20_KB", strings.Repeat("x", 20<<10), nil, rp.ErrTokenResponse},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, member("scope", row.scope))
			tokens, err := w.client.Exchange(t.Context(), a)
			w.want(err, row.err)
			if err == nil && tokens.OAuth2().Extra("scope") != row.want {
				t.Errorf("scope %v, want %v", tokens.OAuth2().Extra("scope"), row.want)
			}
		})
	}
}

// D29 to D31 and D39: what the token endpoint gets, and nothing more.
func TestD29_D30_D31_D33_D39_WhatIsSentForACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) {
		jar := &spyJar{}
		s.rp.HTTPClient.Jar = jar
	})
	w.op.Fault(func(a *optest.Answer) {
		a.HTTPHeader.Set("Set-Cookie", "canary=1; Path=/")
	})
	_ = w.tokens(rp.AuthOptions{})
	_ = w.tokens(rp.AuthOptions{})
	w.calls(pathToken, 2)
	for i, r := range w.op.Requests(pathToken) {
		asked := w.op.Requests("/authorize")[i].URL.Query()
		verifier := r.Form.Get("code_verifier")
		if r.Form.Get("redirect_uri") != asked.Get("redirect_uri") || r.Form.Get("redirect_uri") != callback {
			t.Errorf("D29: redirect_uri %q", r.Form.Get("redirect_uri"))
		}
		if len(verifier) != 43 || strings.Trim(verifier, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("D31: verifier of %d characters", len(verifier))
		}
		if asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") == verifier {
			t.Errorf("D30: method %q", asked.Get("code_challenge_method"))
		}
		for _, name := range []string{"Cookie", "Referer", "Origin"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("D39: %s: %s", name, v)
			}
		}
		if r.URL.RawQuery != "" || r.Method != http.MethodPost || r.Header.Get("Accept") != "application/json" {
			t.Errorf("D33: %s %s, Accept %s", r.Method, r.URL.RawQuery, r.Header.Get("Accept"))
		}
		if got := members(anyValues(r.Form)); strings.Join(got, " ") != "code code_verifier grant_type redirect_uri" {
			t.Errorf("D33: the form has %v", got)
		}
	}
}

// D29: the redirect URI is the same, byte for byte, in both requests, whatever characters it has; L04: so is the code.
func TestWhatIsSentArrivesAsItIs(t *testing.T) {
	t.Parallel()
	for _, redirect := range []string{
		callback, callback + "?tenant=a%2Fb&x=1+2", callback + "/%C3%BC;p=1?q=%26&q=2", "http://127.0.0.1:9", "http://127.0.0.1:9/?", "http://127.0.0.1:9//a/../b",
	} {
		t.Run("D29_"+redirect, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setting) { s.rp.RedirectURL = redirect })
			_ = w.tokens(rp.AuthOptions{})
			asked, sent := w.op.Requests("/authorize")[0].URL.Query(), w.op.Requests(pathToken)[0].Form
			if asked.Get("redirect_uri") != redirect || sent.Get("redirect_uri") != redirect {
				t.Errorf("asked with %q, exchanged with %q", asked.Get("redirect_uri"), sent.Get("redirect_uri"))
			}
		})
	}
	t.Run("L04_every_character_of_a_code", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, responseType(rp.Code))
		var code strings.Builder
		for c := byte('!'); c <= '~'; c++ {
			code.WriteByte(c)
		}
		q := w.request(rp.AuthOptions{})
		a, err := w.client.VerifyResponse(t.Context(), q, url.Values{"state": {q.State()}, "iss": {opIssuer}, "code": {code.String()}})
		w.must(err)
		parsed, err := w.client.ParseAuthResponse(a.Bytes())
		w.must(err)
		_, err = w.client.Exchange(t.Context(), parsed)
		w.want(err, says("invalid_grant", 400))
		if got := w.op.Requests(pathToken)[0].Form.Get("code"); got != code.String() {
			t.Errorf("sent %q", got)
		}
	})
}

// spyJar is a cookie jar that must not be used.
type spyJar struct{ used atomic.Bool }

func (j *spyJar) SetCookies(*url.URL, []*http.Cookie) { j.used.Store(true) }
func (j *spyJar) Cookies(*url.URL) []*http.Cookie {
	return []*http.Cookie{{Name: "canary", Value: "1"}}
}

func anyValues(form url.Values) map[string]any {
	all := map[string]any{}
	for name, v := range form {
		all[name] = v
	}
	return all
}

// Metadata does not talk us out of PKCE, and brings us to no other endpoint than the one that we know.
func TestD30_D37_MetadataDoesNotWeaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
	w.lie(pathMeta, func(a *optest.Answer) {
		a.JSON["code_challenge_methods_supported"] = []string{"plain"}
		a.JSON["mtls_endpoint_aliases"] = map[string]any{"token_endpoint": "http://" + evilPlace + "/token"}
		a.JSON["id_token_signing_alg_values_supported"] = []string{"none", "HS256"}
		a.JSON["token_endpoint_auth_methods_supported"] = []string{"none"}
	})
	_ = w.tokens(rp.AuthOptions{})
	if q := w.op.Requests("/authorize")[0].URL.Query(); q.Get("code_challenge_method") != "S256" {
		t.Errorf("D30: %v", q)
	}
	if n := w.net.dials(evilPlace); n != 0 {
		t.Errorf("D37: %d connections to the alias", n)
	}
	if r := w.op.Requests(pathToken)[0]; r.Form.Get("code_verifier") == "" || r.Header.Get("Authorization") == "" {
		t.Error("the verifier or the credentials were not sent")
	}
}

// D04, once more: a redirect brings nothing to where it points.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprintf("D04_%d", code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setting) {
				// Not even if the application's own client would follow.
				s.rp.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
			})
			var heard atomic.Int64
			w.net.serve(evilPlace, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, status(code))
			_, err := w.client.Exchange(t.Context(), a)
			w.want(err, says("", code))
			if heard.Load() != 0 || w.net.dials(evilPlace) != 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

// D01, D02, D06, D45: a provider that is slow, breaks off, sends without end, or is left by us. Time is virtual.
func TestTokenEndpointThatMisbehaves(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		lie  func(*optest.Answer)
		want error
		took time.Duration
	}{
		{"D01_never_answers", func(a *optest.Answer) { a.Delay = -1 }, rp.ErrUnavailable, 10 * time.Second},
		{"D01_answers_after_11_seconds", func(a *optest.Answer) { a.Delay = 11 * time.Second }, rp.ErrUnavailable, 10 * time.Second},
		{"D01_answers_after_9_seconds", func(a *optest.Answer) { a.Delay = 9 * time.Second }, nil, 9 * time.Second},
		{"D01_one_byte_a_second", func(a *optest.Answer) { a.Respond = drip }, rp.ErrUnavailable, 10 * time.Second},
		{"D01_header_and_then_nothing", func(a *optest.Answer) { a.Respond = stall }, rp.ErrUnavailable, 10 * time.Second},
		{"D02_connection_ends_after_the_request", func(a *optest.Answer) { a.Reset = true }, rp.ErrUnavailable, 0},
		{"D02_answer_breaks_off", func(a *optest.Answer) { a.Respond = breakOff }, rp.ErrUnavailable, 0},
		{"D06_without_end", func(a *optest.Answer) { a.Respond = endless }, rp.ErrTokenResponse, 0},
		{"D06_gzip_bomb", func(a *optest.Answer) { a.Respond = bomb }, rp.ErrTokenResponse, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, ours)
				a := w.verified(rp.AuthOptions{})
				w.lie(pathToken, row.lie)
				start := time.Now()
				_, err := w.client.Exchange(t.Context(), a)
				w.want(err, row.want)
				if took := since(start); took != row.took {
					t.Errorf("took %v, want %v", took, row.took)
				}
				w.op.Fault(nil)
				_, err = w.client.Exchange(t.Context(), a)
				w.want(err, rp.ErrCodeSpent)
				w.calls(pathToken, 1)
			}) // the bubble ends: no goroutine is left behind
		})
	}
	t.Run("D45_the_browser_goes_away", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, func(a *optest.Answer) { a.Delay = 3 * time.Second })
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := w.client.Exchange(ctx, a)
			w.want(err, joined(context.Canceled, rp.ErrUnavailable))
			w.op.Fault(nil)
			_, err = w.client.Exchange(t.Context(), a)
			w.want(err, rp.ErrCodeSpent)
			w.calls(pathToken, 1)
		})
	})
	t.Run("D01_the_callers_deadline_is_earlier", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			a := w.verified(rp.AuthOptions{})
			w.lie(pathToken, func(a *optest.Answer) { a.Delay = -1 })
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start := time.Now()
			_, err := w.client.Exchange(ctx, a)
			w.want(err, rp.ErrUnavailable)
			if took := since(start); took != 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
}

// drip sends one byte a second.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for range 100 {
		if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// stall sends a header and no body.
func stall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// breakOff sends a whole JSON object but promises more.
func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}`))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// endless sends spaces until nobody listens.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for range 1 << 14 { // a gigabyte
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	panic("somebody read a gigabyte")
}

// bomb sends a gigabyte in a megabyte.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(gzipBomb())
}

var gzipBomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, _ = z.Write(chunk)
	}
	_ = z.Close()
	return b.Bytes()
})

// A06 and A55 for rp alone: one code, many who try at the same moment, by every way that an answer can be held.
func TestOneCodeIsSentOnce(t *testing.T) {
	t.Parallel()
	t.Run("L09_a_hundred_exchanges_at_once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		q := w.request(rp.AuthOptions{})
		p := w.answer(q)
		sealed, err := w.client.VerifyResponse(t.Context(), q, p)
		w.must(err)
		b := sealed.Bytes()
		w.lie(pathToken, func(a *optest.Answer) { a.HTTPHeader.Set("X-Slow", "1") })
		var won, spent atomic.Int64
		var running sync.WaitGroup
		for i := range 100 {
			running.Go(func() {
				a := sealed
				switch i % 3 { // the value itself, parsed copies, and the same form verified again
				case 1:
					a, _ = w.client.ParseAuthResponse(b)
				case 2:
					a, _ = w.client.VerifyResponse(t.Context(), q, p)
				}
				switch _, err := w.client.Exchange(t.Context(), a); rp.ErrorCode(err) {
				case "":
					won.Add(1)
				case "code_spent":
					spent.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		running.Wait()
		if won.Load() != 1 || spent.Load() != 99 {
			t.Errorf("%d won, %d came late", won.Load(), spent.Load())
		}
		w.calls(pathToken, 1)
	})
	t.Run("L09_the_same_code_in_a_new_login", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, responseType(rp.Code))
		q1, q2 := w.request(rp.AuthOptions{}), w.request(rp.AuthOptions{})
		p1, p2 := w.answer(q1), w.answer(q2)
		p2.Set("code", p1.Get("code")) // with code alone no hash binds it; PKCE and the memory do
		a1, err := w.client.VerifyResponse(t.Context(), q1, p1)
		w.must(err)
		a2, err := w.client.VerifyResponse(t.Context(), q2, p2)
		w.must(err)
		_, err = w.client.Exchange(t.Context(), a2)
		w.want(err, says("invalid_grant", 400)) // PKCE: the verifier is the other request's
		_, err = w.client.Exchange(t.Context(), a1)
		w.want(err, rp.ErrCodeSpent)
		w.calls(pathToken, 1)
	})
	t.Run("X16_no_token_endpoint_to_send_it_to", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		a := w.verified(rp.AuthOptions{})
		lazy := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
		lazy.op.Fault(status(503))
		parsed, err := lazy.client.ParseAuthResponse(a.Bytes())
		w.must(err)
		_, err = lazy.client.Exchange(t.Context(), parsed)
		lazy.want(err, joined(rp.ErrUnavailable, rp.ErrNotSent))
		lazy.calls(pathToken, 0) // and the code is not spent: nothing was sent
	})
}
