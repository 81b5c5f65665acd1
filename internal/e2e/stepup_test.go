package e2e_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// otp is the stronger of the two kinds of login that the provider has.
const otp = "urn:test:otp"

// stepUps are options of an app with a page for a stronger login, and one for a login that is the wanted one of this
// user, or later.
func stepUps(wanted *atomic.Int64) options {
	return options{
		middleware: func(c *middleware.Config) { c.OnIdentity = onlyFirst("customer", "4711") },
		routes: func(a *app, mux *http.ServeMux) {
			page := a.valueOf("customer")
			mux.Handle("GET /value", a.auth.RequireLogin(page))
			mux.Handle("GET /strong", a.auth.Require(middleware.HasACR(otp), page))
			mux.Handle("GET /out-of-reach", a.auth.Require(middleware.HasACR("urn:test:dna"), page))
			mux.Handle("GET /young", a.auth.Require(func(_ *http.Request, s *middleware.Session) error {
				if n, err := strconv.ParseInt(s.Value("login"), 10, 64); err == nil && n >= wanted.Load() {
					return nil
				}
				now := time.Duration(0)
				return &middleware.Challenge{Options: rp.AuthOptions{MaxAge: &now}}
			}, page))
		},
	}
}

// TestStepUp: a page that wants a stronger login sends the user to the provider, who logs in again, and back. The new
// login takes the place of the session in the cookies, with what the app keeps there.
func TestStepUp(t *testing.T) {
	t.Parallel()
	w := start(t)
	var wanted atomic.Int64
	a := w.app(t, "step-up", stepUps(&wanted))
	b := w.profile(t)
	a.signIn(b, "/value", "alice")
	before := b.cookies(a.url)
	b.open(a.url + "/strong")
	a.atProvider(b)
	b.fill("#username", "alice")
	b.click("#continue")
	if acr, customer := b.text("#acr"), b.text("#customer"); acr != otp || customer != "4711" {
		t.Errorf("acr %q, customer %q after the step-up", acr, customer)
	}
	if got := b.where(); got != a.url+"/strong" {
		t.Errorf("the step-up ended at %s", got)
	}
	asked := a.requests()
	if len(asked) != 2 || asked[1].Query["acr_values"] != otp {
		t.Errorf("authorization requests: %d, acr_values %q", len(asked), asked[len(asked)-1].Query["acr_values"])
	}
	a.continued(1)
	for name, c := range b.cookies(a.url) {
		if isKind(name, identities) && c.Value == before[name].Value {
			t.Errorf("cookie %s survives a login unchanged", name)
		}
	}
	b.open(a.url + "/strong") // and no third login
	b.see("#acr")
	if n := len(a.requests()); n != 2 {
		t.Errorf("%d logins", n)
	}
	b.quiet()
	a.healthy()
}

// TestYoungerLogin: max_age=0 makes the provider ask the user again, who comes back with a younger session.
func TestYoungerLogin(t *testing.T) {
	t.Parallel()
	w := start(t)
	var wanted atomic.Int64
	a := w.app(t, "younger", stepUps(&wanted))
	b := w.profile(t)
	a.signIn(b, "/young", "alice")
	wanted.Store(2)
	b.open(a.url + "/young")
	a.atProvider(b)
	b.fill("#username", "alice")
	b.click("#continue")
	if got := b.text("#customer"); got != "4711" {
		t.Errorf("customer %q", got)
	}
	asked := a.requests()
	if len(asked) != 2 || asked[1].Query["max_age"] != "0" {
		t.Errorf("%d authorization requests, the last with max_age %q", len(asked), asked[len(asked)-1].Query["max_age"])
	}
	a.continued(1)
	b.quiet()
	a.healthy()
}

// TestStepUpAsSomebodyElse: who logs in as another user is that user, with nothing of the first one's session.
func TestStepUpAsSomebodyElse(t *testing.T) {
	t.Parallel()
	w := start(t)
	var wanted atomic.Int64
	a := w.app(t, "somebody-else", stepUps(&wanted))
	b := w.profile(t)
	a.signIn(b, "/value", "alice")
	b.open(a.url + "/strong")
	a.atProvider(b)
	a.identify(b, "bob")
	b.click("#allow")
	if sub, customer := b.text("#sub"), read(b, visible); sub != "bob" || strings.Contains(customer, "4711") {
		t.Errorf("sub %q, page %s", sub, customer)
	}
	b.quiet()
	a.healthy()
}

// TestStepUpOutOfReach: a provider that cannot do better is asked once, and then the user is told.
func TestStepUpOutOfReach(t *testing.T) {
	t.Parallel()
	w := start(t)
	var wanted atomic.Int64
	a := w.app(t, "out-of-reach", stepUps(&wanted))
	b := w.profile(t)
	a.signIn(b, "/value", "alice")
	b.open(a.url + "/out-of-reach")
	a.atProvider(b)
	b.fill("#username", "alice")
	b.click("#continue")
	b.see("h1")
	if text := read(b, visible); !strings.Contains(text, "A stronger login is needed") {
		t.Errorf("the page says %s", text)
	}
	if n := len(a.requests()); n != 2 {
		t.Errorf("%d logins", n)
	}
	b.forget() // the console reports the 403
	b.open(a.url + "/value")
	if got := b.text("#customer"); got != "4711" {
		t.Errorf("customer %q: the session has suffered", got)
	}
	a.healthy()
}
