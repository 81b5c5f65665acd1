package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

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
		rep = a.v.send(again.build())
		if rep.StatusCode != 303 || rep.Header.Get("Location") != "/private" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		reload := a.callback() // of the provider's POST, which had no marker
		reload.header.Set("Cookie", a.v.header("x"))
		if rep := w.serve(reload.build()); rep.StatusCode != 303 || rep.Header["Set-Cookie"] != nil {
			t.Errorf("reload: %d %s", rep.StatusCode, rep.code())
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
	t.Run("A15_answer_posted_by_another_site", func(t *testing.T) { // in the mode form_post, which was not asked for
		w := *w
		w.TB = t
		for _, from := range []string{"cross-site", "same-site", "", "same-origin, cross-site"} {
			c := w.visitor().answer("/auth/login", "").callback()
			c.header.Set("Sec-Fetch-Site", from)
			w.refused(w.serve(c.build()), 400, "response_mode")
		}
		for _, from := range [][]string{nil, {"same-origin"}, {"none"}} {
			c := w.visitor().answer("/auth/login", "").callback()
			c.header["Sec-Fetch-Site"] = from
			if rep := w.serve(c.build()); rep.StatusCode != 303 {
				t.Errorf("%q: %d %s", from, rep.StatusCode, rep.code())
			}
		}
		c := w.visitor().answer("/auth/login", "").callback() // an error ends the login, however it came
		c.header.Set("Sec-Fetch-Site", "cross-site")
		c.form = url.Values{"error": {"access_denied"}, "state": c.form["state"]}
		w.refused(w.serve(c.build()), 403, "provider_error")
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
