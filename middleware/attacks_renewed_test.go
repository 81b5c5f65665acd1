package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// TestTransport gives each user the own token, whoever else is served at the same time (E11, E12).
func TestTransport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortTokens)
	client := &http.Client{Transport: w.auth.Transport(canary.Network, w.op.URL)} // one for the process
	w.page = func(rw http.ResponseWriter, r *http.Request) {
		request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, w.op.URL+"/api", nil)
		resp, err := client.Do(request)
		if err != nil {
			_, _ = fmt.Fprint(rw, err)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(rw, resp.Body)
	}
	is := func(rep *reply, user string) bool { return strings.Contains(rep.body, `"sub":"`+user+`"`) }
	t.Run("E11_two_users_at_once", func(t *testing.T) {
		users := map[string]*visitor{"alice": w.visitor(), "bob": w.visitor()}
		for name, v := range users {
			v.login("/auth/login", name)
		}
		for range 2 {
			var group sync.WaitGroup
			for name, v := range users {
				for range 30 {
					group.Go(func() {
						if rep := v.open("/tokens"); !is(rep, name) {
							t.Errorf("%s got: %d %s", name, rep.StatusCode, rep.body)
						}
					})
				}
			}
			group.Wait()
			w.clock.add(10 * time.Minute) // the second round refreshes
		}
	})
	t.Run("E12_login_as_another_user", func(t *testing.T) {
		v := w.visitor()
		for _, user := range []string{"alice", "bob", "alice"} {
			v.login("/auth/login", user)
			if rep := v.open("/tokens"); !is(rep, user) {
				t.Errorf("%s got: %s", user, rep.body)
			}
		}
	})
	t.Run("E12_without_a_session", func(t *testing.T) {
		if _, err := client.Get(w.op.URL + "/api"); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("%v", err)
		}
	})
	t.Run("E15_another_origin", func(t *testing.T) {
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request left") }))
		defer other.Close()
		v := w.visitor()
		v.login("/auth/login", "alice")
		var err error
		page := w.page
		defer func() { w.page = page }()
		w.page = func(_ http.ResponseWriter, r *http.Request) {
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, other.URL, nil)
			_, err = client.Do(request)
		}
		v.open("/tokens")
		if !errors.Is(err, rp.ErrOrigin) {
			t.Errorf("%v", err)
		}
	})
}

// TestRenewedCookies looks where cookies that were renewed for a request go (G27, G28).
func TestRenewedCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortTokens)
	v := w.visitor()
	v.login("/auth/login", "alice")
	w.clock.add(10 * time.Minute)
	var page atomic.Pointer[http.HandlerFunc] // the server reads it in goroutines of its own
	show := func(f http.HandlerFunc) { page.Store(&f) }
	w.page = func(rw http.ResponseWriter, r *http.Request) { (*page.Load())(rw, r) }
	server := httptest.NewServer(w.mux)
	defer server.Close()
	for name, f := range map[string]http.HandlerFunc{
		"nothing":    func(http.ResponseWriter, *http.Request) {},
		"status":     func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(418) },
		"early":      func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(103); rw.WriteHeader(200) },
		"write":      func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("x")) },
		"string":     func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "x") },
		"flush":      func(rw http.ResponseWriter, _ *http.Request) { rw.(http.Flusher).Flush() },
		"controller": func(rw http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(rw).Flush() },
		"copy":       func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(rw, strings.NewReader("x")) },
		"content": func(rw http.ResponseWriter, r *http.Request) {
			http.ServeContent(rw, r, "x.txt", time.Time{}, strings.NewReader("content"))
		},
		"events": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(rw, "data: x\n\n")
			_ = http.NewResponseController(rw).Flush()
		},
		"public":   func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Cache-Control", "public, max-age=600") },
		"redirect": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/", http.StatusFound) },
		"error":    func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "x", 500) },
		"panic": func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte("x"))
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run("G27_"+name, func(t *testing.T) {
			show(f)
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/tokens", nil)
			r.Header = navigation("/tokens").Header
			r.Header.Set("Cookie", v.header())
			resp, err := server.Client().Transport.RoundTrip(r)
			if err != nil {
				if name == "panic" {
					return
				}
				t.Fatal(err)
			}
			defer resp.Body.Close()
			names := map[string]int{}
			for _, c := range resp.Cookies() {
				names[c.Name]++
				w.spoken.cookie(c.Raw)
			}
			if names[sessionName] != 1 || names[cookiePrefix+"t0"] != 1 {
				t.Errorf("cookies %v", names)
			}
			if cc := resp.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") || strings.Contains(cc, "public") {
				t.Errorf("G28: Cache-Control %q", cc)
			}
			if !strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Cookie") {
				t.Error("G28: no Vary")
			}
		})
	}
	t.Run("G27_abilities_of_the_writer", func(t *testing.T) {
		var flush, hijack, readFrom bool
		show(func(rw http.ResponseWriter, _ *http.Request) {
			_, flush = rw.(http.Flusher)
			_, hijack = rw.(http.Hijacker)
			_, readFrom = rw.(io.ReaderFrom)
		})
		v.clone().open("/tokens") // a recorder can flush only
		if !flush || hijack || readFrom {
			t.Errorf("of a recorder: %v %v %v", flush, hijack, readFrom)
		}
		show(func(rw http.ResponseWriter, _ *http.Request) {
			conn, buffer, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = buffer.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_ = buffer.Flush()
		})
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/tokens", nil)
		r.Header = navigation("/tokens").Header
		r.Header.Set("Cookie", v.header())
		resp, err := server.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 101 {
			t.Errorf("%d", resp.StatusCode)
		}
	})
	t.Run("G28_a_page_with_a_session_is_private", func(t *testing.T) {
		show(whoami)
		v := w.visitor()
		v.login("/auth/login", "") // nothing is renewed
		for _, path := range []string{"/", "/private", "/tokens"} {
			rep := v.clone().open(path)
			if cc := rep.Header.Get("Cache-Control"); cc != "private, no-store" || rep.Header.Get("Vary") != "Cookie" {
				t.Errorf("%s: %q, Vary %q", path, cc, rep.Header.Get("Vary"))
			}
		}
		if rep := w.visitor().open("/"); rep.Header.Get("Vary") != "Cookie" {
			t.Error("without a session: no Vary")
		}
	})
	// L17: a handler that changes the session itself knows better than what was renewed before it.
	t.Run("L17_handler_logs_out", func(t *testing.T) {
		w := newWorld(t, shortTokens)
		v := w.visitor()
		v.login("/auth/login", "alice")
		w.clock.add(10 * time.Minute)
		w.page = func(rw http.ResponseWriter, r *http.Request) { _ = w.auth.Logout(rw, r) }
		rep := v.open("/tokens")
		if set, _ := rep.sets(cookiePrefix); set != nil {
			t.Errorf("sets %v", set)
		}
		w.page = whoami
		if v.id() != "" || len(v.cookies) != 0 {
			t.Errorf("left: %d cookies", len(v.cookies))
		}
	})
}
