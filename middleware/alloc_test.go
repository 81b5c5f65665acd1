package middleware_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// quiet is a ResponseWriter that costs nothing.
type quiet struct{ h http.Header }

func (q *quiet) Header() http.Header         { return q.h }
func (q *quiet) Write(b []byte) (int, error) { return len(b), nil }
func (q *quiet) WriteHeader(int)             {}
func (q *quiet) reset()                      { clear(q.h) }

// loggedIn returns a request for path with the cookies of a typical session.
func loggedIn(t testing.TB, a *app, path string) *http.Request {
	t.Helper()
	b := a.browser()
	a.expect(b, "/account", http.StatusOK, "user alice")
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range b.Cookies(a.server.URL) {
		if !strings.HasPrefix(c.Name, "__Host-app-x") {
			r.AddCookie(c)
		}
	}
	return r
}

// typical makes tokens of the sizes that performance.md names.
func typical(c *optest.Config) {
	c.Claims = map[string]any{
		"name": "Alice Example", "email": "alice@example.com", "email_verified": true,
		"groups": random(330), // an ID Token of 1.2 KB
	}
}

// random returns n random characters, which nobody can pack tighter than base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// jwtTokens makes access tokens JWTs of 1.2 KB.
func jwtTokens(a *app) {
	claims, _ := json.Marshal(map[string]any{"scope": "openid", "sub": "alice", "pad": random(450)})
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"at+jwt","kid":"2026-11"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte(random(256)))
	a.op.Fault(func(answer *optest.Answer) {
		if answer.Endpoint == "/oauth/token" {
			answer.JSON["access_token"] = token
			answer.Claims["at_hash"] = optest.HalfHash("RS256", token)
		}
	})
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestAllocRequireLogin(t *testing.T) {
	skipUnderRace(t)
	a := newApp(t, setup{op: typical})
	jwtTokens(a)
	checkAllocs(t, 13, a.auth.RequireLogin(http.HandlerFunc(nothing)), loggedIn(t, a, "/account"))
}

func TestAllocRequireTokens(t *testing.T) {
	skipUnderRace(t)
	a := newApp(t, setup{op: typical})
	jwtTokens(a)
	h := a.auth.RequireTokens(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := middleware.FromContext(r.Context()).Token(r.Context()); err != nil {
			t.Error(err)
		}
	}))
	checkAllocs(t, 24, h, loggedIn(t, a, "/orders"))
}

// loaded is a store that costs nothing: it answers as it did the first time.
type loaded struct {
	*fleetStore
	data    []byte
	version uint64
}

func (l *loaded) Load(ctx context.Context, id string, tombs ...string) ([]byte, uint64, time.Time, error) {
	var err error
	if l.data == nil {
		l.data, l.version, _, err = l.fleetStore.Load(ctx, id, tombs...)
	}
	return l.data, l.version, time.Time{}, err
}

// TestAllocStore: who needs the user alone copies nothing of the tokens that the store brought with it.
func TestAllocStore(t *testing.T) {
	skipUnderRace(t)
	store := &loaded{}
	a := newApp(t, setup{op: typical, auth: func(c *middleware.Config) {
		store.fleetStore = newFleetStore(c.Now)
		c.Store = store
	}})
	jwtTokens(a)
	r := loggedIn(t, a, "/account")
	store.data = nil // the session is complete now
	user := a.auth.RequireLogin(http.HandlerFunc(nothing))
	checkAllocs(t, 21, user, r)
	checkAllocs(t, 32, a.auth.RequireTokens(http.HandlerFunc(nothing)), r)
	w := &quiet{http.Header{}}
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		w.reset()
		user.ServeHTTP(w, r)
	}
	runtime.ReadMemStats(&after)
	size := (after.TotalAlloc - before.TotalAlloc) / runs
	t.Logf("%d bytes, of a record of %d", size, len(store.data))
	if size > 2600 {
		t.Errorf("%d bytes for the user alone, of a record of %d", size, len(store.data))
	}
}

func TestAllocLoginStart(t *testing.T) {
	skipUnderRace(t)
	a := newApp(t, setup{})
	r := httptest.NewRequest(http.MethodGet, "/auth/login?return_to=%2Faccount", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	checkAllocs(t, 45, a.auth, r)
}

func checkAllocs(t *testing.T, limit float64, h http.Handler, r *http.Request) {
	t.Helper()
	w := &quiet{http.Header{}}
	n := testing.AllocsPerRun(500, func() {
		w.reset()
		h.ServeHTTP(w, r)
	})
	t.Logf("%.0f allocations", n)
	if n > limit {
		t.Errorf("%.0f allocations, at most %.0f", n, limit)
	}
}

func TestSessionCookieSizes(t *testing.T) {
	t.Parallel()
	a := newApp(t, setup{op: typical})
	jwtTokens(a)
	b := a.browser()
	a.expect(b, "/account", http.StatusOK, "user alice")
	all := 0
	for _, c := range b.Cookies(a.server.URL) {
		size := len(c.Name) + 1 + len(c.Value)
		switch {
		case c.Name == "__Host-app-s":
			if size > 450 {
				t.Errorf("identity cookie has %d bytes", size)
			}
			all += size
		case strings.HasPrefix(c.Name, "__Host-app-t"):
			all += size
		}
	}
	t.Logf("%d bytes", all)
	if all > 3900 {
		t.Errorf("session takes %d bytes", all)
	}
}

func BenchmarkRequireLogin(b *testing.B) {
	a := newApp(b, setup{op: typical})
	jwtTokens(a)
	benchmark(b, a.auth.RequireLogin(http.HandlerFunc(nothing)), loggedIn(b, a, "/account"))
}

func BenchmarkRequireTokens(b *testing.B) {
	a := newApp(b, setup{op: typical})
	jwtTokens(a)
	benchmark(b, a.auth.RequireTokens(http.HandlerFunc(nothing)), loggedIn(b, a, "/orders"))
}

func BenchmarkLoginStart(b *testing.B) {
	a := newApp(b, setup{})
	r := httptest.NewRequest(http.MethodGet, "/auth/login?return_to=%2Faccount", nil)
	benchmark(b, a.auth, r)
}

func benchmark(b *testing.B, h http.Handler, r *http.Request) {
	b.Helper()
	w := &quiet{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		w.reset()
		h.ServeHTTP(w, r)
	}
}

// BenchmarkCallback is a whole callback: the relying party's work, and what the test's provider and network take.
func BenchmarkCallback(b *testing.B) {
	a := newApp(b, setup{op: typical})
	jwtTokens(a)
	browser := a.browser()
	browser.Stop = func(method string, u *url.URL) bool { return method == http.MethodPost && u.Path == "/auth/callback" }
	for b.Loop() {
		b.StopTimer()
		r := callbackRequest(b, a, browser)
		b.StartTimer()
		w := httptest.NewRecorder()
		a.auth.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// callbackRequest logs in up to the provider's form_post and returns what the browser would send.
func callbackRequest(t testing.TB, a *app, b *optest.Browser) *http.Request {
	t.Helper()
	p := a.open(b, "/auth/login?return_to=/account")
	form := p.Forms()[0]
	r := httptest.NewRequest(http.MethodPost, "/auth/callback", strings.NewReader(form.Fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range b.Cookies(a.server.URL) {
		r.AddCookie(c)
	}
	return r
}
