package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
)

// newRedisStore returns a store on a redis-server of its own, or skips where there is none.
func newRedisStore(t *testing.T) *redisstore.Store {
	t.Helper()
	server, err := servertest.Redis()
	if errors.Is(err, servertest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// second is another instance of an app, which takes the requests for one path in the place of the first.
func (a *app) second(config middleware.Config, path string) {
	a.t.Helper()
	auth, err := middleware.New(config)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = auth.Close() })
	a.w.apps.intercept(a.name, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		auth.ServeHTTP(w, r)
		return true
	})
}

// TestBackchannelLogout: the user is logged in in two tabs and logs out at the provider in one of them. The provider
// tells the app, and the next request of the other tab is refused, though the browser still has its cookies.
func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	w := start(t)
	for name, row := range map[string]struct {
		instances bool // the provider tells another instance than the one that serves the tabs
		change    func(*testing.T, *middleware.Config)
	}{
		"cookies":                   {change: func(*testing.T, *middleware.Config) {}},
		"cookies-shared-tombstones": {true, func(t *testing.T, c *middleware.Config) { c.Logouts = newRedisStore(t) }},
		"redisstore":                {true, func(t *testing.T, c *middleware.Config) { c.Store = newRedisStore(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var config middleware.Config
			a := w.app(t, "told-"+name, options{logouts: true, middleware: func(c *middleware.Config) {
				row.change(t, c)
				config = *c
			}})
			if row.instances {
				a.second(config, "/auth/backchannel-logout")
			}
			one := w.profile(t)
			a.signIn(one, "/account", "alice")
			two := one.another()
			two.open(a.url + "/account")
			two.see("#sub")
			a.endAtProvider(one)
			a.refused(two)
			two.quiet()
			a.healthy()
		})
	}
}

// endAtProvider logs the user out at the provider itself, not by way of the app.
func (a *app) endAtProvider(b *tab) {
	a.t.Helper()
	b.open(a.w.provider.issuers[a.host] + "/logout")
	b.click("#end")
	read(b, chromedp.WaitVisible(chromedp.CSS("html:not([data-left]) body")))
	a.wasTold()
}

// wasTold fails the test unless the provider has told the app of a logout, and the app has said yes.
func (a *app) wasTold() {
	a.t.Helper()
	took, not := a.w.provider.told(a.t)
	if !slices.Contains(took, a.name) {
		a.t.Fatalf("the provider told %q of logouts, but not %q; %q did not hear it", took, a.name, not)
	}
	if n := len(a.w.apps.visits(a.name, http.MethodPost, "/auth/backchannel-logout")); n != 1 {
		a.t.Errorf("%d logout tokens, want 1", n)
	}
}

// refused fails the test unless the app knows this tab no more: a script gets 401, and the user has to log in again.
func (a *app) refused(b *tab) {
	a.t.Helper()
	if len(a.session(b)) == 0 {
		a.t.Error("the browser has no session cookies left: their refusal is not tested")
	}
	const ask = `fetch("/account", {redirect: "manual"}).then((answer) => answer.status)`
	if status := read(b, chromedp.Evaluate[int](ask, chromedp.EvalAwaitPromise)); status != http.StatusUnauthorized {
		a.t.Errorf("a script gets status %d, want 401", status)
	}
	b.forget() // Chromium writes a line for each 401
	b.open(a.url + "/account")
	b.see("#username")
	a.atProvider(b)
}

// TestLogoutReachesOtherApps: the user logs out in one app, with state and id_token_hint, and is logged out of the other
// app of the same provider.
func TestLogoutReachesOtherApps(t *testing.T) {
	t.Parallel()
	w := start(t)
	one := w.app(t, "single-one", options{logouts: true})
	two := w.app(t, "single-two", options{logouts: true})
	b := w.profile(t)
	one.signIn(b, "/account", "alice")
	other := b.another()
	other.open(two.url + "/account")
	other.click("#allow") // the provider knows the user already
	other.see("#sub")
	b.click("#logout")
	b.see("#end")
	if all := w.provider.logouts(t, one.url); len(all) != 1 || all[0].Query["id_token_hint"] == "" || all[0].Query["state"] == "" {
		t.Errorf("logout requests at the provider: %d", len(all))
	}
	b.click("#end")
	b.see("a[href='/']") // the landing page of the first app
	one.wasTold()
	two.wasTold()
	two.refused(other)
	b.quiet()
	other.quiet()
}
