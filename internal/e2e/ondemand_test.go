package e2e_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/rp"
)

// onDemand is an app that spends its codes when it needs tokens, and shows how far it is at /state.
func onDemand(w *world, more func(*middleware.Config)) options {
	o := offline(w, "/orders")
	base := o.middleware
	o.middleware = func(c *middleware.Config) {
		base(c)
		c.Exchange = middleware.ExchangeOnDemand
		if more != nil {
			more(c)
		}
	}
	o.routes = func(a *app, mux *http.ServeMux) {
		mux.Handle("GET /state", a.auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			state, err := s.Tokens()
			first, firstErr := s.First()
			rows := map[string]string{"sub": s.Subject, "state": state.String()}
			if err != nil {
				rows["why"] = err.Error()
			}
			if firstErr == nil && first != nil {
				rows["first"] = first.Subject
			}
			a.show(w, "State", rows)
		})))
	}
	return o
}

// TestOnDemand: while the provider's token endpoint does not answer, the user is logged in by the first ID Token and
// sees a page at once. Whoever needs tokens waits for them, alone; then they are there, for one call of the endpoint.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "on-demand", onDemand(w, nil))
	b := w.profile(t)
	release := w.provider.hold(t, a.name)
	a.signIn(b, "/state", "alice")
	if sub, state, first := b.text("#sub"), b.text("#state"), b.text("#first"); sub != "alice" || state != "pending" || first != "alice" {
		t.Errorf("sub %q, state %q, first ID Token's sub %q; want alice, pending, alice", sub, state, first)
	}
	if l := a.last(); !l.front || l.tokens != nil {
		t.Error("the hooks did not see an identity of the front channel without tokens")
	}
	if n := len(w.provider.allTokenCalls(t, a.name)); n != 0 {
		t.Errorf("the code was sent %d times, and nobody needed tokens", n)
	}
	needs := b.another()
	leave(needs, chromedp.Evaluate[any](`location.href = "`+a.url+`/orders", null`))
	w.provider.held(t, a.name)
	for range 3 { // and meanwhile the other pages come as ever
		b.open(a.url + "/account")
		if got := b.text("#email"); got != "alice@example.test" {
			t.Errorf("the page without tokens says %q", got)
		}
	}
	release()
	if got := needs.text("#answer"); !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("the API answers %s", got)
	}
	b.open(a.url + "/state")
	if state := b.text("#state"); state != "ready" {
		t.Errorf("state %q after the redemption", state)
	}
	a.exchangedOnce()
	if l := a.last(); l.tokens == nil || l.tokens.First() == nil || l.tokens.IDToken().Subject != "alice" {
		t.Error("OnTokens did not see both ID Tokens")
	}
	b.open(a.url + "/orders")
	b.see("#answer")
	a.exchangedOnce()
	b.quiet()
	needs.quiet()
	a.healthy()
}

// exchangedOnce fails the test unless the code was exchanged, once.
func (a *app) exchangedOnce() {
	a.t.Helper()
	calls := a.tokenCalls()
	if len(calls) != 1 || calls[0].Status != http.StatusOK || calls[0].Grant != "authorization_code" {
		a.t.Errorf("token calls: %+v", calls)
	}
}

// allTokenCalls are the calls with a client's credentials, those under way too.
func (p *provider) allTokenCalls(t *testing.T, clientID string) []call {
	t.Helper()
	var found []call
	for _, c := range p.all(t) {
		if strings.HasSuffix(c.Path, "/oauth/token") && c.Basic == clientID {
			found = append(found, c)
		}
	}
	return found
}

// TestOnDemandInTheBackground: with a server store the first request after half of the code's life starts the
// redemption and does not wait for it.
func TestOnDemandInTheBackground(t *testing.T) {
	t.Parallel()
	w := start(t)
	var late atomic.Int64 // what the app's clock is ahead
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	client := redis.NewClient(&redis.Options{Addr: startRedis(t).Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	o := onDemand(w, func(c *middleware.Config) {
		store, err := redisstore.New(redisstore.Config{Client: client})
		if err != nil {
			t.Fatal(err)
		}
		c.Store, c.Now = store, now
	})
	base := o.client
	o.client = func(c *rp.Config) { base(c); c.Now = now }
	a := w.app(t, "background", o)
	b := w.profile(t)
	release := w.provider.hold(t, a.name)
	a.signIn(b, "/state", "alice")
	b.open(a.url + "/account")
	if n := len(w.provider.allTokenCalls(t, a.name)); n != 0 {
		t.Errorf("the code was sent %d times before half of its life was over", n)
	}
	late.Store(int64(26 * time.Second))
	b.open(a.url + "/account") // no tokens needed, nothing waited for
	b.see("#email")
	w.provider.held(t, a.name)
	b.open(a.url + "/state")
	if state := b.text("#state"); state != "redeeming" && state != "pending" {
		t.Errorf("state %q while the code is being redeemed", state)
	}
	release()
	b.open(a.url + "/orders")
	if got := b.text("#answer"); !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("the API answers %s", got)
	}
	a.exchangedOnce()
	b.quiet()
	a.healthy()
}
