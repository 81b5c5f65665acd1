package main

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/rp/optest"
)

// redisServer returns the fleet's Redis, to be broken.
func redisServer(t *testing.T, f *fleet) *servertest.Server {
	t.Helper()
	s, ok := f.store.(*servertest.Server)
	if !ok {
		t.Fatal("it is not the machine's")
	}
	return s
}

// askWhile asks four at a time until broken returns.
func (c *client) askWhile(b *optest.Browser, broken func()) (answers []answer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		broken()
	}()
	for {
		select {
		case <-done:
			return answers
		default:
			answers = append(answers, c.askTimes(b, 4)...)
		}
	}
}

// served wants each request answered well or refused with 503 session_store: nobody is sent to log in, and nobody is let
// in as somebody else.
func (c *client) served(answers []answer) {
	c.Helper()
	c.Logf("%d requests: %v, sessions lost 0", len(answers), tally(answers))
	refused := 0
	for _, a := range answers {
		switch {
		case a.status == http.StatusOK && a.Subject == "alice":
		case a.status == http.StatusServiceUnavailable && a.code == "session_store":
			refused++
		default:
			c.Errorf("%d %s %q %v", a.status, a.code, a.Subject, a.err)
		}
	}
	if refused == 0 {
		c.Error("nothing was refused: the store was not down")
	}
}

// lives wants the session at each instance, as soon as all have found the store again: go-redis looks once a second,
// and the instances take turns.
func (c *client) lives(b *optest.Browser) {
	c.Helper()
	inRow := 0
	until(c.T, func() bool {
		inRow++
		if c.ask(b).status == http.StatusServiceUnavailable {
			inRow = 0
		}
		return inRow == len(names)
	})
	for range names {
		if a := c.ask(b); a.status != http.StatusOK || a.Subject != "alice" {
			c.Errorf("the session is lost: %d %s %v", a.status, a.code, a.err)
		}
	}
}

func TestRedisIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{})
	c := newClient(t, f)
	b := c.login("alice")
	c.served(c.askWhile(b, func() {
		for range 2 {
			wait(t, 300*time.Millisecond)
			f.store.Kill()
			wait(t, 300*time.Millisecond)
			if err := f.store.Start(); err != nil {
				t.Error(err)
			}
		}
	}))
	c.lives(b)
}

// TestRedisHangs: requests are refused in the time that a call of the store has, and served again when it is over.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{})
	c := newClient(t, f)
	b := c.login("alice")
	server := redisServer(t, f)
	var slowest time.Duration
	c.served(c.askWhile(b, func() {
		if err := server.Freeze(); err != nil {
			t.Error(err)
		}
		began := time.Now()
		c.ask(b)
		slowest = time.Since(began)
		wait(t, time.Second)
		if err := server.Thaw(); err != nil {
			t.Error(err)
		}
	}))
	t.Logf("a request was refused after %v", slowest.Round(100*time.Millisecond))
	if slowest > 15*time.Second {
		t.Error("that is too long")
	}
	c.lives(b)
}

// TestRedisComesBackEmpty is a failover to a replica that has nothing: users are sent to log in, once, and nobody is let
// in.
func TestRedisComesBackEmpty(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{})
	c := newClient(t, f)
	b := c.login("alice")
	if _, err := redisServer(t, f).Command(t.Context(), "FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	answers := c.askTimes(b, 10)
	t.Log(tally(answers))
	for _, a := range answers {
		if a.status != http.StatusUnauthorized || a.code != "login_required" {
			t.Errorf("%d %s %q", a.status, a.code, a.Subject)
		}
	}
	calls := f.op.Calls("/authorize")
	page, err := b.Open(t.Context(), f.base+"/me")
	if err != nil || page.Status != http.StatusOK || page.URL != f.base+"/me" {
		t.Errorf("the browser ends at %s: %d %v", page.URL, page.Status, err)
	}
	if n := f.op.Calls("/authorize") - calls; n != 1 {
		t.Errorf("it was sent to log in %d times", n)
	}
	c.lives(b)
}

// TestProviderIsDownForRefreshes: requests whose token has ended are refused with 503 meanwhile, and each instance leaves
// the provider alone between a few tries; when it is back the session goes on.
func TestProviderIsDownForRefreshes(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{KeepRefreshTokens: true}) // what is down has rotated nothing
	c := newClient(t, f)
	expiring(f, 0, nil)
	b := c.login("alice")
	wait(t, 1100*time.Millisecond)
	var down atomic.Bool
	down.Store(true)
	f.op.Fault(func(a *optest.Answer) {
		if a.Grant == "refresh_token" && down.Load() {
			a.Status, a.Body = http.StatusBadGateway, []byte("down")
		}
	})
	answers := c.askWhile(b, func() { wait(t, 2*time.Second) })
	tries := refreshes(f)
	t.Logf("%d requests: %v; the provider was asked %d times", len(answers), tally(answers), tries)
	for _, a := range answers {
		if a.status != http.StatusServiceUnavailable || a.code != "unavailable" {
			t.Errorf("%d %s %v", a.status, a.code, a.err)
		}
	}
	if tries > 3*len(names) {
		t.Error("that is too often")
	}
	down.Store(false)
	until(t, func() bool { return c.ask(b).status == http.StatusOK })
	c.lives(b)
}
