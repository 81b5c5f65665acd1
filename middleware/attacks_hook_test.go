package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestRequire is the app's own check (H40, H41).
func TestRequire(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, check func(*http.Request, *middleware.Session) error) *world {
		w := newWorld(t)
		w.mux.Handle("/checked", w.auth.Require(check, http.HandlerFunc(whoami)))
		return w
	}
	t.Run("H40_denied_unless_the_check_says_yes", func(t *testing.T) {
		t.Parallel()
		w := start(t, func(*http.Request, *middleware.Session) error {
			return errors.New("claim is a string, not a list: <script>")
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		w.refused(rep, 403, "forbidden")
		if strings.Contains(rep.body, "claim is") {
			t.Error("the reason is shown")
		}
	})
	t.Run("H42_text_of_a_refusal_is_escaped", func(t *testing.T) {
		t.Parallel()
		w := start(t, func(*http.Request, *middleware.Session) error {
			return &middleware.Refusal{Text: "<script>alert(1)</script>"}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		w.refused(rep, 403, "forbidden")
		if strings.Contains(rep.body, "<script>alert") || !strings.Contains(rep.body, "&lt;script&gt;alert") {
			t.Errorf("%s", rep.body)
		}
	})
	gold := func(_ *http.Request, s *middleware.Session) error {
		if s.ACR != "gold" {
			return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
		}
		return nil
	}
	t.Run("H41_step_up_that_works", func(t *testing.T) {
		t.Parallel()
		w := start(t, gold)
		v := w.visitor()
		v.login("/auth/login", "")
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["acr"] = "gold"
			}
		})
		rep := v.answer("/checked", "").post()
		if rep.Header.Get("Location") != "/checked" || v.open("/checked").StatusCode != 200 {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("H41_step_up_that_cannot_work_is_tried_once", func(t *testing.T) {
		t.Parallel()
		w := start(t, gold)
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["acr"] = "lead"
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		id := v.id()
		if rep := v.answer("/checked", "").post(); rep.StatusCode != 303 {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		if again := v.id(); again == id || again == "" {
			t.Error("no new login")
		}
		w.refused(v.open("/checked"), 403, "challenge_unmet")
	})
	t.Run("H41_script_is_told_so", func(t *testing.T) {
		t.Parallel()
		w := start(t, gold)
		v := w.visitor()
		v.login("/auth/login", "")
		r := navigation("/checked")
		r.Header.Set("Sec-Fetch-Mode", "cors")
		rep := v.send(r)
		w.refused(rep, 401, "login_required")
		if !strings.Contains(rep.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") || rep.Header["Set-Cookie"] != nil {
			t.Errorf("%q", rep.Header.Get("WWW-Authenticate"))
		}
	})
	t.Run("H41_hook_asks_for_more_once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) {
			s.auth.OnIdentity = func(*middleware.Login) error {
				return &middleware.Challenge{Options: rp.AuthOptions{Prompt: "login", ACRValues: []string{"gold"}}}
			}
		})
		v := w.visitor()
		a := v.answer("/auth/login?return_to=/private", "")
		rep := a.post()
		to, err := rep.Location()
		if err != nil || rep.StatusCode != http.StatusSeeOther || to.Query().Get("acr_values") != "gold" {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		names, dropped := rep.sets(cookiePrefix + "x")
		if len(names) != 1 || len(dropped) != 1 {
			t.Fatalf("transactions: %v, dropped %v", names, dropped)
		}
		second := &attempt{v: v, to: to, cookie: names[0] + "=" + v.cookies[names[0]]}
		second.ask("")
		w.refused(second.post(), 403, "challenge_unmet")
		if n := w.op.Calls("/oauth/token"); n != 0 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("H39_handler_panics", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		v.login("/auth/login", "")
		id := v.id()
		w.page = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		w.clock.add(10 * time.Minute)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			v.open("/private")
		}()
		w.page = whoami
		if got := v.id(); got != id || id == "" {
			t.Error("the session is another one")
		}
	})
}

// TestHook has hooks that fail (D46), and a browser that leaves (D45).
func TestHook(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		onIdentity func(*middleware.Login) error
		onTokens   func(*middleware.Login, *rp.Tokens) error
		status     int
		code       string
		calls      int
	}{
		{"D46_panic_before_the_exchange", func(*middleware.Login) error { panic("canary") }, nil, 500, "panic", 0},
		{"D46_panic_after_the_exchange", nil, func(*middleware.Login, *rp.Tokens) error { panic(errors.New("canary")) }, 500, "panic", 1},
		{"D46_panic_to_abort", func(*middleware.Login) error { panic(http.ErrAbortHandler) }, nil, 500, "panic", 0},
		{"D46_nil_map_and_nil_pointer", func(l *middleware.Login) error { l.Request = nil; return errors.New(l.Request.Host) }, nil, 500, "panic", 0},
		{"L16_error_before_the_exchange", func(*middleware.Login) error { return errors.New("database is down") }, nil, 500, "hook", 0},
		{"L16_error_after_the_exchange", nil, func(*middleware.Login, *rp.Tokens) error { return errors.New("database is down") }, 500, "hook", 1},
		{"L16_refusal_before_the_exchange", func(*middleware.Login) error { return &middleware.Refusal{Text: "no"} }, nil, 403, "refused", 0},
		{"L16_refusal_after_the_exchange", nil, func(*middleware.Login, *rp.Tokens) error { return &middleware.Refusal{Text: "no"} }, 403, "refused", 1},
		{"L16_unknown_way_to_spend_the_code", func(l *middleware.Login) error { l.Exchange = 99; return nil }, nil, 500, "exchange_mode", 0},
		{"L16_values_too_large", func(l *middleware.Login) error { l.Values["x"] = strings.Repeat("x", 600); return nil }, nil, 500, "values", 0},
		{"L16_values_are_no_map", func(l *middleware.Login) error { l.Values = nil; return nil }, nil, 303, "", 1},
		{"L16_evil_return_to", func(l *middleware.Login) error { l.ReturnTo = "//evil.example"; return nil }, nil, 303, "", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) { s.auth.OnIdentity, s.auth.OnTokens = row.onIdentity, row.onTokens })
			a := w.visitor().answer("/auth/login?return_to=/private", "")
			rep := a.post()
			if n := w.op.Calls("/oauth/token"); n != row.calls {
				t.Errorf("%d redemptions, want %d", n, row.calls)
			}
			if row.status == 303 {
				if l := rep.Header.Get("Location"); rep.StatusCode != 303 || l != "/private" && l != "/" {
					t.Errorf("%d to %s", rep.StatusCode, l)
				}
				return
			}
			w.refused(rep, row.status, row.code)
			if row.status == 500 {
				wantLevel(t, w, "ERROR")
			}
			if place := "(attacks_hook_test.go:"; row.code == "panic" && (!strings.Contains(w.spoken.text(), place) || strings.Contains(rep.body, place)) {
				t.Errorf("the log, and it alone, must say %s", place)
			}
			if strings.Contains(rep.body, "database") || strings.Contains(rep.body, "canary") {
				t.Error("the page shows the reason")
			}
			w.spoken.secret("panic value", "canary-canary")
			other := a.callback()
			other.form.Set("x", "y")
			w.refused(w.serve(other.build()), 400, "transaction_spent")
		})
	}
	// L16: the app decides for one user that the code is not spent.
	t.Run("L16_hook_spends_no_code", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) {
			s.auth.OnIdentity = func(l *middleware.Login) error { l.Exchange = middleware.ExchangeNever; return nil }
			s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { t.Error("OnTokens ran"); return nil }
		})
		v := w.visitor()
		v.login("/auth/login", "")
		if v.open("/private").who().Subject != "alice" {
			t.Error("not logged in")
		}
		w.refused(v.open("/tokens"), 403, "no_tokens")
		if n := w.op.Calls("/oauth/token"); n != 0 {
			t.Errorf("%d redemptions", n)
		}
	})
	// L16: with code token nobody is known before the exchange, and nobody can choose not to do it.
	for name, choose := range map[string]middleware.ExchangeMode{"L16_control": middleware.ExchangeNow, "L16_too_late_to_choose": middleware.ExchangeNever} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) {
				s.rp.ResponseType = rp.CodeToken
				s.auth.OnIdentity = func(l *middleware.Login) error {
					if l.FrontChannel || l.IDToken.Subject != "alice" {
						t.Errorf("FrontChannel %v", l.FrontChannel)
					}
					l.Exchange = choose
					return nil
				}
			})
			rep := w.visitor().answer("/auth/login", "").post()
			if choose == middleware.ExchangeNow && rep.StatusCode == 303 {
				return
			}
			w.refused(rep, 500, "exchange_mode")
		})
	}
	// L16: the access token that came through the browser is never the session's.
	t.Run("L16_front_channel_access_token", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.rp.ResponseType = rp.CodeIDTokenToken })
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			token, err := middleware.FromContext(r.Context()).Token(r.Context())
			if err != nil || token.RefreshToken != "" {
				t.Errorf("%v, or the refresh token is handed out", err)
				return
			}
			rw.Header().Set("X-Same", strconv.FormatBool(token.AccessToken == r.URL.Query().Get("front")))
		}
		v := w.visitor()
		a := v.answer("/auth/login", "")
		a.post()
		if rep := v.open("/tokens?front=" + url.QueryEscape(a.form.Get("access_token"))); a.form.Get("access_token") == "" || rep.Header.Get("X-Same") != "false" {
			t.Errorf("%d, same: %q", rep.StatusCode, rep.Header.Get("X-Same"))
		}
	})
	t.Run("D45_browser_leaves_during_the_exchange", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login?return_to=/private", "")
		asked, goOn := make(chan struct{}), make(chan struct{})
		w.wire.gate(func(*http.Request) { close(asked); <-goOn }, nil)
		ctx, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { w.serve(a.callback().build().WithContext(ctx)) })
		<-asked
		leave()
		close(goOn)
		group.Wait()
		rep := a.post() // the user reloads
		if n := w.op.Calls("/oauth/token"); rep.StatusCode != 303 || n != 1 || a.v.id() == "" {
			t.Errorf("%d %s, %d redemptions", rep.StatusCode, rep.code(), n)
		}
	})
	t.Run("D45_browser_leaves_while_it_waits_for_its_twin", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login", "")
		asked, goOn := make(chan struct{}), make(chan struct{})
		w.wire.gate(func(*http.Request) { close(asked); <-goOn }, nil)
		var group sync.WaitGroup
		group.Go(func() {
			if rep := w.serve(a.callback().build()); rep.StatusCode != 303 {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		})
		<-asked
		ctx, leave := context.WithCancel(t.Context())
		leave()
		w.serve(a.callback().build().WithContext(ctx)) // returns, though the first one still waits
		close(goOn)
		group.Wait()
	})
	t.Run("D39_what_goes_to_the_provider", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.HTTPHeader != nil {
				a.HTTPHeader.Set("Set-Cookie", "tracking=canary; Path=/")
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		v.login("/auth/login", "")
		requests := append(w.op.Requests("/oauth/token"), w.op.Requests("/jwks")...)
		for _, r := range requests {
			if r.Header.Get("Cookie") != "" || r.Header.Get("Referer") != "" || r.URL.RawQuery != "" {
				t.Errorf("%s: Cookie %q, Referer %q, query %q", r.URL.Path, r.Header.Get("Cookie"), r.Header.Get("Referer"), r.URL.RawQuery)
			}
		}
		if len(requests) < 3 {
			t.Errorf("%d requests", len(requests))
		}
	})
}
