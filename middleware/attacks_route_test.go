package middleware_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group H that are not here:
//   - H01 to H21, H29, H30, D49: attacks_redirect_test.go; H31: attacks_logout_test.go; H33: attacks_callback_test.go; H42: attacks_form_test.go; H39 to H41: attacks_hook_test.go
//   - H25, the opt-in: nothing of a POST is kept and replayed; its user logs in and posts again
//   - H28: attacks_proxy_test.go, for what StripRequest and StripResponse do; no header is read for identity (H20_no_session_by_a_header)
//   - H34, Clear-Site-Data: it would also drop what belongs to the app; no-store keeps pages out of the back cache
//   - H40: attacks_checks_test.go; H41, RFC 9470: attacks_stepup_test.go; GET /auth/me: attacks_me_test.go

// TestProtectedRoute asks for a page without a session. Only a navigation may start a login; the handler never runs.
func TestProtectedRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ran atomic.Int32
	w.page = func(http.ResponseWriter, *http.Request) { ran.Add(1) }
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	old := func(more ...string) func(*http.Request) { // a browser without Fetch Metadata
		return func(r *http.Request) {
			for _, name := range []string{"Mode", "Dest", "Site"} {
				r.Header.Del("Sec-Fetch-" + name)
			}
			header(more...)(r)
		}
	}
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"control", func(*http.Request) {}, 302},
		{"control_cross_site_link", header("Sec-Fetch-Site", "cross-site"), 302},
		{"control_old_browser", old(), 302},
		{"H22_fetch", header("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*"), 401},
		{"H22_fetch_same_origin", header("Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"), 401},
		{"H22_image", header("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), 401},
		{"H22_iframe", header("Sec-Fetch-Dest", "iframe"), 401},
		{"H22_fetch_that_accepts_html", header("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "text/html"), 401},
		{"H22_mode_alone", func(r *http.Request) { r.Header.Del("Sec-Fetch-Dest") }, 401},
		{"H22_XHR_of_an_old_browser", old("X-Requested-With", "XMLHttpRequest"), 401},
		{"H22_old_browser_wants_JSON", old("Accept", "application/json"), 401},
		{"H22_old_browser_wants_anything", old("Accept", "*/*"), 401},
		{"H22_html_with_weight_zero", old("Accept", "text/html;q=0, */*"), 401},
		{"H22_no_accept_at_all", old("Accept", ""), 401},
		{"H22_prefetch", header("Sec-Purpose", "prefetch"), 401},
		{"H22_prerender", header("Sec-Purpose", "prefetch;prerender"), 401},
		{"H24_HEAD", method("HEAD"), 401},
		{"H25_POST", method("POST"), 401},
		{"H22_PUT", method("PUT"), 401},
		{"H22_OPTIONS", method("OPTIONS"), 401},
		{"H22_unknown_method", method("GETS"), 401},
		{"H38_websocket", header("Upgrade", "websocket", "Connection", "Upgrade", "Sec-Fetch-Mode", "websocket", "Sec-Fetch-Dest", "empty"), 401},
		{"H38_websocket_of_an_old_browser", old("Upgrade", "websocket", "Connection", "Upgrade"), 401},
		{"H38_event_stream", header("Accept", "text/event-stream", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"), 401},
	} {
		for _, path := range []string{"/private", "/tokens"} {
			t.Run(row.name+strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
				w := *w
				w.TB = t
				r := navigation(path)
				row.change(r)
				rep := w.serve(r)
				if row.status == 302 {
					if rep.StatusCode != 302 || rep.Header["Set-Cookie"] == nil {
						t.Errorf("%d %s", rep.StatusCode, rep.code())
					}
					return
				}
				w.refused(rep, 401, "login_required")
				if rep.Header["Set-Cookie"] != nil || rep.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("cookies %v, WWW-Authenticate %q", rep.Header["Set-Cookie"], rep.Header.Get("WWW-Authenticate"))
				}
				if ct := rep.Header.Get("Content-Type"); row.name == "H22_fetch" && ct != "application/problem+json" {
					t.Errorf("a script gets %s", ct)
				}
			})
		}
	}
	t.Run("H27_other_spellings_of_a_path", func(*testing.T) {
		for _, path := range []string{
			"/private", "/private/", "//private", "/private//x", "/./private", "/x/../private", "/%70rivate", "/private%2f", "/private;a=b", "/private/..;/x", "/private.", "/PRIVATE",
			"/private%00", "/private/%2e%2e/private", "/private?x", "/private/x%2fy", `/private\x`, "/private%23", "/private%3fx", "/tokens", "/tokens/../tokens", "/tokens%20",
		} {
			r := navigation("/")
			if u, err := url.ParseRequestURI(site + path); err == nil {
				r.URL = u
			}
			w.serve(r) // the wrapper is the handler; there is no list of paths to get around
		}
	})
	t.Run("H26_the_handler_never_ran", func(t *testing.T) {
		if n := ran.Load(); n != 0 {
			t.Errorf("the handler ran %d times without a session", n)
		}
	})
	t.Run("H25_POST_with_a_session_that_has_ended", func(t *testing.T) {
		w := *w
		w.TB = t
		v := w.visitor()
		v.login("/auth/login", "")
		w.clock.add(2 * time.Hour)
		w.refused(v.send(formPost("/private", url.Values{"text": {"long"}})), 401, "login_required")
		if v.cookies[sessionName] == "" {
			t.Error("a POST changed the cookies")
		}
	})
	t.Run("H38_hijack_waits_for_the_session", func(t *testing.T) {
		rec := &hijackable{ResponseRecorder: httptest.NewRecorder()}
		r := navigation("/private")
		r.Header.Set("Upgrade", "websocket")
		w.mux.ServeHTTP(rec, r)
		if rec.hijacked || rec.Code != 401 {
			t.Errorf("%v %d", rec.hijacked, rec.Code)
		}
	})
}

// hijackable would hand out its connection.
type hijackable struct {
	*httptest.ResponseRecorder
	hijacked bool
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.hijacked = true
	return nil, nil, http.ErrNotSupported
}

// TestLoginRoute is about who may start a login (H23, H24), and what goes to the provider (H36, H37).
func TestLoginRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, value := range map[string]string{
		"Sec-Purpose": "prefetch", "Purpose": "prefetch", "X-Purpose": "preview", "X-Moz": "prefetch", "Sec-Purpose ": "prefetch;anonymous-client-ip", "Purpose ": "Prefetch",
	} {
		t.Run("H23_"+name+value, func(t *testing.T) {
			r := navigation("/auth/login")
			r.Header.Set(strings.TrimSpace(name), value)
			if rep := w.serve(r); rep.StatusCode != 204 || rep.Header["Set-Cookie"] != nil || rep.body != "" || rep.Header.Get("Location") != "" {
				t.Errorf("%d", rep.StatusCode)
			}
		})
	}
	for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
		t.Run("H24_"+method, func(t *testing.T) {
			r := navigation("/auth/login")
			r.Method = method
			if rep := w.serve(r); rep.StatusCode < 400 || rep.Header["Set-Cookie"] != nil || rep.Header.Get("Location") != "" {
				t.Errorf("%d", rep.StatusCode)
			}
		})
	}
	t.Run("H36_authorization_request", func(t *testing.T) {
		seen := map[string]bool{}
		for range 200 {
			to, err := w.serve(navigation("/auth/login?return_to=/private")).Location()
			if err != nil {
				t.Fatal(err)
			}
			q := to.Query()
			for name, values := range q {
				if len(values) != 1 {
					t.Errorf("%s is there %d times", name, len(values))
				}
			}
			for name, want := range map[string]string{
				"response_type": "code id_token", "response_mode": "form_post", "client_id": "app", "redirect_uri": site + "/auth/callback", "code_challenge_method": "S256",
			} {
				if q.Get(name) != want {
					t.Errorf("%s is %q", name, q.Get(name))
				}
			}
			for _, name := range []string{"state", "nonce", "code_challenge"} {
				v := q.Get(name)
				if len(v) < 22 || seen[v] {
					t.Errorf("%s has %d characters, seen: %v", name, len(v), seen[v])
				}
				seen[v] = true
			}
			if len(q) != 9 { // the eight above and scope
				t.Errorf("parameters: %v", q)
			}
		}
	})
	t.Run("H37_request_that_is_too_long_for_a_URL", func(t *testing.T) {
		w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Extra = url.Values{"long": {strings.Repeat("x", 4000)}} })
		rep := w.serve(navigation("/auth/login"))
		p := &optest.Page{URL: site + "/auth/login", Header: rep.Header, Body: []byte(rep.body)}
		forms := p.Forms()
		if rep.StatusCode != 200 || len(forms) != 1 || forms[0].Action != w.op.URL+"/authorize" || len(forms[0].Fields.Get("long")) != 4000 {
			t.Fatalf("%d, forms %v", rep.StatusCode, forms)
		}
		if set, _ := rep.sets(cookiePrefix + "x"); len(set) != 1 || rep.Header.Get("Cache-Control") != "no-store" || strings.Contains(rep.Header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%v", rep.Header)
		}
		w.spoken.texts = nil // the page is meant to carry state and nonce
		b := optest.NewBrowser(&http.Client{Transport: appTransport{w}})
		page, err := b.Open(t.Context(), site+"/auth/login?return_to=/private")
		if err != nil || page.URL != site+"/private" || page.Status != 200 {
			t.Errorf("%v %v", page, err)
		}
	})
	t.Run("X18_head_and_prefetch_of_every_route", func(t *testing.T) {
		for _, route := range []string{"login", "logout", "logged-out", "initiate", "jwks", "callback"} {
			for _, change := range []func(*http.Request){
				func(r *http.Request) { r.Method = "HEAD" },
				func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch") },
			} {
				r := navigation("/auth/" + route)
				change(r)
				if rep := w.serve(r); rep.Header["Set-Cookie"] != nil || rep.StatusCode >= 500 {
					t.Errorf("%s: %d, cookies %v", route, rep.StatusCode, rep.Header["Set-Cookie"])
				}
			}
		}
	})
}

// appTransport brings requests for https://app.example to the app, and all others over the network.
type appTransport struct{ w *world }

func (a appTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "app.example" {
		return canary.Network.RoundTrip(r)
	}
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	a.w.app.ServeHTTP(rec, in)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// TestLoginLoop is a browser that keeps some cookies and not others (H35).
func TestLoginLoop(t *testing.T) {
	t.Parallel()
	t.Run("H35_session_cookie_never_arrives", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		for round := 0; ; round++ {
			if rep := v.clone().open("/private"); rep.StatusCode != 302 {
				w.refused(rep, 400, "login_loop")
				if round < 2 || !strings.Contains(rep.body, `href="/`) {
					t.Errorf("stopped after %d logins", round)
				}
				break
			}
			if round > 5 {
				t.Fatal("it goes on and on")
			}
			v.login("/private", "")
			for name := range v.cookies {
				if !strings.HasPrefix(name, cookiePrefix+"x") {
					delete(v.cookies, name)
				}
			}
		}
		w.clock.add(2 * time.Minute)
		if rep := v.open("/private"); rep.StatusCode != 302 {
			t.Errorf("never again: %d", rep.StatusCode)
		}
	})
	t.Run("H35_no_cookies_at_all", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		b := optest.NewBrowser(&http.Client{Transport: noCookies{appTransport{w}}})
		page, err := b.Open(t.Context(), site+"/private")
		if err != nil || page.Status != 400 || page.URL != site+"/auth/callback" {
			t.Errorf("%v %v", page, err)
		}
	})
	t.Run("H35_token_that_ended_before_it_came", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.rp.Scopes = []string{"openid"} })
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/oauth/token" {
				a.JSON["expires_in"] = 1
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		w.clock.add(2 * time.Second)
		if rep := v.open("/tokens"); rep.StatusCode != 400 || rep.code() != "login_loop" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		script := navigation("/tokens")
		script.Header.Set("Sec-Fetch-Mode", "cors")
		if rep := v.send(script); rep.StatusCode != 401 || rep.Header["Set-Cookie"] != nil {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
}

type noCookies struct{ next http.RoundTripper }

func (n noCookies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "app.example" {
		r.Header.Del("Cookie")
	}
	return n.next.RoundTrip(r)
}

// TestPages looks at each page of ours (H32, H33, H34).
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	v.login("/auth/login", "")
	iframe := func(path string) *http.Request {
		r := navigation(path)
		r.Header.Set("Sec-Fetch-Dest", "iframe")
		return r
	}
	for name, rep := range map[string]*reply{
		"login":          w.serve(navigation("/auth/login")),
		"login_framed":   w.serve(iframe("/auth/login")),
		"callback":       w.serve(navigation("/auth/callback")),
		"logout":         v.clone().open("/auth/logout"),
		"logout_nobody":  w.serve(navigation("/auth/logout")),
		"logged_out":     w.serve(navigation("/auth/logged-out")),
		"initiate":       w.serve(navigation("/auth/initiate")),
		"method":         w.serve(func() *http.Request { r := navigation("/auth/login"); r.Method = "PUT"; return r }()),
		"protected":      w.serve(navigation("/private")),
		"protected_fail": w.serve(iframe("/private")),
	} {
		t.Run("H32_H33_H34_"+name, func(t *testing.T) {
			h := rep.Header
			if h.Get("Cache-Control") != "no-store" && name != "method" { // the mux answers that one
				t.Errorf("Cache-Control %q", h.Get("Cache-Control"))
			}
			if name == "method" {
				return
			}
			csp := h.Get("Content-Security-Policy")
			if h.Get("X-Frame-Options") != "DENY" || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe-") {
				t.Errorf("X-Frame-Options %q, policy %q", h.Get("X-Frame-Options"), csp)
			}
			if h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%v", h)
			}
			for _, part := range []string{"src=", "http://", "https://", "@import", "url("} {
				if strings.Contains(rep.body, part) {
					t.Errorf("the page names another resource: %s", part)
				}
			}
		})
	}
}
