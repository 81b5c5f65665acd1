package middleware_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group A that are not here:
//   - A09, A30 to A33, A57: one Auth has one issuer; of two, TestSeveral/A09 posts the answer of one to the other, and
//     what decides (iss, ID Token) is rp's and tested there
//   - A20, A28, A29, A54, A55, A56: decided by rp and verify and tested there; TestCallback has one row for each kind to
//     show that the callback obeys
//   - A42: JARM is not supported yet, so that response is a parameter that was not asked for

// fate is what becomes of the transaction.
type fate bool

const (
	open  fate = true  // the honest answer still passes
	spent fate = false // it was the one attempt
)

// TestCallback changes one thing of a valid callback. Each refusal leaves the browser's session as it was, asks the
// token endpoint nothing, and sets no session.
func TestCallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(name, value string) func(*callback) { return func(c *callback) { c.form.Set(name, value) } }
	add := func(name, value string) func(*callback) { return func(c *callback) { c.form.Add(name, value) } }
	twice := func(name string) func(*callback) { return func(c *callback) { c.form.Add(name, c.form.Get(name)) } }
	without := func(name string) func(*callback) { return func(c *callback) { c.form.Del(name) } }
	header := func(name string, values ...string) func(*callback) {
		return func(c *callback) { c.header[http.CanonicalHeaderKey(name)] = values }
	}
	suffix := func(s string) func(*callback) { return func(c *callback) { c.body = c.form.Encode() + s } }
	get := func(names ...string) func(*callback) {
		return func(c *callback) {
			q := url.Values{}
			for _, name := range names {
				q.Set(name, c.form.Get(name))
			}
			c.method, c.target, c.form = http.MethodGet, c.target+"?"+q.Encode(), nil
			c.header.Del("Content-Type")
			c.header.Del("Origin")
		}
	}
	for _, row := range []struct {
		name   string
		change func(*callback)
		status int
		code   string
		then   fate
	}{
		{"control", func(*callback) {}, 303, "", spent},
		{"A01_state_missing", without("state"), 400, "state", open},
		{"A01_state_empty", set("state", ""), 400, "state", open},
		{"A02_state_unknown", set("state", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 400, "transaction_missing", open},
		{"A02_state_with_one_more_byte", func(c *callback) { c.form.Set("state", c.form.Get("state")+"a") }, 400, "transaction_missing", open},
		{"A02_state_of_a_megabyte_less_a_bit", set("state", strings.Repeat("a", 100_000)), 400, "state", open},
		{"A10_state_twice_the_same", twice("state"), 400, "parameters", open},
		{"A10_state_twice_different", add("state", "other"), 400, "parameters", open},
		{"A10_state_twice_good_one_last", func(c *callback) { c.form["state"] = []string{"other", c.form.Get("state")} }, 400, "parameters", open},
		{"A11_code_twice", twice("code"), 400, "parameters", spent},
		{"A11_id_token_twice", twice("id_token"), 400, "parameters", spent},
		{"A11_iss_twice", func(c *callback) { c.form["iss"] = []string{w.op.URL, w.op.URL} }, 400, "parameters", spent},
		{"A11_error_twice", func(c *callback) { c.form["error"] = []string{"access_denied", "access_denied"} }, 400, "parameters", spent},
		{"A12_state_in_the_query", func(c *callback) {
			c.target += "?state=" + url.QueryEscape(c.form.Get("state"))
			c.form.Del("state")
		}, 400, "state", open},
		{"A12_code_in_the_query", func(c *callback) {
			c.target += "?code=" + url.QueryEscape(c.form.Get("code"))
			c.form.Del("code")
		}, 400, "parameters", spent},
		{"A12_query_is_ignored", func(c *callback) { c.target += "?code=evil&state=evil&error=evil" }, 303, "", spent},
		{"A13_answer_by_GET", get("code", "id_token", "state"), 400, "response_mode", spent},
		{"A13_answer_by_GET_with_an_empty_error", get("code", "id_token", "state", "error"), 400, "response_mode", spent},
		{"A14_only_code_by_GET", get("code", "state"), 400, "response_mode", spent},
		{"A15_GET_without_parameters", get(), 400, "no_response", open},
		{"A16_id_token_missing", without("id_token"), 400, "parameters", spent},
		{"A16_id_token_empty", set("id_token", ""), 400, "parameters", spent},
		{"A17_code_missing", without("code"), 400, "parameters", spent},
		{"A18_access_token_not_asked_for", add("access_token", "evil-access-token"), 400, "parameters", spent},
		{"A19_refresh_token", add("refresh_token", "evil"), 400, "parameters", spent},
		{"A19_client_secret", add("client_secret", "evil"), 400, "parameters", spent},
		{"A21_error_beside_valid_tokens", add("error", "access_denied"), 403, "provider_error", spent},
		{"A22_error_without_state", func(c *callback) { c.form = url.Values{"error": {"access_denied"}} }, 400, "state", open},
		{"A23_error_with_a_foreign_state", func(c *callback) { c.form = url.Values{"error": {"login_required"}, "state": {"foreign"}} }, 400, "transaction_missing", open},
		{"A26_access_denied", func(c *callback) { c.form = url.Values{"error": {"access_denied"}, "state": c.form["state"]} }, 403, "provider_error", spent},
		{"A26_access_denied_by_GET", func(c *callback) { c.form.Set("error", "access_denied"); get("error", "state")(c) }, 403, "provider_error", spent},
		{"A28_iss_wrong", set("iss", "https://evil.example"), 400, "issuer_parameter", spent},
		{"A54_code_swapped", set("code", "another-code"), 400, "id_token_code_hash", spent},
		{"A55_id_token_damaged", func(c *callback) { c.form.Set("id_token", optest.Tamper(c.form.Get("id_token"))) }, 400, "id_token_signature", spent},

		{"A34_wrong_content_type_json", func(c *callback) {
			c.header.Set("Content-Type", "application/json")
			c.body = fmt.Sprintf(`{"state":%q,"code":%q,"id_token":%q}`, c.form.Get("state"), c.form.Get("code"), c.form.Get("id_token"))
		}, 415, "content_type", open},
		{"A34_wrong_content_type_text", header("Content-Type", "text/plain"), 415, "content_type", open},
		{"A34_wrong_content_type_multipart", header("Content-Type", "multipart/form-data; boundary=x"), 415, "content_type", open},
		{"A34_no_content_type", header("Content-Type"), 415, "content_type", open},
		{"A34_empty_content_type", header("Content-Type", ""), 415, "content_type", open},
		{"A34_two_content_types", header("Content-Type", "application/x-www-form-urlencoded", "text/plain"), 415, "content_type", open},
		{"A34_content_type_prefix", header("Content-Type", "application/x-www-form-urlencodedx"), 415, "content_type", open},
		{"A34_content_type_in_capitals", header("Content-Type", "Application/X-WWW-Form-URLEncoded"), 303, "", spent},
		{"A36_charset_utf_8", header("Content-Type", `application/x-www-form-urlencoded; charset="UTF-8"`), 303, "", spent},
		{"A36_charset_utf_7", header("Content-Type", "application/x-www-form-urlencoded; charset=utf-7"), 415, "content_type", open},
		{"A36_charset_utf_16", header("Content-Type", "application/x-www-form-urlencoded; charset=utf-16"), 415, "content_type", open},
		{"A36_charset_empty", header("Content-Type", `application/x-www-form-urlencoded; charset=""`), 415, "content_type", open},
		{"A36_charset_twice", header("Content-Type", `application/x-www-form-urlencoded; charset=utf-8; charset=utf-7`), 415, "content_type", open},
		{"A37_oversized_body", suffix("&x=" + strings.Repeat("a", 1<<20)), 413, "body_too_large", open},
		{"A38_a_million_parameters", suffix(strings.Repeat("&a", 1_000_000)), 413, "body_too_large", open},
		{"A38_many_parameters_in_a_small_body", suffix(strings.Repeat("&a=b", 100)), 400, "body", open},
		{"A38_many_empty_parameters", suffix(strings.Repeat("&", 1000)), 400, "body", open},
		{"A39_content_encoding_gzip", header("Content-Encoding", "gzip"), 415, "content_type", open},
		{"A39_content_encoding_br_and_identity", header("Content-Encoding", "identity", "br"), 415, "content_type", open},
		{"A39_content_encoding_identity", header("Content-Encoding", "identity"), 303, "", spent},
		{"A41_semicolon_as_separator", func(c *callback) { c.body = strings.ReplaceAll(c.form.Encode(), "&", ";") }, 400, "body", open},
		{"A41_semicolon_in_an_extra_field", suffix("&x=1;code=evil"), 400, "body", open},
		{"A41_NUL_in_a_value", suffix("&x=a%00b"), 400, "body", open},
		{"A41_NUL_in_a_name", suffix("&st%00ate=x"), 400, "body", open},
		{"A41_invalid_escape", suffix("&x=%zz"), 400, "body", open},
		{"A41_broken_escape_at_the_end", suffix("&x=%4"), 400, "body", open},
		{"A42_JARM_response", add("response", "e30.e30.e30"), 400, "parameters", spent},
		{"A43_unknown_parameters", func(c *callback) {
			maps.Copy(c.form, url.Values{"session_state": {"x"}, "scope": {"openid"}, "x": {"1", "2"}, "expires_in": {"60"}, "": {"y"}})
		}, 303, "", spent},
		{"A44_origin_evil", header("Origin", "https://evil.example"), 303, "", spent},
		{"A44_origin_missing", header("Origin"), 303, "", spent},
		{"A45_by_fetch", header("Sec-Fetch-Mode", "cors"), 403, "not_navigation", open},
		{"A45_by_fetch_no_cors", header("Sec-Fetch-Mode", "no-cors"), 403, "not_navigation", open},
		{"A45_in_an_iframe", header("Sec-Fetch-Dest", "iframe"), 403, "not_navigation", open},
		{"A45_in_a_frame", header("Sec-Fetch-Dest", "frame"), 403, "not_navigation", open},
		{"A45_as_an_object", header("Sec-Fetch-Dest", "object"), 403, "not_navigation", open},
		{"A45_without_fetch_metadata", func(c *callback) {
			for _, name := range []string{"Mode", "Dest", "Site"} {
				c.header.Del("Sec-Fetch-" + name)
			}
		}, 303, "", spent},
		{"A47_method_override", func(c *callback) {
			c.method = http.MethodGet
			c.header.Set("X-HTTP-Method-Override", "POST")
			c.header.Set("X-HTTP-Method", "POST")
			c.target += "?_method=POST"
		}, 400, "state", open},
		{"A50_cookie_missing", header("Cookie"), 400, "transaction_missing", open},
		{"A58_cookie_without_the_prefix", func(c *callback) { c.header.Set("Cookie", strings.TrimPrefix(c.header.Get("Cookie"), "__Host-")) }, 400, "transaction_missing", open},
		{"A58_cookie_with_the_prefix_in_another_case", func(c *callback) {
			c.header.Set("Cookie", strings.Replace(c.header.Get("Cookie"), "__Host-", "__host-", 1))
		}, 400, "transaction_missing", open},
		{"A58_cookie_behind_a_fat_space", func(c *callback) { c.header.Set("Cookie", "\u2000"+c.header.Get("Cookie")) }, 400, "transaction_missing", open},
		{"A58_cookie_twice", func(c *callback) { c.header.Set("Cookie", c.header.Get("Cookie")+"; "+c.header.Get("Cookie")) }, 400, "transaction_invalid", open},
		{"A58_cookie_twice_in_two_headers", func(c *callback) { c.header["Cookie"] = append(c.header["Cookie"], c.header.Get("Cookie")+"x") }, 400, "transaction_invalid", open},

		// X01: a field of our own rescue page, from outside, while the rescue is off.
		{"X01_marker_of_the_rescue_page", add("twofold_repost", "1"), 303, "", spent},
		// X02: a prefetch follows a link that looks like an answer.
		{"X02_prefetch_of_a_GET", func(c *callback) { get("code", "id_token", "state")(c); c.header.Set("Sec-Purpose", "prefetch") }, 204, "", open},
		// X03: a GET in a frame with an error of the right state: must not end the login.
		{"X03_error_by_GET_in_a_frame", func(c *callback) {
			c.form.Set("error", "login_required")
			get("error", "state")(c)
			c.header.Set("Sec-Fetch-Dest", "iframe")
		}, 403, "not_navigation", open},
		// X04: a parameter whose name differs only in case is another parameter.
		{"X04_names_in_capitals", func(c *callback) { c.form["STATE"] = c.form["state"]; c.form.Del("state") }, 400, "state", open},
		{"X05_body_is_empty", func(c *callback) { c.form = nil }, 400, "state", open},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.TB = t
			v := w.visitor()
			v.login("/auth/login", "alice")
			before := v.id()
			a := v.answer("/auth/login?return_to=/private", "bob")
			c := a.callback()
			row.change(c)
			calls := w.op.Calls("/oauth/token")
			rep := w.serve(c.build())
			if row.status == 303 {
				v.keep(rep)
				if who := v.open("/private").who(); rep.StatusCode != 303 || rep.Header.Get("Location") != "/private" || who.Subject != "bob" {
					t.Fatalf("status %d, %s; then %+v", rep.StatusCode, rep.code(), who)
				}
				return
			}
			w.refused(rep, row.status, row.code)
			if n := w.op.Calls("/oauth/token") - calls; n != 0 {
				t.Errorf("token endpoint called %d times", n)
			}
			v.keep(rep)
			if v.id() != before || before == "" {
				t.Error("the session that was there is another one now")
			}
			_, dropped := rep.sets(cookiePrefix + "x")
			if got := fate(dropped == nil); got != row.then {
				t.Errorf("transaction cookie dropped: %v", dropped)
			}
			t.Run("A05_and_the_honest_answer_after_it", func(t *testing.T) {
				honest := w.serve(a.callback().build())
				if row.then == open && honest.StatusCode != 303 {
					t.Errorf("the login does not go on: %d %s", honest.StatusCode, honest.code())
				}
				if row.then == spent && (honest.StatusCode != 400 || honest.code() != "transaction_spent") {
					t.Errorf("a second attempt: %d %s", honest.StatusCode, honest.code())
				}
			})
		})
	}
}

// TestCallbackHeaders looks at what every answer of the callback carries.
func TestCallbackHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(t *testing.T, rep *reply) {
		t.Helper()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		} {
			if got := rep.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if csp := rep.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("policy %q", csp)
		}
	}
	t.Run("A53_success_is_303", func(t *testing.T) {
		a := w.visitor().answer("/auth/login?return_to=/private", "")
		rep := a.post()
		if rep.StatusCode != http.StatusSeeOther || rep.Header.Get("Location") != "/private" {
			t.Errorf("%d to %s", rep.StatusCode, rep.Header.Get("Location"))
		}
		check(t, rep)
	})
	t.Run("A45_refusal_cannot_be_framed", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		c.header.Set("Sec-Fetch-Dest", "iframe")
		check(t, w.serve(c.build()))
	})
	t.Run("A13_nothing_is_reflected", func(t *testing.T) {
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		c.method, c.target = http.MethodGet, c.target+"?"+a.form.Encode()
		rep := w.serve(c.build()) // the world's canaries look for the values
		check(t, rep)
	})
}
