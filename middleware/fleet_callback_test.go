package middleware_test

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFleetCallback(t *testing.T) {
	t.Parallel()
	t.Run("J_same_answer_on_two_instances_at_once", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		replies := make([]*reply, 20)
		var group sync.WaitGroup
		for i := range replies {
			w := []*world{f.world, f.other}[i%2]
			group.Go(func() { replies[i] = w.serve(a.callback().build()) })
		}
		group.Wait()
		for _, rep := range replies {
			if rep.StatusCode != http.StatusSeeOther || rep.Header.Get("Location") != replies[0].Header.Get("Location") ||
				len(rep.Header["Set-Cookie"]) != 2 || rep.Header["Set-Cookie"][0] != replies[0].Header["Set-Cookie"][0] {
				t.Fatalf("%d %s %v", rep.StatusCode, rep.code(), rep.Header)
			}
		}
		if n, ids := f.op.Calls("/oauth/token"), f.store.ids(); n != 1 || len(ids) != 1 {
			t.Errorf("%d codes sent, %d sessions", n, len(ids))
		}
		a.v.keep(replies[19])
		f.loggedIn(a.v)
	})
	t.Run("J_answer_lost_and_sent_again_to_another_instance", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		f.serve(a.callback().build()) // nobody hears it
		rep := f.other.serve(a.callback().build())
		if rep.StatusCode != http.StatusSeeOther || f.op.Calls("/oauth/token") != 1 {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		a.v.keep(rep)
		f.loggedIn(a.v)
	})
	t.Run("J_another_answer_to_the_same_login", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		f.serve(a.callback().build())
		c := a.callback()
		c.form.Set("session_state", "another")
		f.refused(f.other.serve(c.build()), http.StatusBadRequest, "transaction_spent")
	})
	t.Run("J_too_late", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		f.serve(a.callback().build())
		f.clock.add(2 * time.Minute)
		f.refused(f.other.serve(a.callback().build()), http.StatusBadRequest, "transaction_spent")
	})
	t.Run("J_refusals_are_shared_too", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		a.form.Set("code", "another")
		f.refused(f.serve(a.callback().build()), http.StatusBadRequest, "id_token_code_hash")
		f.refused(f.other.serve(a.callback().build()), http.StatusBadRequest, "id_token_code_hash")
	})
	t.Run("J_instance_dies_with_the_code", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		a := f.visitor().answer("/auth/login", "alice")
		var puts atomic.Int32
		f.store.onCall(func(method string) {
			if method == "Put" && puts.Add(1) == 2 { // the first says that the code is about to be spent
				f.store.onCall(nil)
				runtime.Goexit()
			}
		})
		var group sync.WaitGroup
		group.Go(func() { f.serve(a.callback().build()) })
		group.Wait()
		f.refused(f.other.serve(a.callback().build()), http.StatusBadRequest, "transaction_spent")
		if n := f.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("the code was sent %d times", n)
		}
		f.visitor().login("/auth/login", "alice")
	})
}
