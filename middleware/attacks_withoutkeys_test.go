package middleware_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// A provider that rotates refresh tokens, has rotated its keys, too, and whose keys are away for a moment (E09): nothing
// that came is used before it was checked, and no session is lost by it.

// keysAway makes the provider sign with a key that nobody can fetch.
func (w *world) keysAway() {
	w.op.RotateKeys()
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/jwks" {
			a.Status, a.JSON = http.StatusServiceUnavailable, map[string]any{}
		}
	})
}

func TestRefreshWithoutKeys(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		start := func(t *testing.T, changes ...func(*settings)) (*world, *visitor) {
			t.Helper()
			w := newWorld(t, append(changes, store.use(t), shortTokens)...)
			w.page = fingerprint
			v := w.visitor()
			v.login("/auth/login", "alice")
			return w, v
		}
		t.Run("E09_the_session_outlives_it_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			first := v.open("/tokens").body
			w.clock.add(10 * time.Minute)
			w.keysAway()
			for range 3 { // and each time with the refresh token that came last
				w.refused503(v.open("/tokens"))
				w.refused503(v.open("/tokens")) // who comes right after asks nobody
				w.clock.add(time.Minute)
			}
			if n := w.refreshes(); n != 3 {
				t.Errorf("%d refreshes", n)
			}
			w.page = whoami
			if v.open("/private").who().Subject != "alice" {
				t.Error("the user is out")
			}
			w.page = fingerprint
			w.op.Fault(nil)
			rep := v.open("/tokens")
			if rep.StatusCode != http.StatusOK || rep.body == first {
				t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.body)
			}
			if n := w.refreshes(); n != 4 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E09_what_lives_is_served_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			first := v.open("/tokens").body
			w.clock.add(5*time.Minute - 20*time.Second)
			w.keysAway()
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || rep.body != first {
				t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.body)
			}
			w.op.Fault(nil)
			w.clock.add(time.Minute)
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || rep.body == first {
				t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.body)
			}
		})
		t.Run("E01_another_user_when_they_are_back_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.clock.add(10 * time.Minute)
			w.keysAway()
			w.refused503(v.open("/tokens"))
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Claims["sub"] = "bob"
				}
			})
			w.clock.add(time.Minute)
			v.open("/tokens")
			w.wantLogin(v.open("/private"), "")
		})
		t.Run("E16_for_one_API_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t, severalAPIs)
			w.page = audiences
			w.keysAway()
			if rep := v.open("/private?for=" + ordersAPI); !strings.Contains(rep.body, verify.ErrKeySet.Error()) {
				t.Error(rep.body)
			}
			w.op.Fault(nil)
			w.clock.add(time.Minute)
			if rep := v.open("/private?for=" + ordersAPI); !strings.HasPrefix(rep.body, "token ") {
				t.Error(rep.body)
			}
			w.page = fingerprint
			w.clock.add(10 * time.Minute)
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		})
	}
	t.Run("E09_a_grant_outlives_it", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		f.clock.add(10 * time.Minute)
		f.keysAway()
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := source.Token(t.Context()); !errors.Is(err, verify.ErrKeySet) || !errors.Is(err, rp.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
		f.op.Fault(nil)
		f.clock.add(time.Minute)
		if _, err := source.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// refused503 checks that a request is told to come again.
func (w *world) refused503(rep *reply) {
	w.Helper()
	if rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "unavailable" || rep.Header.Get("Retry-After") == "" {
		w.Errorf("%d %s", rep.StatusCode, rep.code())
	}
}
