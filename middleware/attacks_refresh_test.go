package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group E that are not here:
//   - E01 to E04, E13 to E16, E20: rp's
//   - E06, E07: several processes need a SessionStore, a later issue; with one process E05

// fingerprint is a page that says which access token the session has.
func fingerprint(w http.ResponseWriter, r *http.Request) {
	token, err := middleware.FromContext(r.Context()).Token(r.Context())
	if err != nil {
		_, _ = fmt.Fprint(w, "no token: ", rp.ErrorCode(err))
		return
	}
	sum := sha256.Sum256([]byte(token.AccessToken))
	_, _ = io.WriteString(w, hex.EncodeToString(sum[:8]))
}

// shortTokens makes access tokens that end before sessions do.
func shortTokens(s *settings) { s.op.AccessTokenLifetime = 5 * time.Minute }

// refreshes counts the refreshes at the token endpoint; the first login is none.
func (w *world) refreshes() (n int) {
	for _, r := range w.op.Requests("/oauth/token") {
		if r.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		start := func(t *testing.T, changes ...func(*settings)) (*world, *visitor) {
			t.Helper()
			w := newWorld(t, append(changes, store.use(t), shortTokens)...)
			w.page = fingerprint
			v := w.visitor()
			v.login("/auth/login", "alice")
			w.clock.add(10 * time.Minute)
			return w, v
		}
		t.Run("E05_hundred_at_once_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			arrive := newBarrier(100)
			w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
			w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
			replies := make([]*reply, 100)
			old := v.clone()
			var group sync.WaitGroup
			for i := range replies {
				group.Go(func() { replies[i] = v.clone().open("/tokens") })
			}
			group.Wait()
			for _, rep := range replies {
				if rep.StatusCode != 200 || rep.body != replies[0].body || strings.HasPrefix(rep.body, "no token") {
					t.Fatalf("%d %s", rep.StatusCode, rep.body)
				}
				if store.name == "cookies" && rep.Header["Set-Cookie"] == nil {
					t.Error("an answer without the new cookies")
				}
			}
			w.app = w.mux
			late := old.clone().open("/tokens") // on its way for long
			if late.StatusCode != 200 || late.body != replies[0].body || w.refreshes() != 1 {
				t.Errorf("late: %d %s; %d refreshes", late.StatusCode, late.body, w.refreshes())
			}
			v.keep(late)
			w.clock.add(2 * time.Minute)
			if rep := v.open("/tokens"); rep.StatusCode != 200 || rep.body != replies[0].body || w.refreshes() != 1 {
				t.Errorf("afterwards: %d %s; %d refreshes", rep.StatusCode, rep.body, w.refreshes())
			}
		})
		t.Run("E08_invalid_grant_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
				}
			})
			script := navigation("/tokens")
			script.Header.Set("Sec-Fetch-Mode", "cors")
			if rep := v.send(script); rep.StatusCode != 401 {
				t.Errorf("a script: %d %s", rep.StatusCode, rep.code())
			}
			if rep := v.clone().open("/tokens"); rep.StatusCode != http.StatusFound {
				t.Errorf("a navigation: %d %s", rep.StatusCode, rep.code())
			}
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes: a grant that has ended is not tried again", n)
			}
			w.page = whoami
			if rep := v.open("/private"); rep.who().Subject != "alice" {
				t.Errorf("the login went with the tokens: %d", rep.StatusCode)
			}
		})
		t.Run("E09_provider_is_down_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.wire.cut(true)
			for range 10 {
				if rep := v.open("/tokens"); rep.StatusCode != 503 || rep.code() != "unavailable" || rep.Header.Get("Retry-After") == "" {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
			}
			w.clock.add(3 * time.Second)
			v.open("/tokens")
			v.open("/tokens")
			if w.wire.tried != 2 {
				t.Errorf("asked %d times, a provider that is down", w.wire.tried)
			}
			w.wire.cut(false)
			w.clock.add(time.Minute)
			if rep := v.open("/tokens"); rep.StatusCode != 200 {
				t.Errorf("it does not heal: %d %s", rep.StatusCode, rep.code())
			}
		})
		t.Run("E09_provider_answers_503_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.Body = 503, []byte("<html>down for maintenance")
				}
			})
			for range 5 {
				if rep := v.open("/tokens"); rep.StatusCode != 503 || strings.Contains(rep.body, "maintenance") {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
			}
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E09_token_that_still_serves_"+store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t), shortTokens)
			w.page = fingerprint
			v := w.visitor()
			v.login("/auth/login", "alice")
			before := v.open("/tokens").body
			w.clock.add(5*time.Minute - 10*time.Second)
			w.op.Fault(func(a *optest.Answer) { a.Status = 503 })
			for range 5 {
				if rep := v.open("/tokens"); rep.StatusCode != 200 || rep.body != before {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
			}
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E18_after_the_session_ended_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			var inside error
			w.page = func(rw http.ResponseWriter, r *http.Request) { // ends while the handler runs
				w.clock.add(13 * time.Hour)
				inside = middleware.FromContext(r.Context()).Refresh(r.Context())
			}
			v.clone().open("/private")
			if !errors.Is(inside, middleware.ErrNoSession) {
				t.Errorf("refreshed beyond the absolute limit: %v", inside)
			}
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound || w.refreshes() != 0 {
				t.Errorf("%d, %d refreshes", rep.StatusCode, w.refreshes())
			}
		})
		t.Run("E18_after_logout_in_the_same_request_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			var inside error
			var auth *middleware.Auth
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				_ = auth.Logout(rw, r)
				_, inside = middleware.FromContext(r.Context()).Token(r.Context())
			}
			auth = w.auth
			v.open("/private")
			if inside == nil || w.refreshes() != 0 {
				t.Errorf("%v, %d refreshes", inside, w.refreshes())
			}
		})
		for _, when := range []string{"before_the_provider_is_asked", "after_the_provider_answered"} {
			t.Run("E19_logout_"+when+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := start(t)
				asked, goOn := make(chan struct{}), make(chan struct{})
				stop := func(*http.Request) { close(asked); <-goOn }
				if when == "after_the_provider_answered" {
					w.wire.gate(nil, stop)
				} else {
					w.wire.gate(stop, nil)
				}
				refreshing := v.clone()
				var rep *reply
				var group sync.WaitGroup
				group.Go(func() { rep = refreshing.open("/tokens") })
				<-asked
				old := v.clone()
				v.send(formPost("/auth/logout", nil))
				close(goOn)
				group.Wait()
				if rep.StatusCode == 200 {
					t.Errorf("the refreshing request is served: %s", rep.body)
				}
				for name, browser := range map[string]*visitor{"refreshing": refreshing, "old": old, "after logout": v} {
					if rep := browser.open("/private"); rep.StatusCode == 200 {
						t.Errorf("the session lives again in the browser %q", name)
					}
				}
				w.clock.add(2 * time.Minute)
				if refreshing.open("/tokens").StatusCode == 200 || old.open("/tokens").StatusCode == 200 {
					t.Error("the session lives again later")
				}
			})
		}
		t.Run("J12_leader_gives_up_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			asked, goOn := make(chan struct{}), make(chan struct{})
			w.wire.gate(func(*http.Request) { close(asked); <-goOn }, nil)
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() { v.clone().send(navigation("/tokens").WithContext(ctx)) })
			<-asked
			arrive := newBarrier(10)
			w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
			for range 10 {
				group.Go(func() {
					if rep := v.clone().open("/tokens"); rep.StatusCode != 200 {
						t.Errorf("a follower failed: %d %s", rep.StatusCode, rep.code())
					}
				})
			}
			arrive.wait()
			cancel()
			close(goOn)
			group.Wait()
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
		// X16: an ID Token of somebody else comes with a refresh: nothing of that session may go on (Core 12.2).
		t.Run("X16_refresh_brings_another_user_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Claims["sub"] = "mallory"
				}
			})
			old := v.clone()
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
			if old.open("/private").StatusCode == 200 || v.open("/private").StatusCode == 200 {
				t.Error("the session goes on")
			}
		})
	}
	t.Run("E10_response_has_begun", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shortTokens)
		v := w.visitor()
		v.login("/auth/login", "alice")
		w.clock.add(10 * time.Minute)
		for name, begin := range map[string]func(http.ResponseWriter){
			"write":      func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, "x") },
			"status":     func(rw http.ResponseWriter) { rw.WriteHeader(200) },
			"flush":      func(rw http.ResponseWriter) { rw.(http.Flusher).Flush() },
			"controller": func(rw http.ResponseWriter) { _ = http.NewResponseController(rw).Flush() },
		} {
			var err error
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				begin(rw)
				_, err = middleware.FromContext(r.Context()).Token(r.Context())
			}
			v.clone().open("/private")
			if !errors.Is(err, middleware.ErrCommitted) || w.refreshes() != 0 {
				t.Errorf("%s: %v, %d refreshes", name, err, w.refreshes())
			}
		}
	})
	t.Run("G21_late_renewal_does_not_undo_a_refresh", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shortTokens)
		v := w.visitor()
		v.login("/auth/login", "alice")
		w.clock.add(10 * time.Minute)
		inside, goOn := make(chan struct{}), make(chan struct{})
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/private/slow" {
				close(inside)
				<-goOn
			}
			fingerprintIf(rw, r)
		}
		var group sync.WaitGroup
		var slow *reply
		before := v.clone()
		group.Go(func() { slow = before.open("/private/slow") })
		<-inside
		fresh := v.open("/tokens")
		close(goOn)
		group.Wait()
		v.keep(slow) // its cookies come last
		w.clock.add(2 * time.Minute)
		if rep := v.open("/tokens"); rep.StatusCode != 200 || rep.body != fresh.body || w.refreshes() != 1 {
			t.Errorf("%d, %d refreshes", rep.StatusCode, w.refreshes())
		}
	})
}

// fingerprintIf is fingerprint on the page that needs tokens.
func fingerprintIf(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/tokens" {
		fingerprint(w, r)
	}
}

// TestTransport gives each user the own token, whoever else is served at the same time (E11, E12).
func TestTransport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortTokens)
	client := &http.Client{Transport: w.auth.Transport(nil, w.op.URL)} // one for the process
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
		"redirect": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/", 302) },
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
			resp, err := http.DefaultTransport.RoundTrip(r)
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
		resp, err := http.DefaultTransport.RoundTrip(r)
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
	// X17: a handler that changes the session itself knows better than what was renewed before it.
	t.Run("X17_handler_logs_out", func(t *testing.T) {
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
