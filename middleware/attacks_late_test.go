package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What changes of a session while it is in use.

func TestLateChanges(t *testing.T) {
	t.Parallel()
	t.Run("L18_a_session_does_not_change_under_the_hands_of_who_has_it", func(t *testing.T) { // goroutines may read it
		t.Parallel()
		w, v := pendingLogin(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["acr"] = "gold"
			}
		})
		inner := w.auth.RequireTokens(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if s := middleware.FromContext(r.Context()); s.ACR != "gold" || w.auth.Session(r.Context()) != s {
				t.Errorf("inside: %q", s.ACR)
			}
		}))
		w.mux.Handle("/outer", w.auth.RequireLogin(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			inner.ServeHTTP(rw, r)
			if s.ACR != "" {
				t.Errorf("outside: %q", s.ACR)
			}
			if state, err := s.Tokens(); state != middleware.TokensReady {
				t.Errorf("outside: %v, %v", state, err)
			}
		})))
		if rep := v.open("/outer"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(1)
	})
	t.Run("L17_logout_revokes_what_the_store_did_not_take", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.store.onCall(func(method string) {
			if method == "Put" && f.sent() > 0 {
				f.store.setDown(true, "Put")
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.store.onCall(nil)
		f.store.setDown(false)
		v.send(formPost("/auth/logout", nil))
		_ = f.auth.Close()
		if f.op.Calls("/revoke") == 0 {
			t.Error("tokens that nobody holds live on")
		}
	})
	t.Run("G03_OnTokens_does_not_wait_for_itself", func(t *testing.T) {
		t.Parallel()
		for _, store := range storeKinds {
			var auth *middleware.Auth
			w, v := pendingLogin(t, store.use(t), func(s *settings) {
				s.auth.OnTokens = func(l *middleware.Login, _ *rp.Tokens) error {
					r, err := http.NewRequestWithContext(l.Request.Context(), http.MethodGet, "https://api.example/me", http.NoBody)
					if err != nil {
						return err
					}
					_, err = auth.Transport(nil, "https://api.example").RoundTrip(r)
					if !errors.Is(err, middleware.ErrNoSession) || middleware.FromContext(r.Context()) != nil || r.Context().Value(replyKey{}) == nil {
						t.Errorf("%v", err)
					}
					return nil
				}
			})
			auth = w.auth
			if rep := v.open("/tokens"); rep.tokens().Access == "" {
				t.Errorf("%s: %d %s", store.name, rep.StatusCode, rep.code())
			}
		}
	})
	t.Run("E05_a_provider_that_gives_the_same_token_again_is_asked_once", func(t *testing.T) {
		t.Parallel()
		for _, store := range storeKinds {
			access := ""
			w := newWorld(t, store.use(t))
			w.op.Fault(func(a *optest.Answer) {
				switch a.Grant {
				case "authorization_code":
					access, _ = a.JSON["access_token"].(string)
				case "refresh_token":
					a.JSON["access_token"] = access
				}
			})
			w.page = func(_ http.ResponseWriter, r *http.Request) {
				s := middleware.FromContext(r.Context())
				if err := s.Refresh(r.Context()); err != nil { // in the second of the login
					t.Errorf("%s: %v", store.name, err)
				}
			}
			v := w.visitor()
			v.login("/auth/login", "alice")
			v.open("/private")
			if n := w.refreshes(); n != 1 {
				t.Errorf("%s: %d refreshes", store.name, n)
			}
		}
	})
	t.Run("E06_another_instance_changes_what_a_long_request_has", func(t *testing.T) {
		t.Parallel()
		for _, resource := range []string{"", ordersAPI} {
			f := newFleet(t, "server", severalAPIs, func(s *settings) { s.rp.Resources = []string{ordersAPI, api(0), api(1), api(2)} })
			f.clock.add(time.Second / 2) // what is stored has whole seconds
			f.other.mux.Handle("/apis", f.other.auth.RequireLogin(http.HandlerFunc(audiences)))
			v := f.visitor()
			v.login("/auth/login", "alice")
			other := v.on(f.other)
			f.mux.Handle("/long", f.auth.RequireLogin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				s := middleware.FromContext(r.Context())
				for i := range 3 {
					token, err := s.For(rp.Target{Resource: resource}).Token(r.Context())
					if err != nil || !token.Expiry.After(f.clock.Now()) {
						t.Errorf("%q: token %d is over: %v", resource, i, err)
					}
					f.clock.add(4 * time.Minute)
					if rep := other.open("/apis?for=" + api(i)); rep.StatusCode != http.StatusOK {
						t.Errorf("the other instance: %d", rep.StatusCode)
					}
					f.clock.add(time.Minute)
				}
			})))
			v.open("/long")
		}
	})
	for name, cause := range map[string]error{
		"fails":              errors.New("no such table"),
		"has_no_time_left":   context.DeadlineExceeded,
		"cannot_ask_the_api": rp.ErrUnavailable,
	} {
		t.Run("G03_a_session_ended_by_OnTokens_that_"+name+"_stays_ended", func(t *testing.T) { // its cookies are still there
			t.Parallel()
			w, v := pendingLogin(t, func(s *settings) {
				s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { return fmt.Errorf("directory: %w", cause) }
			})
			old := v.clone()
			w.wantCode(v.open("/tokens"), "hook")
			for range 5 {
				w.wantLogin(old.clone().open("/private"), "")
				w.clock.add(2 * time.Minute)
				other := w.visitor() // whose session makes room in the memory
				other.login("/auth/login", "bob")
				other.send(formPost("/auth/logout", nil))
			}
		})
	}
	t.Run("E07_what_the_store_did_not_take_is_kept_though_others_ask_in_vain", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server", shortTokens)
		v, bob := f.visitor(), f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(10 * time.Minute)
		f.store.setDown(true, "Put")
		f.wantCode(v.open("/tokens"), "session_store")
		f.store.setDown(true, "Lock")
		f.wantCode(v.open("/tokens"), "session_store")
		f.store.setDown(false)
		bob.login("/auth/login", "bob")
		f.clock.add(8 * time.Minute)
		bob.open("/tokens") // makes room in the memory
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
		}
	})
}

// wantCode checks why something was refused.
func (w *world) wantCode(rep *reply, code string) {
	w.Helper()
	if rep.code() != code {
		w.Errorf("%d %q, want %q", rep.StatusCode, rep.code(), code)
	}
}
