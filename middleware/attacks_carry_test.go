package middleware_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// A login that was begun for a session: what of it goes on in the new one.

// stepUps is an app whose page /more wants another login, with what it may ask for in the query, and whose hook keeps a
// value of the first login of a browser only.
type stepUps struct {
	*world
	wants func(*middleware.Session) error // of /more; nil passes
}

func newStepUps(t *testing.T, changes ...func(*settings)) *stepUps {
	t.Helper()
	s := &stepUps{}
	hooked := func(c *settings) {
		c.auth.OnIdentity = func(l *middleware.Login) error {
			l.Values["user"] = "of " + l.IDToken.Subject
			if !strings.HasPrefix(l.ReturnTo, "/more") {
				l.Values["first"] = "visit"
				l.Values["user"] = "first of " + l.IDToken.Subject
			}
			return nil
		}
	}
	s.world = newWorld(t, append([]func(*settings){severalAPIs, hooked}, changes...)...)
	s.page = func(w http.ResponseWriter, r *http.Request) {
		session := middleware.FromContext(r.Context())
		if session == nil {
			return
		}
		_, _ = w.Write([]byte(strings.Join([]string{session.Subject, session.Value("user"), session.Value("first"), session.ACR}, "/")))
	}
	check := func(_ *http.Request, session *middleware.Session) error { return s.wants(session) }
	s.mux.Handle("/more", s.auth.Require(check, http.HandlerFunc(s.page)))
	s.mux.Handle("/apis", s.auth.RequireLogin(http.HandlerFunc(audiences)))
	s.mux.Handle("/again", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.auth.Login(w, r, rp.AuthOptions{}) }))
	s.wants = func(session *middleware.Session) error {
		if session.Value("user") == "of "+session.Subject {
			return nil
		}
		return &middleware.Challenge{Options: rp.AuthOptions{Prompt: "consent"}}
	}
	return s
}

// says opens a page and compares its text.
func (v *visitor) says(path, text string) {
	v.w.Helper()
	if rep := v.open(path); rep.StatusCode != http.StatusOK || rep.body != text {
		v.w.Errorf("%s: %d %s %q, want %q", path, rep.StatusCode, rep.code(), rep.body, text)
	}
}

// says makes the provider say something in all ID Tokens from now on.
func (w *world) says(claims map[string]any) {
	w.op.Fault(func(a *optest.Answer) {
		if a.Claims != nil {
			maps.Copy(a.Claims, claims)
		}
	})
}

func TestCarry(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		start := func(t *testing.T, changes ...func(*settings)) (*stepUps, *visitor) {
			t.Helper()
			s := newStepUps(t, append(changes, store.use(t))...)
			v := s.visitor()
			v.login("/auth/login", "alice")
			v.says("/private", "alice/first of alice/visit/")
			return s, v
		}
		t.Run("G04_the_same_user_keeps_values_under_a_new_ID_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			old := v.clone()
			if rep := v.answer("/more", "alice").post(); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.says("/more", "alice/of alice/visit/")
			if v.cookies[sessionName] == old.cookies[sessionName] {
				t.Error("the cookie is the same")
			}
			if rep := old.open("/private"); rep.StatusCode != http.StatusFound {
				t.Errorf("the session before lives: %d", rep.StatusCode)
			}
			if n := s.op.Calls("/oauth/token"); n != 2 {
				t.Errorf("%d requests at the token endpoint for two logins", n)
			}
		})
		t.Run("G04_another_user_gets_nothing_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			old, before := v.clone(), s.refreshes()
			if rep := v.answer("/more", "bob").post(); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.says("/more", "bob/of bob//")
			if rep := v.open("/apis?for=" + ordersAPI); !strings.HasPrefix(rep.body, "token ") || s.refreshes() != before+1 {
				t.Errorf("%d refreshes, %s", s.refreshes()-before, rep.body)
			}
			if rep := old.open("/private"); rep.StatusCode != http.StatusFound {
				t.Errorf("alice's session lives: %d", rep.StatusCode)
			}
		})
		t.Run("G02_a_login_of_its_own_keeps_nothing_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			v.login("/again?return_to=/more", "alice")
			v.says("/private", "alice/of alice//")
		})
		t.Run("E16_tokens_of_targets_stay_with_the_same_authentication_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			s.clock.add(10 * time.Second)
			sameTime := map[string]any{"auth_time": s.clock.Now().Add(-10 * time.Second).Unix()}
			s.says(sameTime)
			v.answer("/more", "alice").post()
			if v.wantAud("/apis?for="+ordersAPI, ordersAPI) != token || s.refreshes() != 1 {
				t.Errorf("another token, %d refreshes", s.refreshes())
			}
		})
		for name, claim := range map[string]map[string]any{
			"acr": {"acr": "gold"}, "amr": {"amr": []string{"otp"}}, "auth_time": {"auth_time": time.Date(2026, 6, 1, 12, 0, 9, 0, time.UTC).Unix()},
		} {
			t.Run("H41_tokens_of_targets_go_with_another_"+name+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				s, v := start(t)
				token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
				s.clock.add(10 * time.Second)
				claims := map[string]any{"auth_time": s.clock.Now().Add(-10 * time.Second).Unix()}
				for name, value := range claim {
					claims[name] = value
				}
				s.says(claims)
				v.answer("/more", "alice").post()
				if v.wantAud("/apis?for="+ordersAPI, ordersAPI) == token || s.refreshes() != 2 {
					t.Errorf("the token of the weaker authentication is used, %d refreshes", s.refreshes())
				}
			})
		}
		t.Run("E16_a_token_that_has_ended_is_not_carried_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			s.clock.add(6 * time.Minute)
			s.says(map[string]any{"auth_time": s.clock.Now().Add(-6 * time.Minute).Unix()})
			v.answer("/more", "alice").post()
			if v.wantAud("/apis?for="+ordersAPI, ordersAPI) == token {
				t.Error("it is used")
			}
		})
		t.Run("G21_logged_out_while_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			tab := v.clone()
			a := v.answer("/more", "alice")
			tab.send(formPost("/auth/logout", nil))
			if rep := a.post(); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.says("/private", "alice/of alice//") // a new login, and no more
		})
		t.Run("G21_over_while_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t, func(c *settings) { c.auth.Idle = 5 * time.Minute })
			a := v.begin("/more")
			s.clock.add(6 * time.Minute)
			a.ask("alice")
			a.post()
			v.says("/private", "alice/of alice//")
		})
		t.Run("G21_everybody_logged_out_while_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			a := v.begin("/more")
			if err := s.auth.EndSessions(t.Context(), s.op.URL, "alice", ""); err != nil {
				t.Fatal(err)
			}
			s.clock.add(time.Second)
			a.ask("alice")
			a.post()
			v.says("/private", "alice/of alice//")
		})
		t.Run("G22_the_session_changes_while_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			a := v.begin("/more")
			s.clock.add(time.Second)
			s.says(map[string]any{"auth_time": s.clock.Now().Add(-time.Second).Unix()})
			token := v.wantAud("/apis?for="+ordersAPI, ordersAPI) // another tab
			a.ask("alice")
			a.post()
			if v.wantAud("/apis?for="+ordersAPI, ordersAPI) != token || s.refreshes() != 1 {
				t.Errorf("%d refreshes", s.refreshes())
			}
			v.says("/private", "alice/of alice/visit/")
		})
		t.Run("G22_five_tabs_at_once_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			var tabs []*attempt
			for range 5 {
				s.clock.add(time.Second)
				tabs = append(tabs, v.begin("/more"))
			}
			for _, a := range tabs {
				a.ask("alice")
				if rep := a.post(); rep.Header.Get("Location") != "/more" {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				v.says("/more", "alice/of alice/visit/")
			}
		})
		t.Run("G22_two_tabs_and_a_logout_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			one, two := v.answer("/more", "alice"), v.answer("/more", "alice")
			one.post()
			kept := v.clone()
			v.send(formPost("/auth/logout", nil))
			kept.cookies = map[string]string{}
			maps.Copy(kept.cookies, v.cookies)
			name, value, _ := strings.Cut(two.cookie, "=")
			kept.cookies[name] = value
			two.v = kept
			two.post()
			kept.says("/private", "alice/of alice//")
		})
		t.Run("G02_two_tabs_and_two_users_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			one, two := v.answer("/more", "bob"), v.answer("/more", "alice")
			one.post()
			two.post()
			if rep := v.open("/private"); rep.body != "alice/of alice//" {
				t.Errorf("%s", rep.body)
			}
		})
		t.Run("G02_another_user_logs_in_while_at_the_provider_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			a := v.answer("/more", "alice")
			v.login("/again", "bob") // another tab
			if rep := a.post(); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			rep := v.open("/private")
			if !strings.HasPrefix(rep.body, "alice/of alice/") || strings.Contains(rep.body, "bob") {
				t.Errorf("%s", rep.body)
			}
		})
		t.Run("H41_the_user_cancels_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			a := v.begin("/more")
			a.form = url.Values{"error": {"access_denied"}, "state": {a.to.Query().Get("state")}}
			s.refused(a.post(), http.StatusForbidden, "provider_error")
			v.says("/private", "alice/first of alice/visit/")
		})
		t.Run("G33_values_that_are_too_many_together_"+store.name, func(t *testing.T) {
			t.Parallel()
			large := strings.Repeat("x", 300)
			s, v := start(t, func(c *settings) {
				hook := c.auth.OnIdentity
				c.auth.OnIdentity = func(l *middleware.Login) error {
					l.Values[l.ReturnTo] = large
					return hook(l)
				}
			})
			rep := v.answer("/more", "alice").post()
			s.refused(rep, http.StatusInternalServerError, "values")
			v.says("/private", "alice/first of alice/visit/")
		})
		t.Run("D15_another_second_ID_Token_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			s.op.Fault(func(a *optest.Answer) {
				if a.Grant == "authorization_code" {
					a.Claims["sub"] = "mallory"
				}
			})
			s.refused(v.answer("/more", "alice").post(), http.StatusBadRequest, "id_token_mismatch")
			v.says("/private", "alice/first of alice/visit/")
		})
		t.Run("G33_OnTokens_refuses_"+store.name, func(t *testing.T) {
			t.Parallel()
			refuse := false
			s, v := start(t, func(c *settings) {
				c.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error {
					if refuse {
						return &middleware.Refusal{Text: "no"}
					}
					return nil
				}
			})
			refuse = true
			s.refused(v.answer("/more", "alice").post(), http.StatusForbidden, "refused")
			v.says("/private", "alice/first of alice/visit/")
		})
		t.Run("E08_lost_tokens_come_back_with_all_values_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t)
			s.clock.add(10 * time.Minute)
			s.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
				}
			})
			a := v.begin("/tokens")
			if got := a.to.Query().Get("prompt"); got != "none" {
				t.Errorf("prompt %q", got)
			}
			a.ask("alice")
			if rep := a.post(); rep.Header.Get("Location") != "/tokens" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			v.says("/private", "alice/first of alice/visit/") // the provider knows nobody: now it may ask
			a = v.begin("/tokens")
			if got := a.to.Query().Get("prompt"); got != "" {
				t.Errorf("prompt %q", got)
			}
			a.ask("alice")
			a.post()
			v.says("/tokens", "alice/first of alice/visit/")
		})
		t.Run("G03_on_demand_carries_too_"+store.name, func(t *testing.T) {
			t.Parallel()
			s, v := start(t, func(c *settings) { c.auth.Exchange = middleware.ExchangeOnDemand })
			token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			s.clock.add(10 * time.Second)
			s.says(map[string]any{"auth_time": s.clock.Now().Add(-10 * time.Second).Unix()})
			v.answer("/more", "alice").post()
			v.says("/more", "alice/of alice/visit/")
			calls := s.op.Calls("/oauth/token")
			if v.wantAud("/apis?for="+ordersAPI, ordersAPI) != token || s.op.Calls("/oauth/token") != calls+1 {
				t.Errorf("another token, %d requests", s.op.Calls("/oauth/token")-calls)
			}
		})
		t.Run("H41_a_hook_asks_for_more_in_a_step_up_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t, func(c *settings) {
				hook := c.auth.OnIdentity
				c.auth.OnIdentity = func(l *middleware.Login) error {
					if strings.HasPrefix(l.ReturnTo, "/more") && l.IDToken.ACR != "gold" {
						return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
					}
					return hook(l)
				}
			})
			a := v.begin("/more")
			a.ask("alice")
			rep := a.post()
			v.w.refused(rep, http.StatusForbidden, "challenge_unmet") // it was a challenge's login already
			v.says("/private", "alice/first of alice/visit/")
		})
	}
}

// TestFleetCarry is about a store that two instances share.
func TestFleetCarry(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) (*fleet, *visitor) {
		t.Helper()
		f := newFleet(t, "server", append([]func(*settings){severalAPIs, func(c *settings) {
			c.auth.OnIdentity = func(l *middleware.Login) error {
				if l.ReturnTo == "/" {
					l.Values["user"] = "kept"
				}
				return nil
			}
		}}, changes...)...)
		for _, w := range []*world{f.world, f.other} {
			w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
			w.mux.Handle("/more", w.auth.Require(func(_ *http.Request, s *middleware.Session) error {
				if s.ACR != "gold" {
					return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
				}
				return nil
			}, http.HandlerFunc(whoami)))
		}
		v := f.visitor()
		v.login("/auth/login", "alice")
		return f, v
	}
	t.Run("G04_begun_here_and_finished_there", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.says(map[string]any{"acr": "gold"})
		a := v.answer("/more", "alice")
		a.v = v.on(f.other)
		a.post()
		if who := a.v.on(f.world).open("/more").who(); who.Subject != "alice" || who.Values["user"] != "kept" {
			t.Errorf("%+v", who)
		}
		if n := len(f.store.ids()); n > 2 { // the session, and the answer that was kept
			t.Errorf("%d records", n)
		}
	})
	t.Run("G22_two_tabs_on_two_instances", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.says(map[string]any{"acr": "gold"})
		one, two := v.answer("/more", "alice"), v.answer("/more", "alice")
		one.post()
		two.v = v.on(f.other)
		two.post()
		if who := two.v.open("/more").who(); who.Subject != "alice" || who.Values["user"] != "kept" {
			t.Errorf("%+v", who)
		}
	})
	t.Run("G24_a_note_that_was_made_up_leads_nowhere", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.says(map[string]any{"acr": "gold"})
		one, two := v.answer("/more", "alice"), v.answer("/more", "alice")
		one.post()
		f.store.mu.Lock()
		for _, s := range f.store.sessions {
			s.data[len(s.data)/2] ^= 1
		}
		f.store.mu.Unlock()
		two.post()
		if who := v.open("/private").who(); who.Subject != "alice" || who.Values["user"] != "" {
			t.Errorf("%+v", who)
		}
	})
	t.Run("G23_store_is_down_and_the_code_is_not_spent", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		a := v.answer("/more", "alice")
		calls := f.op.Calls("/oauth/token")
		loads := 0
		f.store.onCall(func(method string) {
			if method == "Load" {
				loads++
				f.store.setDown(loads > 1, "Load") // the first one is for the answer
			}
		})
		f.refused(a.post(), http.StatusServiceUnavailable, "session_store")
		f.store.onCall(nil)
		f.store.setDown(false)
		if n := f.op.Calls("/oauth/token"); n != calls {
			t.Errorf("%d requests at the token endpoint", n-calls)
		}
		f.loggedIn(v)
	})
	t.Run("G23_store_is_down_where_the_session_went", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.says(map[string]any{"acr": "gold"})
		one, two := v.answer("/more", "alice"), v.answer("/more", "alice")
		one.post()
		calls, loads := f.op.Calls("/oauth/token"), 0
		f.store.onCall(func(method string) {
			if method == "Load" {
				loads++
				f.store.setDown(loads > 2, "Load") // the first is for the answer, the second for a session that went on
			}
		})
		f.refused(two.post(), http.StatusServiceUnavailable, "session_store")
		f.store.onCall(nil)
		f.store.setDown(false)
		if n := f.op.Calls("/oauth/token"); n != calls || loads < 3 {
			t.Errorf("%d requests at the token endpoint, %d loads", n-calls, loads)
		}
		if who := v.open("/more").who(); who.Subject != "alice" || who.Values["user"] != "kept" {
			t.Errorf("%+v", who)
		}
	})
	t.Run("E06_ten_targets_at_once_on_two_instances", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, manyAPIs(10))
		done := make(chan struct{})
		for i := range 40 {
			go func() {
				defer func() { done <- struct{}{} }()
				v.on([]*world{f.world, f.other}[i%2]).wantAud("/apis?for="+api(i%10), api(i%10))
			}()
		}
		for range 40 {
			<-done
		}
		if n := f.refreshes(); n != 10 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("E06_lock_is_lost_and_both_targets_are_kept", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, func(s *settings) { s.op.KeepRefreshTokens = true })
		once := first()
		f.wire.gate(nil, func(*http.Request) {
			if once() { // the second instance gets another target while the first one waits for its answer
				f.store.loseLocks()
				v.on(f.other).wantAud("/apis?for="+billingAPI, billingAPI)
			}
		})
		v.wantAud("/apis?for="+ordersAPI, ordersAPI)
		f.wire.gate(nil, nil)
		for _, w := range []*world{f.world, f.other} {
			v.on(w).wantAud("/apis?for="+ordersAPI, ordersAPI)
			v.on(w).wantAud("/apis?for="+billingAPI, billingAPI)
		}
		if n := f.refreshes(); n != 2 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("E06_lock_is_lost_and_the_main_token_is_refreshed", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, func(s *settings) { s.op.KeepRefreshTokens = true })
		f.clock.add(10 * time.Minute)
		once := first()
		var main string
		f.wire.gate(nil, func(*http.Request) {
			if once() {
				f.store.loseLocks()
				main = v.on(f.other).open("/apis").body
			}
		})
		v.wantAud("/apis?for="+ordersAPI, ordersAPI)
		for _, w := range []*world{f.world, f.other} {
			if v.on(w).open("/apis").body != main {
				t.Error("the target undid the refresh")
			}
			v.on(w).wantAud("/apis?for="+ordersAPI, ordersAPI)
		}
		if n := f.refreshes(); n != 2 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("E07_store_is_down_for_a_moment", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		failed := 0
		f.store.onCall(func(method string) {
			if method == "Put" && f.refreshes() > 0 {
				failed++
				f.store.setDown(failed == 1, "Put")
			}
		})
		token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
		if again := v.on(f.other).open("/apis?for=" + ordersAPI); again.body != token || f.refreshes() != 1 || failed < 2 {
			t.Errorf("%q, %d refreshes, %d writes", again.body, f.refreshes(), failed)
		}
	})
	t.Run("J11_no_more_targets_than_32", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, manyAPIs(40), func(s *settings) { s.op.AccessTokenLifetime = time.Hour })
		for i := range 40 {
			f.clock.add(time.Second)
			v.wantAud("/apis?for="+api(i), api(i))
		}
		for i := 39; i >= 8; i-- { // the newest are there
			v.wantAud("/apis?for="+api(i), api(i))
		}
		if n := f.refreshes(); n != 40 {
			t.Errorf("%d refreshes", n)
		}
		v.wantAud("/apis?for="+api(0), api(0))
		if n := f.refreshes(); n != 41 {
			t.Errorf("%d refreshes: the oldest is still there", n)
		}
	})
}

// TestTargetsInCookies is about what does not fit.
func TestTargetsInCookies(t *testing.T) {
	t.Parallel()
	t.Run("G10_the_oldest_targets_give_way", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, manyAPIs(12), func(s *settings) { s.op.AccessTokenLifetime = time.Hour })
		w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
		v := w.visitor()
		v.login("/auth/login", "alice")
		for i := range 12 {
			w.clock.add(time.Second)
			v.wantAud("/apis?for="+api(i), api(i))
			if n := len(v.header("s", "t")); n > 7<<10 {
				t.Fatalf("%d bytes of cookies", n)
			}
		}
		w.clock.add(2 * time.Minute) // now only the cookies know
		before := w.refreshes()
		v.wantAud("/apis?for="+api(11), api(11))
		v.wantAud("/apis?for="+api(10), api(10))
		if n := w.refreshes(); n != before {
			t.Error("the newest are not kept")
		}
		v.wantAud("/apis?for="+api(0), api(0))
		if n := w.refreshes(); n != before+1 {
			t.Errorf("%d refreshes: the oldest fits", n-before)
		}
		v.says("/private", string(v.open("/private").body))
	})
	t.Run("G10_one_that_never_fits_is_given_and_not_kept", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, severalAPIs)
		w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			token, err := middleware.FromContext(r.Context()).For(targetOf(r)).Token(r.Context())
			if err != nil || len(token.AccessToken) != 8000 {
				t.Errorf("%v", err)
			}
		})))
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" {
				a.JSON["access_token"] = strings.Repeat("x", 8000)
			}
		})
		v := w.visitor()
		v.login("/auth/login", "alice")
		for range 2 {
			if rep := v.open("/apis?for=" + ordersAPI); rep.StatusCode != 200 || len(v.header("s", "t")) > 7<<10 {
				t.Errorf("%d, %d bytes", rep.StatusCode, len(v.header("s", "t")))
			}
		}
		if w.refreshes() != 2 || v.id() == "" {
			t.Errorf("%d refreshes", w.refreshes())
		}
	})
	t.Run("E10_after_the_first_byte", func(t *testing.T) {
		t.Parallel()
		for _, store := range storeKinds {
			w := newWorld(t, severalAPIs, store.use(t))
			var err error
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				_, _ = rw.Write([]byte("x"))
				_, err = middleware.FromContext(r.Context()).For(targetOf(r)).Token(r.Context())
			}
			v := w.visitor()
			v.login("/auth/login", "alice")
			v.open("/private?for=" + ordersAPI)
			if inCookies := store.name == "cookies"; errors.Is(err, middleware.ErrCommitted) != inCookies || inCookies && w.refreshes() != 0 {
				t.Errorf("%s: %v, %d refreshes", store.name, err, w.refreshes())
			}
		}
	})
}
