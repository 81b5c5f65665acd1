package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// backchannel is the provider's own request: no cookie, no Origin, no Fetch Metadata.
func backchannel(tokens ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, site+"/auth/backchannel-logout", strings.NewReader(url.Values{"logout_token": tokens}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// frame is what a browser sends for an iframe on the provider's page.
func frame(query string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, site+"/auth/frontchannel-logout"+query, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "iframe")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

// told checks the answer to a logout token.
func (f *fleet) told(rep *reply, status int) {
	f.Helper()
	if rep.StatusCode != status || !strings.Contains(rep.Header.Get("Cache-Control"), "no-store") || rep.Header["Set-Cookie"] != nil {
		f.Errorf("%d, want %d: %v %s", rep.StatusCode, status, rep.Header, rep.body)
	}
	if status >= 400 && (rep.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(rep.body, `"error":"invalid_request"`)) {
		f.Errorf("%v %s", rep.Header, rep.body)
	}
}

func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	for _, kind := range fleetKinds {
		for name, claims := range map[string]func(sid string) map[string]any{
			"sid_and_sub": func(sid string) map[string]any { return map[string]any{"sub": "alice", "sid": sid} },
			"sid_only":    func(sid string) map[string]any { return map[string]any{"sid": sid} },
			"sub_only":    func(string) map[string]any { return map[string]any{"sub": "alice"} },
		} {
			t.Run("I01_"+name+"_"+kind, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, kind)
				v, second, bob := f.visitor(), f.visitor(), f.visitor()
				v.login("/auth/login", "alice")
				second.login("/auth/login", "alice")
				bob.login("/auth/login", "bob")
				token := f.op.LogoutToken(claims(f.sessionID(v)))
				f.told(f.other.serve(backchannel(token)), http.StatusOK)
				f.loggedOut(v)
				f.loggedIn(bob)
				if name == "sub_only" {
					f.loggedOut(second)
				} else {
					f.loggedIn(second)
				}
				f.told(f.serve(backchannel(token)), http.StatusOK) // I07: again
				f.clock.add(time.Second)
				v.login("/auth/login", "alice") // I13: a login after it
				f.loggedIn(v)
				f.told(f.serve(backchannel(token)), http.StatusOK) // I07: and once more, later
				f.loggedIn(v)
			})
		}
		t.Run("I10_unknown_sid_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			f.told(f.serve(backchannel(f.op.LogoutToken(map[string]any{"sid": "never seen"}))), http.StatusOK)
			f.loggedIn(v)
		})
		t.Run("I12_before_the_session_is_stored_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			a := f.visitor().answer("/auth/login", "alice")
			f.told(f.other.serve(backchannel(f.op.LogoutToken(map[string]any{"sub": "alice"}))), http.StatusOK)
			f.refused(a.post(), http.StatusForbidden, "logged_out")
			if n := len(f.store.ids()); n != 0 {
				t.Errorf("%d sessions in the store", n)
			}
		})
		t.Run("I12_while_the_tokens_are_refreshed_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind, shortTokens)
			v := f.visitor()
			v.login("/auth/login", "alice")
			f.clock.add(10 * time.Minute)
			once := first()
			f.wire.gate(nil, func(*http.Request) {
				if once() {
					f.told(f.other.serve(backchannel(f.op.LogoutToken(map[string]any{"sub": "alice"}))), http.StatusOK)
				}
			})
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
			f.loggedOut(v)
		})
		t.Run("I16_store_is_down_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			v := f.visitor()
			v.login("/auth/login", "alice")
			token := f.op.LogoutToken(map[string]any{"sub": "alice"})
			f.store.setDown(true, "Bury")
			f.told(f.serve(backchannel(token)), http.StatusBadRequest)
			f.store.setDown(false)
			f.told(f.serve(backchannel(token)), http.StatusOK)
			f.loggedOut(v)
		})
	}
	for _, down := range []string{"Sessions", "Delete"} {
		t.Run("I16_tombstone_is_enough_without_"+down, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "server")
			v := f.visitor()
			v.login("/auth/login", "alice")
			f.store.setDown(true, down)
			f.told(f.serve(backchannel(f.op.LogoutToken(map[string]any{"sub": "alice"}))), http.StatusBadRequest)
			f.loggedOut(v)
		})
	}
	t.Run("I14_what_is_no_logout_request", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		token := f.op.LogoutToken(map[string]any{"sub": "alice"})
		with := func(change func(*http.Request)) *http.Request {
			r := backchannel(token)
			change(r)
			return r
		}
		for name, row := range map[string]struct {
			r      *http.Request
			status int
		}{
			"no_token":  {backchannel(), 400},
			"empty":     {backchannel(""), 400},
			"twice":     {backchannel(token, token), 400},
			"junk":      {backchannel("e30.e30."), 400},
			"1_MB":      {backchannel(strings.Repeat("A", 1<<20)), 413},
			"JSON":      {with(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 415},
			"no_type":   {with(func(r *http.Request) { r.Header.Del("Content-Type") }), 415},
			"in_query":  {httptest.NewRequest(http.MethodPost, site+"/auth/backchannel-logout?logout_token="+token, nil), 415},
			"ID_token":  {backchannel(v.answer("/auth/login", "alice").form.Get("id_token")), 400},
			"wrong_iss": {backchannel(f.op.LogoutToken(map[string]any{"sub": "alice", "iss": "https://evil.example"})), 400},
			"wrong_aud": {backchannel(f.op.LogoutToken(map[string]any{"sub": "alice", "aud": "another"})), 400},
		} {
			rep := f.serve(row.r)
			if rep.StatusCode != row.status {
				t.Errorf("%s: %d", name, rep.StatusCode)
			}
			f.told(rep, row.status)
		}
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions} {
			rec := httptest.NewRecorder()
			f.auth.ServeHTTP(rec, httptest.NewRequest(method, site+"/auth/backchannel-logout?logout_token="+token, nil))
			if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "POST" {
				t.Errorf("%s: %d", method, rec.Code)
			}
		}
		f.loggedIn(v)
		// I16: nothing that protects against browsers is in the way
		f.told(f.serve(with(func(r *http.Request) {
			r.Header.Set("Origin", "https://login.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		})), http.StatusOK)
		f.loggedOut(v)
	})
	t.Run("I11_same_sub_of_another_issuer", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		v := f.visitor()
		v.login("/auth/login", "alice")
		op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: attackSecret, Algorithm: "ES256", Now: f.clock.Now})
		t.Cleanup(op.Close)
		client := f.newClient(rp.Config{
			Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/callback",
			IDTokenAlgorithm: "ES256", Insecure: rp.Insecure{PlainHTTP: true}, Now: f.clock.Now,
		})
		other := f.newAuth(middleware.Config{Client: client, Keys: [][]byte{attackKey("one")}, Name: "t", Store: f.store, Now: f.clock.Now})
		rec := httptest.NewRecorder()
		other.ServeHTTP(rec, backchannel(op.LogoutToken(map[string]any{"sub": "alice"})))
		if rec.Code != http.StatusOK {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		f.loggedIn(v)
	})
}

func TestFrontchannelLogout(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		query func(iss, sid string) string
		out   bool
	}{
		{"I17_iss_and_sid", func(iss, sid string) string { return "?iss=" + url.QueryEscape(iss) + "&sid=" + sid }, true},
		{"I17_sid_alone", func(_, sid string) string { return "?sid=" + sid }, true},
		{"I17_wrong_iss", func(_, sid string) string { return "?iss=https%3A%2F%2Fevil.example&sid=" + sid }, false},
		{"I17_iss_alone", func(iss, _ string) string { return "?iss=" + url.QueryEscape(iss) }, false},
		{"I17_empty_sid", func(iss, _ string) string { return "?sid=&iss=" + url.QueryEscape(iss) }, false},
		{"I17_wrong_sid", func(iss, _ string) string { return "?sid=another&iss=" + url.QueryEscape(iss) }, false},
		{"I17_sid_twice", func(_, sid string) string { return "?sid=" + sid + "&sid=another" }, false},
		{"I17_iss_twice", func(iss, sid string) string {
			return "?sid=" + sid + "&iss=" + url.QueryEscape(iss) + "&iss=https%3A%2F%2Fevil.example"
		}, false},
		{"I17_neither", func(string, string) string { return "" }, false},
	} {
		for _, kind := range fleetKinds {
			t.Run(row.name+"_"+kind, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, kind)
				v := f.visitor()
				v.login("/auth/login", "alice")
				rep := f.other.serve(frame(row.query(f.client.Issuer(), f.sessionID(v))))
				policy := rep.Header.Get("Content-Security-Policy")
				if rep.StatusCode != http.StatusOK || !strings.Contains(rep.Header.Get("Cache-Control"), "no-store") ||
					!strings.HasSuffix(policy, "frame-ancestors "+f.op.URL) || rep.Header.Get("X-Frame-Options") != "" {
					t.Errorf("I18: %d %v", rep.StatusCode, rep.Header)
				}
				if row.out {
					f.loggedOut(v)
				} else {
					f.loggedIn(v)
				}
				_ = f.auth.Close()
				if n := f.op.Calls("/revoke"); n != 0 {
					t.Errorf("I18: %d revocations on a stranger's word", n)
				}
			})
		}
	}
	for _, row := range []struct {
		name  string
		query string
		dest  string
		out   bool
	}{
		{"I17_cookie", "", "iframe", true},
		{"I17_cookie_of_another_session", "?sid=another", "iframe", false},
		{"I17_cookie_and_iss_alone", "?iss=https%3A%2F%2Fevil.example", "iframe", false},
		{"H31_link_to_it", "", "document", false},
		{"H31_image", "", "image", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "server")
			v := f.visitor()
			v.login("/auth/login", "alice")
			kept := v.clone()
			r := frame(row.query)
			r.Header.Set("Sec-Fetch-Dest", row.dest)
			rep := v.send(r)
			if _, dropped := rep.sets(sessionName); (len(dropped) == 1) != row.out {
				t.Errorf("drops %v", dropped)
			}
			if row.out {
				f.loggedOut(kept)
			} else {
				f.loggedIn(kept)
			}
		})
	}
	t.Run("I18_invented_sids_do_not_stay", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		f.serve(frame("?sid=invented"))
		f.store.mu.Lock()
		defer f.store.mu.Unlock()
		for _, tomb := range f.store.tombs {
			if life := tomb.until.Sub(f.clock.Now()); life > 15*time.Minute {
				t.Errorf("a stranger's tombstone stays for %v", life)
			}
		}
	})
}

func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	for _, kind := range fleetKinds {
		t.Run("I25_by_sub_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			one, two, bob := f.visitor(), f.visitor(), f.visitor()
			one.login("/auth/login", "alice")
			two.login("/auth/login", "alice")
			bob.login("/auth/login", "bob")
			if err := f.other.auth.EndSessions(t.Context(), f.client.Issuer(), "alice", ""); err != nil {
				t.Error(err)
			}
			f.loggedOut(one)
			f.loggedOut(two)
			f.loggedIn(bob)
			f.clock.add(2 * time.Second)
			one.login("/auth/login", "alice")
			f.loggedIn(one)
		})
		t.Run("I25_by_sid_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			one, two := f.visitor(), f.visitor()
			one.login("/auth/login", "alice")
			two.login("/auth/login", "alice")
			if err := f.auth.EndSessions(t.Context(), f.client.Issuer(), "alice", f.sessionID(one)); err != nil {
				t.Error(err)
			}
			f.loggedOut(one)
			f.loggedIn(two)
		})
		t.Run("G08_G09_copied_cookie_after_logout_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			v, device := f.visitor(), f.visitor()
			v.login("/auth/login", "alice")
			device.login("/auth/login", "alice")
			stolen := v.clone()
			if rep := v.send(formPost("/auth/logout", nil)); rep.StatusCode != http.StatusSeeOther {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
			f.loggedOut(stolen)
			f.loggedIn(device) // a logout on one device is not one on all
		})
	}
	t.Run("I25_store_down", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		f.store.setDown(true, "")
		if err := f.auth.EndSessions(t.Context(), f.client.Issuer(), "alice", ""); err == nil {
			t.Error("nobody was logged out, and nobody says so")
		}
	})
	t.Run("G34_your_devices", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, "server")
		one, two, bob := f.visitor(), f.visitor(), f.visitor()
		one.login("/auth/login", "alice")
		f.clock.add(time.Minute)
		two.login("/auth/login", "alice")
		bob.login("/auth/login", "bob")
		var list []middleware.SessionInfo
		f.page = func(w http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			var err error
			if list, err = f.auth.Sessions(r.Context(), s.Issuer, s.Subject); err != nil {
				t.Error(err)
			}
		}
		two.open("/private")
		if len(list) != 2 || list[0].Current == list[1].Current {
			t.Fatalf("%+v", list)
		}
		other := list[0]
		if other.Current {
			other = list[1]
		}
		if !other.Started.Equal(f.clock.Now().Add(-time.Minute)) {
			t.Errorf("started %v", other.Started)
		}
		iss := f.client.Issuer()
		if err := f.auth.EndSession(t.Context(), iss, "bob", other.ID); err == nil {
			t.Error("bob ends alice's session")
		}
		f.loggedIn(one)
		if err := f.auth.EndSession(t.Context(), iss, "alice", other.ID); err != nil {
			t.Error(err)
		}
		f.loggedOut(one)
		f.loggedIn(two)
		if left, err := f.auth.Sessions(t.Context(), iss, "alice"); err != nil || len(left) != 1 || left[0].Current {
			t.Errorf("%v %v", left, err)
		}
	})
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, kind := range fleetKinds {
		for name, fault := range map[string]func(*optest.Answer){
			"well":         nil,
			"it_refuses":   func(a *optest.Answer) { a.Status = 400 },
			"it_is_broken": func(a *optest.Answer) { a.Status = 500 },
			"it_is_slow":   func(a *optest.Answer) { a.Delay = time.Minute },
		} {
			t.Run("I23_"+name+"_"+kind, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, kind)
				v := f.visitor()
				v.login("/auth/login", "alice")
				stolen := v.clone()
				f.op.Fault(func(a *optest.Answer) {
					if a.Endpoint == "/revoke" && fault != nil {
						fault(a)
					}
				})
				if rep := v.send(formPost("/auth/logout", nil)); rep.StatusCode != http.StatusSeeOther {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				f.loggedOut(stolen)
				_ = f.auth.Close()
				if n := f.op.Calls("/revoke"); n == 0 {
					t.Error("nothing was revoked")
				}
			})
		}
	}
}
