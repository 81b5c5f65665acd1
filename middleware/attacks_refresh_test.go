package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
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
			if !strings.Contains(w.spoken.text(), `level=WARN msg=twofold event=refreshed code=provider_error error="middleware: tokens are lost`) {
				t.Error("the log does not say why the user has to log in again")
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
		// L18: an ID Token of somebody else comes with a refresh: nothing of that session may go on (Core 12.2).
		t.Run("L18_refresh_brings_another_user_"+store.name, func(t *testing.T) {
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
