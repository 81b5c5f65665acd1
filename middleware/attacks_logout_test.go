package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group I that are not here:
//   - I01 to I18, I25: back- and front-channel logout come with a later issue
//   - I22, encrypted hints: encrypted tokens are not supported; logout_hint: RP-Initiated Logout leaves it to the app
//   - I23: nothing is revoked yet (Revoke comes with a later issue), so nothing can fail at it
//   - I26: session management needs cookies in a cross-site frame, which browsers do not send; it is not supported
//   - I27: TestReturnTo

// TestLogoutRequest is about who may log a user out (H31).
func TestLogoutRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Del(pairs[i])
				if pairs[i+1] != "" {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	csrf := func(token func(*visitor) string) func(*visitor) *http.Request {
		return func(v *visitor) *http.Request {
			r := formPost("/auth/logout", url.Values{"csrf": {token(v)}})
			r.Header.Set("Origin", "null") // of a page with Referrer-Policy: no-referrer
			return r
		}
	}
	with := func(change func(*http.Request)) func(*visitor) *http.Request {
		return func(*visitor) *http.Request {
			r := formPost("/auth/logout", nil)
			change(r)
			return r
		}
	}
	get := func(path string, pairs ...string) func(*visitor) *http.Request {
		return func(*visitor) *http.Request {
			r := navigation(path)
			header(pairs...)(r)
			return r
		}
	}
	for _, row := range []struct {
		name    string
		request func(*visitor) *http.Request
		out     bool
	}{
		{"control", with(func(*http.Request) {}), true},
		{"control_no_headers_at_all", with(header("Origin", "", "Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "")), true},
		{"control_origin_only", with(header("Sec-Fetch-Site", "")), true},
		{"control_fetch_site_only", with(header("Origin", "")), true},
		{"control_typed", with(header("Origin", "", "Sec-Fetch-Site", "none")), true},
		{"control_csrf", csrf((*visitor).id), true},
		{"H31_GET_image", get("/auth/logout", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Sec-Fetch-Site", "cross-site"), false},
		{"H31_GET_navigation", get("/auth/logout"), false},
		{"H31_GET_with_parameters", get("/auth/logout?confirmed=yes&csrf=x&_method=POST", "X-HTTP-Method-Override", "POST"), false},
		{"H31_GET_of_the_landing", get("/auth/logged-out?state=x"), false},
		{"H31_origin_evil", with(header("Origin", "https://evil.example")), false},
		{"H31_origin_null", with(header("Origin", "null")), false},
		{"H31_origin_of_a_sibling", with(header("Origin", "https://evil.app.example")), false},
		{"H31_origin_with_a_port", with(header("Origin", site+":8443")), false},
		{"H31_origin_without_TLS", with(header("Origin", "http://app.example")), false},
		{"H31_origin_with_a_tail", with(header("Origin", site+".evil.example")), false},
		{"H31_origin_evil_without_fetch_metadata", with(header("Origin", "https://evil.example", "Sec-Fetch-Site", "")), false},
		{"H31_origin_twice", with(func(r *http.Request) { r.Header["Origin"] = []string{site, "https://evil.example"} }), false},
		{"H31_origin_empty", with(func(r *http.Request) { r.Header["Origin"] = []string{""} }), false},
		{"H31_cross_site", with(header("Sec-Fetch-Site", "cross-site")), false},
		{"H31_same_site", with(header("Sec-Fetch-Site", "same-site")), false},
		{"H31_cross_site_without_origin", with(header("Sec-Fetch-Site", "cross-site", "Origin", "")), false},
		{"H31_unknown_fetch_site", with(header("Sec-Fetch-Site", "nearby")), false},
		{"H31_csrf_empty", csrf(func(*visitor) string { return "" }), false},
		{"H31_csrf_wrong", csrf(func(*visitor) string { return "AAAAAAAAAAAAAAAAAAAAAA" }), false},
		{"H31_csrf_of_another_session", csrf(func(*visitor) string {
			v := w.visitor()
			v.login("/auth/login", "mallory")
			return v.id()
		}), false},
		{"H31_csrf_in_the_query", func(v *visitor) *http.Request {
			r := formPost("/auth/logout?csrf="+url.QueryEscape(v.id()), nil)
			r.Header.Set("Origin", "null")
			return r
		}, false},
		{"H31_JSON", with(header("Content-Type", "application/json", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")), false},
		{"H31_text_with_a_body", func(*visitor) *http.Request {
			r := formPost("/auth/logout", url.Values{"return_to": {"/"}})
			r.Header.Set("Content-Type", "text/plain")
			return r
		}, false},
		{"H31_PUT", with(func(r *http.Request) { r.Method = "PUT" }), false},
		{"H31_DELETE", with(func(r *http.Request) { r.Method = "DELETE" }), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := w.visitor()
			v.login("/auth/login", "alice")
			rep := v.send(row.request(v))
			if row.out {
				if rep.StatusCode != http.StatusSeeOther || v.id() != "" {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				return
			}
			if rep.Header["Set-Cookie"] != nil || rep.Header.Get("Location") != "" || v.id() == "" {
				t.Errorf("%d %s, cookies %v", rep.StatusCode, rep.code(), rep.Header["Set-Cookie"])
			}
		})
	}
}

// TestLogout goes to the provider and back (I19 to I24).
func TestLogout(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run("I19_request_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			v.begin("/auth/login") // a login under way ends too
			old := v.clone()
			rep := v.send(formPost("/auth/logout", url.Values{"return_to": {"/private?x"}}))
			to, err := rep.Location()
			if err != nil || to.Scheme+"://"+to.Host+to.Path != w.op.URL+"/logout" {
				t.Fatalf("%d to %v", rep.StatusCode, to)
			}
			q := to.Query()
			if q.Get("client_id") != "app" || q.Get("post_logout_redirect_uri") != site+"/auth/logged-out" || len(q.Get("state")) < 22 || strings.Count(q.Get("id_token_hint"), ".") != 2 || len(q) != 4 {
				t.Errorf("parameters %v", q)
			}
			for _, prefix := range []string{"s", "t", "x"} {
				if v.header(prefix) != "" {
					t.Errorf("I24: left: %s", prefix)
				}
			}
			if old.id() != "" { // the local session ended first, whatever the provider does now
				t.Error("the session lives on")
			}
			back := v.open("/auth/logged-out?state=" + q.Get("state"))
			if back.StatusCode != 200 || !strings.HasSuffix(back.Header.Get("Refresh"), ";url=/private?x") || linkOf(back) != "/private?x" {
				t.Errorf("%d, Refresh %q", back.StatusCode, back.Header.Get("Refresh"))
			}
			again := v.open("/auth/logged-out?state=" + q.Get("state"))
			if again.StatusCode != 200 || again.Header.Get("Refresh") != "" {
				t.Errorf("the state works twice: %q", again.Header.Get("Refresh"))
			}
		})
	}
	t.Run("I19_through_a_browser", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		b := optest.NewBrowser(&http.Client{Transport: appTransport{w}})
		open := func(path string) *optest.Page {
			t.Helper()
			p, err := b.Open(t.Context(), site+path)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := open("/private"); p.Status != 200 || p.URL != site+"/private" {
			t.Fatalf("%d %s", p.Status, p.URL)
		}
		confirm := open("/auth/logout?return_to=/")
		end, err := b.Submit(t.Context(), confirm, nil)
		if err != nil || end.Status != 200 || !strings.HasPrefix(end.URL, site+"/auth/logged-out?state=") {
			t.Fatalf("%v %v", end, err)
		}
		if w.op.Calls("/logout") != 1 {
			t.Error("the provider was not asked")
		}
		if p := open("/"); strings.Contains(string(p.Body), "alice") {
			t.Error("still logged in")
		}
	})
	for name, query := range map[string]string{
		"I20_state_missing": "", "I20_state_empty": "?state=", "I20_state_wrong": "?state=AAAAAAAAAAAAAAAAAAAAAAAAAA", "I20_state_twice": "?state=STATE&state=STATE",
		"I20_state_cut": "?state=STAT", "I20_hostile": "?state=%3Cscript%3Ealert(1)%3C/script%3E&error=evil&return_to=//evil.example&post_logout_redirect_uri=//evil.example",
		"I20_state_in_another_name": "?State=STATE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			v := w.visitor()
			v.login("/auth/login", "")
			to, _ := v.send(formPost("/auth/logout", url.Values{"return_to": {"/private"}})).Location()
			state := to.Query().Get("state")
			rep := v.open("/auth/logged-out" + strings.ReplaceAll(strings.ReplaceAll(query, "STATE", state), "STAT", state[:len(state)-1]))
			if rep.StatusCode != 200 || rep.Header.Get("Refresh") != "" || rep.Header.Get("Location") != "" || linkOf(rep) != "/" || strings.Contains(rep.body, "<script>alert") || strings.Contains(rep.body, "evil") {
				t.Errorf("%d, Refresh %q, link %s", rep.StatusCode, rep.Header.Get("Refresh"), linkOf(rep))
			}
		})
	}
	t.Run("I20_state_of_another_browser", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		one, two := w.visitor(), w.visitor()
		a, _ := one.send(formPost("/auth/logout", url.Values{"return_to": {"/private"}})).Location()
		two.send(formPost("/auth/logout", url.Values{"return_to": {"/private"}}))
		if rep := two.open(a.String()); rep.Header.Get("Refresh") != "" {
			t.Error("it leads on")
		}
	})
	t.Run("I20_state_after_its_time", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		to, _ := v.send(formPost("/auth/logout", url.Values{"return_to": {"/private"}})).Location()
		w.clock.add(16 * time.Minute)
		if rep := v.open(to.String()); rep.StatusCode != 200 || rep.Header.Get("Refresh") != "" {
			t.Error("it leads on")
		}
	})
	t.Run("I21_provider_without_logout", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.rp.Discovery = rp.Lazy })
		w.op.Fault(func(a *optest.Answer) { delete(a.JSON, "end_session_endpoint") })
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.send(formPost("/auth/logout", url.Values{"return_to": {"/private"}}))
		if !strings.HasPrefix(rep.Header.Get("Location"), "/auth/logged-out?state=") || v.id() != "" {
			t.Errorf("%d to %s", rep.StatusCode, rep.Header.Get("Location"))
		}
		if end := v.open(rep.Header.Get("Location")); !strings.HasSuffix(end.Header.Get("Refresh"), "/private") {
			t.Errorf("Refresh %q", end.Header.Get("Refresh"))
		}
	})
	t.Run("I21_provider_is_down", func(t *testing.T) {
		t.Parallel()
		store := fileStore(t)
		w := newWorld(t, func(s *settings) { s.auth.Store = store })
		v := w.visitor()
		v.login("/auth/login", "")
		lazy := *w // another process, which has seen no metadata yet
		lazy.mux = http.NewServeMux()
		lazy.app = lazy.mux
		lazy.client = lazy.newClient(rp.Config{
			Issuer: w.op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/callback", IDTokenAlgorithm: "ES256",
			Discovery: rp.Lazy, Insecure: rp.Insecure{PlainHTTP: true}, Now: w.clock.Now, Observe: w.spoken.observe,
		})
		lazy.auth = lazy.newAuth(middleware.Config{Client: lazy.client, Keys: [][]byte{attackKey("one")}, Name: "t", Store: store, Now: w.clock.Now, Observe: w.spoken.observe})
		lazy.register(lazy.auth)
		w.op.Close()
		u := v.on(&lazy)
		if rep := u.send(formPost("/auth/logout", nil)); !strings.HasPrefix(rep.Header.Get("Location"), "/auth/logged-out") {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if v.on(&lazy).id() != "" {
			t.Error("the session lives on")
		}
		rep := w.visitor().on(&lazy).open("/private") // and a login is answered calmly
		if rep.StatusCode != 503 || rep.code() != "unavailable" || rep.Header.Get("Retry-After") == "" || rep.Header["Set-Cookie"] != nil {
			t.Errorf("login: %d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("I22_hint_that_is_too_long_for_a_URL", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.auth.Store = fileStore(t) })
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["groups"] = strings.Repeat("group ", 500)
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.send(formPost("/auth/logout", nil))
		p := &optest.Page{URL: site, Header: rep.Header, Body: []byte(rep.body)}
		forms := p.Forms()
		if rep.StatusCode != 200 || len(forms) != 1 || forms[0].Action != w.op.URL+"/logout" || forms[0].Fields.Get("id_token_hint") == "" {
			t.Errorf("%d, %d forms", rep.StatusCode, len(forms))
		}
		w.spoken.texts = nil // the page is meant to carry the hint
	})
	t.Run("I22_without_a_hint", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.auth.Exchange, s.auth.OmitIDToken = middleware.ExchangeNever, true })
		v := w.visitor()
		v.login("/auth/login", "")
		to, err := v.send(formPost("/auth/logout", nil)).Location()
		if err != nil || to.Query().Has("id_token_hint") || to.Query().Get("client_id") != "app" {
			t.Errorf("%v", to)
		}
	})
	// X20: a session that the browser has lost half of still logs out, and nothing breaks.
	t.Run("X20_broken_session", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		v.login("/auth/login", "")
		delete(v.cookies, cookiePrefix+"t0")
		rep := v.send(formPost("/auth/logout", nil))
		if rep.StatusCode != 303 || v.header("s", "t", "x") != "" {
			t.Errorf("%d, left %s", rep.StatusCode, v.header("s", "t", "x"))
		}
	})
	// L17: a login that began before the logout is answered after it. It is a login of its own: the user typed a
	// password at the provider; but the logout has dropped its transaction.
	t.Run("L17_login_under_way_at_the_logout", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		a := v.answer("/auth/login", "alice")
		v.send(formPost("/auth/logout", nil))
		c := a.callback()
		c.header.Set("Cookie", v.header("x"))
		w.refused(w.serve(c.build()), 400, "transaction_missing")
	})
	// X22: the answer of a login is posted again within the minute in which its cookies would be given again, after
	// a logout: the session stays ended.
	t.Run("X22_replay_after_logout", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login", "alice")
		a.post()
		v.send(formPost("/auth/logout", nil))
		v.keep(w.serve(a.callback().build()))
		if v.id() != "" {
			t.Error("the session lives again")
		}
	})
}
