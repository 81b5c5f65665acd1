package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// hangUp ends a request's context when the store is about to do something, as a browser does that has left the page.
func (f *fleet) hangUp(r *http.Request, method string) *http.Request {
	ctx, cancel := context.WithCancel(r.Context())
	f.Cleanup(cancel)
	f.store.onCall(func(called string) {
		if called == method {
			cancel()
		}
	})
	return r.WithContext(ctx)
}

func TestLogoutIsCarriedOut(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Bury", "Sessions", "Delete"} {
		t.Run("L17_frame_is_gone_before_"+method, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "server")
			v := f.visitor()
			v.login("/auth/login", "alice")
			r := frame("?sid=" + f.sessionID(v))
			f.other.serve(f.hangUp(r, method))
			f.store.onCall(nil)
			f.loggedOut(v.clone())
			f.clock.add(16 * time.Minute)
			f.loggedOut(v.clone())
		})
	}
	t.Run("L20_frame_and_a_store_that_cannot_delete_now", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		r := frame("?sid=" + f.sessionID(v))
		f.store.setDown(true, "Delete")
		f.other.serve(r)
		f.store.setDown(false)
		f.clock.add(16 * time.Minute)
		f.loggedOut(v)
	})
	for _, kind := range fleetKinds {
		t.Run("L17_browser_leaves_during_logout_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			kept := v.clone()
			r := f.hangUp(formPost("/auth/logout", nil), map[string]string{"server": "Delete", "cookies": "Bury"}[kind])
			v.send(r)
			f.store.onCall(nil)
			f.clock.add(2 * time.Minute)
			f.loggedOut(kept)
		})
		t.Run("X44_sid_in_the_logout_token_alone_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			f.op.Fault(func(a *optest.Answer) { delete(a.Claims, "sid") })
			v, bob := f.visitor(), f.visitor()
			v.login("/auth/login", "alice")
			bob.login("/auth/login", "bob")
			f.op.Fault(nil)
			second := f.visitor()
			second.login("/auth/login", "alice")
			f.told(f.serve(backchannel(f.op.LogoutToken(map[string]any{"sub": "alice", "sid": "s1"}))), http.StatusOK)
			f.loggedOut(v)
			f.loggedIn(bob)
			f.loggedIn(second) // has a sid, another one
		})
		t.Run("L17_late_callback_and_logout_everywhere_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			late := f.visitor().answer("/auth/login", "mallory")
			f.clock.add(50 * time.Second)
			if rep := late.post(); rep.StatusCode != http.StatusSeeOther { // makes the provider's clock seem to be late
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
			v := f.visitor().on(f.other)
			v.login("/auth/login", "alice")
			f.clock.add(10 * time.Second)
			if err := f.auth.EndSessions(t.Context(), f.client.Issuer(), "alice", ""); err != nil {
				t.Error(err)
			}
			f.loggedOut(v)
		})
	}
	t.Run("L20_strangers_frames_dig_up_no_logout", func(t *testing.T) {
		t.Parallel()
		now := time.Unix(1790000000, 0)
		g := middleware.NewGraves(func() time.Time { return now })
		for i := range middleware.MaxTombs / 2 {
			_ = g.Bury(t.Context(), fmt.Sprint("victim", i), now, time.Hour)
			g.BuryWeak(fmt.Sprint("victim", i), now, time.Hour)
		}
		for i := range 2 * middleware.MaxTombs {
			g.BuryWeak(fmt.Sprint("invented", i), now, time.Hour)
		}
		for i := range middleware.MaxTombs / 2 {
			if at, _ := g.Buried(t.Context(), fmt.Sprint("victim", i)); at.IsZero() {
				t.Fatalf("session %d lives again", i)
			}
		}
	})
	t.Run("L20_strangers_frames_do_not_fill_the_store", func(t *testing.T) {
		t.Parallel()
		for _, kind := range fleetKinds {
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			sid := f.sessionID(v)
			f.store.count()
			for i := range middleware.FramesAtOnce + 500 {
				f.serve(frame(fmt.Sprint("?sid=invented", i)))
			}
			if n := f.store.count("Bury"); n != middleware.FramesAtOnce {
				t.Errorf("%s: %d tombstones", kind, n)
			}
			if kind == "cookies" {
				f.clock.add(time.Second)
			}
			f.serve(frame("?sid=" + sid)) // a session that the store has is none of them
			f.loggedOut(v)
		}
	})
}

func TestRefreshIsNotLost(t *testing.T) {
	t.Parallel()
	t.Run("L18_user_info_of_another_instance", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server", shortTokens)
		v := f.visitor()
		v.login("/auth/login", "alice")
		once := first()
		use := func(use func(*middleware.Session) error) {
			f.page = func(_ http.ResponseWriter, r *http.Request) {
				if err := use(middleware.FromContext(r.Context())); err != nil {
					t.Error(err)
				}
			}
		}
		f.wire.gate(nil, func(r *http.Request) {
			if r.URL.Path == "/oauth/token" && once() { // the other instance asks UserInfo while ours waits for its answer
				f.store.loseLocks()
				use(func(s *middleware.Session) error { _, err := s.UserInfo(t.Context()); return err })
				v.clone().on(f.other).open("/private")
			}
		})
		refresh := func(s *middleware.Session) error { return s.Refresh(t.Context()) }
		use(refresh)
		v.open("/private")
		use(refresh)
		v.open("/private") // by the new refresh token
	})
	t.Run("L18_refusal_of_the_spent_token_comes_first", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server", shortTokens)
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(10 * time.Minute)
		once := first()
		f.wire.gate(nil, func(r *http.Request) {
			if r.URL.Path == "/oauth/token" && once() {
				f.store.loseLocks()
				if rep := v.clone().on(f.other).open("/tokens"); rep.StatusCode != http.StatusFound {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
			}
		})
		for range 2 {
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		}
	})
	t.Run("L18_followers_of_a_conflict_share_a_record", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server", shortTokens, func(s *settings) { s.op.KeepRefreshTokens = true })
		v := f.visitor()
		v.login("/auth/login", "alice")
		f.clock.add(10 * time.Minute)
		once := first()
		var group sync.WaitGroup
		f.wire.gate(nil, func(*http.Request) {
			if !once() {
				return
			}
			f.store.loseLocks()
			v.clone().on(f.other).open("/tokens")
			loads := make(chan struct{}, 100)
			f.store.onCall(func(method string) {
				if method == "Load" {
					loads <- struct{}{}
				}
			})
			for range 20 {
				c := v.clone()
				group.Go(func() { c.open("/tokens") })
			}
			for range 20 {
				<-loads
			}
			f.store.onCall(nil)
		})
		v.open("/tokens")
		group.Wait()
	})
	t.Run("L18_worker_with_a_deadline", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		f.clock.add(10 * time.Minute)
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		goOn := make(chan struct{})
		var waited atomic.Bool // for the answer
		f.wire.gate(nil, func(*http.Request) {
			select {
			case <-goOn:
			case <-time.After(time.Minute):
				waited.Store(true)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err = source.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || waited.Load() {
			t.Errorf("%v, although the answer had not come", err)
		}
		close(goOn)
		if _, err := source.Token(t.Context()); err != nil || f.refreshes() != 1 { // the answer was not lost
			t.Errorf("%v, %d refreshes", err, f.refreshes())
		}
	})
	t.Run("X4a_grant_is_not_removed_by_the_loser", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		f.clock.add(10 * time.Minute)
		once := first()
		f.wire.gate(nil, func(*http.Request) {
			if once() {
				f.store.loseLocks()
				source, err := f.other.auth.Offline(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = source.Token(t.Context())
				t.Logf("second: %v", err)
			}
		})
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Token(t.Context())
		t.Logf("first: %v", err)
		if _, err = f.auth.Offline(t.Context(), id); err != nil {
			t.Errorf("the grant is gone: %v", err)
		}
	})
}

// slowIndex is a store whose list shows, for a while, what was deleted.
type slowIndex struct {
	*fleetStore
	asked int
}

func (s *slowIndex) Sessions(ctx context.Context, tomb string, limit int) ([]middleware.StoredSession, error) {
	s.asked++
	if s.asked > 50 {
		return nil, errDown
	}
	stored, err := s.fleetStore.Sessions(ctx, tomb, limit)
	for len(stored) > 0 && len(stored) < limit {
		stored = append(stored, stored[0])
	}
	return stored, err
}

func (s *slowIndex) Delete(context.Context, string) error { return nil }

func TestEndingEnds(t *testing.T) {
	t.Parallel()
	var slow *slowIndex
	w := newWorld(t, func(s *settings) {
		slow = &slowIndex{fleetStore: newFleetStore(s.auth.Now)}
		s.auth.Store = slow
	})
	v := w.visitor()
	v.login("/auth/login", "alice")
	_ = w.auth.EndSessions(t.Context(), w.client.Issuer(), "alice", "")
	if slow.asked > 50 {
		t.Errorf("X4b: a list that is behind is asked without end")
	}
}

func TestCeilingSpellings(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "server")
	f.op.Fault(func(a *optest.Answer) {
		if a.Claims != nil {
			a.Claims["session_expiry"] = json.RawMessage(fmt.Sprintf("%d.0", f.clock.Now().Add(10*time.Minute).Unix()))
		}
	})
	v := f.visitor()
	v.login("/auth/login", "alice")
	f.clock.add(11 * time.Minute)
	f.loggedOut(v)
}
