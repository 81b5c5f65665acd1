package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

// lands runs a login that nobody is logged in for, which is quick, and returns where it leads.
func (w *world) lands(rep *reply) string {
	w.Helper()
	to, err := rep.Location()
	if err != nil || rep.StatusCode != http.StatusFound || len(rep.Cookies()) == 0 {
		w.Fatalf("no login: %d %s", rep.StatusCode, rep.code())
	}
	a := &attempt{v: w.visitor(), to: to, form: url.Values{"error": {"login_required"}, "state": {to.Query().Get("state")}}}
	for _, c := range rep.Cookies() {
		a.cookie = c.Name + "=" + c.Value
	}
	end := w.serve(a.callback().build())
	if end.StatusCode != http.StatusSeeOther {
		w.Fatalf("no end: %d %s", end.StatusCode, end.code())
	}
	return end.Header.Get("Location")
}

func silent(s *settings) { s.auth.AuthOptions.Prompt = "none" }

// TestReturnTo sends every payload to each door (H01 to H17, H30, I27).
func TestReturnTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, silent)
	doors := map[string]func(w *world, payload string) (location string){
		"H01_to_H13_login": func(w *world, payload string) string {
			return w.lands(w.serve(navigation("/auth/login?return_to=" + url.QueryEscape(payload))))
		},
		"H30_initiate": func(w *world, payload string) string {
			return w.lands(w.serve(navigation("/auth/initiate?iss=" + url.QueryEscape(w.op.URL) + "&target_link_uri=" + url.QueryEscape(payload))))
		},
		"I27_logout": func(w *world, payload string) string {
			v := w.visitor()
			rep := v.send(formPost("/auth/logout", url.Values{"return_to": {payload}}))
			if rep.StatusCode == 400 && rep.code() == "body" {
				return "/" // a NUL: nothing is done
			}
			landing := v.open(rep.Header.Get("Location"))
			delay, to, ok := strings.Cut(landing.Header.Get("Refresh"), ";url=")
			if payload == "" && landing.Header.Get("Refresh") == "" {
				return linkOf(landing) // nobody asked to be led on
			}
			if rep.StatusCode != 303 || landing.StatusCode != 200 || !ok || delay == "" || !strings.Contains(landing.body, "href=") {
				w.Fatalf("%d, then %d, Refresh %q", rep.StatusCode, landing.StatusCode, to)
			}
			if err := stays(linkOf(landing)); err != nil {
				w.Errorf("%q: the link %v", payload, err)
			}
			return to
		},
		"H42_link_of_an_error_page": func(w *world, payload string) string {
			r := navigation("/auth/login?return_to=" + url.QueryEscape(payload))
			r.Header.Set("Sec-Fetch-Dest", "iframe")
			way, err := url.Parse(linkOf(w.serve(r)))
			if err != nil || way.Host != "" || way.Path != "/auth/login" {
				w.Fatalf("%q: the page leads to %v", payload, way)
			}
			return way.Query().Get("return_to")
		},
	}
	for name, door := range doors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := *w
			w.TB = t
			kept := 0
			for _, payload := range payloads() {
				location := door(&w, payload)
				if err := stays(location); err != nil {
					t.Errorf("%q becomes %q: %v", payload, location, err)
				}
				if location != "/" {
					kept++
				}
			}
			if kept < 50 {
				t.Errorf("only %d are kept: the rows prove little", kept)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		for _, good := range []string{"/private", "/private?a=b&c=%20d#e", "/a/b;c=d/e,f", "/x:y@z", "/?q=https://evil.example", "/a%20b", "/auth/loginx", "/auth/callback/x"} {
			if got := doors["H01_to_H13_login"](w, good); got != good {
				t.Errorf("%q becomes %q", good, got)
			}
		}
		if got := doors["H30_initiate"](w, site+"/private?a=b"); got != "/private?a=b" {
			t.Errorf("a URL of this app becomes %q", got)
		}
	})
}

// linkOf is the first link of a page.
func linkOf(rep *reply) string {
	p := &optest.Page{Header: rep.Header, Body: []byte(rep.body)}
	links := p.Links()
	if len(links) == 0 {
		return "no link"
	}
	return links[0].Href
}

// TestRequestTarget takes the return-to from requests that lie about who they are for (H17 to H21).
func TestRequestTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, silent)
	protected := *w
	protected.app = w.auth.RequireLogin(http.HandlerFunc(whoami)) // no mux, which would clean the path
	for target, want := range map[string]string{
		"//evil.example/x":       "/",
		"/%2fevil.example/x":     "/",
		"/%5cevil.example":       "/",
		"/.//evil.example":       "/",
		"/private?a=b":           "/private?a=b",
		"/auth/login":            "/",
		"/auth/%6cogout":         "/",
		"/x%0d%0aSet-Cookie:a=b": "/",
		"/x?%0d%0a=":             "/x?%0d%0a=",
	} {
		t.Run("H17_"+strings.ReplaceAll(target, "/", "_"), func(t *testing.T) {
			w := *w
			w.TB = t
			r := navigation("/")
			r.URL = &url.URL{}
			if u, err := url.ParseRequestURI("http://h" + target); err == nil {
				r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
			}
			r.RequestURI = target
			got := w.lands(protected.serve(r))
			if got != want {
				t.Errorf("leads to %q, want %q", got, want)
			}
			if err := stays(got); err != nil {
				t.Error(err)
			}
		})
	}
	honest := w.serve(navigation("/private"))
	origin, _ := honest.Location()
	lie := func(change func(*http.Request)) func(t *testing.T) {
		return func(t *testing.T) {
			w := *w
			w.TB = t
			r := navigation("/private?a=b")
			change(r)
			rep := w.serve(r)
			to, err := rep.Location()
			if err != nil {
				t.Fatalf("%d", rep.StatusCode)
			}
			for name, values := range origin.Query() {
				if name != "state" && name != "nonce" && name != "code_challenge" && to.Query().Get(name) != values[0] {
					t.Errorf("%s is %q", name, to.Query().Get(name))
				}
			}
			if strings.Contains(to.String(), "evil") || len(to.Query()) != len(origin.Query()) {
				t.Errorf("goes to %s", to.Redacted())
			}
			for _, c := range rep.Cookies() {
				if c.Domain != "" || c.Path != "/" || !c.Secure {
					t.Errorf("cookie %s: Domain %q, Path %q", c.Name, c.Domain, c.Path)
				}
			}
			if got := w.lands(rep); got != "/private?a=b" {
				t.Errorf("leads to %q", got)
			}
		}
	}
	header := func(name, value string) func(t *testing.T) {
		return lie(func(r *http.Request) { r.Header.Set(name, value) })
	}
	t.Run("H18_absolute_form", lie(func(r *http.Request) {
		evil := httptest.NewRequest(http.MethodGet, "http://evil.example/private?a=b", nil)
		r.URL, r.Host, r.RequestURI, r.TLS = evil.URL, evil.Host, evil.RequestURI, nil
	}))
	t.Run("H19_host_evil", lie(func(r *http.Request) { r.Host = "evil.example" }))
	t.Run("H19_host_with_a_port", lie(func(r *http.Request) { r.Host = "app.example:8080" }))
	t.Run("H19_host_empty", lie(func(r *http.Request) { r.Host = "" }))
	t.Run("H19_two_hosts", lie(func(r *http.Request) { r.Host = "app.example"; r.Header["Host"] = []string{"evil.example"} }))
	for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host-Override"} {
		t.Run("H19_"+name, header(name, "evil.example"))
	}
	t.Run("H19_Forwarded", header("Forwarded", "host=evil.example;proto=http;for=evil"))
	for name, value := range map[string]string{
		"X-Forwarded-Proto": "http", "X-Forwarded-Uri": "//evil.example/", "X-Original-URL": "//evil.example/", "X-Rewrite-URL": "/evil", "X-Forwarded-Prefix": "//evil.example",
		"X-Forwarded-User": "mallory", "X-Forwarded-Port": "1", "X-Forwarded-Scheme": "http", "Front-End-Https": "off", "X-Forwarded-Ssl": "off", "X-Url-Scheme": "http",
	} {
		t.Run("H20_"+name, header(name, value))
	}
	t.Run("H20_H28_no_session_by_a_header", func(t *testing.T) {
		w := *w
		w.TB = t
		for _, name := range []string{"X-User", "X_User", "X-Forwarded-User", "Remote-User", "X-Remote-User", "Authorization", "Oidc-Sub"} {
			r := navigation("/private") // nothing of a request but the sealed cookie says who it is from
			r.Header.Set(name, "alice")
			if rep := w.serve(r); rep.StatusCode != http.StatusFound {
				t.Errorf("%s: %d", name, rep.StatusCode)
			}
		}
	})
	for name, query := range map[string]string{
		"D49_parameters_of_ours":            "state=evil&nonce=evil&redirect_uri=https://evil.example&response_type=token&response_mode=query&client_id=evil&scope=evil&code_challenge=evil&request=evil&request_uri=evil",
		"H21_parameters_beside_return_to":   "return_to=/private?a=b&scope=evil&prompt=evil&max_age=0&acr_values=evil&audience=evil&login_hint=evil",
		"H21_parameters_inside_return_to":   "return_to=" + url.QueryEscape("/private?a=b"),
		"H21_return_to_twice":               "return_to=/evil&return_to=//evil.example",
		"H21_return_to_with_a_semicolon":    "return_to=/evil;prompt=login",
		"H21_return_to_in_another_spelling": "returnTo=/evil&Return_To=/evil&return_to[]=/evil",
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			rep := w.serve(navigation("/auth/login?" + query))
			to, err := rep.Location()
			if err != nil {
				t.Fatalf("%d", rep.StatusCode)
			}
			for name, values := range to.Query() {
				if len(values) != 1 || strings.Contains(values[0], "evil") || !origin.Query().Has(name) {
					t.Errorf("%s is %q", name, values)
				}
			}
			got := w.lands(rep)
			if got != "/" && got != "/private?a=b" {
				t.Errorf("leads to %q", got)
			}
		})
	}
}

// TestInitiate is a login that a third party starts (H30).
func TestInitiate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	iss := url.Values{"iss": {w.op.URL}}
	for name, q := range map[string]url.Values{
		"H30_iss_missing":       {},
		"H30_iss_empty":         {"iss": {""}},
		"H30_iss_evil":          {"iss": {"https://evil.example"}},
		"H30_iss_with_a_slash":  {"iss": {w.op.URL + "/"}},
		"H30_iss_in_capitals":   {"iss": {strings.ToUpper(w.op.URL)}},
		"H30_iss_twice":         {"iss": {w.op.URL, w.op.URL}},
		"H30_iss_evil_and_good": {"iss": {"https://evil.example", w.op.URL}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(name+"_"+method, func(t *testing.T) {
				w := *w
				w.TB = t
				w.refused(w.serve(initiate(method, q)), 400, "initiate")
			})
		}
	}
	t.Run("H30_control_by_POST", func(t *testing.T) {
		rep := w.serve(initiate(http.MethodPost, iss))
		if to, err := rep.Location(); err != nil || rep.StatusCode != http.StatusSeeOther || to.Query().Get("redirect_uri") != site+"/auth/callback" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("H30_iss_in_the_query_of_a_POST", func(t *testing.T) {
		w := *w
		w.TB = t
		r := formPost("/auth/initiate?"+iss.Encode(), url.Values{"login_hint": {"x"}})
		w.refused(w.serve(r), 400, "initiate")
	})
	t.Run("H30_other_parameters_are_ignored", func(t *testing.T) {
		q := url.Values{"iss": iss["iss"], "login_hint": {"bob"}, "prompt": {"none"}, "redirect_uri": {"https://evil.example"}, "scope": {"evil"}, "nonce": {"evil"}, "max_age": {"1"}}
		to, err := w.serve(initiate(http.MethodGet, q)).Location()
		if err != nil || to.Query().Get("login_hint") != "bob" || to.Query().Has("prompt") || to.Query().Has("max_age") || strings.Contains(to.RawQuery, "evil") {
			t.Errorf("%v", to)
		}
	})
	t.Run("H29_not_in_a_frame_and_not_by_script", func(t *testing.T) {
		w := *w
		w.TB = t
		for _, path := range []string{"/auth/login", "/auth/initiate?" + iss.Encode()} {
			for name, value := range map[string]string{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "cors"} {
				r := navigation(path)
				r.Header.Set(name, value)
				rep := w.serve(r)
				if rep.StatusCode != 401 || rep.Header["Set-Cookie"] != nil || rep.Header.Get("Location") != "" {
					t.Errorf("%s %s: %d", path, value, rep.StatusCode)
				}
			}
		}
	})
}

func initiate(method string, q url.Values) *http.Request {
	if method == http.MethodPost {
		r := formPost("/auth/initiate", q)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://portal.example")
		return r
	}
	return navigation("/auth/initiate?" + q.Encode())
}
