package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// TestKillDuringRefresh_provider_that_allows_a_retry: the next instance takes the lock over when its lease has ended,
// sends the refresh token again, and nobody has noticed anything.
func TestKillDuringRefresh_provider_that_allows_a_retry(t *testing.T) {
	t.Parallel()
	f, c, b, dead, later := killDuringRefresh(t, optest.Config{KeepRefreshTokens: true})
	allGateway(t, dead)
	for _, a := range later {
		if a.status != http.StatusOK || a.Subject != "alice" {
			t.Errorf("at another instance: %d %s %v", a.status, a.code, a.err)
		}
	}
	if n := refreshes(f); n != 3 {
		t.Errorf("%d refreshes, want the one that died, one more, and bob's", n)
	}
	if a := c.ask(b); a.status != http.StatusOK {
		t.Errorf("the session is lost: %d %s", a.status, a.code)
	}
}

// TestKillDuringRefresh_provider_that_rotates_strictly: the provider ends the grant when the token comes again. The user
// is sent to log in, once, and the provider is not asked a third time for it.
func TestKillDuringRefresh_provider_that_rotates_strictly(t *testing.T) {
	t.Parallel()
	f, c, b, dead, later := killDuringRefresh(t, optest.Config{})
	allGateway(t, dead)
	for range 3 {
		later = append(later, c.ask(b))
	}
	for _, a := range later {
		if a.status != http.StatusUnauthorized || a.code != "login_required" {
			t.Errorf("at another instance: %d %s %v", a.status, a.code, a.err)
		}
	}
	if n := refreshes(f); n != 3 {
		t.Errorf("%d refreshes, want the one that died, one more, and bob's", n)
	}
	f.op.Fault(nil)
	if page := c.enter(b, "alice"); page.Status != http.StatusOK {
		t.Errorf("the next login: %d %s", page.Status, page.Text())
	}
	if a := c.ask(b); a.status != http.StatusOK || a.Subject != "alice" {
		t.Errorf("after the next login: %d %s", a.status, a.code)
	}
}

// refreshes counts those that the provider was asked for.
func refreshes(f *fleet) (n int) {
	for _, r := range f.op.Requests("/oauth/token") {
		if r.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

// TestKillDuringCallback: the instance dies after the provider has spent the code. The browser sends the form again,
// another instance takes over and refuses it, because the code is sent once: nobody is logged in, and the next login
// works.
func TestKillDuringCallback(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{})
	c := newClient(t, f)
	bob := c.login("bob")
	b := optest.NewBrowser(&http.Client{Timeout: time.Minute})
	var stopped atomic.Bool
	stopped.Store(true)
	b.Stop = func(_ string, u *url.URL) bool { return stopped.Load() && u.Path == "/auth/callback" }
	form := c.enter(b, "alice")
	stopped.Store(false)

	begun := make(chan struct{}, 100)
	f.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" && a.Grant == "authorization_code" {
			begun <- struct{}{}
			if len(begun) == 1 {
				a.Delay = -1
			}
		}
	})
	all := f.only(1)
	answered := make(chan *optest.Page, 1)
	send := func() {
		page, err := b.Submit(t.Context(), form, nil)
		if err != nil {
			t.Error(err)
			page = &optest.Page{}
		}
		answered <- page
	}
	go send()
	until(t, func() bool { return len(begun) == 1 })
	f.instances[1].kill()
	if page := <-answered; page.Status != http.StatusBadGateway {
		t.Errorf("at the instance that was killed: %d %s", page.Status, page.Text())
	}
	all()
	began := time.Now()
	for range 3 {
		send()
		if page := <-answered; page.Status < 400 || !strings.Contains(page.URL, "/auth/callback") {
			t.Errorf("the form again: %d at %s", page.Status, page.URL)
		}
	}
	t.Logf("the form was refused after %v", time.Since(began).Round(time.Second))
	if n := len(begun); n != 1 {
		t.Errorf("the code was sent %d times, want once, by the instance that died", n)
	}
	if a := c.ask(b); a.status != http.StatusUnauthorized {
		t.Errorf("somebody is logged in: %d %s", a.status, a.Subject)
	}
	if a := c.ask(bob); a.status != http.StatusOK || a.Subject != "bob" {
		t.Errorf("bob: %d %s", a.status, a.code)
	}
	if page := c.enter(b, "alice"); page.Status != http.StatusOK {
		t.Errorf("the next login: %d %s", page.Status, page.Text())
	}
	if a := c.ask(b); a.status != http.StatusOK || a.Subject != "alice" {
		t.Errorf("after the next login: %d %s", a.status, a.code)
	}
}

// TestKillInTheWay: requests go on while instances die and come back one after another. Those that an instance died over
// are repeated, as they are GETs; no session is lost.
func TestKillInTheWay(t *testing.T) {
	t.Parallel()
	f := startFleet(t, optest.Config{})
	c := newClient(t, f)
	b := c.login("alice")
	stop := make(chan struct{})
	done := make(chan []answer, 1)
	go func() {
		var answers []answer
		for {
			select {
			case <-stop:
				done <- answers
				return
			default:
				answers = append(answers, c.askTimes(b, 4)...)
			}
		}
	}()
	for i := range f.instances {
		f.instances[i].kill()
		wait(t, 100*time.Millisecond)
		if err := f.restart(i); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	answers := <-done
	t.Log(tally(answers))
	for _, a := range answers {
		if a.status != http.StatusOK || a.Subject != "alice" {
			t.Errorf("%d %s %v", a.status, a.code, a.err)
		}
	}
}
