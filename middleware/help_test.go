package middleware_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What a refusal says to the user, to the operator and to a script, and where it leads.

var anchor = regexp.MustCompile(`<a class="[^"]*" href="([^"]*)">([^<]*)</a>`)

// waysOf returns the links of a page, "text → path".
func waysOf(rep *reply) (ways []string) {
	for _, m := range anchor.FindAllStringSubmatch(rep.body, -1) {
		ways = append(ways, m[2]+" → "+strings.ReplaceAll(m[1], "&amp;", "&"))
	}
	return ways
}

func wantWays(t *testing.T, rep *reply, want ...string) {
	t.Helper()
	if got := waysOf(rep); !slices.Equal(got, want) {
		t.Errorf("the page leads to %q, want %q", got, want)
	}
}

func wantText(t *testing.T, rep *reply, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(rep.body, part) {
			t.Errorf("the page lacks %q:\n%s", part, rep.body[strings.Index(rep.body, "<main>"):])
		}
	}
}

// errorOf is the reason in the event of the refusal.
func errorOf(rep *reply) string {
	rep.mu.Lock()
	defer rep.mu.Unlock()
	for _, e := range slices.Backward(rep.events) {
		if e.Name == "refused" {
			return e.Err.Error()
		}
	}
	return ""
}

const another = "Use another account → /auth/login?switch=1&return_to=%2Fprivate"

func TestAnotherAccount(t *testing.T) {
	t.Parallel()
	t.Run("a refused user may choose another account", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) {
			s.auth.OnIdentity = func(*middleware.Login) error { return &middleware.Refusal{Text: "Ask for an account."} }
		})
		rep := w.visitor().answer("/private", "").post()
		w.refused(rep, 403, "refused")
		wantText(t, rep, "You cannot log in here", "Ask for an account.")
		wantWays(t, rep, another, "To the home page → /")
	})
	t.Run("so may who cancels", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().begin("/private")
		a.form = url.Values{"error": {"access_denied"}, "state": {a.to.Query().Get("state")}}
		rep := a.post()
		w.refused(rep, 403, "provider_error")
		wantWays(t, rep, "Log in again → /auth/login?return_to=%2Fprivate", another, "To the home page → /")
	})
	for name, row := range map[string]struct{ configured, query, want string }{
		"switch=1":                     {"", "switch=1", "select_account"},
		"none cannot choose":           {"none", "switch=1", "select_account"},
		"what the app asks for stays":  {"login", "switch=1", "login select_account"},
		"it is asked for once":         {"select_account", "switch=1", "select_account"},
		"no other value":               {"", "switch=true", ""},
		"not twice":                    {"", "switch=1&switch=1", ""},
		"no other name":                {"", "prompt=select_account", ""},
		"nothing of its own":           {"consent", "return_to=/private", "consent"},
		"not from the return-to's own": {"", "return_to=/private?switch=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Prompt = row.configured })
			rep := w.visitor().open("/auth/login?" + row.query)
			to, err := rep.Location()
			if err != nil || to.Query().Get("prompt") != row.want {
				t.Errorf("prompt %q, want %q (%v)", to.Query().Get("prompt"), row.want, err)
			}
		})
	}
}

func TestPagesSayWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	for code, level := range map[string]string{"invalid_client": "ERROR", "unauthorized_client": "ERROR", "invalid_grant": "WARN"} {
		t.Run("token endpoint answers "+code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Endpoint == "/oauth/token" {
					a.Status, a.JSON = http.StatusUnauthorized, map[string]any{"error": code}
				}
			})
			rep := w.visitor().answer("/private", "").post()
			w.refused(rep, 502, "provider_error")
			wantText(t, rep, "Something went wrong on our side", "tell the operators")
			wantWays(t, rep, "Try again → /auth/login?return_to=%2Fprivate", "To the home page → /")
			wantLevel(t, w, level)
		})
	}
	for name, row := range map[string]struct {
		answer url.Values
		level  string
	}{
		"the user cancels":          {url.Values{"error": {"access_denied"}}, "INFO"},
		"nobody is logged in there": {url.Values{"error": {"login_required"}}, "INFO"},
		"the provider fails":        {url.Values{"error": {"server_error"}}, "WARN"},
		"the client is not allowed": {url.Values{"error": {"unauthorized_client"}}, "ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.visitor().begin("/private")
			a.form = row.answer
			a.form.Set("state", a.to.Query().Get("state"))
			w.refused(a.post(), 403, "provider_error")
			wantLevel(t, w, row.level)
		})
	}
	for name, hook := range map[string]func(*middleware.Login) error{
		"a hook fails":  func(*middleware.Login) error { return errors.New("database is down") },
		"a hook panics": func(*middleware.Login) error { panic("canary") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) { s.auth.OnIdentity = hook })
			rep := w.visitor().answer("/private", "").post()
			wantText(t, rep, "Something went wrong on our side")
			wantLevel(t, w, "ERROR")
		})
	}
}

// said is all of it; the caller holds mu.
func (s *spoken) said() string { return strings.Join(s.texts, "\n") }

// wantLevel looks for the level of the refusal's record.
func wantLevel(t *testing.T, w *world, level string) {
	t.Helper()
	w.spoken.mu.Lock()
	defer w.spoken.mu.Unlock()
	if !regexp.MustCompile(`level=` + level + ` msg=twofold event=refused `).MatchString(w.spoken.said()) {
		t.Errorf("no refusal with level %s in\n%s", level, w.spoken.said())
	}
}

func TestTransactionMissingHelps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	first := v.answer("/private", "")
	for range 5 { // the sixth tab
		w.clock.add(time.Second)
		v.begin("/private")
	}
	c := first.callback()
	c.header.Set("Cookie", v.header("x"))
	rep := v.send(c.build())
	w.refused(rep, 400, "transaction_missing")
	wantText(t, rep, "you may already be logged in")
	wantWays(t, rep, "Log in → /auth/login", "Continue → /")
	if got := errorOf(rep); !strings.Contains(got, "none of the 5 login cookies that came") {
		t.Errorf("log says %q", got)
	}
	c.header.Set("Cookie", "other=1")
	if got := errorOf(v.send(c.build())); !strings.Contains(got, "no login cookie came") {
		t.Errorf("without a cookie the log says %q", got)
	}
}

// What has no reason but its code says it in words.
func TestLogSaysMoreThanACode(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		"/auth/callback": "no_response: the callback was opened without an answer",
		"/auth/initiate": "initiate: iss is missing",
	} {
		w := newWorld(t)
		rep := w.visitor().open(path)
		if got := errorOf(rep); !strings.Contains(got, says) {
			t.Errorf("%s: the log says %q", path, got)
		}
	}
}

func TestScriptIsLedToItsPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, row := range map[string]struct{ referer, want string }{
		"the page that fetches":     {site + "/board?tab=2", "/auth/login?return_to=%2Fboard%3Ftab%3D2"},
		"no page":                   {"", "/auth/login?return_to=%2F"},
		"another site":              {"https://evil.example/x", "/auth/login?return_to=%2F"},
		"a host that begins so":     {site + ".evil.example/x", "/auth/login?return_to=%2F"},
		"a user that is named so":   {site + "@evil.example/x", "/auth/login?return_to=%2F"},
		"two slashes after it":      {site + "//evil.example", "/auth/login?return_to=%2F"},
		"a page of the login's own": {site + "/auth/logout", "/auth/login?return_to=%2F"},
	} {
		t.Run(name, func(t *testing.T) {
			r := navigation("/private")
			r.Header.Set("Sec-Fetch-Mode", "cors")
			r.Header.Set("Sec-Fetch-Dest", "empty")
			r.Header.Set("Accept", "application/json")
			if row.referer != "" {
				r.Header.Set("Referer", row.referer)
			}
			rep := w.visitor().send(r)
			w.refused(rep, 401, "login_required")
			var problem map[string]any
			if err := json.Unmarshal([]byte(rep.body), &problem); err != nil || problem["retry_url"] != row.want {
				t.Errorf("retry_url %v, want %s", problem["retry_url"], row.want)
			}
		})
	}
}

func TestHostThatIsNotRedirectURLs(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		redirect, host string
		warns          bool
	}{
		"another name":         {"http://localhost:8080/auth/callback", "127.0.0.1:8080", true},
		"the same":             {"http://localhost:8080/auth/callback", "LOCALHOST:8080", false},
		"default port":         {"http://localhost/auth/callback", "localhost:80", false},
		"https, behind a name": {site + "/auth/callback", "10.0.0.1:8080", false},
		"no name at all":       {"http://localhost:8080/auth/callback", strings.Repeat("a", 300), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) { s.rp.RedirectURL, s.rp.PostLogoutRedirectURL = row.redirect, "" })
			r := navigation("/auth/login")
			r.Host = row.host
			if rep := w.visitor().send(r); rep.StatusCode != http.StatusFound {
				t.Fatalf("%d", rep.StatusCode)
			}
			w.spoken.mu.Lock()
			defer w.spoken.mu.Unlock()
			log := w.spoken.said()
			want := `its cookie will not come back" started_at=http://127.0.0.1:8080 redirect_url_at=http://localhost:8080`
			if got := strings.Contains(log, "its cookie will not come back"); got != row.warns || row.warns && !strings.Contains(log, want) {
				t.Errorf("warns %v, want %v:\n%s", got, row.warns, log)
			}
		})
	}
}

func TestRefusalOfACheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mux.Handle("/checked", w.auth.Require(func(*http.Request, *middleware.Session) error {
		return &middleware.Refusal{Text: "For the accounts department."}
	}, http.HandlerFunc(whoami)))
	v := w.visitor()
	v.login("/auth/login", "")
	rep := v.open("/checked")
	w.refused(rep, 403, "forbidden")
	wantText(t, rep, "<h1>This page is not for you</h1>", "For the accounts department.")
	wantWays(t, rep, "To the home page → /")
	if got := errorOf(rep); strings.Contains(got, "\n") || got != "middleware: forbidden: refused: For the accounts department." {
		t.Errorf("log says %q", got)
	}
}

func TestOriginsOfATransport(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		origins []string
		says    string
	}{
		"right":             {[]string{"https://api.example", "http://localhost:8080/"}, ""},
		"with a path":       {[]string{"https://api.example", "https://api.example/v1"}, "is not scheme://host[:port]"},
		"http":              {[]string{"http://api.example"}, "https, or http on a loopback host"},
		"no origin":         {nil, "no origin is named"},
		"name without http": {[]string{"api.example"}, "is not scheme://host[:port]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			transport := w.auth.Transport(nil, row.origins...)
			w.spoken.mu.Lock()
			log := w.spoken.said()
			w.spoken.mu.Unlock()
			if row.says == "" {
				if strings.Contains(log, "Auth.Transport") {
					t.Errorf("log says %s", log)
				}
				return
			}
			if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, row.says) {
				t.Errorf("log says %s", log)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/v1", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := transport.RoundTrip(r); err == nil || !strings.Contains(row.says+err.Error(), "origin") && !strings.Contains(err.Error(), row.says) {
				t.Errorf("a request: %v", err)
			}
		})
	}
}

func TestSessionOfATestHasValues(t *testing.T) {
	t.Parallel()
	bare := middleware.NewSession(map[string]any{"sub": "alice", "name": "Alice"}, nil)
	values := map[string]string{"user": "17"}
	s := bare.WithValues(values)
	values["user"] = "18"
	if s.Value("user") != "17" || s.Value("other") != "" || bare.Value("user") != "" || s.Subject != "alice" {
		t.Errorf("user %q, other %q, bare %q", s.Value("user"), s.Value("other"), bare.Value("user"))
	}
	for name, call := range map[string]func() error{
		"IDToken":  func() error { _, err := s.IDToken(); return err },
		"First":    func() error { _, err := s.First(); return err },
		"UserInfo": func() error { _, err := s.UserInfo(t.Context()); return err },
		"Token":    func() error { _, err := s.Token(t.Context()); return err },
	} {
		if err := call(); !errors.Is(err, middleware.ErrNoTokens) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysErrorSaysHow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := middleware.New(middleware.Config{Client: w.client, Keys: [][]byte{[]byte("short")}})
	if err == nil || !strings.Contains(err.Error(), "at least 32 random ones are needed: use 32 bytes from `openssl rand -hex 32`, decoded") {
		t.Errorf("%v", err)
	}
}

func TestValuesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) {
		s.auth.OnIdentity = func(l *middleware.Login) error {
			l.Values["x"] = strings.Repeat("x", 609)
			return nil
		}
	})
	rep := w.visitor().answer("/private", "").post()
	w.refused(rep, 500, "values")
	if got := errorOf(rep); got != "Login.Values take 617 bytes as JSON, at most 512" {
		t.Errorf("log says %q", got)
	}
	if n := w.op.Calls("/oauth/token"); n != 0 {
		t.Errorf("the code was spent %d times", n)
	}
}

func TestTokensThatEndAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.rp.Scopes = []string{"openid"} })
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			a.JSON["expires_in"] = 7
		}
	})
	v := w.visitor()
	v.login("/auth/login", "")
	w.clock.add(8 * time.Second)
	rep := v.open("/tokens")
	w.refused(rep, 400, "login_loop")
	want := "access token ended 7 s after the login and there is no refresh token; ask for offline_access"
	if got := errorOf(rep); !strings.HasPrefix(got, want) {
		t.Errorf("log says %q", got)
	}
	wantText(t, rep, "tell the operators")
	if strings.Contains(rep.body, "cookie") {
		t.Error("the page talks of cookies")
	}
}

func TestLogoutLeadsOnByItselfOnlyIfAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for asked, want := range map[string]string{"": "", "/private": "2;url=/private", "//evil.example": "2;url=/"} {
		v := w.visitor()
		v.login("/auth/login", "")
		to, err := v.send(formPost("/auth/logout", url.Values{"return_to": {asked}})).Location()
		if err != nil {
			t.Fatal(err)
		}
		end := v.open("/auth/logged-out?state=" + to.Query().Get("state"))
		if got := end.Header.Get("Refresh"); got != want {
			t.Errorf("return_to %q: Refresh %q, want %q", asked, got, want)
		}
		path := strings.TrimPrefix(want, "2;url=")
		if path == "" {
			path = "/"
		}
		wantWays(t, end, "Continue → "+path)
	}
}
