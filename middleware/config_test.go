package middleware_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// offlineClient is a client without a provider: nothing here may ask one.
func offlineClient(t testing.TB, change func(*rp.Config)) *rp.Client {
	t.Helper()
	c := rp.Config{
		Issuer: "https://op.example.com", ClientID: "app", ClientAuth: rp.Public(), Discovery: rp.Lazy,
		RedirectURL: "https://app.example.com/auth/callback",
	}
	if change != nil {
		change(&c)
	}
	client, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*middleware.Config)
		names  string // what the error must name
	}{
		"no client":              {func(c *middleware.Config) { c.Client = nil }, "Client"},
		"K04_no_key":             {func(c *middleware.Config) { c.Keys = nil }, "Keys"},
		"K04_short_key":          {func(c *middleware.Config) { c.Keys = [][]byte{newKey()[:16]} }, "Keys"},
		"K04_zero_key":           {func(c *middleware.Config) { c.Keys = [][]byte{make([]byte, 32)} }, "Keys"},
		"K04_second_key_weak":    {func(c *middleware.Config) { c.Keys = append(c.Keys, []byte(strings.Repeat("changeme", 4))) }, "key 1"},
		"name with a semicolon":  {func(c *middleware.Config) { c.Name = "a;b" }, "Name"},
		"name with a dash":       {func(c *middleware.Config) { c.Name = "a-x" }, "Name"},
		"name too long":          {func(c *middleware.Config) { c.Name = strings.Repeat("a", 33) }, "Name"},
		"prefix of another path": {func(c *middleware.Config) { c.PublicPrefix = "/app" }, "RedirectURL"},
		"idle of a second":       {func(c *middleware.Config) { c.Idle = time.Second }, "Idle"},
		"idle over absolute":     {func(c *middleware.Config) { c.Idle = 13 * time.Hour }, "Idle"},
		"absolute of two years":  {func(c *middleware.Config) { c.Absolute = 2 * 365 * 24 * time.Hour }, "Absolute"},
		"negative idle":          {func(c *middleware.Config) { c.Idle = -time.Hour }, "Idle"},
		"login for two hours":    {func(c *middleware.Config) { c.LoginTimeout = 2 * time.Hour }, "LoginTimeout"},
		"H36_options_of_ours":    {func(c *middleware.Config) { c.AuthOptions.Extra = url.Values{"state": {"x"}} }, "AuthOptions"},
		"unknown exchange":       {func(c *middleware.Config) { c.Exchange = 9 }, "Exchange"},
		"never without id_token": {func(c *middleware.Config) {
			c.Client = offlineClient(t, func(c *rp.Config) { c.ResponseType = rp.Code })
			c.Exchange = middleware.ExchangeNever
		}, "id_token"},
		"a store that is too small":                    {func(c *middleware.Config) { c.Store = sessions.NewFilesystemStore(t.TempDir(), newKey()) }, "MaxLength"},
		"a store of cookies":                           {func(c *middleware.Config) { c.Store = sessions.NewCookieStore(newKey()) }, "8 KB"},
		"a store of large cookies":                     {func(c *middleware.Config) { c.Store = &longStore{newFileStore(t)} }, "leave Config.Store nil"},
		"a broken store":                               {func(c *middleware.Config) { c.Store = &brokenStore{} }, "cannot save"},
		"a store that cannot tell missing from broken": {func(c *middleware.Config) { c.Store = &vagueStore{newFileStore(t)} }, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := middleware.Config{Client: offlineClient(t, nil), Keys: [][]byte{newKey()}}
			tc.change(&c)
			_, err := middleware.New(c)
			if err == nil || !strings.Contains(err.Error(), tc.names) {
				t.Fatalf("err = %v; it shall name %s", err, tc.names)
			}
		})
	}
}

// The routes are exact patterns, so that they stand beside a catch-all of the app.
func TestRegisterBesideTheApp(t *testing.T) {
	t.Parallel()
	auth, err := middleware.New(middleware.Config{Client: offlineClient(t, nil), Keys: [][]byte{newKey()}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /auth/{other}", func(http.ResponseWriter, *http.Request) {})
	list := &patterns{mux: mux}
	auth.Register(list)
	want := []string{
		"GET /auth/callback", "GET /auth/frontchannel-logout", "GET /auth/initiate", "GET /auth/jwks", "GET /auth/logged-out",
		"GET /auth/login", "GET /auth/login-continue", "GET /auth/logout", "POST /auth/backchannel-logout", "POST /auth/callback", "POST /auth/initiate",
		"POST /auth/logout",
	}
	if slices.Sort(list.seen); !slices.Equal(list.seen, want) {
		t.Errorf("patterns %q", list.seen)
	}
}

type patterns struct {
	mux  *http.ServeMux
	seen []string
}

func (p *patterns) Handle(pattern string, h http.Handler) {
	p.seen = append(p.seen, pattern)
	p.mux.Handle(pattern, h)
}
