package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// world is a provider and an app of ours in this process.
type world struct {
	op     *optest.Server
	server *httptest.Server
	mux    *http.ServeMux
	client *rp.Client
	auth   *middleware.Auth
}

// setup changes what a world is made of.
type setup struct {
	op     func(*optest.Config)
	auth   func(*middleware.Config)
	client func(*rp.Config)
	tokens int // bytes of ID Token and access token, each; 0 is 1,200
}

var cookieKey = func() []byte { b := make([]byte, 32); _, _ = rand.Read(b); return b }()

func newWorld(ctx context.Context, s setup) (*world, error) {
	w := &world{mux: http.NewServeMux()}
	if s.tokens == 0 {
		s.tokens = 1200
	}
	config := optest.Config{ClientID: clientID, ClientSecret: clientSecret, Claims: typicalClaims(s.tokens)}
	if s.op != nil {
		s.op(&config)
	}
	w.op = optest.NewServer(config) //nolint:contextcheck // it lives until close
	w.op.Fault(jwtAccessTokens(s.tokens))
	w.server = httptest.NewServer(w.mux)
	var err error
	if w.client, err = rp.New(ctx, clientConfig(w.op.URL, w.server.URL, s.client)); err != nil {
		return nil, err
	}
	if w.auth, err = middleware.New(authConfig(w.client, s.auth)); err != nil { //nolint:contextcheck // it makes no request
		return nil, err
	}
	w.auth.Register(w.mux)
	w.mux.Handle("GET /account", w.auth.RequireLogin(http.HandlerFunc(showUser)))
	w.mux.Handle("GET /orders", w.auth.RequireTokens(http.HandlerFunc(showToken)))
	return w, nil
}

// clientConfig is the client of all programs here.
func clientConfig(issuer, base string, change func(*rp.Config)) rp.Config {
	c := rp.Config{
		Issuer: issuer, ClientID: clientID, ClientAuth: rp.SecretBasic(clientSecret), RedirectURL: base + "/auth/callback",
		Scopes: []string{"openid", "profile", "email", "offline_access"},
		Logger: slog.New(slog.DiscardHandler), Insecure: rp.Insecure{PlainHTTP: true},
	}
	if change != nil {
		change(&c)
	}
	return c
}

func authConfig(client *rp.Client, change func(*middleware.Config)) middleware.Config {
	c := middleware.Config{Client: client, Keys: [][]byte{cookieKey}, Name: "app", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	return c
}

// close ends everything; nothing is left to learn from its errors.
func (w *world) close() {
	w.server.Close()
	_ = w.auth.Close()
	_ = w.client.Close()
	w.op.Close()
}

// login logs in and returns the browser's session cookies, as one header line.
func (w *world) login(ctx context.Context) (string, error) { return login(ctx, w.server.URL) }

func login(ctx context.Context, base string) (string, error) {
	b := optest.NewBrowser(nil)
	p, err := b.Open(ctx, base+"/account")
	if err != nil {
		return "", err
	}
	if p.Status != http.StatusOK {
		return "", fmt.Errorf("the login ends with status %d: %s", p.Status, p.Text())
	}
	var cookies []string
	for _, c := range b.Cookies(base) {
		if !strings.Contains(c.Name, "-x") { // of the login itself
			cookies = append(cookies, c.Name+"="+c.Value)
		}
	}
	return strings.Join(cookies, "; "), nil
}

func showUser(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte("Hello " + middleware.FromContext(r.Context()).Subject))
}

func showToken(w http.ResponseWriter, r *http.Request) {
	t, err := middleware.FromContext(r.Context()).Token(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write([]byte("Hello " + t.TokenType))
}

// typicalClaims make an ID Token of about size bytes.
func typicalClaims(size int) map[string]any {
	return map[string]any{
		"name": "Alice Example", "email": "alice@example.com", "email_verified": true, "groups": random(max(0, (size-892)*3/4)),
	}
}

// jwtAccessTokens makes access tokens JWTs of about size bytes.
func jwtAccessTokens(size int) func(*optest.Answer) {
	claims, err := json.Marshal(map[string]any{"scope": "openid", "sub": "alice", "pad": random(max(0, (size-460)*3/4))})
	must(err)
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"2026-11"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte(random(256)))
	return func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" && a.Status == http.StatusOK {
			a.JSON["access_token"] = token
			if a.Claims != nil {
				a.Claims["at_hash"] = optest.HalfHash("RS256", token)
			}
		}
	}
}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// serve returns a function that has h answer r, and panics if the status is another one.
func serve(h http.Handler, r *http.Request, status int) func() {
	w := &sink{header: http.Header{}}
	return func() {
		clear(w.header)
		w.status = http.StatusOK
		h.ServeHTTP(w, r)
		if w.status != status {
			panic(fmt.Sprintf("bench: %s: status %d, want %d", r.URL, w.status, status))
		}
	}
}

// record is serve through net/http's own recorder, made anew for each answer: what any test of a handler pays.
func record(h http.Handler, r *http.Request, status int) func() {
	return func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status {
			panic(fmt.Sprintf("bench: %s: status %d, want %d", r.URL, w.Code, status))
		}
	}
}

// navigation is what a browser sends when a link is clicked.
func navigation(ctx context.Context, path, cookies string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	return r
}
