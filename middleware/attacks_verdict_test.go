package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// A session in sealed cookies that turns out to be none leaves the browser: only the process that found it out knows, and
// only until it ends itself.
func TestVerdict(t *testing.T) {
	t.Parallel()
	t.Run("G05_tokens_that_are_damaged", func(t *testing.T) { // the page that needs none shows what is authentic
		t.Parallel()
		for name, damage := range map[string]func(*visitor, string){
			"G05_bit_flip": func(v *visitor, name string) {
				v.cookies[name] = v.cookies[name][:200] + flipped(v.cookies[name][200:])
			},
			"G10_cut": func(v *visitor, name string) { v.cookies[name] = v.cookies[name][:100] },
		} {
			for _, path := range []string{"/private", "/tokens"} {
				w := newWorld(t)
				w.page = func(rw http.ResponseWriter, r *http.Request) {
					_, err := middleware.FromContext(r.Context()).IDToken()
					_, _ = fmt.Fprint(rw, "no session: ", errors.Is(err, middleware.ErrNoSession))
				}
				v := w.visitor()
				v.login("/auth/login", "alice")
				damage(v, cookiePrefix+"t0")
				rep := v.open(path)
				if _, dropped := rep.sets(cookiePrefix); len(dropped) != 3 || path == "/private" && rep.body != "no session: true" {
					t.Errorf("%s: %d %s, drops %v", name, rep.StatusCode, rep.body, dropped)
				}
				w.wantLogin(v.open("/private"), "")
			}
		}
	})
	another := func(grant string) func(*world) {
		return func(w *world) {
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == grant {
					a.Claims["sub"] = "mallory"
				}
			})
		}
	}
	refuse := func(*middleware.Login, *rp.Tokens) error { return &middleware.Refusal{Text: "Ask accounting."} }
	for name, row := range map[string]struct {
		hook   func(*middleware.Login, *rp.Tokens) error
		before func(w *world)
	}{
		"D15_second_token_of_another_user":    {before: another("authorization_code")},
		"G03_refused_by_OnTokens":             {hook: refuse},
		"E01_refreshed_token_of_another_user": {before: another("refresh_token")},
	} {
		refreshes := row.hook == nil && name[0] == 'E'
		start := func(t *testing.T) (*world, *visitor) {
			t.Helper()
			w, v := pendingLogin(t, shortTokens, func(s *settings) { s.auth.OnTokens = row.hook })
			if refreshes {
				v.open("/tokens")
				w.clock.add(10 * time.Minute)
			}
			if row.before != nil {
				row.before(w)
			}
			return w, v
		}
		t.Run(name+"_another_process", func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			second := newWorldLike(w)
			rep := v.open("/tokens")
			if _, dropped := rep.sets(cookiePrefix); len(dropped) != 3 {
				t.Errorf("%d %s drops %v", rep.StatusCode, rep.code(), dropped)
			}
			second.wantLogin(v.on(second).open("/private"), "")
		})
		t.Run(name+"_found_by_a_handler", func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			second := newWorldLike(w)
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				_, err := middleware.FromContext(r.Context()).Token(r.Context())
				_, _ = fmt.Fprint(rw, "no token: ", err != nil)
			}
			if rep := v.open("/private"); rep.body != "no token: true" {
				t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.body)
			}
			second.wantLogin(v.on(second).open("/private"), "")
		})
		t.Run("L19_"+name+"_and_the_browser_has_another_session", func(t *testing.T) { // its own cookies stay
			t.Parallel()
			w, v := start(t)
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/private/slow" {
					reportTokens(rw, r)
					return
				}
				_, err := middleware.FromContext(r.Context()).Token(r.Context())
				if err == nil {
					t.Error("a token")
				}
				w.op.Fault(nil)
				v.login("/auth/login", "alice")
			}
			late := v.clone().open("/private/slow")
			v.keep(late)
			if rep := v.open("/private"); rep.StatusCode != http.StatusOK {
				t.Errorf("the browser has lost its session: %d %s, %q", rep.StatusCode, rep.code(), late.Header["Set-Cookie"])
			}
		})
	}
}

// flipped is text with another first character.
func flipped(text string) string {
	if text[0] == 'A' {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}
