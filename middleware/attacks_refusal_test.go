package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Refusals that nothing behind them would notice.

// plainStore is a server store that lists nothing.
type plainStore struct {
	sessions.Store
	middleware.SessionStore
}

// I11, G34: who is logged out, or listed, is a user of this provider, and somebody.
func TestWhoseSessions(t *testing.T) {
	t.Parallel()
	kinds := append(storeKinds[:len(storeKinds):len(storeKinds)], struct {
		name string
		use  func(testing.TB) func(*settings)
	}{"plain", func(t testing.TB) func(*settings) {
		return func(s *settings) { s.auth.Store = plainStore{fileStore(t), newFleetStore(s.auth.Now)} }
	}})
	for _, store := range kinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			ctx, issuer := t.Context(), w.client.Issuer()
			if err := w.auth.EndSessions(ctx, issuer+"/", "alice", ""); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: of another issuer: %v", err)
			}
			if err := w.auth.EndSession(ctx, issuer+"/", "alice", "x"); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: one of another issuer: %v", err)
			}
			if _, err := w.auth.Sessions(ctx, issuer+"/", "alice"); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: list of another issuer: %v", err)
			}
			if err := w.auth.EndSessions(ctx, issuer, "", ""); err == nil {
				t.Error("I08: of nobody: no error")
			}
			want := rp.ErrUnsupported
			if store.name == "server" {
				want = nil
			}
			if _, err := w.auth.Sessions(ctx, issuer, "alice"); !errors.Is(err, want) {
				t.Errorf("G34: list: %v, want %v", err, want)
			}
			if got := v.open("/private").who(); got.Subject != "alice" {
				t.Errorf("the session ended all the same: %+v", got)
			}
		})
	}
}

// L17: the login is completed between the moment when the store lists no session for a frame's sid and the tombstone, and
// the store cannot delete it then.
func TestL17_login_between_a_frame_and_its_tombstone(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "server")
	f.op.Fault(func(a *optest.Answer) {
		if a.Claims != nil {
			a.Claims["sid"] = "sid-of-alice"
		}
	})
	v := f.visitor()
	var came atomic.Bool
	f.store.onCall(func(method string) {
		if method == "Bury" && came.CompareAndSwap(false, true) {
			v.login("/auth/login", "alice")
			f.store.setDown(true, "Delete")
		}
	})
	f.other.serve(frame("?sid=sid-of-alice"))
	f.store.onCall(nil)
	f.store.setDown(false)
	if !came.Load() || v.cookies[sessionName] == "" {
		t.Fatal("nobody logged in meanwhile")
	}
	f.clock.add(16 * time.Minute)
	f.loggedOut(v)
}

// I17: a frame whose cookie ends a session, while the store cannot bury its sid, tells the operators so.
func TestI17_frame_and_a_store_that_buries_nothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "server")
	v := f.visitor()
	v.login("/auth/login", "alice")
	r := frame("?sid=" + f.sessionID(v))
	f.store.setDown(true, "Bury")
	rep := v.send(r)
	f.store.setDown(false)
	rep.mu.Lock()
	defer rep.mu.Unlock()
	for _, e := range rep.events {
		if e.Name == "frontchannel_logout" && e.Code == "session_store" {
			return
		}
	}
	t.Errorf("%+v", rep.events)
}

// G23: who logs out from a handler of their own, or opens the page that asks, is told that the store is down.
func TestG23_logout_while_the_store_is_down(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "server")
	f.mux.HandleFunc("POST /bye", func(rw http.ResponseWriter, r *http.Request) {
		if err := f.auth.Logout(rw, r); err != nil {
			rw.WriteHeader(http.StatusTeapot)
		}
	})
	v := f.visitor()
	v.login("/auth/login", "alice")
	f.store.setDown(true, "Delete")
	if rep := v.clone().send(formPost("/bye", nil)); rep.StatusCode != http.StatusTeapot {
		t.Errorf("nothing was deleted, and nobody says so: %d", rep.StatusCode)
	}
	f.store.setDown(true, "")
	f.refused(v.clone().open("/auth/logout"), 503, "session_store")
	f.store.setDown(false)
	if rep := v.send(formPost("/bye", nil)); rep.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", rep.StatusCode)
	}
	f.loggedOut(v)
}

// A36: a content type that begins well and does not end so.
func TestA36_content_type_with_half_a_parameter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, ending := range []string{"; charset", "; =utf-8", ";;", "; charset=utf-8; charset"} {
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		c.header.Set("Content-Type", "application/x-www-form-urlencoded"+ending)
		w.refused(a.v.send(c.build()), 415, "content_type")
	}
}

// A37: a query that is longer than any answer is not taken apart.
func TestA37_query_without_an_end(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.visitor().answer("/auth/login", "")
	rep := a.v.open("/auth/callback?state=" + a.form.Get("state") + "&error=" + strings.Repeat("x", 129<<10))
	w.refused(rep, 400, "body")
}

// A06: the answer to a login that leads to another one is the same for each copy of the form.
func TestA06_copies_of_a_form_that_leads_to_another_login(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) {
		s.auth.OnIdentity = func(*middleware.Login) error {
			return &middleware.Challenge{Options: rp.AuthOptions{EssentialACR: []string{"gold"}}}
		}
	})
	a := w.visitor().answer("/auth/login", "")
	first, second := a.v.clone().send(a.callback().build()), a.v.clone().send(a.callback().build())
	to := first.Header.Get("Location")
	if !strings.HasPrefix(to, w.op.URL+"/authorize?") || second.Header.Get("Location") != to {
		t.Errorf("%d to %.80s, then %d (%s) to %.80s", first.StatusCode, to, second.StatusCode, second.code(), second.Header.Get("Location"))
	}
}

// G24: who can write to the store cuts the tokens off a session.
func TestG24_session_without_its_tokens(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "server")
	v := f.visitor()
	v.login("/auth/login", "alice")
	f.loggedIn(v)
	f.store.mu.Lock()
	for _, stored := range f.store.sessions {
		r := wire.NewReader(stored.data, stored.data[0])
		identity, tokens := r.String(), r.String()
		if tokens == "" || r.Close() != nil {
			continue // not a session
		}
		cut := wire.NewWriter(stored.data[0], len(stored.data))
		cut.String(identity)
		cut.String("")
		stored.data = cut.Done()
	}
	f.store.mu.Unlock()
	f.loggedOut(v)
}

// Only who was denied by the provider itself may want another account: nobody else's mistake is the account's.
func TestAnotherAccountIsOfferedToTheDeniedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for code, want := range map[string]bool{"access_denied": true, "server_error": false} {
		a := w.visitor().begin("/private")
		a.form = url.Values{"error": {code}, "state": {a.to.Query().Get("state")}}
		if got := strings.Contains(a.post().body, "Use another account"); got != want {
			t.Errorf("%s: offered %v", code, got)
		}
	}
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "access_denied"}
		}
	})
	if strings.Contains(w.visitor().answer("/private", "").post().body, "Use another account") {
		t.Error("offered for what the token endpoint said of the client")
	}
}

// A04: a login that went on is not repeated when its marker is over.
func TestA04_continuation_after_its_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mux.Handle("/more", w.auth.Require(func(*http.Request, *middleware.Session) error {
		return &middleware.Challenge{Options: rp.AuthOptions{LoginHint: "more"}}
	}, http.NotFoundHandler()))
	v := w.visitor()
	v.login("/auth/login", "alice")
	to := v.send(v.answer("/more", "alice").callback().build()).Header.Get("Location")
	for _, row := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {30 * time.Second, true}, {time.Hour, false}} {
		w.clock.add(row.after)
		rep := v.clone().send(continuation(to))
		if row.after == 0 {
			v.keep(rep)
		}
		if (rep.StatusCode == http.StatusSeeOther) != row.good {
			t.Errorf("after %v: %d %s", row.after, rep.StatusCode, rep.code())
		}
	}
}

// E14: what an API rejects is renewed, but not a token that has just come.
func TestE14_api_that_rejects_every_token(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var calls atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	w.page = func(rw http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, api.URL, http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := (&http.Client{Transport: w.auth.Transport(canary.Network, api.URL)}).Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		rw.WriteHeader(resp.StatusCode)
	}
	v := w.visitor()
	v.login("/auth/login", "alice")
	for _, row := range []struct {
		after     time.Duration
		calls     int64
		refreshes int
	}{{0, 2, 1}, {0, 3, 1}, {29 * time.Second, 4, 1}, {2 * time.Second, 6, 2}} { // the first token is the login's: it may be revoked
		w.clock.add(row.after)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if calls.Load() != row.calls || w.refreshes() != row.refreshes {
			t.Errorf("after %v: %d calls and %d refreshes, want %d and %d", row.after, calls.Load(), w.refreshes(), row.calls, row.refreshes)
		}
	}
}

// X53: two checks that want different essential values can never both be satisfied: nobody is sent round for that.
func TestChallengesThatContradictEachOther(t *testing.T) {
	t.Parallel()
	wants := func(acr string) middleware.Check {
		return func(*http.Request, *middleware.Session) error {
			return &middleware.Challenge{Options: rp.AuthOptions{EssentialACR: []string{acr}}}
		}
	}
	s := middleware.NewSession(map[string]any{"sub": "alice"}, nil)
	err := middleware.All(wants("gold"), wants("silver"))(navigation("/private"), s)
	if challenge, is := errors.AsType[*middleware.Challenge](err); err == nil || is {
		t.Errorf("%v, %+v", err, challenge)
	}
}

// A session of NewSession has nothing to ask a provider with, and asks none.
func TestTestSessionAsksNobody(t *testing.T) {
	t.Parallel()
	type renewer interface {
		Renew(context.Context, *oauth2.Token) (*oauth2.Token, error)
	}
	s := middleware.NewSession(map[string]any{"sub": "alice"}, &oauth2.Token{AccessToken: "a"})
	ctx := middleware.NewContext(t.Context(), s)
	_, userInfo := s.UserInfo(ctx)
	_, main := s.For(rp.Target{}).(renewer).Renew(ctx, &oauth2.Token{AccessToken: "a"})
	_, target := s.For(rp.Target{Resource: site}).(renewer).Renew(ctx, &oauth2.Token{AccessToken: "a"})
	for name, err := range map[string]error{"Refresh": s.Refresh(ctx), "UserInfo": userInfo, "Renew": main, "Renew of a target": target} {
		if !errors.Is(err, middleware.ErrNoTokens) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
