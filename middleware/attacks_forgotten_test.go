package middleware_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What must not be forgotten on the way: what a login was begun for, if a hook asks for another one in its place, and
// tokens that came for somebody who still waits.

// next is the login that an answer leads to in place of its own.
func (a *attempt) next() *attempt {
	w := a.v.w
	w.Helper()
	rep := a.v.send(a.callback().build())
	to, err := rep.Location()
	names, _ := rep.sets(cookiePrefix + "x")
	if err != nil || rep.StatusCode != http.StatusSeeOther || len(names) != 1 || !strings.HasPrefix(to.String(), w.op.URL+"/authorize?") {
		w.Fatalf("no other login: %d %s %s", rep.StatusCode, rep.code(), to)
	}
	q := to.Query()
	w.spoken.secret("state", q.Get("state"))
	w.spoken.secret("nonce", q.Get("nonce"))
	return &attempt{v: a.v, to: to, cookie: names[0] + "=" + a.v.cookies[names[0]]}
}

// TestChallengeOfAHookWhenTokensAreLost: the login for a session that had asked for more than the configuration asks for that
// again, and so does the one that a hook puts in its place.
func TestChallengeOfAHookWhenTokensAreLost(t *testing.T) {
	t.Parallel()
	third := "https://third.example"
	scopes := []string{"openid", "email", "offline_access", "read", "write", "delete"}
	for _, store := range storeKinds {
		t.Run("H41_scopes_and_resources_"+store.name, func(t *testing.T) {
			t.Parallel()
			demand := false
			s := newStepUps(t, store.use(t), func(c *settings) {
				first := c.auth.OnIdentity
				c.auth.OnIdentity = func(l *middleware.Login) error {
					if demand {
						return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
					}
					return first(l)
				}
			})
			s.wants = func(session *middleware.Session) error {
				if session.Value("user") == "of "+session.Subject {
					return nil
				}
				return &middleware.Challenge{Options: rp.AuthOptions{Scopes: scopes, Resources: []string{ordersAPI, billingAPI, third}}}
			}
			v := s.visitor()
			v.login("/auth/login", "alice")
			asks := func(a *attempt, acr string) {
				t.Helper()
				q := a.to.Query()
				if got := strings.Fields(q.Get("scope")); !slices.Equal(got, scopes) {
					t.Errorf("asks for the scopes %v", got)
				}
				if got := q["resource"]; !slices.Equal(got, []string{ordersAPI, billingAPI, third}) {
					t.Errorf("asks for the resources %v", got)
				}
				if q.Get("acr_values") != acr {
					t.Errorf("acr_values %q, want %q", q.Get("acr_values"), acr)
				}
			}
			if rep := v.answer("/more", "alice").post(); rep.Header.Get("Location") != "/more" {
				t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
			}
			s.clock.add(10 * time.Minute)
			s.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
				}
			})
			a := v.begin("/tokens")
			asks(a, "")
			s.op.Fault(nil)
			q := a.to.Query()
			q.Del("prompt") // each row's browser is a new one there
			a.to.RawQuery = q.Encode()
			a.ask("alice")
			demand = true
			b := a.next()
			asks(b, "gold")
			demand = false
			b.ask("alice")
			if rep := b.post(); rep.Header.Get("Location") != "/tokens" {
				t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
			}
			v.says("/tokens", "alice/first of alice/visit/gold") // it went on with the session that it was begun for
			v.wantAud("/apis?for="+third, third)
		})
	}
}

// TestManyTargetsInOneRequest: more than a session keeps. Whoever asks gets what came for him.
func TestManyTargetsInOneRequest(t *testing.T) {
	t.Parallel()
	const n = 40
	for _, store := range storeKinds {
		t.Run("E16_each_gets_its_own_"+store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, manyAPIs(n), store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			w.page = func(_ http.ResponseWriter, r *http.Request) {
				session := middleware.FromContext(r.Context())
				var group sync.WaitGroup
				for i := range n {
					group.Go(func() {
						token, err := session.For(rp.Target{Resource: api(i)}).Token(r.Context())
						if err != nil {
							t.Errorf("%s: %v", api(i), err)
							return
						}
						rep := &reply{}
						var text strings.Builder
						describe(&text, token)
						rep.body = text.String()
						if aud, _ := grantOf(rep); aud != api(i) {
							t.Errorf("%s: a token for %s", api(i), aud)
						}
					})
				}
				group.Wait()
			}
			v.open("/private")
		})
	}
}
