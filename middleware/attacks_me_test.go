package middleware_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// GET /auth/me: what a page in the browser may know, and nobody else.

// withMe switches the route on.
func withMe(s *settings) {
	s.auth.SessionClaims, s.auth.MeClaims = []string{"name", "email", "groups", "sub"}, []string{"sub", "name", "groups"}
}

// fetched is what a script of the app sends.
func fetched(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, site+path, nil)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Referer", site+"/board?tab=2")
	return r
}

// userIsWorthKnowing gives the user claims that would do harm on a page.
func userIsWorthKnowing(a *optest.Answer) {
	if a.Claims != nil {
		a.Claims["name"], a.Claims["groups"], a.Claims["email"] = "</script><b>Ann", []any{"a", 1}, "canary@example.com"
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withMe)
	w.op.Fault(userIsWorthKnowing)
	v := w.visitor()
	v.login("/auth/login", "")
	rep := v.send(fetched("/auth/me"))
	want := `{"claims":{"groups":["a",1],"name":"\u003c/script\u003e\u003cb\u003eAnn","sub":"alice"},"tokens":"ready","expires_at":` +
		jsonOf(at(time.Hour)) + "}"
	if rep.StatusCode != http.StatusOK || rep.body != want {
		t.Errorf("%d %s\nwant %s", rep.StatusCode, rep.body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Cookie, Origin, Sec-Fetch-Site", "X-Frame-Options": "DENY",
		"Access-Control-Allow-Origin": "", "Set-Cookie": "",
	} {
		if got := rep.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// notAsked checks an answer to somebody who may not know.
func notAsked(t *testing.T, rep *reply, status int, code string) {
	t.Helper()
	var problem struct{ Code, Retry string }
	if err := json.Unmarshal([]byte(rep.body), &problem); err != nil || rep.StatusCode != status || problem.Code != code {
		t.Errorf("%d %v: %s", rep.StatusCode, err, rep.body)
	}
	for name, want := range map[string]string{"Content-Type": "application/problem+json", "Set-Cookie": "", "Location": "", "X-Content-Type-Options": "nosniff"} {
		if got := rep.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !strings.Contains(rep.Header.Get("Cache-Control"), "no-store") || strings.Contains(rep.body, "canary") || strings.Contains(rep.body, "alice") {
		t.Errorf("%s: %s", rep.Header, rep.body)
	}
}

func TestMeOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withMe, func(s *settings) {
		s.auth.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, e *middleware.Error) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(e.Status)
		}
	})
	for name, r := range map[string]*http.Request{
		"H22_fetch":      fetched("/auth/me"),
		"H22_navigation": navigation("/auth/me"),
		"H22_prefetch": func() *http.Request {
			r := fetched("/auth/me")
			r.Header.Set("Sec-Purpose", "prefetch")
			return r
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			rep := w.visitor().send(r)
			notAsked(t, rep, 401, "login_required")
			if rep.Header.Get("WWW-Authenticate") != "Session" {
				t.Error("no WWW-Authenticate")
			}
			if name == "H22_fetch" && !strings.Contains(rep.body, `"retry_url":"/auth/login?return_to=%2Fboard%3Ftab%3D2"`) {
				t.Errorf("%s", rep.body)
			}
		})
	}
	t.Run("garbage for a cookie", func(t *testing.T) {
		r := fetched("/auth/me")
		r.Header.Set("Cookie", sessionName+"=garbage")
		notAsked(t, w.visitor().send(r), 401, "login_required")
	})
}

// What comes from elsewhere, with the user's cookies.
func TestMeFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withMe)
	w.op.Fault(userIsWorthKnowing)
	v := w.visitor()
	v.login("/auth/login", "")
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"typed_by_the_user", set("Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 200},
		{"a_browser_without_fetch_metadata", func(r *http.Request) { r.Header = http.Header{} }, 200},
		{"our_own_Origin", set("Origin", site), 200},
		{"X50_another_site", set("Sec-Fetch-Site", "cross-site"), 403},
		{"X50_a_sibling_site", set("Sec-Fetch-Site", "same-site"), 403},
		{"X50_unknown_word", set("Sec-Fetch-Site", "Same-Origin"), 403},
		{"X50_twice", func(r *http.Request) { r.Header["Sec-Fetch-Site"] = []string{"same-origin", "cross-site"} }, 403},
		{"X50_script_element_elsewhere", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"), 403},
		{"X50_another_Origin", set("Origin", "https://evil.example"), 403},
		{"X50_another_port", set("Origin", site+":8443"), 403},
		{"X50_opaque_Origin", set("Origin", "null"), 403},
		{"X50_foreign_Origin_alone", func(r *http.Request) { r.Header = http.Header{"Origin": {"https://evil.example"}} }, 403},
		{"X50_link_from_elsewhere", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 403},
		{"X50_frame_elsewhere", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := fetched("/auth/me")
			row.change(r)
			rep := v.send(r)
			if rep.Header.Get("Access-Control-Allow-Origin") != "" || rep.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("has a CORS header")
			}
			if row.status == http.StatusOK {
				if rep.StatusCode != http.StatusOK || !strings.Contains(rep.body, `"sub":"alice"`) {
					t.Errorf("%d %s", rep.StatusCode, rep.body)
				}
				return
			}
			notAsked(t, rep, row.status, "cross_origin")
		})
	}
}

func TestMeChangesNothing(t *testing.T) {
	t.Parallel()
	t.Run("X51_asking_again_keeps_no_session_alive", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe)
		v := w.visitor()
		v.login("/auth/login", "")
		for range 5 {
			w.clock.add(11 * time.Minute)
			if rep := v.send(fetched("/auth/me")); rep.StatusCode != http.StatusOK || rep.Header["Set-Cookie"] != nil ||
				!strings.Contains(rep.body, jsonOf(at(time.Hour))) {
				t.Errorf("%d %s", rep.StatusCode, rep.body)
			}
		}
		w.clock.add(5 * time.Minute)
		notAsked(t, v.send(fetched("/auth/me")), 401, "login_required")
	})
	t.Run("the_absolute_limit_comes_first", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe, func(s *settings) { s.auth.Idle, s.auth.Absolute = time.Hour, time.Hour })
		v := w.visitor()
		v.login("/auth/login", "")
		w.clock.add(30 * time.Minute)
		v.open("/private")
		if rep := v.send(fetched("/auth/me")); !strings.Contains(rep.body, jsonOf(at(time.Hour))) {
			t.Errorf("%s", rep.body)
		}
	})
	t.Run("X51_logged_out", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe)
		v := w.visitor()
		v.login("/auth/login", "")
		stolen := v.clone()
		v.send(formPost("/auth/logout", nil))
		notAsked(t, stolen.send(fetched("/auth/me")), 401, "login_required")
	})
	t.Run("H24_methods", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe)
		v := w.visitor()
		v.login("/auth/login", "")
		for method, status := range map[string]int{"HEAD": 200, "POST": 405, "OPTIONS": 405, "PUT": 405, "DELETE": 405} {
			r := fetched("/auth/me")
			r.Method = method
			rep := v.send(r)
			if rep.StatusCode != status || rep.Header["Set-Cookie"] != nil || rep.Header.Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("%s: %d %v", method, rep.StatusCode, rep.Header)
			}
		}
	})
}

func TestMeConfig(t *testing.T) {
	t.Parallel()
	t.Run("without_MeClaims_there_is_no_route", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		v.login("/auth/login?return_to=/auth/me", "") // a page of the app's own, if it likes
		if rep := v.send(fetched("/auth/me")); rep.StatusCode != http.StatusNotFound {
			t.Errorf("%d", rep.StatusCode)
		}
		rec := httptest.NewRecorder()
		w.auth.ServeHTTP(rec, fetched("/auth/me"))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%d", rec.Code)
		}
	})
	t.Run("no_claims_at_all", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.auth.MeClaims = []string{} })
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.send(fetched("/auth/me")); !strings.HasPrefix(rep.body, `{"claims":{},"tokens":"ready"`) {
			t.Errorf("%d %s", rep.StatusCode, rep.body)
		}
	})
	t.Run("no_login_leads_there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe)
		v := w.visitor()
		if rep := v.login("/auth/login?return_to=/auth/me", ""); rep.Header.Get("Location") != "/" {
			t.Errorf("%s", rep.Header.Get("Location"))
		}
	})
	t.Run("the_store_is_down", func(t *testing.T) {
		t.Parallel()
		var store *fleetStore
		w := newWorld(t, withMe, func(s *settings) {
			store = newFleetStore(s.auth.Now)
			s.auth.Store = store
		})
		v := w.visitor()
		v.login("/auth/login", "")
		store.mu.Lock()
		store.down[""] = true
		store.mu.Unlock()
		rep := v.send(fetched("/auth/me"))
		notAsked(t, rep, 503, "session_store")
		if rep.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("a_sub_of_the_claims_is_not_believed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.auth.MeClaims = []string{"sub"} })
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.send(fetched("/auth/me")); !strings.Contains(rep.body, `{"sub":"alice"}`) {
			t.Errorf("%s", rep.body)
		}
	})
	t.Run("tokens_that_wait", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withMe, func(s *settings) { s.auth.Exchange = middleware.ExchangeOnDemand })
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.send(fetched("/auth/me")); !strings.Contains(rep.body, `"tokens":"pending"`) {
			t.Errorf("%s", rep.body)
		}
		w.clock.add(51 * time.Second)
		if rep := v.send(fetched("/auth/me")); !strings.Contains(rep.body, `"tokens":"lost"`) {
			t.Errorf("%s", rep.body)
		}
		if n := w.op.Calls("/oauth/token"); n != 0 {
			t.Errorf("asking spent the code %d times", n)
		}
	})
	w := newWorld(t)
	for name, change := range map[string]func(*middleware.Config){
		"a claim that no session keeps": func(c *middleware.Config) { c.MeClaims = []string{"groups"} },
		"a claim of another case":       func(c *middleware.Config) { c.MeClaims = []string{"Email"} },
		"an empty name":                 func(c *middleware.Config) { c.MeClaims = []string{""} },
		"a callback of that name": func(c *middleware.Config) {
			c.MeClaims = []string{"sub"}
			c.Client = w.newClient(rp.Config{
				ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/me",
				Insecure: rp.Insecure{PlainHTTP: true}, Now: w.clock.Now, Logger: discard,
			})
		},
	} {
		c := middleware.Config{Client: w.client, Keys: [][]byte{attackKey("one")}}
		change(&c)
		if _, err := middleware.New(c); err == nil || !strings.Contains(err.Error(), "MeClaims") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
