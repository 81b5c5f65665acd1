package middleware_test

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// A code that is spent on demand is spent once in all instances that share a store with a lock, and what happens to the
// others when one of them dies over it.

// pendingFleet starts a session whose code waits, on two instances.
func pendingFleet(t *testing.T, kind string, changes ...func(*settings)) (*fleet, *visitor) {
	t.Helper()
	f := newFleet(t, kind, append([]func(*settings){onDemand, shortTokens}, changes...)...)
	f.page = reportTokens
	v := f.visitor()
	v.login("/auth/login", "alice")
	return f, v
}

// dies lets the instance that redeems the code die when the provider has answered, and returns when it is dead.
func (f *fleet) dies(v *visitor) {
	ctx, cancel := context.WithCancel(f.Context())
	f.wire.gate(nil, func(*http.Request) {
		f.wire.gate(nil, nil)
		cancel()
		runtime.Goexit() // in the goroutine of the redemption, with the provider's answer in hand
	})
	v.clone().send(navigation("/tokens").WithContext(ctx))
}

func TestOnDemandFleet(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"server", "redis"} {
		t.Run("G03_hundred_at_once_on_two_instances_"+kind, func(t *testing.T) {
			t.Parallel()
			f, v := pendingFleet(t, kind)
			replies := make([]*reply, 100)
			var group sync.WaitGroup
			for i := range replies {
				w := []*world{f.world, f.other}[i%2]
				group.Go(func() { replies[i] = v.on(w).open("/tokens") })
			}
			group.Wait()
			first := replies[0].tokens()
			for _, rep := range replies {
				if got := rep.tokens(); rep.StatusCode != http.StatusOK || got.Access != first.Access || got.ID != first.ID || first.Access == "" {
					t.Fatalf("%d %s %+v", rep.StatusCode, rep.code(), got)
				}
			}
			f.wantSent(1)
		})
		t.Run("G03_an_instance_dies_over_it_"+kind, func(t *testing.T) {
			t.Parallel()
			f, v := pendingFleet(t, kind)
			f.dies(v)
			b := v.on(f.other)
			f.wantLogin(b.clone().open("/tokens"), "none")
			b.wantTokens("lost", "interrupted")
			f.wantSent(1) // the code is never sent again
			if rep := b.silentLogin("/tokens"); rep.Header.Get("Location") != "/tokens" || b.open("/tokens").tokens().Access == "" {
				t.Errorf("after the next login: %d", rep.StatusCode)
			}
		})
		t.Run("G03_half_of_its_life_has_passed_"+kind, func(t *testing.T) {
			t.Parallel()
			f, v := pendingFleet(t, kind)
			f.clock.add(24 * time.Second)
			v.open("/private")
			_ = f.auth.Close()
			f.wantSent(0)
			f.clock.add(time.Second)
			goOn := make(chan struct{})
			f.wire.gate(func(*http.Request) { <-goOn }, nil)
			for _, path := range []string{"/private", "/", "/private"} { // nobody waits
				if rep := v.open(path); rep.StatusCode != http.StatusOK || rep.tokens().State == "ready" {
					t.Errorf("%s: %d %+v", path, rep.StatusCode, rep.tokens())
				}
			}
			close(goOn)
			_ = f.auth.Close()
			f.wantSent(1)
			for _, w := range []*world{f.world, f.other} {
				v.on(w).wantTokens("ready", "")
			}
			f.clock.add(10 * time.Second)
			v.open("/private")
			f.wantSent(1)
		})
	}
	t.Run("G03_LoadSession_starts_it_too", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.clock.add(30 * time.Second)
		v.open("/")
		_ = f.auth.Close()
		f.wantSent(1)
	})
	t.Run("G03_one_that_is_too_late_is_left_alone", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.clock.add(time.Minute)
		f.store.count()
		v.open("/private")
		_ = f.auth.Close()
		if n := f.store.count("Lock", "Put"); n != 0 {
			t.Errorf("%d calls of the store", n)
		}
	})
	t.Run("G03_one_that_is_being_sent_is_left_alone", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		asked, goOn := make(chan struct{}), make(chan struct{})
		f.wire.gate(func(*http.Request) { close(asked); <-goOn }, nil)
		var group sync.WaitGroup
		group.Go(func() { v.clone().open("/tokens") })
		<-asked
		f.clock.add(26 * time.Second)
		f.store.count()
		v.on(f.other).wantTokens("redeeming", "")
		locks := f.store.count("Lock")
		close(goOn)
		group.Wait()
		_ = f.other.auth.Close()
		if locks += f.store.count("Lock"); locks != 0 {
			t.Errorf("%d locks", locks)
		}
		f.wantSent(1)
	})
	t.Run("G03_too_late_when_the_lock_is_there", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.clock.add(45 * time.Second)
		f.store.onCall(func(method string) {
			if method == "Lock" {
				f.clock.add(5 * time.Second)
			}
		})
		f.wantLogin(v.clone().open("/tokens"), "none")
		f.store.onCall(nil)
		v.wantTokens("lost", "code_expired")
		f.wantSent(0)
	})
	t.Run("G03_logged_out_while_the_store_was_down", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		once := first()
		f.store.onCall(func(method string) {
			if method == "Put" && f.sent() > 0 && once() {
				v.clone().send(formPost("/auth/logout", nil))
				f.store.setDown(true, "Put")
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode == http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.store.onCall(nil)
		f.store.setDown(false)
		f.loggedOut(v)
		_ = f.auth.Close()
		if f.op.Calls("/revoke") == 0 {
			t.Error("the tokens that nobody holds were not revoked")
		}
	})
	for _, kind := range []string{"cookies", "gorilla"} {
		t.Run("G03_nobody_starts_it_by_itself_"+kind, func(t *testing.T) {
			t.Parallel()
			f, v := pendingFleet(t, kind)
			f.clock.add(49 * time.Second)
			v.open("/private")
			_ = f.auth.Close()
			f.wantSent(0)
		})
	}
	t.Run("G03_process_dies_over_it_cookies", func(t *testing.T) { // once in each process: nothing was written
		t.Parallel()
		f, v := pendingFleet(t, "cookies")
		f.dies(v)
		b := v.on(f.other)
		f.wantLogin(b.clone().open("/tokens"), "none") // the provider takes no code twice
		f.wantSent(2)
		b.open("/tokens")
		f.wantSent(2)
	})
	t.Run("G03_process_dies_over_it_gorilla", func(t *testing.T) { // written, but without a lock nobody knows that it died
		t.Parallel()
		f, v := pendingFleet(t, "gorilla")
		f.dies(v)
		b := v.on(f.other)
		rep := b.open("/tokens")
		if rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "tokens_pending" || rep.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		b.wantTokens("redeeming", "")
		f.clock.add(30 * time.Second)
		b.wantTokens("lost", "interrupted")
		f.wantLogin(b.open("/tokens"), "none")
		f.wantSent(1)
	})
	t.Run("G03_two_instances_without_a_lock", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "unlocked")
		once := first()
		f.wire.gate(nil, func(*http.Request) {
			if !once() {
				return
			}
			rep := v.on(f.other).open("/tokens")
			if rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "tokens_pending" {
				t.Errorf("the other instance: %d %s", rep.StatusCode, rep.code())
			}
			v.on(f.other).wantTokens("redeeming", "")
		})
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if rep := v.on(f.other).open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("the other instance, afterwards: %d %s", rep.StatusCode, rep.code())
		}
		f.wantSent(1)
	})
	t.Run("G03_both_write_that_they_send_it_without_a_lock", func(t *testing.T) { // the store takes the word of one
		t.Parallel()
		f, v := pendingFleet(t, "unlocked")
		arrive := newBarrier(2)
		f.store.onCall(func(method string) {
			if method == "Put" && f.sent() == 0 {
				arrive.enter()
				arrive.wait()
			}
		})
		var replies [2]*reply
		var group sync.WaitGroup
		for i, w := range []*world{f.world, f.other} {
			group.Go(func() { replies[i] = v.on(w).open("/tokens") })
		}
		group.Wait()
		codes := replies[0].code() + replies[1].code()
		if codes != "tokens_pending" {
			t.Errorf("codes %q", codes)
		}
		f.wantSent(1)
	})
	t.Run("G03_lock_is_lost_in_the_middle", func(t *testing.T) { // the tokens count, not the word that there are none
		t.Parallel()
		f, v := pendingFleet(t, "server")
		once := first()
		f.wire.gate(nil, func(*http.Request) {
			if once() {
				f.store.loseLocks()
				f.wantLogin(v.on(f.other).open("/tokens"), "none")
			}
		})
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.clock.add(2 * time.Minute)
		v.on(f.other).wantTokens("ready", "")
		f.wantSent(1)
	})
	t.Run("G03_logged_out_on_another_instance", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		once := first()
		f.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" && once() {
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
		_ = f.auth.Close()
		if f.op.Calls("/revoke") == 0 {
			t.Error("the tokens that nobody holds were not revoked")
		}
	})
	t.Run("G03_logged_out_while_it_is_written_that_the_code_leaves", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		once := first()
		f.store.onCall(func(method string) {
			if method == "Put" && once() {
				v.on(f.other).send(formPost("/auth/logout", nil))
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.loggedOut(v)
		f.wantSent(0)
	})
	t.Run("G03_store_is_down_before", func(t *testing.T) { // who cannot say that it sends the code does not
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.store.setDown(true, "Put")
		f.refused(v.open("/tokens"), http.StatusServiceUnavailable, "session_store")
		v.wantTokens("pending", "")
		f.wantSent(0)
		f.store.setDown(false)
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.wantSent(1)
	})
	t.Run("G03_store_is_down_afterwards", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.store.onCall(func(method string) { f.store.setDown(method == "Put" && f.sent() > 0, "Put") })
		f.refused(v.open("/tokens"), http.StatusServiceUnavailable, "session_store")
		f.store.onCall(nil)
		f.store.setDown(false)
		if rep := v.open("/tokens"); rep.tokens().Access == "" { // this process has kept them
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if rep := v.on(f.other).open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("the other instance: %d %s", rep.StatusCode, rep.code())
		}
		f.wantSent(1)
	})
	t.Run("G03_cannot_be_reached_and_the_other_instance_tries", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.wire.cut(true)
		f.refused(v.open("/tokens"), http.StatusServiceUnavailable, "unavailable")
		f.wire.cut(false)
		if rep := v.on(f.other).open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.wantSent(1)
	})
	t.Run("I01_a_sid_that_only_the_second_token_has", func(t *testing.T) {
		t.Parallel()
		f, v := withoutSID(t)
		old := v.clone()
		late := v.clone() // brings the cookie from before, and never gets another
		f.lateSID(t, v)
		cookie := v.header()
		v.wantTokens("ready", "")
		if v.header() == cookie {
			t.Error("the cookie does not know the sid")
		}
		f.store.count()
		v.wantTokens("ready", "")
		if n := f.store.count(); n != 1 {
			t.Errorf("%d round trips when the cookie knows it", n)
		}
		f.told(f.other.serve(backchannel(f.op.LogoutToken(map[string]any{"sid": "late"}))), http.StatusOK)
		for _, b := range []*visitor{v, old, late} {
			f.loggedOut(b)
		}
	})
	t.Run("I01_and_its_logout_is_first", func(t *testing.T) { // the session is gone, not only out of the index
		t.Parallel()
		f, v := withoutSID(t)
		late := v.clone()
		f.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["sid"] = "late"
			}
		})
		f.told(f.other.serve(backchannel(f.op.LogoutToken(map[string]any{"sid": "late"}))), http.StatusOK)
		if rep := v.open("/tokens"); rep.StatusCode == http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		f.loggedOut(late)
	})
}

// withoutSID starts a session whose first ID Token has no sid.
func withoutSID(t *testing.T) (*fleet, *visitor) {
	t.Helper()
	f := newFleet(t, "server", onDemand)
	f.page = reportTokens
	f.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/authorize" {
			delete(a.Claims, "sid")
		}
	})
	v := f.visitor()
	v.login("/auth/login", "alice")
	return f, v
}

// lateSID redeems a code whose second ID Token alone has a sid.
func (f *fleet) lateSID(t *testing.T, v *visitor) {
	t.Helper()
	f.op.Fault(func(a *optest.Answer) {
		if a.Grant == "authorization_code" {
			a.Claims["sid"] = "late"
		}
	})
	if rep := v.open("/tokens"); rep.tokens().Access == "" {
		t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
	}
	f.op.Fault(nil)
}
