package middleware_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The code that is spent on demand: one row for each state and each way out of it. The lies of a second ID Token are in
// attacks_ondemand_lies_test.go, what several instances do in fleet_ondemand_test.go.

// tokenReport is what a page knows of its session's tokens.
type tokenReport struct {
	ID, Subject, State, Code, Scope string
	Access                          string // only where tokens are required
	First                           bool   // the first ID Token is readable
	Error                           string
}

// reportTokens is a page that asks for no token, unless its route requires them.
func reportTokens(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	if s == nil {
		return
	}
	state, err := s.Tokens()
	rep := tokenReport{ID: s.LogoutToken(), Subject: s.Subject, State: state.String()}
	var why *middleware.TokensError
	if errors.As(err, &why) {
		rep.Code, rep.Error = why.Code, why.Error()
	}
	first, err := s.First()
	rep.First = err == nil && first.Subject == s.Subject
	if r.URL.Path == "/tokens" {
		token, err := s.Token(r.Context())
		if err != nil {
			rep.Error = err.Error()
		} else {
			rep.Access = token.AccessToken[:8]
			rep.Scope, _ = token.Extra("scope").(string)
		}
	}
	_ = json.NewEncoder(w).Encode(rep)
}

func (r *reply) tokens() (v tokenReport) {
	_ = json.Unmarshal([]byte(r.body), &v)
	return v
}

func onDemand(s *settings) { s.auth.Exchange = middleware.ExchangeOnDemand }

// pendingLogin starts a session whose code is not spent.
func pendingLogin(t *testing.T, changes ...func(*settings)) (*world, *visitor) {
	t.Helper()
	w := newWorld(t, append([]func(*settings){onDemand}, changes...)...)
	w.page = reportTokens
	v := w.visitor()
	v.login("/auth/login", "alice")
	return w, v
}

// sent is how often the provider was given a code.
func (w *world) sent() (n int) {
	for _, r := range w.op.Requests("/oauth/token") {
		if r.Form.Get("grant_type") == "authorization_code" {
			n++
		}
	}
	return n
}

// wantSent checks how often a code was sent.
func (w *world) wantSent(want int) {
	w.Helper()
	if n := w.sent(); n != want {
		w.Errorf("a code was sent %d times, want %d", n, want)
	}
}

// wantTokens opens a page that needs no tokens, and checks what it knows of them.
func (v *visitor) wantTokens(state, code string) tokenReport {
	v.w.Helper()
	rep := v.open("/private")
	got := rep.tokens()
	if rep.StatusCode != http.StatusOK || got.Subject != "alice" || got.State != state || got.Code != code || !got.First {
		v.w.Errorf("status %d %s, %+v; want %s %q", rep.StatusCode, rep.code(), got, state, code)
	}
	return got
}

// wantLogin checks that an answer starts a login with that prompt, and returns its request.
func (w *world) wantLogin(rep *reply, prompt string) url.Values {
	w.Helper()
	to, err := rep.Location()
	if rep.StatusCode != http.StatusFound || err != nil || to.Query().Get("prompt") != prompt {
		w.Errorf("status %d %s to %v; want a login with prompt %q", rep.StatusCode, rep.code(), to, prompt)
		return nil
	}
	return to.Query()
}

// silentLogin is a login with prompt=none of a user whom the provider knows.
func (v *visitor) silentLogin(path string) *reply {
	v.w.Helper()
	a := v.begin(path)
	q := a.to.Query()
	if q.Get("prompt") != "none" {
		v.w.Errorf("prompt %q", q.Get("prompt"))
	}
	q.Del("prompt") // each row's browser is a new one there
	a.to.RawQuery = q.Encode()
	a.ask("alice")
	rep := a.post()
	if rep.StatusCode != http.StatusSeeOther {
		v.w.Errorf("%d %s", rep.StatusCode, rep.code())
	}
	return rep
}

// script is a request that is no navigation.
func script(path string) *http.Request {
	r := navigation(path)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	return r
}

// grantFails makes the token endpoint answer codes so.
func (w *world) grantFails(status int, code string) {
	w.op.Fault(func(a *optest.Answer) {
		if a.Grant == "authorization_code" {
			a.Status, a.JSON = status, map[string]any{"error": code}
		}
	})
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		for name, row := range onDemandRows {
			t.Run("G03_"+name+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := pendingLogin(t, store.use(t), shortTokens)
				row(w, v)
			})
		}
	}
}

// onDemandRows begin with a session whose code waits, in each kind of store.
var onDemandRows = map[string]func(w *world, v *visitor){
	"unused": func(w *world, v *visitor) {
		v.wantTokens("pending", "")
		w.clock.add(10 * time.Second)
		if got := v.wantTokens("pending", ""); !strings.Contains(got.Error, "the code is not redeemed yet") {
			w.Errorf("it says %q", got.Error)
		}
		w.wantSent(0)
	},
	"used_once": func(w *world, v *visitor) {
		before := v.wantTokens("pending", "")
		rep := v.open("/tokens")
		got := rep.tokens()
		if rep.StatusCode != http.StatusOK || got.Access == "" || got.ID != before.ID || got.Subject != "alice" || !got.First {
			w.Errorf("%d %s %+v, before %+v", rep.StatusCode, rep.code(), got, before)
		}
		after := v.wantTokens("ready", "")
		if after.ID != before.ID {
			w.Error("the session has another ID: this was no login")
		}
		if again := v.open("/tokens").tokens(); again.Access != got.Access {
			w.Errorf("another token: %+v", again)
		}
		w.wantSent(1)
		w.clock.add(10 * time.Minute) // a refresh works as in any session
		if rep := v.open("/tokens"); rep.tokens().Access == "" || w.refreshes() != 1 {
			w.Errorf("refresh: %d %s, %d refreshes", rep.StatusCode, rep.code(), w.refreshes())
		}
	},
	"hundred_at_once": func(w *world, v *visitor) {
		old := v.clone()
		arrive := newBarrier(100)
		w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
		w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
		replies := make([]*reply, 100)
		var group sync.WaitGroup
		for i := range replies {
			path := "/tokens"
			if i%4 == 3 {
				path = "/private" // nobody loses the session over it
			}
			group.Go(func() { replies[i] = v.clone().open(path) })
		}
		group.Wait()
		first := replies[0].tokens()
		for i, rep := range replies {
			got := rep.tokens()
			if rep.StatusCode != http.StatusOK || got.ID != first.ID || got.Subject != "alice" || i%4 != 3 && got.Access != first.Access || first.Access == "" {
				w.Fatalf("%d: %d %s %+v, the first %+v", i, rep.StatusCode, rep.code(), got, first)
			}
		}
		w.wantSent(1)
		w.app = w.mux
		late := old.clone().open("/tokens") // it brings the cookies from before
		if got := late.tokens(); late.StatusCode != http.StatusOK || got.Access != first.Access || got.ID != first.ID {
			w.Errorf("late: %d %+v", late.StatusCode, got)
		}
		v.keep(late)
		w.clock.add(2 * time.Minute)
		if got := v.open("/tokens").tokens(); got.Access != first.Access {
			w.Errorf("afterwards: %+v", got)
		}
		w.wantSent(1)
	},
	"expired": func(w *world, v *visitor) {
		w.clock.add(50 * time.Second)
		v.wantTokens("lost", "code_expired")
		w.refused(v.send(script("/tokens")), http.StatusUnauthorized, "login_required")
		w.wantSent(0)
		w.wantLogin(v.clone().open("/tokens"), "none")
		if rep := v.silentLogin("/tokens"); rep.Header.Get("Location") != "/tokens" {
			w.Errorf("back to %q", rep.Header.Get("Location"))
		}
		if rep := v.open("/tokens"); rep.tokens().Access == "" || rep.tokens().Subject != "alice" {
			w.Errorf("after the silent login: %d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(1)
	},
	"a_second_before_it_expires": func(w *world, v *visitor) {
		w.clock.add(48 * time.Second)
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			w.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(1)
	},
	"expired_and_nobody_at_the_provider": func(w *world, v *visitor) {
		w.clock.add(time.Minute)
		a := v.begin("/tokens")
		a.form = url.Values{"error": {"login_required"}, "state": {a.to.Query().Get("state")}}
		if rep := a.post(); rep.StatusCode != http.StatusSeeOther || rep.Header.Get("Location") != "/tokens" {
			w.Errorf("nobody: %d %s", rep.StatusCode, rep.code())
		}
		v.wantTokens("lost", "code_expired") // the session stays
		w.wantLogin(v.open("/tokens"), "")
		w.wantSent(0)
	},
	"refused": func(w *world, v *visitor) {
		w.grantFails(http.StatusBadRequest, "invalid_grant")
		rep := v.send(script("/tokens"))
		if rep.StatusCode != http.StatusUnauthorized || rep.code() != "login_required" {
			w.Errorf("a script: %d %s", rep.StatusCode, rep.code())
		}
		got := v.wantTokens("lost", "provider_error")
		if !strings.Contains(got.Error, "the provider refused") {
			w.Errorf("it says %q", got.Error)
		}
		for range 3 {
			w.wantLogin(v.clone().open("/tokens"), "none")
		}
		w.wantSent(1)
	},
	"refused_again_and_again_is_no_loop": func(w *world, v *visitor) {
		w.grantFails(http.StatusBadRequest, "invalid_grant")
		for range 2 { // with the first one these are three in a minute
			v.silentLogin("/tokens")
		}
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusBadRequest || rep.code() != "login_loop" {
			w.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		wantText(w.TB.(*testing.T), rep, "This page does not get through", "tell the operators")
		v.wantTokens("lost", "provider_error")
		w.wantSent(3)
	},
	"no_answer_to_a_code_that_was_sent": func(w *world, v *visitor) {
		w.grantFails(http.StatusServiceUnavailable, "server_error")
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "unavailable" || rep.Header.Get("Retry-After") == "" {
			w.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.op.Fault(nil)
		if got := v.wantTokens("lost", "unavailable"); !strings.Contains(got.Error, "did not answer") {
			w.Errorf("it says %q", got.Error)
		}
		w.wantLogin(v.open("/tokens"), "none")
		w.wantSent(1)
	},
	"token_response_is_malformed": func(w *world, v *visitor) {
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				delete(a.JSON, "id_token")
			}
		})
		w.wantLogin(v.open("/tokens"), "none")
		if got := v.wantTokens("lost", "token_response"); !strings.Contains(got.Error, "malformed") {
			w.Errorf("it says %q", got.Error)
		}
		w.wantSent(1)
	},
	"provider_cannot_be_reached": func(w *world, v *visitor) {
		w.wire.cut(true)
		for range 5 {
			rep := v.open("/tokens")
			if rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "unavailable" || rep.Header.Get("Retry-After") == "" {
				w.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		}
		if got := v.wantTokens("pending", "unavailable"); !strings.Contains(got.Error, "cannot be reached") {
			w.Errorf("it says %q", got.Error)
		}
		if w.wire.tried != 1 {
			w.Errorf("tried %d times within two seconds", w.wire.tried)
		}
		w.wire.cut(false)
		w.clock.add(3 * time.Second)
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			w.Errorf("when it is back: %d %s", rep.StatusCode, rep.code())
		}
		v.wantTokens("ready", "")
		w.wantSent(1)
	},
	"logged_out_before": func(w *world, v *visitor) {
		old := v.clone()
		rep := v.send(formPost("/auth/logout", nil))
		if to, err := rep.Location(); err != nil || to.Query().Get("id_token_hint") == "" {
			w.Errorf("the logout names nobody: %v %v", to, err)
		}
		w.wantLogin(old.clone().open("/tokens"), "")
		w.wantLogin(old.open("/private"), "")
		w.wantSent(0)
	},
	"logged_out_meanwhile": func(w *world, v *visitor) {
		old := v.clone()
		once := first()
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" && once() {
				v.clone().send(formPost("/auth/logout", nil))
			}
		})
		if rep := v.open("/tokens"); rep.StatusCode == http.StatusOK {
			w.Errorf("%d %s", rep.StatusCode, rep.body)
		}
		w.wantLogin(old.open("/private"), "")
		w.wantLogin(v.open("/private"), "")
		w.wantSent(1)
		_ = w.auth.Close()
		if w.op.Calls("/revoke") == 0 {
			w.Error("the tokens that nobody holds were not revoked")
		}
	},
	"D15_another_user_comes_back": func(w *world, v *visitor) {
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["sub"] = "bob"
			}
		})
		old := v.clone()
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusBadRequest || rep.code() != "id_token_mismatch" {
			w.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.op.Fault(nil)
		w.wantLogin(v.open("/private"), "")
		w.wantLogin(old.open("/private"), "")
		w.wantSent(1)
	},
	"whoever_calls_first_redeems": func(w *world, v *visitor) {
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			if err := s.Refresh(r.Context()); err != nil {
				w.Errorf("Refresh: %v", err)
			}
			if info, err := s.UserInfo(r.Context()); err != nil || info.Subject != "alice" {
				w.Errorf("UserInfo: %v", err)
			}
			if token, err := s.Token(r.Context()); err != nil || token.RefreshToken != "" {
				w.Errorf("Token: %v", err)
			}
			reportTokens(rw, r)
		}
		v.wantTokens("ready", "")
		w.wantSent(1)
		if w.refreshes() != 0 {
			w.Error("the code's tokens were new enough")
		}
	},
}
