package middleware_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Every way of the library, with each kind of store: log in, look, call, refresh, log out.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	types := map[string]func(*rp.Config){
		"code id_token, form_post":       func(*rp.Config) {},
		"code id_token, fragment":        func(c *rp.Config) { c.ResponseMode = rp.Fragment },
		"code token, form_post":          func(c *rp.Config) { c.ResponseType = rp.CodeToken },
		"code id_token token, fragment":  func(c *rp.Config) { c.ResponseType, c.ResponseMode = rp.CodeIDTokenToken, rp.Fragment },
		"code id_token token, form_post": func(c *rp.Config) { c.ResponseType = rp.CodeIDTokenToken },
		"code, query":                    func(c *rp.Config) { c.ResponseType = rp.Code },
		"code, form_post":                func(c *rp.Config) { c.ResponseType, c.ResponseMode = rp.Code, rp.FormPost },
	}
	for name, change := range types {
		for _, kept := range []string{"cookies", "files"} {
			t.Run(name+", "+kept, func(t *testing.T) {
				t.Parallel()
				wholeWay(t, newApp(t, setup{client: change, auth: func(c *middleware.Config) {
					if kept == "files" {
						c.Store = newFileStore(t)
					}
				}}))
			})
		}
	}
}

func newFileStore(t testing.TB) sessions.Store {
	t.Helper()
	store := sessions.NewFilesystemStore(t.TempDir(), newKey())
	store.MaxLength(0)
	return store
}

func wholeWay(t *testing.T, a *app) {
	t.Helper()
	b := a.browser()
	a.expect(b, "/optional", http.StatusOK, "nobody")
	p := a.expect(b, "/account?x=1", http.StatusOK, "user alice")
	if !strings.HasSuffix(p.URL, "/account?x=1") {
		t.Errorf("login leads to %s", p.URL)
	}
	a.expect(b, "/optional", http.StatusOK, "user alice")
	first := string(a.expect(b, "/orders", http.StatusOK, "token ").Body)
	a.expect(b, "/api", http.StatusOK, "alice")
	a.expect(b, "/userinfo", http.StatusOK, "alice")
	a.expect(b, "/userinfo", http.StatusOK, "alice")
	if n := a.op.Calls("/userinfo"); n != 1 {
		t.Errorf("userinfo was asked %d times", n)
	}
	a.clock.Add(59*time.Minute + 45*time.Second)
	if second := string(a.expect(b, "/orders", http.StatusOK, "token ").Body); second == first {
		t.Error("the token was not refreshed")
	}
	a.expect(b, "/userinfo", http.StatusOK, "alice")
	if n := a.op.Calls("/oauth/token"); n != 2 {
		t.Errorf("the token endpoint was called %d times", n)
	}
	p = a.open(b, "/auth/logout")
	if p.Status != http.StatusOK || len(p.Forms()) != 1 {
		t.Fatalf("logout page: %d %s", p.Status, p.Text())
	}
	p, err := b.Submit(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, a.server.URL+"/auth/logged-out?state=") || a.op.Calls("/logout") == 0 {
		t.Fatalf("logout leads to %d %s %v", p.Status, p.URL, p.History)
	}
	if p.Header.Get("Refresh") != "" || len(p.Links()) != 1 || p.Links()[0].Href != "/" {
		t.Fatalf("landing: Refresh %q, links %v", p.Header.Get("Refresh"), p.Links())
	}
	a.expect(b, "/optional", http.StatusOK, "nobody")
	for _, c := range b.Cookies(a.server.URL) {
		t.Errorf("cookie %s is left", c.Name)
	}
}

func TestSignOnOnly(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"ExchangeNever": {auth: func(c *middleware.Config) { c.Exchange = middleware.ExchangeNever }},
		"id_token":      {client: func(c *rp.Config) { c.ResponseType = rp.ImplicitIDToken }},
		"chosen by hook": {auth: func(c *middleware.Config) {
			c.OnIdentity = func(l *middleware.Login) error { l.Exchange = middleware.ExchangeNever; return nil }
		}},
		"without a token": {auth: func(c *middleware.Config) { c.Exchange, c.OmitIDToken = middleware.ExchangeNever, true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, s)
			b := a.browser()
			a.expect(b, "/account", http.StatusOK, "user alice")
			a.expect(b, "/orders", http.StatusForbidden, "needs more than you have")
			if n := a.op.Calls("/oauth/token"); n != 0 {
				t.Errorf("the token endpoint was called %d times", n)
			}
		})
	}
}

func TestLoginPageAndDenial(t *testing.T) {
	t.Parallel()
	a := newApp(t, setup{op: func(c *optest.Config) { c.LoginPage = true }})
	b := a.browser()
	p := a.open(b, "/account")
	p, err := b.Submit(t.Context(), p, map[string][]string{"action": {"cancel"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusForbidden || !strings.Contains(p.Text(), "You did not log in") {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
}
