package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/rp/optest"
)

var discard = slog.New(slog.DiscardHandler)

const secret = "a secret with % + : and Ünicode: 0123456789"

// world is one relying party, its provider and a browser.
type world struct {
	t       *testing.T
	op      *optest.Server
	base    string
	browser *optest.Browser
	log     *safeBuffer
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start makes a world; the relying party's environment is that of good with the change.
func start(t *testing.T, provider optest.Config, change map[string]string) *world {
	t.Helper()
	w := &world{t: t, browser: optest.NewBrowser(&http.Client{Timeout: time.Minute}), log: &safeBuffer{}}
	if provider.ClientID == "" {
		provider.ClientID, provider.ClientSecret = "client:+%", secret
	}
	w.op = optest.NewServer(provider)
	t.Cleanup(w.op.Close)
	server := httptest.NewUnstartedServer(nil)
	w.base = "http://" + server.Listener.Addr().String()
	values := good()
	maps.Copy(values, map[string]string{
		"RP_BASE_URL": w.base, "RP_ISSUER": w.op.URL, "RP_CLIENT_SECRET": secret, "RP_SCOPES": "openid email offline_access",
		"RP_RESOURCE_URL": strings.TrimSuffix(w.op.URL, "/") + "/api", "RP_POST_LOGOUT_REDIRECT_URI": w.base + "/logged-out",
	})
	maps.Copy(values, change)
	heard := canary.Listen(t)
	p, err := newProgram(env(values), slog.New(slog.NewTextHandler(io.MultiWriter(w.log, heard), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	server.Config.Handler = heard.Handler(p.routes())
	server.Start()
	t.Cleanup(server.Close)
	return w
}

func (w *world) open(path string) *optest.Page {
	w.t.Helper()
	p, err := w.browser.Open(w.t.Context(), w.base+path)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// post submits a form of a page of the app, as a button would.
func (w *world) post(path string) *optest.Page {
	w.t.Helper()
	p, err := w.browser.SubmitForm(w.t.Context(), w.open("/me"), optest.Form{Action: path, Method: http.MethodPost})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) status(path string, want int) *optest.Page {
	w.t.Helper()
	p := w.open(path)
	if p.Status != want {
		w.t.Fatalf("GET %s: %d, want %d: %s\n%s", path, p.Status, want, p.Body, w.log)
	}
	return p
}

func member(t *testing.T, p *optest.Page, name string) any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(p.Body, &object); err != nil {
		t.Fatalf("%s: %v", p.Body, err)
	}
	return object[name]
}

func TestConformance_each_response_type_mode_and_client_authentication(t *testing.T) {
	t.Parallel()
	rows := []struct{ responseType, mode, auth, alg string }{
		{"code id_token", "form_post", "client_secret_basic", ""},
		{"code id_token", "fragment", "client_secret_post", ""},
		{"code id_token", "", "client_secret_jwt", ""},
		{"code id_token", "form_post", "private_key_jwt", ""},
		{"code id_token", "form_post", "client_secret_basic", "HS256"},
		{"code id_token", "form_post", "client_secret_post", "ES256"},
		{"code token", "form_post", "client_secret_basic", ""},
		{"code token", "", "client_secret_basic", "PS256"},
		{"id_token code token", "form_post", "client_secret_basic", ""},
		{"code id_token token", "", "private_key_jwt", "EdDSA"},
		{"code", "", "client_secret_basic", ""},
		{"code", "form_post", "none", ""},
		{"id_token", "form_post", "none", ""},
		{"id_token", "", "none", ""},
	}
	for _, row := range rows {
		t.Run(strings.Join([]string{row.responseType, row.mode, row.auth, row.alg}, " "), func(t *testing.T) {
			t.Parallel()
			change := map[string]string{
				"RP_RESPONSE_TYPE": row.responseType, "RP_RESPONSE_MODE": row.mode,
				"RP_CLIENT_AUTH": row.auth, "RP_ID_TOKEN_ALG": row.alg,
			}
			provider := optest.Config{ClientID: "client:+%", ClientSecret: secret, Algorithm: row.alg, OddKeys: true, ClientAuth: row.auth}
			switch row.auth {
			case "none":
				provider.ClientSecret = ""
			case "private_key_jwt":
				file, keys := clientKeys(t)
				provider.ClientKeys = keys
				change["RP_PRIVATE_KEY_FILE"], change["RP_PRIVATE_KEY_ID"] = file, "2026"
			}
			w := start(t, provider, change)
			if n := w.requests(); n != 0 {
				t.Errorf("%d requests to the provider before a route needed one", n)
			}
			w.login(row.responseType != "id_token")
		})
	}
}

// requests counts everything that the provider got.
func (w *world) requests() int {
	n := 0
	for _, endpoint := range []string{"/.well-known/openid-configuration", "/jwks", "/authorize", "/oauth/token", "/userinfo", "/logout", "/api"} {
		n += w.op.Calls(endpoint)
	}
	return n
}

// login goes through every route.
func (w *world) login(tokens bool) {
	t := w.t
	t.Helper()
	w.status("/healthz", http.StatusOK)
	w.status("/me", http.StatusUnauthorized)
	w.status("/token", http.StatusUnauthorized)
	if keys, ok := member(t, w.status("/jwks", http.StatusOK), "keys").([]any); !ok {
		t.Errorf("/jwks: %v", keys)
	}
	if p := w.status("/protected", http.StatusOK); p.URL != w.base+"/protected" {
		t.Fatalf("a visit of /protected ended at %s", p.URL)
	}
	me := w.status("/me", http.StatusOK)
	if claims, ok := member(t, me, "claims").(map[string]any); member(t, me, "sub") != "alice" || !ok || claims["sub"] != "alice" {
		t.Errorf("/me: %s", me.Body)
	}
	if tokens {
		w.useTokens()
	} else {
		w.status("/token", http.StatusUnauthorized)
		if w.op.Calls("/oauth/token") != 0 {
			t.Error("the token endpoint was asked")
		}
	}
	if p := w.post("/logout"); !strings.HasPrefix(p.URL, w.base+"/logged-out") || p.Status != http.StatusOK {
		t.Errorf("the logout ended at %s with status %d: %s", p.URL, p.Status, p.Body)
	}
	w.status("/me", http.StatusUnauthorized)
	w.quiet()
}

func (w *world) useTokens() {
	t := w.t
	t.Helper()
	if token, _ := member(t, w.status("/token", http.StatusOK), "access_token").(string); token == "" {
		t.Error("/token gives no access token")
	}
	for range 2 {
		if p := w.status("/userinfo", http.StatusOK); member(t, p, "sub") != "alice" {
			t.Errorf("/userinfo: %s", p.Body)
		}
	}
	if n := w.op.Calls("/userinfo"); n != 1 {
		t.Errorf("userinfo was asked %d times for one login", n)
	}
	w.status("/resource", http.StatusOK)
	before := w.op.Calls("/oauth/token")
	if p := w.post("/refresh"); p.Status != http.StatusOK {
		t.Errorf("POST /refresh: %d %s", p.Status, p.Body)
	}
	if n := w.op.Calls("/oauth/token") - before; n != 1 {
		t.Errorf("%d requests for one refresh", n)
	}
	w.status("/me", http.StatusOK)
}

// quiet fails the test if a secret is in the log.
func (w *world) quiet() {
	w.t.Helper()
	log := w.log.String()
	secrets := []string{secret}
	for _, r := range w.op.Requests("/oauth/token") {
		secrets = append(secrets, r.Form.Get("code"), r.Form.Get("code_verifier"), r.Form.Get("refresh_token"), r.Form.Get("client_assertion"))
	}
	for _, r := range w.op.Requests("/authorize") {
		secrets = append(secrets, r.URL.Query().Get("state"), r.URL.Query().Get("nonce"))
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(log, s) {
			w.t.Errorf("the log holds %q", s)
		}
	}
}

func TestConformance_a_refused_login_leaves_one_line_and_no_session(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/authorize" {
			a.Claims["nonce"] = "another"
		}
	})
	if p := w.open("/login"); p.Status < http.StatusBadRequest {
		t.Errorf("status %d", p.Status)
	}
	w.status("/me", http.StatusUnauthorized)
	if w.op.Calls("/oauth/token") != 0 {
		t.Error("the code was sent")
	}
	if n := strings.Count(w.log.String(), "level=WARN msg=twofold"); n != 1 || !strings.Contains(w.log.String(), "id_token_nonce") {
		t.Errorf("%d lines, want one with id_token_nonce:\n%s", n, w.log)
	}
	w.quiet()
}

func TestConformance_userinfo_that_is_refused_leaves_the_login(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	w.status("/protected", http.StatusOK)
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/userinfo" {
			a.Claims["sub"] = "mallory"
		}
	})
	if p := w.open("/userinfo"); p.Status < http.StatusBadRequest {
		t.Errorf("status %d: %s", p.Status, p.Body)
	}
	w.status("/me", http.StatusOK)
	w.oneLine("userinfo")
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			a.Status, a.JSON = http.StatusInternalServerError, nil
		}
	})
	if p := w.post("/refresh"); p.Status < http.StatusBadRequest {
		t.Errorf("refresh: status %d: %s", p.Status, p.Body)
	}
	w.status("/me", http.StatusOK)
	w.oneLine("event=refreshed")
	w.quiet()
}

// oneLine fails the test unless the log has one warning that names what.
func (w *world) oneLine(what string) {
	w.t.Helper()
	n := 0
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, what) {
			n++
		}
	}
	if n != 1 {
		w.t.Errorf("%d lines for %q, want one:\n%s", n, what, w.log)
	}
}

func TestConformance_the_provider_may_have_a_certificate_of_its_own(t *testing.T) {
	t.Parallel()
	op := optest.NewTLSServer(optest.Config{ClientID: "client:+%", ClientSecret: secret})
	t.Cleanup(op.Close)
	ca := write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: op.Certificate().Raw}))
	w := start(t, optest.Config{}, map[string]string{"RP_ISSUER": op.URL, "RP_CA_FILE": ca, "RP_RESOURCE_URL": op.URL + "/api"})
	w.op, w.browser = op, optest.NewBrowser(op.Client())
	w.login(true)
}

func TestConformance_the_provider_may_replace_its_keys(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{Path: "/"}, nil)
	for range 3 {
		w.browser = optest.NewBrowser(&http.Client{Timeout: time.Minute})
		if p := w.status("/protected", http.StatusOK); p.URL != w.base+"/protected" {
			t.Fatalf("ended at %s", p.URL)
		}
		w.op.RotateKeys()
	}
}

func TestConformance_only_a_navigation_starts_a_login(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	response, err := script.Get(w.base + "/protected")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized || len(response.Cookies()) != 0 {
		t.Errorf("status %d, %d cookies", response.StatusCode, len(response.Cookies()))
	}
}

func TestConformance_userinfo_none_asks_nobody(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_USERINFO": "none", "RP_RESOURCE_URL": ""})
	w.status("/protected", http.StatusOK)
	w.status("/userinfo", http.StatusNotFound)
	w.status("/resource", http.StatusNotFound)
	w.status("/register", http.StatusNotFound)
	if w.op.Calls("/userinfo") != 0 {
		t.Error("userinfo was asked")
	}
}

func TestConformance_never_keeps_no_tokens(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_EXCHANGE": "never"})
	w.login(false)
}

func TestConformance_on_demand_spends_the_code_at_the_first_need(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_EXCHANGE": "on_demand"})
	w.status("/protected", http.StatusOK)
	w.status("/me", http.StatusOK)
	if w.op.Calls("/oauth/token") != 0 {
		t.Error("the token endpoint was asked")
	}
	w.useTokens()
	w.status("/me", http.StatusOK)
	w.quiet()
}

func TestConformance_on_demand_ends_the_session_of_a_token_that_does_not_match(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_EXCHANGE": "on_demand"})
	w.op.Fault(func(a *optest.Answer) {
		if a.Grant == "authorization_code" {
			a.Claims["sub"] = "bob"
		}
	})
	w.status("/protected", http.StatusOK)
	if p := w.status("/token", http.StatusBadGateway); member(t, p, "error") != "id_token_mismatch" {
		t.Errorf("%s", p.Body)
	}
	w.status("/me", http.StatusUnauthorized)
}

func TestConformance_damaged_tokens_are_no_session(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	w.status("/protected", http.StatusOK)
	for _, c := range w.browser.Cookies(w.base) {
		if strings.HasSuffix(c.Name, "-t0") {
			flipped := "A"
			if strings.HasPrefix(c.Value[200:], flipped) {
				flipped = "B"
			}
			c.Value = c.Value[:200] + flipped + c.Value[201:]
			w.browser.SetCookies(w.base, c)
		}
	}
	w.status("/me", http.StatusUnauthorized)
	w.status("/token", http.StatusUnauthorized)
	w.status("/protected", http.StatusOK) // by another login: nothing is left of that one
	w.status("/token", http.StatusOK)
}

func TestConformance_on_demand_tells_why_there_are_no_tokens(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_EXCHANGE": "on_demand"})
	w.op.Fault(func(a *optest.Answer) {
		if a.Grant == "authorization_code" {
			a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
		}
	})
	w.status("/protected", http.StatusOK)
	for range 2 {
		if p := w.status("/token", http.StatusUnauthorized); member(t, p, "error") != "provider_error" {
			t.Errorf("%s", p.Body)
		}
	}
	w.status("/me", http.StatusOK)
}

func TestConformance_a_bad_provider_stops_neither_start_nor_health(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_ISSUER": "http://127.0.0.1:1/nobody"})
	w.status("/healthz", http.StatusOK)
	for _, path := range []string{"/discover", "/login"} {
		if p := w.open(path); p.Status != http.StatusServiceUnavailable {
			t.Errorf("GET %s: %d", path, p.Status)
		}
	}
}

func TestConformance_discover_does_only_that(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{Path: "/tenant/"}, nil)
	w.status("/discover", http.StatusOK)
	w.status("/discover", http.StatusOK)
	if w.op.Calls("/.well-known/openid-configuration") != 1 || w.op.Calls("/authorize")+w.op.Calls("/oauth/token") != 0 {
		t.Error("something else was asked")
	}
}

func TestConformance_parameters_of_the_environment_are_sent(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_AUTH_PARAMS": "login_hint=bob&max_age=3600&acr_values=a+b&audience=api"})
	if p := w.status("/protected", http.StatusOK); p.URL != w.base+"/protected" {
		t.Fatalf("ended at %s", p.URL)
	}
	sent := w.op.Requests("/authorize")[0].URL.Query()
	for name, want := range map[string]string{"login_hint": "bob", "max_age": "3600", "acr_values": "a b", "audience": "api", "response_mode": "form_post"} {
		if got := sent[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestConformance_refresh_comes_from_this_site_or_from_no_browser(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	w.status("/protected", http.StatusOK)
	rows := []struct {
		header http.Header
		want   int
	}{
		{http.Header{}, http.StatusOK},
		{http.Header{"Origin": {w.base}}, http.StatusOK},
		{http.Header{"Sec-Fetch-Site": {"same-origin"}}, http.StatusOK},
		{http.Header{"Sec-Fetch-Site": {"none"}}, http.StatusOK},
		{http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{http.Header{"Origin": {"https://evil.example"}}, http.StatusForbidden},
		{http.Header{"Origin": {w.base + "0"}}, http.StatusForbidden},
		{http.Header{"Origin": {w.base, "https://evil.example"}}, http.StatusForbidden},
		{http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		{http.Header{"Origin": {w.base}, "Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
	}
	for _, row := range rows {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+"/refresh", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = row.header
		for _, c := range w.browser.Cookies(w.base) {
			r.AddCookie(c)
		}
		calls := w.op.Calls("/oauth/token")
		response, err := script.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != row.want {
			t.Errorf("%v: %d, want %d\n%s", row.header, response.StatusCode, row.want, w.log)
		}
		if row.want == http.StatusForbidden && w.op.Calls("/oauth/token") != calls {
			t.Errorf("%v: a refused request reached the provider", row.header)
		}
	}
}

func TestConformance_initiate_wants_the_configured_issuer(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	if p := w.open("/initiate?iss=https%3A%2F%2Fevil.example"); p.Status < http.StatusBadRequest {
		t.Errorf("another issuer: status %d at %s", p.Status, p.URL)
	}
	p := w.open("/initiate?iss=" + url.QueryEscape(w.op.URL) + "&login_hint=alice&target_link_uri=" + url.QueryEscape(w.base+"/protected"))
	if p.URL != w.base+"/protected" || p.Status != http.StatusOK {
		t.Errorf("ended at %s with status %d", p.URL, p.Status)
	}
}

// TestMain becomes the program itself when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("RP_TEST_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// script is a client without cookies. httptest closes the idle connections of http.DefaultTransport with each server.
var script = &http.Client{Transport: &http.Transport{}}

func command(ctx context.Context, change map[string]string) *exec.Cmd {
	values := good()
	maps.Copy(values, change)
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = []string{"RP_TEST_PROGRAM=1"}
	for name, value := range values {
		c.Env = append(c.Env, name+"="+value)
	}
	return c
}

func TestProgram_names_a_wrong_setting_in_one_line_and_exits_with_64(t *testing.T) {
	t.Parallel()
	out, err := command(t.Context(), map[string]string{"RP_PROFILE": "fapi2"}).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 64 {
		t.Errorf("%v, want exit status 64", err)
	}
	if got := string(out); got != "RP_PROFILE: not supported\n" {
		t.Errorf("printed %q", got)
	}
}

func TestProgram_ends_at_once_on_SIGTERM(t *testing.T) {
	t.Parallel()
	address, release, err := servertest.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	c := command(t.Context(), map[string]string{"RP_LISTEN": address})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		response, err := script.Get("http://" + address + "/healthz")
		if err == nil {
			_ = response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("still there")
		_ = c.Process.Kill()
	}
}
