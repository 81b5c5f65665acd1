package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/rp"
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
			honest := w.serve(a.callback().build())
			if row.then == open && honest.StatusCode != 303 {
				t.Errorf("A05: the login does not go on: %d %s", honest.StatusCode, honest.code())
			}
			if row.then == spent && (honest.StatusCode != 400 || honest.code() != "transaction_spent") {
				t.Errorf("A05: a second attempt: %d %s", honest.StatusCode, honest.code())
			}
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

func TestCallbackBrowser(t *testing.T) {
	t.Parallel()
	t.Run("A03_answer_of_another_browser", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		attacker, victim := w.visitor(), w.visitor()
		victim.login("/auth/login", "alice")
		before := victim.id()
		theirs, own := attacker.answer("/auth/login", "mallory"), victim.answer("/auth/login", "alice")
		c := theirs.callback()
		c.header.Set("Cookie", own.cookie)
		w.refused(w.serve(c.build()), 400, "transaction_missing")
		c = own.callback() // the other way round: the victim's state with the attacker's tokens
		c.form.Set("code", theirs.form.Get("code"))
		c.form.Set("id_token", theirs.form.Get("id_token"))
		w.refused(w.serve(c.build()), 400, "id_token_nonce")
		if victim.id() != before || w.op.Calls("/oauth/token") != 1 {
			t.Error("the session was touched or the code redeemed")
		}
	})
	t.Run("A04_replay_after_success", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login?return_to=/private", "")
		a.post()
		before := v.id()
		again := a.callback()
		again.header.Set("Cookie", v.header("x"))
		rep := w.serve(again.build())
		if rep.StatusCode != 303 || rep.Header.Get("Location") != "/private" || rep.Header["Set-Cookie"] != nil {
			t.Errorf("%d to %s, cookies %v", rep.StatusCode, rep.Header.Get("Location"), rep.Header["Set-Cookie"])
		}
		other := a.callback()
		other.header.Set("Cookie", v.header("x"))
		other.form.Set("code", "another")
		w.refused(w.serve(other.build()), 400, "transaction_spent")
		if n := w.op.Calls("/oauth/token"); n != 1 || v.id() != before {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A04_replay_with_the_old_cookie", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login", "")
		first := a.post()
		w.clock.add(59 * time.Second)
		second := w.serve(a.callback().build())
		if second.StatusCode != 303 || !slices.Equal(first.Header["Set-Cookie"], second.Header["Set-Cookie"]) {
			t.Error("the answer that may have been lost is not given again")
		}
		w.clock.add(2 * time.Second)
		w.refused(w.serve(a.callback().build()), 400, "transaction_spent")
		if n := w.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A06_parallel_duplicates", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login?return_to=/private", "")
		replies := make([]*reply, 20)
		arrive := newBarrier(len(replies))
		w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
		w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() { replies[i] = w.serve(a.callback().build()) })
		}
		group.Wait()
		for _, rep := range replies {
			if rep.StatusCode != 303 || !slices.Equal(rep.Header["Set-Cookie"], replies[0].Header["Set-Cookie"]) {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		}
		if n := w.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A06_parallel_duplicates_of_a_refusal", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) { delete(a.Claims, "nonce") })
		a := w.visitor().answer("/auth/login", "")
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { w.refused(w.serve(a.callback().build()), 400, "id_token_nonce") })
		}
		group.Wait()
	})
	t.Run("A49_reload_after_the_marker_is_over", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login?return_to=/private", "")
		a.post()
		before := v.id()
		w.clock.add(16 * time.Minute)
		c := a.callback()
		c.header.Set("Cookie", v.header("x")) // a browser whose clock is behind
		w.refused(w.serve(c.build()), 400, "transaction_spent")
		c.header.Del("Cookie")
		rep := w.serve(c.build())
		w.refused(rep, 400, "transaction_missing")
		if !strings.Contains(rep.body, `href="/`) {
			t.Error("the page shows no way on")
		}
		if v.id() != before {
			t.Error("the session is another one")
		}
	})
	t.Run("A58_browser_refuses_what_a_sibling_sets", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login", "")
		name, value, _ := strings.Cut(a.cookie, "=")
		b := optest.NewBrowser(nil)
		b.SetCookies("https://evil.app.example", &http.Cookie{Name: name, Value: value, Domain: "app.example", Path: "/", Secure: true})
		b.SetCookies(site, &http.Cookie{Name: name, Value: value, Path: "/auth", Secure: true})
		if kept := b.Cookies(callbackOf(site)); len(kept) != 0 {
			t.Errorf("kept %v", kept)
		}
	})
}

func callbackOf(origin string) string { return origin + "/auth/callback" }

// barrier waits until a number of goroutines has come.
type barrier struct {
	mu   sync.Mutex // guards left
	left int
	full chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{left: n, full: make(chan struct{})} }

func (b *barrier) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left == 0 {
		close(b.full)
	}
}

func (b *barrier) wait() { <-b.full }

// TestCallbackCookie changes the transaction cookie.
func TestCallbackCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := newWorld(t, func(s *settings) { s.auth.Keys = [][]byte{attackKey("two")} })
	name := func(a *attempt) string { n, _, _ := strings.Cut(a.cookie, "="); return n }
	value := func(a *attempt) string { _, v, _ := strings.Cut(a.cookie, "="); return v }
	for _, row := range []struct {
		name  string
		value func(t *testing.T, a *attempt) string
	}{
		{"A08_truncated", func(_ *testing.T, a *attempt) string { return value(a)[:len(value(a))-5] }},
		{"A08_empty", func(*testing.T, *attempt) string { return "" }},
		{"A08_longer", func(_ *testing.T, a *attempt) string { return value(a) + "AAAA" }},
		{"A08_quoted", func(_ *testing.T, a *attempt) string { return `"` + value(a) + `"` }},
		{"A08_of_another_state", func(_ *testing.T, a *attempt) string { return value(a.v.begin("/auth/login")) }},
		{"A08_made_with_another_key", func(*testing.T, *attempt) string { return value(stranger.visitor().begin("/auth/login")) }},
		{"A08_session_cookie_as_transaction", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			b.login("/auth/login", "")
			return b.cookies[sessionName]
		}},
		{"A08_logout_cookie_as_transaction", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			b.send(formPost("/auth/logout", url.Values{}))
			return b.cookies[cookiePrefix+"o"]
		}},
		// X06: what ends a login must not begin one.
		{"X06_done_marker_of_another_login", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			done := b.answer("/auth/login", "")
			done.post()
			return b.cookies[name(done)]
		}},
		// X07: sealed by the right key for the right name, but of a later format.
		{"X07_unknown_format", func(t *testing.T, a *attempt) string {
			box := insideBox(t, w, "transaction")
			plain, err := box.Open(value(a), name(a))
			if err != nil {
				t.Fatal(err)
			}
			plain[0]++
			sealed, _ := box.Seal(plain, name(a))
			return sealed
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.TB = t
			a := w.visitor().answer("/auth/login", "")
			c := a.callback()
			c.header.Set("Cookie", name(a)+"="+row.value(t, a))
			calls := w.op.Calls("/oauth/token")
			w.refused(w.serve(c.build()), 400, "transaction_invalid")
			if w.op.Calls("/oauth/token") != calls {
				t.Error("the code was redeemed")
			}
		})
	}
	t.Run("A08_every_byte_counts", func(t *testing.T) {
		w := *w
		w.TB = t
		a := w.visitor().answer("/auth/login", "")
		for i := range value(a) {
			c, flipped := a.callback(), []byte(value(a))
			flipped[i] = "AB"[b2i(flipped[i] == 'A')]
			c.header.Set("Cookie", name(a)+"="+string(flipped))
			w.refused(w.serve(c.build()), 400, "transaction_invalid")
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// insideBox is the app's own box, as if its key had leaked: for values that only the app could make.
func insideBox(t *testing.T, w *world, purpose string) *seal.Box {
	t.Helper()
	ring, err := seal.NewRing([][]byte{attackKey("one")}, ownerOf(w.client))
	if err != nil {
		t.Fatal(err)
	}
	box, err := ring.Box(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestCallbackTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		toAsk, toPost time.Duration // what the user takes at the provider, and the answer to come
		status        int
		code          string
	}{
		{"A07_control_a_second_before_its_end", 14 * time.Minute, 59 * time.Second, 303, ""},
		{"A07_expired", 14 * time.Minute, 61 * time.Second, 400, "transaction_expired"},
		{"A07_expired_to_the_second", 14 * time.Minute, 60 * time.Second, 400, "transaction_expired"},
		{"A07_long_ago", 14 * time.Minute, 300 * 24 * time.Hour, 400, "transaction_expired"},
		// X08: the answer lay about, though the user was quick.
		{"X08_old_id_token", 0, 11 * time.Minute, 400, "id_token_issued_at"},
		// X09: clocks that jump back do not end a login, and do not prolong it for ever: the provider's word does.
		{"X09_clock_back_a_little", 0, -20 * time.Second, 303, ""},
		{"X09_clock_back_a_year", 0, -365 * 24 * time.Hour, 400, "id_token_issued_at"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.visitor().begin("/auth/login")
			w.clock.add(row.toAsk)
			a.ask("")
			w.clock.add(row.toPost)
			rep := w.serve(a.callback().build())
			if row.status == 303 && rep.StatusCode == 303 {
				return
			}
			w.refused(rep, row.status, row.code)
			if n := w.op.Calls("/oauth/token"); n != 0 {
				t.Errorf("%d redemptions", n)
			}
		})
	}
}

// TestCallbackError sends hostile texts as the provider's error.
func TestCallbackError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, field := range map[string][2]string{
		"A24_script":         {"error_description", `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`},
		"A24_line_breaks":    {"error_description", "a\r\nSet-Cookie: x=y\r\n\r\nlevel=ERROR msg=forged"},
		"A24_long":           {"error_description", strings.Repeat("lorem ipsum ", 8000)},
		"A24_right_to_left":  {"error_description", "\u202egnp.exe\u2066\u200f"},
		"A24_invalid_UTF_8":  {"error_description", "\xff\xfe\xc0\xaf"},
		"A24_terminal":       {"error_description", "\x1b[2J\x1b]0;x\x07\u009b31m"},
		"A24_hostile_code":   {"error", "<svg onload=alert(1)>\r\nX: y"},
		"A24_long_code":      {"error", strings.Repeat("e", 100_000)},
		"A25_javascript_uri": {"error_uri", "javascript:alert(document.domain)"},
		"A25_evil_uri":       {"error_uri", "https://evil.example/help"},
		"A25_data_uri":       {"error_uri", "data:text/html,<script>alert(1)</script>"},
		"H42_error_template": {"error", "{{.}}${7*7}"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			c := w.visitor().answer("/auth/login", "").callback()
			c.form = url.Values{"error": {"access_denied"}, "state": c.form["state"]}
			c.form.Set(field[0], field[1])
			texts := len(w.spoken.texts)
			rep := w.serve(c.build())
			w.refused(rep, 403, "provider_error")
			for _, part := range []string{"<script", "<img", "<svg", "alert(1)", "evil.example", "javascript:", "data:", "lorem ipsum", "\x1b", "\u202e", "forged", "49"} {
				if part != "49" && strings.Contains(rep.body, part) {
					t.Errorf("the page shows %q", part)
				}
			}
			for name, values := range rep.Header {
				for _, v := range values {
					if strings.ContainsAny(v, "\r\n\x00") || strings.Contains(v, "forged") || name == "X" {
						t.Errorf("header %s: %q", name, v)
					}
				}
			}
			w.spoken.mu.Lock()
			defer w.spoken.mu.Unlock()
			for _, text := range w.spoken.texts[texts:] {
				if strings.HasPrefix(text, "body: ") || strings.HasPrefix(text, "Content") {
					continue
				}
				if len(text) > 3000 || strings.ContainsAny(strings.TrimSuffix(text, "\n"), "\r\n\x1b\x00\u202e\u2066\u009b") {
					t.Errorf("K03: logged %d bytes: %.300q", len(text), text)
				}
			}
		})
	}
}

// TestCallbackResources sends what costs the app more than the attacker, if it is not careful.
func TestCallbackResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("A37_reads_no_more_than_its_limit", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		body := &countingReader{left: 10 << 20}
		c.request = func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(body), -1 }
		w.refused(w.serve(c.build()), 413, "body_too_large")
		if body.read > 256<<10 {
			t.Errorf("read %d bytes", body.read)
		}
	})
	t.Run("A35_file_named_id_token", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		c.header.Set("Content-Type", "multipart/form-data; boundary=b")
		c.body = "--b\r\nContent-Disposition: form-data; name=\"id_token\"; filename=\"x\"\r\n\r\nx\r\n--b--\r\n"
		r := c.build()
		body := &countingReader{left: 40 << 20}
		r.Body = io.NopCloser(body)
		w.refused(w.serve(r), 415, "content_type")
		if body.read != 0 || r.MultipartForm != nil {
			t.Errorf("read %d bytes, form %v", body.read, r.MultipartForm)
		}
	})
	t.Run("A40_slow_body_has_a_deadline", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		rec := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		start := time.Now()
		w.mux.ServeHTTP(rec, c.build())
		if len(rec.read) != 2 || rec.read[0].After(start.Add(30*time.Second)) || rec.read[0].Before(start.Add(time.Second)) || !rec.read[1].IsZero() {
			t.Errorf("read deadlines %v", rec.read)
		}
	})
	t.Run("A40_body_breaks_off", func(t *testing.T) {
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		body := io.MultiReader(bytes.NewReader([]byte(a.form.Encode()[:40])), brokenReader{})
		c.request = func(r *http.Request) { r.Body = io.NopCloser(body) }
		w.refused(w.serve(c.build()), 400, "body")
		if rep := a.post(); rep.StatusCode != 303 {
			t.Error("the login does not go on")
		}
	})
}

type countingReader struct{ left, read int }

func (c *countingReader) Read(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	c.read += n
	for i := range n {
		b[i] = 'a'
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.read = append(d.read, t); return nil }

func TestCallbackMethodAndPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.visitor().answer("/auth/login", "")
	for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "post", "POSTS"} {
		for name, handler := range map[string]http.Handler{"mux": w.mux, "auth": w.auth} {
			t.Run("A46_"+method+"_"+name, func(t *testing.T) {
				w := *w
				w.TB, w.app = t, handler
				c := a.callback()
				c.method = method
				r := c.build()
				if method == "CONNECT" { // else httptest makes an authority of it
					c.method = "GET"
					r = c.build()
					r.Method = method
				}
				rep := w.serve(r)
				if rep.StatusCode != 405 || !strings.Contains(rep.Header.Get("Allow"), "POST") || rep.Header["Set-Cookie"] != nil {
					t.Errorf("%d, Allow %q", rep.StatusCode, rep.Header.Get("Allow"))
				}
			})
		}
	}
	for _, path := range []string{
		"//auth/callback", "/auth//callback", "/auth/callback/", "/auth/CALLBACK", "/AUTH/callback", "/auth/callback;x", "/auth%2fcallback",
		"/%61uth/callback%00", "/auth/callback%20", "/auth/callback.", "/auth/./callback", "/auth/x/../callback", "/auth/callback%2f", "/auth/callback%3f",
		"/auth/callback/x", "/callback", "/auth", "/auth/", `/auth\callback`, "/auth/%2e/callback",
	} {
		for name, handler := range map[string]http.Handler{"mux": w.mux, "auth": w.auth} {
			t.Run("A48_"+strings.ReplaceAll(path, "/", "_")+"_"+name, func(t *testing.T) {
				w := *w
				w.TB, w.app = t, handler
				c := a.callback()
				c.target = path
				rep := w.serve(c.build())
				toItself := rep.StatusCode == 307 && rep.Header.Get("Location") == "/auth/callback" // the mux cleans paths
				if rep.StatusCode != 404 && !toItself || rep.Header["Set-Cookie"] != nil {
					t.Errorf("%d %s", rep.StatusCode, rep.Header.Get("Location"))
				}
			})
		}
	}
	if rep := a.post(); rep.StatusCode != 303 {
		t.Errorf("one of them used the transaction up: %d %s", rep.StatusCode, rep.code())
	}
}

// TestSilentLogin is prompt=none (A27).
func TestSilentLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Prompt = "none" })
	fail := func(a *attempt, code string) *reply {
		a.form = url.Values{"error": {code}, "state": {a.to.Query().Get("state")}}
		return a.post()
	}
	for _, code := range []string{"login_required", "interaction_required", "consent_required", "account_selection_required"} {
		t.Run("A27_"+code, func(t *testing.T) {
			w := *w
			w.TB = t
			v := w.visitor()
			rep := fail(v.begin("/auth/login?return_to=/"), code)
			if rep.StatusCode != 303 || rep.Header.Get("Location") != "/" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			if set, _ := rep.sets(sessionName); set != nil || v.id() != "" {
				t.Error("a session was set")
			}
			if rep := v.open("/auth/login?return_to=/"); rep.StatusCode != 401 || rep.Header["Set-Cookie"] != nil {
				t.Errorf("asks again at once: %d", rep.StatusCode)
			}
			w.clock.add(2 * time.Minute)
			if rep := v.open("/auth/login?return_to=/"); rep.StatusCode != 302 {
				t.Errorf("never asks again: %d", rep.StatusCode)
			}
		})
	}
	t.Run("A27_another_error_is_one", func(t *testing.T) {
		w := *w
		w.TB = t
		w.refused(fail(w.visitor().begin("/auth/login"), "server_error"), 403, "provider_error")
	})
	t.Run("A27_session_that_is_there_stays", func(t *testing.T) {
		w := *w
		w.TB = t
		v := w.visitor()
		w.op.Fault(func(a *optest.Answer) {}) // nobody is logged in at the provider of a fresh browser
		before := v.id()
		rep := fail(v.begin("/auth/login?return_to=/"), "login_required")
		if set, dropped := rep.sets(sessionName); set != nil || dropped != nil || v.id() != before {
			t.Error("the session was touched")
		}
	})
	t.Run("A27_only_if_it_was_asked_for", func(t *testing.T) {
		w := newWorld(t)
		a := w.visitor().begin("/auth/login")
		w.refused(fail(a, "login_required"), 403, "provider_error")
	})
}

// TestRepost is the page that rescues a POST whose cookie got lost (A50 to A52).
func TestRepost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.auth.RepostOnMissingCookie = true })
	t.Run("A50_posts_once_more_and_passes", func(t *testing.T) {
		a := w.visitor().answer("/auth/login?return_to=/private", "")
		c := a.callback()
		c.header.Del("Cookie")
		rep := w.serve(c.build())
		if rep.StatusCode != 200 || rep.Header.Get("Cache-Control") != "no-store" || rep.Header["Set-Cookie"] != nil {
			t.Fatalf("%d", rep.StatusCode)
		}
		again := a.callback()
		again.form = formOf(t, rep)
		again.header.Set("Sec-Fetch-Site", "same-origin")
		if rep := w.serve(again.build()); rep.StatusCode != 303 || rep.Header.Get("Location") != "/private" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("A50_no_second_round", func(t *testing.T) {
		w := *w
		w.TB = t
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		c.header.Del("Cookie")
		c.form = formOf(t, w.serve(c.build()))
		w.refused(w.serve(c.build()), 400, "transaction_missing")
	})
	t.Run("A51_cookie_of_another_browser", func(t *testing.T) {
		w := *w
		w.TB = t
		theirs, own := w.visitor().answer("/auth/login", "mallory"), w.visitor().answer("/auth/login", "")
		c := theirs.callback()
		c.header.Set("Cookie", own.cookie)
		c.form = formOf(t, w.serve(c.build()))
		w.refused(w.serve(c.build()), 400, "transaction_missing")
		if n := w.op.Calls("/oauth/token"); n > 1 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A52_hostile_values", func(t *testing.T) {
		hostile := `"'></textarea></script><script>alert(1)</script>`
		c := w.visitor().answer("/auth/login", "").callback()
		c.header.Del("Cookie")
		c.form = url.Values{"state": {hostile}, "id_token": {hostile}, hostile: {"x"}, "submit": {"1"}, "onload": {"alert(1)"}}
		rep := w.serve(c.build())
		if strings.Contains(rep.body, "<script>alert") || strings.Count(rep.body, "<script") != 1 || strings.Contains(rep.body, `"'>`) {
			t.Errorf("not escaped: %s", rep.body)
		}
		csp := rep.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'nonce-") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %s", csp)
		}
		if got := formOf(t, rep); got.Get("state") != hostile || got.Get(hostile) != "x" {
			t.Errorf("the form changed: %v", got)
		}
	})
	t.Run("A50_off_by_default", func(t *testing.T) {
		w := newWorld(t)
		c := w.visitor().answer("/auth/login", "").callback()
		c.header.Del("Cookie")
		w.refused(w.serve(c.build()), 400, "transaction_missing")
	})
}

// formOf reads the one form of an answer.
func formOf(t *testing.T, rep *reply) url.Values {
	t.Helper()
	p := &optest.Page{URL: site + "/auth/callback", Status: rep.StatusCode, Header: rep.Header, Body: []byte(rep.body)}
	forms := p.Forms()
	if len(forms) != 1 {
		t.Fatalf("%d forms: %s", len(forms), rep.body)
	}
	return forms[0].Fields
}

// TestFragment is the relay page of the mode fragment (A15).
func TestFragment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.rp.ResponseMode = rp.Fragment })
	t.Run("A15_relay_page", func(t *testing.T) {
		rep := w.visitor().open("/auth/callback")
		csp := rep.Header.Get("Content-Security-Policy")
		if rep.StatusCode != 200 || rep.Header.Get("Cache-Control") != "no-store" || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%d, %s", rep.StatusCode, csp)
		}
		if strings.Contains(rep.body, "innerHTML") || strings.Contains(rep.body, "document.write") || strings.Contains(rep.body, "postMessage") {
			t.Error("the relay page uses what attackers like")
		}
	})
	t.Run("control", func(t *testing.T) {
		if rep := w.visitor().answer("/auth/login?return_to=/private", "").post(); rep.StatusCode != 303 {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("A15_answer_in_the_query", func(t *testing.T) {
		w := *w
		w.TB = t
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		c.method, c.target = http.MethodGet, c.target+"?"+a.form.Encode()
		w.refused(w.serve(c.build()), 400, "response_mode")
	})
}

// TestQuery is the mode query, for the response type code.
func TestQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.rp.ResponseType = rp.Code })
	byGet := func(a *attempt) *callback {
		c := a.callback()
		c.method, c.target, c.form = http.MethodGet, c.target+"?"+a.form.Encode(), nil
		return c
	}
	t.Run("control", func(t *testing.T) {
		if rep := w.serve(byGet(w.visitor().answer("/auth/login", "")).build()); rep.StatusCode != 303 {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("X10_posted_instead", func(t *testing.T) { // a success answer in another mode than asked for
		w := *w
		w.TB = t
		w.refused(w.visitor().answer("/auth/login", "").post(), 400, "response_mode")
	})
	t.Run("X10_posted_instead_with_an_empty_error", func(t *testing.T) {
		w := *w
		w.TB = t
		c := w.visitor().answer("/auth/login", "").callback()
		c.form.Set("error", "")
		w.refused(w.serve(c.build()), 400, "response_mode")
	})
	t.Run("A41_semicolons_in_the_query", func(t *testing.T) {
		w := *w
		w.TB = t
		c := byGet(w.visitor().answer("/auth/login", ""))
		c.target += ";code=evil"
		w.refused(w.serve(c.build()), 400, "body")
	})
}
