package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What a grant refuses, and what becomes of one that is made while its session goes.

func TestGrantNeedsAServerStore(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds[:2] {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			w.page = func(_ http.ResponseWriter, r *http.Request) {
				if _, err := middleware.FromContext(r.Context()).Grant(r.Context()); !errors.Is(err, rp.ErrUnsupported) {
					t.Errorf("Grant: %v", err)
				}
			}
			v.open("/private")
			if _, err := w.auth.Offline(t.Context(), "x"); !errors.Is(err, rp.ErrUnsupported) {
				t.Errorf("Offline: %v", err)
			}
			if err := w.auth.EndGrant(t.Context(), "x"); !errors.Is(err, rp.ErrUnsupported) {
				t.Errorf("EndGrant: %v", err)
			}
		})
	}
	if _, err := middleware.NewSession(map[string]any{"sub": "alice"}, nil).Grant(t.Context()); !errors.Is(err, middleware.ErrNoTokens) {
		t.Errorf("of a test session: %v", err)
	}
}

// whileGranting has alice's handler make a grant, and runs between between the grant's record and the session's.
func whileGranting(t *testing.T, between func(f *fleet, session []string)) (f *fleet, v *visitor, granted error) {
	t.Helper()
	f = newFleet(t, "server", shortTokens)
	v = f.visitor()
	v.login("/auth/login", "alice")
	before, puts := f.store.ids(), 0
	f.page = func(_ http.ResponseWriter, r *http.Request) {
		f.store.onCall(func(method string) {
			if method == "Put" {
				if puts++; puts == 2 {
					between(f, before)
				}
			}
		})
		_, granted = middleware.FromContext(r.Context()).Grant(r.Context())
		f.store.onCall(nil)
	}
	v.open("/private")
	f.page = fingerprint
	if puts < 2 {
		t.Fatal("there was nothing in between")
	}
	return f, v, granted
}

// grants counts the records that no logout concerns and that outlive every session.
func (f *fleetStore) grants() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if len(s.tombs) == 0 && s.until.Sub(f.now()) > 100*24*time.Hour {
			n++
		}
	}
	return n
}

// L17: logged out between the two: nobody hears of the grant, so it ends.
func TestL17_logout_while_a_grant_is_made(t *testing.T) {
	t.Parallel()
	f, v, err := whileGranting(t, func(f *fleet, session []string) {
		f.store.mu.Lock()
		defer f.store.mu.Unlock()
		for _, id := range session {
			delete(f.store.sessions, id)
		}
	})
	if !errors.Is(err, middleware.ErrNoSession) {
		t.Errorf("Grant: %v", err)
	}
	if n := f.store.grants(); n != 0 || len(f.store.ids()) > 0 {
		t.Errorf("the store still has %d grants and %d sessions", n, len(f.store.ids()))
	}
	_ = f.auth.Close() // the revocation
	if !slices.ContainsFunc(f.op.Requests("/revoke"), func(r optest.Request) bool { return r.Form.Get("token_type_hint") == "refresh_token" }) {
		t.Error("the refresh token was not revoked")
	}
	f.loggedOut(v)
}

// E07: the store cannot write the session: it keeps its refresh token, and there is no grant beside it.
func TestE07_store_is_down_while_a_grant_is_made(t *testing.T) {
	t.Parallel()
	f, v, err := whileGranting(t, func(f *fleet, _ []string) { f.store.setDown(true, "Put") })
	f.store.setDown(false)
	if err == nil {
		t.Error("Grant: no error")
	}
	if n := f.store.grants(); n != 0 || len(f.store.ids()) != 1 {
		t.Errorf("the store has %d grants and %d sessions", n, len(f.store.ids()))
	}
	f.clock.add(10 * time.Minute)
	if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || strings.HasPrefix(rep.body, "no token") {
		t.Errorf("the session has lost its tokens: %d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
	}
}

// G23: a store that is down has no grant just now; that is not the same as none.
func TestG23_grant_in_a_store_that_is_down(t *testing.T) {
	t.Parallel()
	f, _, id := granted(t)
	source, err := f.auth.Offline(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	f.store.setDown(true, "")
	if _, err := f.other.auth.Offline(t.Context(), id); err == nil || errors.Is(err, middleware.ErrNoSession) {
		t.Errorf("Offline: %v", err)
	}
	if err := f.auth.EndGrant(t.Context(), id); err == nil {
		t.Error("EndGrant: no error")
	}
	f.store.setDown(true, "Put") // and then the provider has ended the grant
	f.op.Fault(func(a *optest.Answer) {
		if a.Grant == "refresh_token" {
			a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
		}
	})
	f.clock.add(time.Hour)
	if _, err := source.Token(t.Context()); !errors.Is(err, middleware.ErrLoginRequired) {
		t.Errorf("Token: %v", err)
	}
}

// L16: OnTokens keeps too much.
func TestL16_values_too_large_after_the_exchange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) {
		s.auth.OnTokens = func(l *middleware.Login, _ *rp.Tokens) error {
			l.Values["user"] = strings.Repeat("x", 1000)
			return nil
		}
	})
	w.refused(w.visitor().answer("/auth/login", "").post(), 500, "values")
}

// E07: the store is down when the provider has replaced the refresh token of a grant. The next one who asks writes it.
func TestE07_store_does_not_take_a_refreshed_grant(t *testing.T) {
	t.Parallel()
	lose := func(t *testing.T) (f *fleet, id string, source rp.TokenSource) {
		f, _, id = granted(t)
		source = f.offline(id)
		f.clock.add(time.Hour)
		f.store.setDown(true, "Put")
		if _, err := source.Token(t.Context()); err == nil {
			t.Error("the store is down: no error")
		}
		if _, err := source.Token(t.Context()); err == nil {
			t.Error("the store is still down: no error")
		}
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		f.store.setDown(false)
		return f, id, source
	}
	for _, after := range []time.Duration{time.Second, 9 * time.Minute} {
		for _, another := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v_another_worker_%v", after, another), func(t *testing.T) {
				t.Parallel()
				f, id, source := lose(t)
				if another {
					source = f.offline(id)
				}
				f.clock.add(after)
				if _, err := source.Token(t.Context()); err != nil {
					t.Error(err)
				}
				f.clock.add(24 * time.Hour)
				if _, err := f.other.offline(id).Token(t.Context()); err != nil {
					t.Errorf("the other instance: %v", err)
				}
			})
		}
	}
	t.Run("ended_before_that", func(t *testing.T) {
		t.Parallel()
		f, id, source := lose(t)
		if err := f.auth.EndGrant(t.Context(), id); err != nil {
			t.Error(err)
		}
		_ = f.auth.Close() // the revocation
		if _, err := source.Token(t.Context()); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("Token: %v", err)
		}
		last := f.op.Requests("/oauth/token")
		for _, r := range f.op.Requests("/revoke") {
			if r.Form.Get("token_type_hint") == "refresh_token" && r.Form.Get("token") == last[len(last)-1].Form.Get("refresh_token") {
				t.Error("the replaced token was revoked")
			}
		}
	})
}

// offline is the source of a grant.
func (w *world) offline(id string) rp.TokenSource {
	w.Helper()
	source, err := w.auth.Offline(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return source
}

// E06: another instance refreshes between the two writes of a grant, and there is no lock.
func TestE06_grant_beside_a_refresh_without_a_lock(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "unlocked", shortTokens)
	v := f.visitor()
	v.login("/auth/login", "alice")
	other, puts, id := v.on(f.other), 0, ""
	f.page = func(_ http.ResponseWriter, r *http.Request) {
		f.store.onCall(func(method string) {
			if method != "Put" {
				return
			}
			if puts++; puts == 2 { // of the session
				f.store.onCall(nil)
				f.clock.add(10 * time.Minute)
				f.page = fingerprint
				if rep := other.open("/tokens"); rep.StatusCode != http.StatusOK {
					t.Errorf("the other instance: %d %s", rep.StatusCode, rep.code())
				}
			}
		})
		var err error
		if id, err = middleware.FromContext(r.Context()).Grant(r.Context()); err != nil {
			t.Error(err)
		}
	}
	v.open("/private")
	f.clock.add(time.Hour)
	if _, err := f.offline(id).Token(t.Context()); err != nil {
		t.Errorf("the grant: %v", err)
	}
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	if n := len(f.store.sessions); n != 2 {
		t.Errorf("%d records for a session and a grant", n)
	}
}
