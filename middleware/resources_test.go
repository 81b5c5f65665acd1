package middleware_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

var resources = flag.Bool("resources", false, "measure what attacks on resources cost, and print it (minutes)")

// usage is what the process has.
type usage struct {
	heap       uint64
	goroutines int
	files      int // -1 where the system does not tell
}

func measure() usage {
	u := usage{heap(), runtime.NumGoroutine(), -1}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.files = len(list)
	}
	return u
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MB, %d goroutines, %d files", float64(u.heap)/(1<<20), u.goroutines, u.files)
}

// TestResourceFigures prints the table of docs/security.md, and fails if something is kept:
//
//	go test ./middleware -run TestResourceFigures -resources -v
//
// Provider, browsers and app are in this process; requests to the provider go through real connections.
func TestResourceFigures(t *testing.T) {
	if !*resources {
		t.Skip("-resources is not given")
	}
	warmUp()
	t.Run("J01_10_000_logins_under_way", func(t *testing.T) {
		figures(t, nil, func(w *world, _ func()) {
			for range 10_000 {
				if rec := w.plain(navigation("/auth/login?return_to=/private")); rec.Code != 302 {
					t.Fatalf("%d", rec.Code)
				}
			}
		})
	})
	t.Run("J02_200_logins_in_one_browser", func(t *testing.T) {
		figures(t, nil, func(w *world, _ func()) {
			v := w.visitor()
			var last *attempt
			for range 200 {
				last = v.begin("/auth/login")
			}
			if header := v.header("x"); strings.Count(header, ";") > 4 || len(header) > 4<<10 {
				t.Errorf("%d bytes of cookies", len(header))
			}
			last.ask("")
			if rep := last.post(); rep.StatusCode != 303 {
				t.Errorf("the newest does not work: %d", rep.StatusCode)
			}
		})
	})
	t.Run("J03_20_000_callbacks_with_foreign_state", func(t *testing.T) {
		var stolen *attempt
		figures(t, func(w *world) { stolen = w.visitor().answer("/auth/login", "") }, func(w *world, _ func()) {
			spent := w.op.Calls("/oauth/token")
			for range 20_000 {
				r := stolen.callback().build() // good, but for another browser
				r.Header.Del("Cookie")
				if rec := w.plain(r); rec.Code != 400 {
					t.Fatalf("%d", rec.Code)
				}
			}
			if n := w.op.Calls("/oauth/token") - spent; n != 0 {
				t.Errorf("%d calls of the token endpoint", n)
			}
		})
	})
	t.Run("J06_1_000_logins_and_a_token_endpoint_that_hangs", func(t *testing.T) {
		var waiting []*http.Request
		figures(t, func(w *world) { waiting = w.callbacks(1000) }, func(w *world, now func()) { w.hang(t, waiting, now) })
	})
	t.Run("J07_1_000_callbacks_aborted_by_their_browsers", func(t *testing.T) {
		var waiting []*http.Request
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		figures(t, func(w *world) {
			for _, r := range w.callbacks(1000) {
				waiting = append(waiting, r.WithContext(ctx))
			}
		}, func(w *world, now func()) {
			w.hang(t, waiting, func() { now(); leave() })
		})
	})
}

// warmUp takes what the runtime keeps for good once it has had that many goroutines.
func warmUp() {
	var group sync.WaitGroup
	over := make(chan struct{})
	for range 10_000 {
		group.Go(func() { <-over })
	}
	close(over)
	group.Wait()
}

// callbacks are good answers to n logins, not posted yet.
func (w *world) callbacks(n int) []*http.Request {
	out := make([]*http.Request, n)
	for i := range out {
		out[i] = w.visitor().answer("/auth/login", "").callback().build()
	}
	return out
}

// hang posts answers while the token endpoint says nothing. Once all wait there, others are served, and now runs.
func (w *world) hang(t *testing.T, waiting []*http.Request, now func()) {
	n := len(waiting)
	other := w.visitor()
	other.login("/auth/login", "")
	spent := w.op.Calls("/oauth/token")
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			a.Delay = -1
		}
	})
	defer w.op.Fault(nil)
	var group sync.WaitGroup
	for _, r := range waiting {
		group.Go(func() {
			if rec := w.plain(r); rec.Code < 500 {
				t.Errorf("%d", rec.Code)
			}
		})
	}
	for deadline := time.Now().Add(8 * time.Second); w.op.Calls("/oauth/token")-spent < n && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	t.Logf("%d of %d wait at the token endpoint", w.op.Calls("/oauth/token")-spent, n)
	begin := time.Now()
	for path, want := range map[string]int{"/private": 200, "/auth/login": 302, "/tokens": 200} {
		if rep := other.open(path); rep.StatusCode != want {
			t.Errorf("%s: %d", path, rep.StatusCode)
		}
	}
	t.Logf("three other requests took %v", time.Since(begin).Round(time.Microsecond))
	now()
	group.Wait()
	if again := w.op.Calls("/oauth/token") - spent; again > n {
		t.Errorf("%d requests for %d codes", again, n)
	}
}

// figures measures before, at now, and after an attack, and fails if more than a little is kept. The answers to equal
// callbacks, which are kept for a minute, are over then.
func figures(t *testing.T, prepare func(w *world), attack func(w *world, now func())) {
	w := newWorld(t, mute)
	w.visitor().login("/auth/login", "")
	if prepare != nil {
		prepare(w)
	}
	before, peak := measure(), usage{}
	begin := time.Now()
	attack(w, func() { peak = measure() })
	took := time.Since(begin)
	w.op.Client().CloseIdleConnections()
	w.wire.base.CloseIdleConnections()
	settled(t, before.goroutines)
	at := measure()
	w.clock.add(20 * time.Minute)
	w.visitor().login("/auth/login", "")
	w.wire.base.CloseIdleConnections()
	after := measure()
	t.Logf("before: %v", before)
	if peak.heap > 0 {
		t.Logf("during: %v", peak)
	}
	t.Logf("at its end: %v (%v)", at, took.Round(time.Millisecond))
	t.Logf("later:  %v", after)
	if after.heap > before.heap+1<<20 || after.goroutines > before.goroutines+10 || after.files > before.files+10 {
		t.Error("something is kept")
	}
	runtime.KeepAlive(w)
}
