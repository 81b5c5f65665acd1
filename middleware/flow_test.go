package middleware_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// app is a web app with its provider, as a test sees them.
type app struct {
	t      testing.TB
	op     *optest.Server
	auth   *middleware.Auth
	server *httptest.Server
	mux    *http.ServeMux
	clock  *clock
	events *events
}

// clock is Config.Now of the app, and of its browser's jar.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// events collects what Observe got.
type events struct {
	mu   sync.Mutex
	list []rp.Event
}

func (e *events) add(event rp.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, event := range e.list {
		name := event.Name
		if event.Code != "" {
			name += ":" + event.Code
		}
		names = append(names, name)
	}
	return names
}

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return key
}

// setup changes the configurations before they are used.
type setup struct {
	op     func(*optest.Config)
	client func(*rp.Config)
	auth   func(*middleware.Config)
}

// newApp starts a provider on localhost and an app on 127.0.0.1, which is another site.
func newApp(t testing.TB, s setup) *app {
	t.Helper()
	a := &app{t: t, clock: &clock{}, events: &events{}, mux: http.NewServeMux()}
	opConfig := optest.Config{ClientID: "app", ClientSecret: "the secret of the app", Now: a.clock.Now}
	if s.op != nil {
		s.op(&opConfig)
	}
	a.op = optest.NewServer(opConfig)
	t.Cleanup(a.op.Close)
	heard := canary.Listen(t)
	log, say := heard.Logger(), heard.Value
	if _, is := t.(*testing.T); !is || strings.HasPrefix(t.Name(), "TestAlloc") { // somebody counts
		log, say = slog.New(slog.DiscardHandler), func(any) {}
	}
	a.server = httptest.NewUnstartedServer(heard.Handler(a.mux))
	a.server.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelError)
	a.server.Start()
	t.Cleanup(a.server.Close)
	clientConfig := rp.Config{
		Issuer: a.op.URL, ClientID: "app", ClientAuth: rp.SecretBasic("the secret of the app"),
		RedirectURL: a.server.URL + "/auth/callback", PostLogoutRedirectURL: a.server.URL + "/auth/logged-out",
		Scopes: []string{"openid", "profile", "email", "offline_access"}, Now: a.clock.Now,
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: log, Observe: func(_ context.Context, e rp.Event) { say(e) },
		HTTPClient: &http.Client{Transport: heard.Transport(nil), Timeout: time.Minute},
	}
	if s.client != nil {
		s.client(&clientConfig)
	}
	client, err := rp.New(t.Context(), clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	config := middleware.Config{
		Client: client, Keys: [][]byte{newKey()}, Now: a.clock.Now, Logger: log, Name: "app",
	}
	if s.auth != nil {
		s.auth(&config)
	}
	given := config.Observe
	config.Observe = func(ctx context.Context, e rp.Event) {
		a.events.add(e)
		say(e)
		if given != nil {
			given(ctx, e)
		}
	}
	a.auth, err = middleware.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.auth.Close() })
	a.auth.Register(a.mux)
	a.pages()
	return a
}

// pages are those of the app.
func (a *app) pages() {
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.FromContext(r.Context())
		if s == nil {
			_, _ = io.WriteString(w, "nobody")
			return
		}
		_, _ = io.WriteString(w, "user "+s.Subject)
	})
	a.mux.Handle("/account", a.auth.RequireLogin(who))
	a.mux.Handle("/optional", a.auth.LoadSession(who))
	a.mux.Handle("/orders", a.auth.RequireTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := middleware.FromContext(r.Context()).Token(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "token %s", token.AccessToken)
	})))
	a.mux.Handle("/userinfo", a.auth.RequireTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := middleware.FromContext(r.Context()).UserInfo(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(info.Subject)
	})))
	a.mux.Handle("POST /refresh", a.auth.RequireTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := middleware.FromContext(r.Context()).Refresh(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})))
	api := &http.Client{Transport: a.auth.Transport(canary.Network, strings.TrimSuffix(a.op.URL, "/"))}
	a.mux.Handle("/api", a.auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, strings.TrimSuffix(a.op.URL, "/")+"/api", nil)
		resp, err := api.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})))
	a.mux.Handle("GET /{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "home") }))
}

func (a *app) browser() *optest.Browser {
	b := optest.NewBrowser(&http.Client{Timeout: time.Minute})
	b.Now = a.clock.Now
	return b
}

// open opens a page of the app, or fails.
func (a *app) open(b *optest.Browser, path string) *optest.Page {
	a.t.Helper()
	p, err := b.Open(a.t.Context(), a.server.URL+path)
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

// expect opens a page and compares status and text.
func (a *app) expect(b *optest.Browser, path string, status int, text string) *optest.Page {
	a.t.Helper()
	p := a.open(b, path)
	if p.Status != status || !strings.Contains(string(p.Body), text) {
		a.t.Fatalf("%s: status %d, %q; want %d with %q\nvia %v\nevents %v", path, p.Status, p.Text(), status, text, p.History, a.events.names())
	}
	return p
}

// skipUnderRace is for counts that the race detector changes.
func skipUnderRace(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
}
