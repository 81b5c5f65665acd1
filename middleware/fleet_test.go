package middleware_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/rp/optest"
)

// fleet is two instances of one app, with one store.
type fleet struct {
	*world
	store *fleetStore
	other *world
}

// newFleet starts two instances whose sessions are in one store, or in cookies with shared logouts.
func newFleet(tb testing.TB, kind string, changes ...func(*settings)) *fleet {
	tb.Helper()
	f := &fleet{}
	var kept settings
	f.world = newWorld(tb, append(changes, func(s *settings) {
		f.store = newFleetStore(s.auth.Now)
		switch kind {
		case "cookies":
			s.auth.Logouts = f.store
		case "gorilla":
			s.auth.Store, s.auth.Logouts = fileStore(tb), f.store
		case "redis":
			s.auth.Store = redisStore(tb)
		case "unlocked":
			s.auth.Store = struct { // no Locker
				sessions.Store
				middleware.SessionStore
				middleware.Tombstones
			}{f.store, f.store, f.store}
		default:
			s.auth.Store = f.store
		}
		kept = *s
	})...)
	second := *f.world
	f.other = &second
	second.client = second.newClient(kept.rp)
	kept.auth.Client = second.client
	second.auth = second.newAuth(kept.auth)
	second.mux = http.NewServeMux()
	second.app = second.mux
	second.page = func(w http.ResponseWriter, r *http.Request) { f.page(w, r) }
	second.register(second.auth)
	return f
}

// redisStore is a store on a Redis of its own.
func redisStore(tb testing.TB) *redisstore.Store {
	tb.Helper()
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Close)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	tb.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// first reports true once.
func first() func() bool {
	var called atomic.Bool
	return func() bool { return !called.Swap(true) }
}

var fleetKinds = []string{"server", "cookies"}

// loggedOut checks that a session is over on both instances.
func (f *fleet) loggedOut(v *visitor) {
	f.Helper()
	for _, w := range []*world{f.world, f.other} {
		if rep := v.on(w).open("/private"); rep.StatusCode != http.StatusFound {
			f.Errorf("the session lives: %d %s", rep.StatusCode, rep.code())
		}
	}
}

func (f *fleet) loggedIn(v *visitor) {
	f.Helper()
	for _, w := range []*world{f.world, f.other} {
		if rep := v.on(w).open("/private"); rep.StatusCode != http.StatusOK {
			f.Errorf("the session is lost: %d %s", rep.StatusCode, rep.code())
		}
	}
}

// sessionID returns the provider's sid of a session.
func (f *fleet) sessionID(v *visitor) (sid string) {
	f.Helper()
	before := f.page
	f.page = func(w http.ResponseWriter, r *http.Request) {
		sid = middleware.FromContext(r.Context()).SessionID
		before(w, r)
	}
	v.open("/private")
	f.page = before
	return sid
}

func TestFleetSession(t *testing.T) {
	t.Parallel()
	t.Run("any_instance_serves", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.loggedIn(v)
	})
	t.Run("J11_one_round_trip_and_no_write", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.store.count()
		for range 10 {
			v.open("/private")
			v.open("/tokens")
		}
		if n := f.store.count(); n != 20 {
			t.Errorf("%d calls of the store for 20 requests", n)
		}
		f.clock.add(7 * time.Minute)
		for range 5 {
			v.open("/private")
		}
		if n := f.store.count("Put"); n != 1 {
			t.Errorf("%d writes put off the idle limit", n)
		}
		f.clock.add(40 * time.Minute)
		f.loggedIn(v)
	})
	t.Run("J11_cookies_with_shared_logouts", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "cookies")
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.store.count()
		v.open("/private")
		if n := f.store.count(); n != 1 {
			t.Errorf("%d calls of the store for a request", n)
		}
	})
	t.Run("G01_new_ID_and_the_old_is_gone", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		old := v.clone()
		v.login("/auth/login", "alice")
		f.loggedIn(v)
		f.loggedOut(old)
		if n := len(f.store.ids()); n != 1 {
			t.Errorf("%d sessions in the store", n)
		}
	})
	t.Run("G22_renewal_of_the_limit_meets_a_refresh", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server", shortTokens)
		f.page = fingerprint
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(10 * time.Minute)
		once := first()
		var refreshed string
		f.store.onCall(func(method string) {
			if method == "Put" && once() { // the first instance is about to put off the limit
				refreshed = v.on(f.other).open("/tokens").body
			}
		})
		if rep := v.open("/private"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d", rep.StatusCode)
		}
		if rep := v.open("/tokens"); rep.body != refreshed || f.refreshes() != 1 {
			t.Errorf("the tokens went back: %d refreshes", f.refreshes())
		}
	})
	t.Run("G24_records_of_others", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(f *fleetStore, mine, other string){
			"other_users":  func(f *fleetStore, mine, other string) { f.sessions[mine].data = f.sessions[other].data },
			"flipped":      func(f *fleetStore, mine, _ string) { f.sessions[mine].data[40] ^= 1 },
			"cut":          func(f *fleetStore, mine, _ string) { f.sessions[mine].data = f.sessions[mine].data[:60] },
			"empty":        func(f *fleetStore, mine, _ string) { f.sessions[mine].data = nil },
			"longer":       func(f *fleetStore, mine, _ string) { f.sessions[mine].data = append(f.sessions[mine].data, 0) },
			"from_nowhere": func(f *fleetStore, mine, _ string) { f.sessions[mine].data = []byte(strings.Repeat("x", 400)) },
		} {
			f := newFleet(t, "server")
			v, mallory := f.visitor(), f.visitor()
			v.login("/auth/login", "alice")
			mine := f.store.ids()[0]
			mallory.login("/auth/login", "mallory")
			ids := f.store.ids()
			other := ids[0]
			if other == mine {
				other = ids[1]
			}
			f.store.mu.Lock()
			change(f.store, mine, other)
			f.store.mu.Unlock()
			if rep := v.open("/private"); rep.StatusCode != http.StatusFound {
				t.Errorf("%s: %d %s", name, rep.StatusCode, rep.body)
			}
			f.loggedIn(mallory)
		}
	})
	t.Run("junk_cookies_never_reach_the_store", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		for _, value := range []string{"", "x", strings.Repeat("A", 22), strings.Repeat("A", 5000)} {
			r := navigation("/private")
			r.Header.Set("Cookie", sessionName+"="+value)
			if rep := f.serve(r); rep.StatusCode != http.StatusFound {
				t.Errorf("%d", rep.StatusCode)
			}
		}
		if n := f.store.count(); n != 0 {
			t.Errorf("%d calls of the store", n)
		}
	})
	t.Run("key_rotation_logs_nobody_out", func(t *testing.T) {
		t.Parallel()
		for _, kind := range fleetKinds {
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			rotated := *f.world
			config := middleware.Config{
				Client: f.client, Keys: [][]byte{attackKey("two"), attackKey("one")}, Name: "t", Now: f.clock.Now, Logger: slog.New(slog.DiscardHandler),
			}
			if kind == "server" {
				config.Store = f.store
			} else {
				config.Logouts = f.store
			}
			rotated.auth = rotated.newAuth(config)
			rotated.mux = http.NewServeMux()
			rotated.app = rotated.mux
			rotated.register(rotated.auth)
			if rep := v.on(&rotated).open("/private"); rep.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", kind, rep.StatusCode)
			}
			fresh := f.visitor()
			fresh.w = &rotated
			fresh.login("/auth/login", "alice")
			// an instance that does not have the new key yet logs out both
			if err := f.auth.EndSessions(t.Context(), f.client.Issuer(), "alice", ""); err != nil {
				t.Error(err)
			}
			for _, b := range []*visitor{v, fresh} {
				if rep := b.on(&rotated).open("/private"); rep.StatusCode != http.StatusFound {
					t.Errorf("%s: a logout was lost: %d", kind, rep.StatusCode)
				}
			}
		}
	})
}

// ids are those of sessions, not of answers to logins.
func (f *fleetStore) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.sessions {
		if len(s.tombs) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestFleetStoreDown(t *testing.T) {
	t.Parallel()
	for _, kind := range fleetKinds {
		t.Run("G23_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			f.store.setDown(true, "")
			for _, path := range []string{"/private", "/tokens", "/"} {
				rep := v.open(path)
				f.refused(rep, http.StatusServiceUnavailable, "session_store")
				if rep.Header.Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", path)
				}
			}
			if rep := f.visitor().open("/"); rep.StatusCode != http.StatusOK {
				t.Errorf("a stranger: %d", rep.StatusCode)
			}
			f.store.setDown(false)
			f.loggedIn(v)
		})
	}
	t.Run("G23_callback", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		a := v.answer("/auth/login", "alice")
		f.store.setDown(true, "")
		rep := a.post()
		f.refused(rep, http.StatusServiceUnavailable, "session_store")
		if n := f.op.Calls("/oauth/token"); n != 0 {
			t.Errorf("%d codes sent before the store was asked", n)
		}
		f.store.setDown(false)
		if rep := a.post(); rep.StatusCode != http.StatusSeeOther {
			t.Errorf("the page sent again: %d %s", rep.StatusCode, rep.code())
		}
		f.loggedIn(v)
	})
	t.Run("G21_not_written", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(7 * time.Minute)
		f.store.setDown(true, "Put")
		f.loggedIn(v)
	})
}

func TestFleetRefresh(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) (*fleet, *visitor) {
		t.Helper()
		f := newFleet(t, "server", append(changes, shortTokens)...)
		f.page = fingerprint
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(10 * time.Minute)
		return f, v
	}
	t.Run("E06_hundred_at_once_on_two_instances", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		replies := make([]*reply, 100)
		var group sync.WaitGroup
		for i := range replies {
			w := []*world{f.world, f.other}[i%2]
			group.Go(func() { replies[i] = v.on(w).open("/tokens") })
		}
		group.Wait()
		for _, rep := range replies {
			if rep.StatusCode != http.StatusOK || rep.body != replies[0].body || strings.HasPrefix(rep.body, "no token") {
				t.Fatalf("%d %q", rep.StatusCode, rep.body)
			}
		}
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	// crash lets an instance die when the provider has rotated and nothing is written.
	crash := func(f *fleet, v *visitor) {
		ctx, cancel := context.WithCancel(f.Context())
		f.store.onCall(func(method string) {
			if method == "Put" && f.refreshes() > 0 {
				f.store.onCall(nil)
				cancel()
				runtime.Goexit()
			}
		})
		v.clone().send(navigation("/tokens").WithContext(ctx))
	}
	t.Run("E07_crash_and_the_provider_forgives", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, func(s *settings) { s.op.KeepRefreshTokens = true })
		crash(f, v)
		if rep := v.on(f.other).open("/tokens"); rep.StatusCode != http.StatusOK || f.refreshes() != 2 {
			t.Errorf("%d %s, %d refreshes", rep.StatusCode, rep.code(), f.refreshes())
		}
	})
	t.Run("E07_crash_and_the_provider_does_not", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		crash(f, v)
		for range 3 {
			if rep := v.on(f.other).open("/tokens"); rep.StatusCode != http.StatusFound {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		}
		if n := f.refreshes(); n != 2 {
			t.Errorf("%d refreshes: the old token is tried once", n)
		}
		b := v.on(f.other)
		b.login("/auth/login", "alice")
		if rep := b.open("/tokens"); rep.StatusCode != http.StatusOK {
			t.Errorf("after the login: %d %s", rep.StatusCode, rep.code())
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
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusOK || f.refreshes() != 1 || failed < 2 {
			t.Errorf("%d %s, %d refreshes, %d writes", rep.StatusCode, rep.code(), f.refreshes(), failed)
		}
		if again := v.on(f.other).open("/tokens"); again.body != rep.body {
			t.Errorf("the other instance has %q", again.body)
		}
	})
	t.Run("E07_write_arrives_and_its_answer_does_not", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.store.losesAnswers(1)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || f.refreshes() != 1 {
			t.Errorf("%d %s, %d refreshes", rep.StatusCode, rep.code(), f.refreshes())
		}
	})
	t.Run("E06_lock_is_lost_in_the_middle", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, func(s *settings) { s.op.KeepRefreshTokens = true })
		once := first()
		var second string
		f.wire.gate(nil, func(*http.Request) {
			if once() { // the second instance refreshes while the first one waits for its answer
				f.store.loseLocks()
				second = v.on(f.other).open("/tokens").body
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || rep.body != second {
			t.Errorf("%d %q, the other instance %q", rep.StatusCode, rep.body, second)
		}
	})
	t.Run("E19_logout_on_another_instance", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		once := first()
		f.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" && once() {
				v.on(f.other).send(formPost("/auth/logout", nil))
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.loggedOut(v)
		if ids := f.store.ids(); len(ids) != 0 {
			t.Errorf("%d sessions in the store", len(ids))
		}
	})
	t.Run("E09_store_is_no_provider", func(t *testing.T) { // a store's time-out is no reason to leave the provider alone
		t.Parallel()
		f, v := start(t)
		f.store.setDown(true, "Lock")
		f.refused(v.open("/tokens"), http.StatusServiceUnavailable, "session_store")
		f.store.setDown(false)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("E18_session_expiry", func(t *testing.T) {
		t.Parallel()
		at := time.Date(2026, 6, 1, 12, 30, 0, 0, time.UTC)
		for i, kind := range slices.Concat(fleetKinds, fleetKinds) {
			number := fmt.Sprint(at.Unix())
			if i >= len(fleetKinds) {
				number += ".0" // X4e: a NumericDate too
			}
			f := newFleet(t, kind, func(s *settings) { s.op.Claims = map[string]any{"session_expiry": json.Number(number)} })
			v := f.visitor()
			v.login("/auth/login", "")
			f.clock.add(30*time.Minute - time.Second)
			f.loggedIn(v)
			f.clock.add(time.Second)
			f.loggedOut(v)
			f.refused(v.answer("/auth/login", "").post(), http.StatusForbidden, "logged_out")
		}
	})
}

// losesAnswers makes the next n writes happen and fail.
func (f *fleetStore) losesAnswers(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = n
}
