package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group J that are not here:
//   - J05, J09: the key set is rp's; there are no regular expressions and no claim paths
//   - J10: spent codes are rp's; that full memory is reported, not silent, is tested inside the package
//   - J11: attacks_store_test.go; J12: attacks_refresh_test.go
//
// These tests are not parallel: they count what the process has.

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settled waits until no more goroutines run than before, but for a few of the network's.
func settled(t *testing.T, before int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for runtime.NumGoroutine() > before+10 {
		select {
		case <-tick.C:
		case <-limit:
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			return
		}
	}
}

// plain serves without taking anything down.
func (w *world) plain(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.app.ServeHTTP(rec, r)
	return rec
}

// mute makes a world whose log and events go nowhere, so that counting them costs nothing.
func mute(s *settings) {
	s.auth.Observe, s.rp.Observe, s.auth.Logger, s.rp.Logger = nil, nil, discard, discard
}

func TestResources(t *testing.T) {
	t.Run("J01_ten_thousand_logins_under_way", func(t *testing.T) {
		w := newWorld(t, mute)
		w.plain(navigation("/auth/login"))
		before := heap()
		for range 10_000 {
			if rec := w.plain(navigation("/auth/login?return_to=/private")); rec.Code != 302 {
				t.Fatalf("%d", rec.Code)
			}
		}
		if after := heap(); after > before+1<<20 {
			t.Errorf("%d KB kept", (after-before)>>10)
		}
		runtime.KeepAlive(w)
	})
	t.Run("J02_two_hundred_logins_in_one_browser", func(t *testing.T) {
		w := newWorld(t)
		v := w.visitor()
		var last *attempt
		for i := range 200 {
			w.clock.add(time.Second)
			last = v.begin(fmt.Sprintf("/auth/login?return_to=/private/%d", i))
			if header := v.header("x"); strings.Count(header, ";") > 4 || len(header) > 4<<10 {
				t.Fatalf("%d cookies, %d bytes after %d logins", strings.Count(header, ";")+1, len(header), i)
			}
		}
		last.ask("")
		if rep := last.post(); rep.StatusCode != 303 || rep.Header.Get("Location") != "/private/199" {
			t.Errorf("the newest does not work: %d %s", rep.StatusCode, rep.code())
		}
		for i := range 5 { // as large as they can be
			w.clock.add(time.Second)
			v.begin("/auth/login?return_to=/" + strings.Repeat("x", 2000))
			if header := v.header("x"); len(header) > 4<<10 {
				t.Errorf("%d bytes after %d long logins", len(header), i)
			}
		}
	})
	t.Run("J03_callbacks_with_random_states", func(t *testing.T) {
		w := newWorld(t, mute, func(s *settings) { s.rp.Discovery = rp.Lazy })
		before, goroutines := heap(), runtime.NumGoroutine()
		for i := range 5000 {
			form := url.Values{"state": {fmt.Sprintf("random-state-%022d", i)}, "code": {"x"}, "id_token": {"e30.e30.e30"}}
			r := formPost("/auth/callback", form)
			if rec := w.plain(r); rec.Code != 400 {
				t.Fatalf("%d", rec.Code)
			}
		}
		for _, path := range []string{"/.well-known/openid-configuration", "/jwks", "/oauth/token"} {
			if n := w.op.Calls(path); n != 0 {
				t.Errorf("%d calls of %s", n, path)
			}
		}
		if after := heap(); after > before+1<<20 {
			t.Errorf("%d KB kept", (after-before)>>10)
		}
		settled(t, goroutines)
		runtime.KeepAlive(w)
	})
	t.Run("J04_garbage_for_one_state", func(t *testing.T) {
		w := newWorld(t)
		a := w.visitor().answer("/auth/login", "")
		keys := w.op.Calls("/jwks")
		for i := range 500 {
			c := a.callback()
			c.form.Set("id_token", fmt.Sprintf("e30.%d.e30", i))
			want := "transaction_spent"
			if i == 0 {
				want = "id_token_malformed"
			}
			if rep := w.serve(c.build()); rep.code() != want {
				t.Fatalf("attempt %d: %d %s", i, rep.StatusCode, rep.code())
			}
		}
		if n := w.op.Calls("/jwks") - keys; n > 1 {
			t.Errorf("%d fetches of keys", n)
		}
	})
	t.Run("J06_slow_token_endpoint", func(t *testing.T) {
		w := newWorld(t)
		goroutines := runtime.NumGoroutine()
		const logins = 200
		attempts := make([]*attempt, logins)
		for i := range attempts {
			attempts[i] = w.visitor().answer("/auth/login", "")
		}
		v := w.visitor()
		v.login("/auth/login", "")
		waiting, goOn := newBarrier(logins), make(chan struct{})
		w.wire.gate(func(*http.Request) { waiting.enter(); <-goOn }, nil)
		var group sync.WaitGroup
		for _, a := range attempts {
			group.Go(func() {
				if rep := w.serve(a.callback().build()); rep.StatusCode != 303 {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
			})
		}
		waiting.wait()
		if rep := v.open("/private"); rep.StatusCode != 200 { // all others go on
			t.Errorf("%d", rep.StatusCode)
		}
		if rep := w.serve(navigation("/auth/login")); rep.StatusCode != 302 {
			t.Errorf("%d", rep.StatusCode)
		}
		close(goOn)
		group.Wait()
		w.op.Client().CloseIdleConnections()
		w.wire.base.CloseIdleConnections()
		settled(t, goroutines)
	})
	t.Run("J07_a_thousand_callbacks_that_fail", func(t *testing.T) {
		w := newWorld(t, mute)
		goroutines := runtime.NumGoroutine()
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/oauth/token" {
				a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
			}
		})
		for i := range 1000 {
			a := w.visitor().begin("/auth/login")
			switch i % 4 {
			case 0: // as far as the token endpoint
				if i%40 == 0 {
					a.ask("")
					break
				}
				fallthrough
			case 1:
				a.form = url.Values{"state": {a.to.Query().Get("state")}, "error": {"access_denied"}}
			case 2:
				a.form = url.Values{"state": {a.to.Query().Get("state")}, "code": {"x"}, "id_token": {"x"}}
			case 3:
				a.form = url.Values{"state": {"x"}}
			}
			if rec := w.plain(a.callback().build()); rec.Code < 400 {
				t.Fatalf("%d", rec.Code)
			}
		}
		w.op.Client().CloseIdleConnections()
		w.wire.base.CloseIdleConnections()
		settled(t, goroutines)
	})
	t.Run("J08_hostile_cookie_headers", func(t *testing.T) {
		w := newWorld(t, mute)
		v := w.visitor()
		v.login("/auth/login", "")
		pair := func(i int) string { return fmt.Sprintf("%sx%012d=%0100d; ", cookiePrefix, i, i) }
		var many, foreign strings.Builder
		for i := range 500 {
			many.WriteString(pair(i))
			fmt.Fprintf(&foreign, "c%d=%d; ", i, i)
		}
		for name, header := range map[string]string{
			"ours_500":      many.String(),
			"foreign_500":   foreign.String(),
			"64_KB_value":   sessionName + "=" + strings.Repeat("A", 64<<10),
			"64_KB_chunk":   v.header() + "; " + cookiePrefix + "t1=12" + strings.Repeat("A", 64<<10),
			"64_KB_of_;":    strings.Repeat(";", 64<<10),
			"64_KB_of_=":    strings.Repeat("=", 64<<10),
			"64_KB_of_name": cookiePrefix + strings.Repeat("x", 64<<10),
			"prefix_only":   strings.Repeat(cookiePrefix+"; ", 4000),
		} {
			t.Run(name, func(t *testing.T) {
				for _, path := range []string{"/private", "/auth/login", "/auth/logged-out", "/"} {
					request := func() *http.Request {
						r := navigation(path)
						r.Header.Set("Cookie", header)
						return r
					}
					r := request()
					allocs := testing.AllocsPerRun(3, func() { w.plain(r) })
					if allocs > 500 {
						t.Errorf("%s: %.0f allocations", path, allocs)
					}
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					w.plain(r)
					runtime.ReadMemStats(&after)
					if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
						t.Errorf("%s: %d KB for one request", path, n>>10)
					}
				}
			})
		}
		r := navigation("/private") // our cookies are found behind five hundred others
		r.Header.Set("Cookie", foreign.String()+v.header())
		if rec := w.plain(r); rec.Code != 200 {
			t.Errorf("%d", rec.Code)
		}
	})
	// L20: what a stranger sends at the logout must not stay.
	t.Run("L20_logouts_of_sessions_that_never_were", func(t *testing.T) {
		w := newWorld(t, mute, func(s *settings) { s.auth.Store = fileStore(t) })
		w.mux.HandleFunc("/bye", func(rw http.ResponseWriter, r *http.Request) { _ = w.auth.Logout(rw, r) }) // the app's own
		for name, format := range map[string]string{"long": "%021dA" + strings.Repeat("x", 4<<10), "well-formed": "%021dA.MTc5NTI1NjQ5NHxOd3dB"} {
			before := heap()
			for i := range 5000 {
				r := formPost([]string{"/auth/logout", "/bye"}[i%2], nil)
				r.Header.Set("Cookie", fmt.Sprintf("%s="+format, sessionName, i))
				w.plain(r)
			}
			if after := heap(); after > before+1<<19 {
				t.Errorf("%s: %d KB kept", name, (after-before)>>10)
			}
		}
		runtime.KeepAlive(w)
	})
}
