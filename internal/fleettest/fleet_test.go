package fleettest_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const (
	instances     = 3
	secret        = "only-in-this-test"
	tokenLifetime = 10 * time.Minute
)

// clock is the real one, moved on by what tests say: tokens end when they are told to.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// fleet is three instances with a store each, on one server, and their provider.
type fleet struct {
	*testing.T
	clock    *clock
	provider *provider
	base     string
	http     *http.Client
	apps     []http.Handler
	next     atomic.Uint64 // whose turn it is
	sessions []*session
	strange  []*session // cookies that open nothing
	atOnce   int        // requests
	rows     []row
}

// newFleet starts the instances; connect makes the store of each.
func newFleet(t *testing.T, connect func() (sessions.Store, error)) *fleet {
	t.Helper()
	f := &fleet{T: t, clock: &clock{}, atOnce: 10}
	f.provider = newProvider(t, f.clock)
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.apps[f.next.Add(1)%instances].ServeHTTP(w, r)
	}))
	t.Cleanup(balancer.Close)
	f.base = localhost(balancer)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	f.http = &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for range instances {
		store, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		f.apps = append(f.apps, f.instance(store))
	}
	return f
}

func localhost(s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "http://localhost:" + port
}

// instance is the app with a client, a memory and a store of its own, as a process has.
func (f *fleet) instance(store sessions.Store) http.Handler {
	f.Helper()
	heard, key := canary.Listen(f), sha256.Sum256([]byte("the fleet's key"))
	client, err := rp.New(f.Context(), rp.Config{
		Issuer: f.provider.issuer, ClientID: "app", ClientAuth: rp.SecretBasic(secret), RedirectURL: f.base + "/auth/callback",
		IDTokenAlgorithm: "ES256", Scopes: []string{"openid", "offline_access"},
		Insecure: rp.Insecure{PlainHTTP: true}, Now: f.clock.Now, Logger: heard.Logger(),
		HTTPClient: &http.Client{Transport: heard.Transport(nil), Timeout: time.Minute},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = client.Close() })
	auth, err := middleware.New(middleware.Config{
		Client: client, Store: store, Keys: [][]byte{key[:]}, Now: f.clock.Now, Logger: heard.Logger(),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, e *middleware.Error) {
			w.Header().Set("X-Code", e.Code)
			w.WriteHeader(e.Status)
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = auth.Close() })
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(middleware.FromContext(r.Context()).Subject)
	})
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("/private", auth.RequireLogin(page))
	mux.Handle("/tokens", auth.RequireTokens(page))
	return heard.Handler(mux)
}

// provider is an optest provider whose answers to refreshes can be late or 503, before it has rotated anything.
type provider struct {
	*optest.Handler
	issuer string
	delay  atomic.Int64
	down   atomic.Bool
	asked  atomic.Int64 // refreshes that came, those that were answered 503 too

	mu        sync.Mutex // guards what follows
	spent     map[string]bool
	refreshed int // refreshes that were done
	again     int // refresh tokens that came after they had been spent
}

func newProvider(t *testing.T, c *clock) *provider {
	t.Helper()
	p := &provider{spent: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(server.Close)
	p.issuer = localhost(server)
	p.Handler = optest.NewHandler(p.issuer, optest.Config{
		ClientID: "app", ClientSecret: secret, Algorithm: "ES256", AccessTokenLifetime: tokenLifetime, IDTokenLifetime: tokenLifetime, Now: c.Now,
	})
	p.Fault(func(a *optest.Answer) {
		if a.Grant != "refresh_token" {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		token := a.Request.Form.Get("refresh_token")
		switch {
		case p.spent[token]:
			p.again++
		case a.Status == http.StatusOK:
			p.spent[token] = true
			p.refreshed++
		}
	})
	return p
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/oauth/token" {
		p.ServeHTTP(w, r)
		return
	}
	p.asked.Add(1)
	if p.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !pass(r.Context(), time.Duration(p.delay.Load())) {
		return
	}
	p.ServeHTTP(w, r)
}

// pass lets the delay pass that a test has put in the way.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *provider) counts() (refreshed, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshed, p.again
}

// session is a browser, and whose it is.
type session struct {
	user    string // "" is nobody
	browser *optest.Browser
	cookies []*http.Cookie // instead of the browser's
}

// login logs a user in with a new browser.
func (f *fleet) login(user string) *session {
	f.Helper()
	s := &session{user: user, browser: optest.NewBrowser(&http.Client{Timeout: time.Minute})}
	s.browser.Now = f.clock.Now
	query := url.Values{"iss": {f.provider.issuer}, "login_hint": {user}, "target_link_uri": {f.base + "/private"}}
	f.opens(s, "/auth/initiate?"+query.Encode())
	return s
}

// opens wants a navigation to end on the private page of the session's user.
func (f *fleet) opens(s *session, path string) {
	f.Helper()
	page, err := s.browser.Open(f.Context(), f.base+path)
	if err != nil {
		f.Fatal(err)
	}
	var subject string
	if page.Status != http.StatusOK || json.Unmarshal(page.Body, &subject) != nil || subject != s.user {
		f.Fatalf("%s: %d %s at %s as %q", s.user, page.Status, page.Header.Get("X-Code"), page.URL, subject)
	}
}
