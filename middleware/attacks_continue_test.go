package middleware_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The login of a step-up in sealed cookies is suspended in the callback and goes on in a GET of our own. What may come
// there.

const suspendedCookie = cookiePrefix + "n"

// suspend brings a step-up to the GET that follows the callback.
func (s *stepUps) suspend(v *visitor) (to string) {
	s.Helper()
	a := v.answer("/more", "alice")
	rep := v.send(a.callback().build())
	to = rep.Header.Get("Location")
	if rep.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/auth/login-continue?login=") {
		s.Fatalf("not suspended: %d %s %s", rep.StatusCode, rep.code(), to)
	}
	return to
}

// untouched checks that the session before lives, as it was.
func (v *visitor) untouched() {
	v.w.Helper()
	v.says("/private", "alice/first of alice/visit/")
}

func TestContinue(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) (*stepUps, *visitor) {
		t.Helper()
		s := newStepUps(t, changes...)
		v := s.visitor()
		v.login("/auth/login", "alice")
		return s, v
	}
	t.Run("H41_callback_spends_nothing_and_sets_no_session", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		a := v.answer("/more", "alice")
		rep := v.send(a.callback().build())
		set, dropped := rep.sets(cookiePrefix)
		if len(set) != 2 || dropped != nil || !slices.ContainsFunc(set, func(name string) bool { return strings.HasPrefix(name, suspendedCookie) }) {
			t.Errorf("sets %v, drops %v", set, dropped)
		}
		for _, c := range rep.Cookies() {
			if strings.HasPrefix(c.Name, suspendedCookie) &&
				(c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || !c.Secure || c.Path != "/" || c.Domain != "" || c.MaxAge != 50 || len(c.Value) > 3900) {
				t.Errorf("%s", c.Raw)
			}
		}
		if n := s.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("%d requests at the token endpoint", n)
		}
		v.untouched()
		// X42: a form sent again leads to the same place, and then to the page.
		again := v.clone().send(a.callback().build())
		if again.Header.Get("Location") != rep.Header.Get("Location") {
			t.Errorf("again: %d %s", again.StatusCode, again.Header.Get("Location"))
		}
		s.clock.add(2 * time.Minute)
		late := a.callback()
		late.header.Set("Cookie", v.header("x"))
		again = v.send(late.build())
		if again.Header.Get("Location") != rep.Header.Get("Location") || again.Header["Set-Cookie"] != nil {
			t.Errorf("later: %d %s %v", again.StatusCode, again.code(), again.Header)
		}
	})
	t.Run("H41_finished_and_sent_again", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		a := v.answer("/more", "alice")
		rep := v.send(a.callback().build())
		before := v.clone()
		to := rep.Header.Get("Location")
		done := v.send(continuation(to))
		if done.Header.Get("Location") != "/more" || strings.Contains(v.header(), suspendedCookie) {
			t.Fatalf("%d %s %s", done.StatusCode, done.code(), v.header())
		}
		v.says("/more", "alice/of alice/visit/")
		// The same GET once more, with the cookies of before: the same answer, and no other session.
		if again := before.send(continuation(to)); again.Header.Get("Location") != "/more" || before.cookies[sessionName] != v.cookies[sessionName] {
			t.Errorf("again: %d %s", again.StatusCode, again.code())
		}
		// With those of now, a reload: it leads on.
		if again := v.send(continuation(to)); again.Header.Get("Location") != "/more" || again.Header["Set-Cookie"] != nil {
			t.Errorf("a reload: %d %s", again.StatusCode, again.code())
		}
		if rep := a.v.send(a.callback().build()); rep.StatusCode != http.StatusSeeOther {
			t.Errorf("the form: %d %s", rep.StatusCode, rep.code())
		}
		if n := s.op.Calls("/oauth/token"); n != 2 {
			t.Errorf("%d requests at the token endpoint", n)
		}
	})
	t.Run("H41_again_when_nobody_remembers_the_answer", func(t *testing.T) {
		t.Parallel()
		s, v := start(t, func(c *settings) { c.auth.CodeLifetime = 10 * time.Minute; c.op.CodeLifetime = 10 * time.Minute })
		to := s.suspend(v)
		before := v.clone()
		v.send(continuation(to))
		s.clock.add(2 * time.Minute)
		s.refused(before.send(continuation(to)), http.StatusBadRequest, "transaction_spent")
		v.says("/private", "alice/of alice/visit/")
	})
	t.Run("H41_fifty_at_once", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		to := s.suspend(v)
		arrive := newBarrier(50)
		s.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); s.mux.ServeHTTP(rw, r) })
		s.wire.gate(func(*http.Request) { arrive.wait() }, nil)
		replies := make([]*reply, 50)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() { replies[i] = v.clone().send(continuation(to)) })
		}
		group.Wait()
		for _, rep := range replies {
			if rep.Header.Get("Location") != "/more" || !slices.Equal(rep.Header["Set-Cookie"], replies[0].Header["Set-Cookie"]) {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
		}
		if n := s.op.Calls("/oauth/token"); n != 2 {
			t.Errorf("%d requests at the token endpoint", n)
		}
	})
	t.Run("H41_without_the_session", func(t *testing.T) { // the browser lost it: a login, and no more
		t.Parallel()
		s, v := start(t)
		to := s.suspend(v)
		maps.DeleteFunc(v.cookies, func(name, _ string) bool { return name == sessionName || strings.HasPrefix(name, cookiePrefix+"t") })
		if rep := v.send(continuation(to)); rep.Header.Get("Location") != "/more" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		v.says("/private", "alice/of alice//")
	})
	t.Run("G01_the_session_before_is_over_everywhere", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		old := v.clone()
		v.send(continuation(s.suspend(v)))
		if rep := old.open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G21_after_the_code's_life", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		to := s.suspend(v)
		s.clock.add(50 * time.Second)
		s.refused(v.send(continuation(to)), http.StatusBadRequest, "transaction_expired")
		if n := s.op.Calls("/oauth/token"); n != 1 {
			t.Error("the code was sent")
		}
		v.untouched()
	})
	t.Run("D15_an_error_ends_the_login_and_not_the_session", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		to := s.suspend(v)
		s.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
			}
		})
		rep := v.send(continuation(to))
		s.refused(rep, http.StatusBadGateway, "provider_error")
		wantWays(t, rep, "Try again → /auth/login?return_to=%2Fmore", "To the home page → /")
		if h := v.header("n"); h != "" {
			t.Errorf("left: %s", h)
		}
		v.untouched()
	})
	t.Run("X40_hook_runs_once_and_sees_the_login", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		var seen []string
		_, v := start(t, func(c *settings) {
			hook := c.auth.OnIdentity
			c.auth.OnIdentity = func(l *middleware.Login) error {
				mu.Lock()
				seen = append(seen, "identity "+l.ReturnTo)
				mu.Unlock()
				if err := hook(l); err != nil {
					return err
				}
				l.ReturnTo += "/then"
				return nil
			}
			c.auth.OnTokens = func(l *middleware.Login, _ *rp.Tokens) error {
				mu.Lock()
				seen = append(seen, strings.Join([]string{"tokens", l.Request.URL.Path, l.ReturnTo, l.Values["user"], l.IDToken.Subject}, " "))
				mu.Unlock()
				return nil
			}
		})
		seen = nil
		if rep := v.answer("/more", "alice").post(); rep.Header.Get("Location") != "/more/then" {
			t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.Header.Get("Location"))
		}
		want := []string{"identity /more", "tokens /auth/login-continue /more/then of alice alice"}
		if !slices.Equal(seen, want) {
			t.Errorf("%q", seen)
		}
	})
	t.Run("G03_the_choice_of_the_hook_is_kept", func(t *testing.T) {
		t.Parallel()
		for mode, calls := range map[middleware.ExchangeMode]int{
			middleware.ExchangeNow: 2, middleware.ExchangeOnDemand: 1, middleware.ExchangeNever: 1,
		} {
			s, v := start(t, func(c *settings) {
				hook := c.auth.OnIdentity
				c.auth.OnIdentity = func(l *middleware.Login) error {
					if l.ReturnTo == "/more" {
						l.Exchange = mode
					}
					return hook(l)
				}
			})
			v.answer("/more", "alice").post()
			v.says("/more", "alice/of alice/visit/")
			if n := s.op.Calls("/oauth/token"); n != calls {
				t.Errorf("mode %d: %d requests at the token endpoint", mode, n)
			}
		}
	})
	t.Run("G03_the_code_ages_from_the_callback_on", func(t *testing.T) {
		t.Parallel()
		s, v := start(t, func(c *settings) { c.auth.Exchange = middleware.ExchangeOnDemand })
		to := s.suspend(v)
		s.clock.add(40 * time.Second)
		v.send(continuation(to))
		s.clock.add(11 * time.Second)
		before := s.op.Calls("/oauth/token")
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound || s.op.Calls("/oauth/token") != before {
			t.Errorf("%d %s: a code of 51 s was sent", rep.StatusCode, rep.code())
		}
	})
	t.Run("G21_logout_drops_what_is_suspended", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		to := s.suspend(v)
		v.send(formPost("/auth/logout", nil))
		if h := v.header("n", "x", "s", "t"); h != "" {
			t.Errorf("left: %s", h)
		}
		s.refused(v.send(continuation(to)), http.StatusBadRequest, "transaction_missing")
		if v.open("/private").StatusCode != http.StatusFound {
			t.Error("logged in")
		}
	})
	for name, row := range map[string]struct {
		mode rp.ResponseMode
		typ  rp.ResponseType
	}{
		"fragment":        {rp.Fragment, rp.CodeIDToken},
		"code_by_query":   {rp.Query, rp.Code},
		"code_by_form":    {rp.FormPost, rp.Code},
		"code_token":      {rp.FormPost, rp.CodeToken},
		"all_three":       {rp.FormPost, rp.CodeIDTokenToken},
		"id_token_of_old": {rp.FormPost, rp.ImplicitIDToken},
	} {
		t.Run("H41_"+name, func(t *testing.T) {
			t.Parallel()
			s := newStepUps(t, func(c *settings) { c.rp.ResponseType, c.rp.ResponseMode = row.typ, row.mode })
			v := s.visitor()
			bring := func(path string) *reply {
				a := v.answer(path, "alice")
				c := a.callback()
				if row.mode == rp.Query {
					c.method, c.target, c.form = http.MethodGet, "/auth/callback?"+a.form.Encode(), nil
					c.header.Del("Content-Type")
				}
				return v.send(c.build())
			}
			bring("/auth/login")
			v.untouched()
			rep := bring("/more")
			if !strings.HasPrefix(rep.Header.Get("Location"), "/auth/login-continue?") {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.send(continuation(rep.Header.Get("Location")))
			v.says("/more", "alice/of alice/visit/")
			if n := s.op.Calls("/oauth/token"); n != 2 && row.typ != rp.ImplicitIDToken {
				t.Errorf("%d requests at the token endpoint", n)
			}
		})
	}
	t.Run("G10_an_answer_of_two_cookies", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		s.says(map[string]any{"padding": strings.Repeat("x", 3000)})
		rep := v.answer("/more", "alice").callback()
		got := v.send(rep.build())
		if set, _ := got.sets(suspendedCookie); len(set) != 2 {
			t.Fatalf("%d %s: sets %v", got.StatusCode, got.code(), set)
		}
		s.op.Fault(nil)
		v.send(continuation(got.Header.Get("Location")))
		if rep := v.open("/private"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G10_an_answer_that_does_not_fit", func(t *testing.T) {
		t.Parallel()
		s, v := start(t)
		s.says(map[string]any{"padding": strings.Repeat("x", 7000)})
		s.refused(v.answer("/more", "alice").post(), http.StatusInternalServerError, "session_too_large")
		v.untouched()
	})
	t.Run("H41_events", func(t *testing.T) {
		t.Parallel()
		_, v := start(t)
		a := v.answer("/more", "alice")
		rep := v.send(a.callback().build())
		done := v.send(continuation(rep.Header.Get("Location")))
		for name, e := range map[string][]rp.Event{"login_suspended": rep.events, "login": done.events} {
			i := slices.IndexFunc(e, func(e rp.Event) bool { return e.Name == name })
			if i < 0 || e[i].Receipt == nil || len(e[i].Receipt.Rules) == 0 {
				t.Errorf("no %s with a receipt: %v", name, e)
			}
		}
	})
}

// TestContinueForgeries changes one thing of a GET that would complete a login.
func TestContinueForgeries(t *testing.T) {
	t.Parallel()
	flip := func(v *visitor, name string) {
		b := []byte(v.cookies[name])
		b[len(b)/2] = "AB"[b2i(b[len(b)/2] == 'A')]
		v.cookies[name] = string(b)
	}
	for name, row := range map[string]struct {
		change func(s *stepUps, v *visitor, r *http.Request, name string)
		status int
		code   string
	}{
		"G05_bit_flip":  {func(_ *stepUps, v *visitor, _ *http.Request, name string) { flip(v, name) }, 400, "transaction_invalid"},
		"G05_cut":       {func(_ *stepUps, v *visitor, _ *http.Request, name string) { v.cookies[name] = v.cookies[name][:100] }, 400, "transaction_invalid"},
		"G05_empty":     {func(_ *stepUps, v *visitor, _ *http.Request, name string) { v.cookies[name] = "" }, 400, "transaction_invalid"},
		"G05_not_there": {func(_ *stepUps, v *visitor, _ *http.Request, name string) { delete(v.cookies, name) }, 400, "transaction_missing"},
		"G10_second_chunk": {func(_ *stepUps, v *visitor, _ *http.Request, name string) {
			v.cookies[name[:len(name)-1]+"1"] = v.cookies[name]
		}, 400, "transaction_invalid"},
		"G05_of_another_browser": {func(s *stepUps, v *visitor, _ *http.Request, name string) {
			other := s.visitor()
			other.login("/auth/login", "alice")
			s.suspend(other)
			for key, value := range other.cookies {
				if strings.HasPrefix(key, suspendedCookie) {
					v.cookies[name] = value
				}
			}
		}, 400, "transaction_invalid"},
		"G05_a_session_in_its_place": {func(_ *stepUps, v *visitor, _ *http.Request, name string) {
			v.cookies[name] = "01" + v.cookies[sessionName]
		}, 400, "transaction_invalid"},
		"H35_no_login_named": {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.URL.RawQuery = "" }, 400, "no_response"},
		"H35_named_twice":    {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.URL.RawQuery += "&" + r.URL.RawQuery }, 400, "no_response"},
		"H35_too_long":       {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.URL.RawQuery += "x" }, 400, "no_response"},
		"H35_another_login":  {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.URL.RawQuery = "login=AAAAAAAAAAAA" }, 400, "transaction_missing"},
		"H22_fetch":          {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.Header.Set("Sec-Fetch-Mode", "cors") }, 403, "not_navigation"},
		"H22_frame":          {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.Header.Set("Sec-Fetch-Dest", "iframe") }, 403, "not_navigation"},
		"H24_HEAD":           {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.Method = http.MethodHead }, 403, "not_navigation"},
		"H22_POST":           {func(_ *stepUps, _ *visitor, r *http.Request, _ string) { r.Method = http.MethodPost }, 405, "method"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStepUps(t)
			s.app = s.auth // all methods
			v := s.visitor()
			s.app = s.mux
			v.login("/auth/login", "alice")
			to := s.suspend(v)
			key := suspendedCookie + strings.TrimPrefix(to, "/auth/login-continue?login=") + "0"
			if v.cookies[key] == "" {
				t.Fatalf("no %s", key)
			}
			before := s.op.Calls("/oauth/token")
			changed := v.clone()
			r := continuation(to)
			row.change(s, changed, r, key)
			if name == "G05_of_another_browser" {
				before = s.op.Calls("/oauth/token")
			}
			r.Header.Set("Cookie", changed.header())
			rec := httptest.NewRecorder()
			rep := &reply{}
			s.auth.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), replyKey{}, rep)))
			rep.Response, rep.body = rec.Result(), rec.Body.String()
			s.refused(rep, row.status, row.code)
			if n := s.op.Calls("/oauth/token"); n != before {
				t.Errorf("%d requests at the token endpoint", n-before)
			}
			v.untouched()
			if strings.HasPrefix(name, "H") { // and the right request still completes it
				if rep := v.send(continuation(to)); rep.Header.Get("Location") != "/more" {
					t.Errorf("afterwards: %d %s", rep.StatusCode, rep.code())
				}
			}
		})
	}
	t.Run("X43_a_name_that_is_no_name", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, login := range []string{"\r\nX-Evil: 12", "=x; Domain=e", "abc\x00defghij", "abcdefghij\xff\xfe", "AAAAAAAAAAA ", "AAAAAAAAAAA="} {
			rep := w.visitor().open("/auth/login-continue?login=" + url.QueryEscape(login))
			if rep.code() != "no_response" || rep.Header["Set-Cookie"] != nil {
				t.Errorf("%q: %d %s sets %q", login, rep.StatusCode, rep.code(), rep.Header["Set-Cookie"])
			}
		}
	})
	t.Run("G08_copies_after_the_logout", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []middleware.ExchangeMode{middleware.ExchangeNever, middleware.ExchangeOnDemand} {
			s := newStepUps(t, func(c *settings) {
				c.auth.Exchange, c.auth.LoginTimeout, c.auth.CodeLifetime = mode, time.Minute, 10*time.Minute
			})
			v := s.visitor()
			v.login("/auth/login", "alice")
			to := s.suspend(v)
			thief := v.clone()
			if rep := v.send(continuation(to)); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.send(formPost("/auth/logout", nil))
			s.clock.add(2 * time.Minute)
			s.refused(thief.send(continuation(to)), http.StatusBadRequest, "transaction_spent")
			if rep := thief.open("/private"); rep.StatusCode == http.StatusOK {
				t.Errorf("%d %s", rep.StatusCode, rep.body)
			}
		}
	})
	t.Run("G08_copies_after_the_logout_on_another_instance", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "cookies", func(c *settings) {
			severalAPIs(c)
			c.auth.Exchange = middleware.ExchangeNever
		})
		for _, w := range []*world{f.world, f.other} {
			w.mux.Handle("/more", w.auth.Require(func(_ *http.Request, s *middleware.Session) error {
				if s.ACR != "gold" {
					return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
				}
				return nil
			}, http.HandlerFunc(whoami)))
		}
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.says(map[string]any{"acr": "gold"})
		a := v.answer("/more", "alice")
		to := v.send(a.callback().build()).Header.Get("Location")
		thief := v.on(f.other)
		v.send(continuation(to))
		v.send(formPost("/auth/logout", nil))
		f.refused(thief.send(continuation(to)), http.StatusForbidden, "logged_out")
		f.loggedOut(thief)
	})
	t.Run("H23_prefetch", func(t *testing.T) {
		t.Parallel()
		s := newStepUps(t)
		v := s.visitor()
		v.login("/auth/login", "alice")
		to := s.suspend(v)
		r := continuation(to)
		r.Header.Set("Sec-Purpose", "prefetch")
		if rep := v.send(r); rep.StatusCode != http.StatusNoContent || rep.Header["Set-Cookie"] != nil {
			t.Errorf("%d", rep.StatusCode)
		}
		v.send(continuation(to))
		v.says("/more", "alice/of alice/visit/")
	})
	t.Run("X41_no_such_route_with_a_store", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, storeKinds[2].use(t))
		rec := httptest.NewRecorder()
		w.auth.ServeHTTP(rec, navigation("/auth/login-continue?login=AAAAAAAAAAAA"))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%d", rec.Code)
		}
	})
	t.Run("H01_no_return_to_leads_there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		if rep := w.visitor().login("/auth/login?return_to="+url.QueryEscape("/auth/login-continue?login=AAAAAAAAAAAA"), ""); rep.Header.Get("Location") != "/" {
			t.Errorf("leads to %s", rep.Header.Get("Location"))
		}
	})
}
