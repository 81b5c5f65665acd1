package middleware_test

import (
	"net/http"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
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
}
