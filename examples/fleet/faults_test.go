package main

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

var rounds = flag.Int("rounds", 10, "how often 100 parallel requests meet an expired token")

// needRedis skips on a machine without redis-server, by name, but not where CI is set.
func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("redis-server is missing")
	}
	t.Skip("redis-server is missing")
}

// startFleet starts a fleet of three processes whose provider logs in whom login_hint names.
func startFleet(t *testing.T, c optest.Config) *fleet {
	t.Helper()
	needRedis(t)
	f, err := plan{listen: "localhost:0", provider: "127.0.0.1:0", quiet: true, config: c}.start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// expiring makes a provider whose access tokens from a login live for a second, and those from a refresh for an hour.
// Each answer to a refresh comes after delay. It reports each refresh to begun, which must be read.
func expiring(f *fleet, delay time.Duration, begun chan<- struct{}) {
	f.op.Fault(func(a *optest.Answer) {
		switch {
		case a.Endpoint == "/oauth/token" && a.Grant == "authorization_code":
			a.JSON["expires_in"] = int64(1)
		case a.Endpoint == "/oauth/token":
			a.Delay = delay
			if begun != nil {
				begun <- struct{}{}
			}
		}
	})
}

// client asks as a script does: with the cookies of a browser, and without following redirects.
type client struct {
	*testing.T
	fleet *fleet
	http  *http.Client
}

func newClient(t *testing.T, f *fleet) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t, f, &http.Client{Transport: transport, Timeout: time.Minute}}
}

// login logs a user in with a new browser, and opens nothing that needs tokens.
func (c *client) login(user string) *optest.Browser {
	c.Helper()
	b := optest.NewBrowser(&http.Client{Timeout: time.Minute})
	if page := c.enter(b, user); page.Status != http.StatusOK || page.URL != c.fleet.base+"/style.css" {
		c.Fatalf("login: %d at %s: %s", page.Status, page.URL, page.Text())
	}
	return b
}

// enter starts a login at the app, and returns where it ends.
func (c *client) enter(b *optest.Browser, user string) *optest.Page {
	c.Helper()
	query := url.Values{"iss": {c.fleet.issuer}, "login_hint": {user}, "target_link_uri": {c.fleet.base + "/style.css"}}
	page, err := b.Open(c.Context(), c.fleet.base+"/auth/initiate?"+query.Encode())
	if err != nil {
		c.Fatal(err)
	}
	return page
}

// answer is what /me said.
type answer struct {
	me
	status int
	code   string // of a refusal
	err    error
}

func (c *client) ask(b *optest.Browser) (a answer) {
	request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, c.fleet.base+"/me", http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	for _, cookie := range b.Cookies(c.fleet.base) {
		request.AddCookie(cookie)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a.status = response.StatusCode
	var problem struct{ Code string }
	if a.status == http.StatusOK {
		a.err = json.NewDecoder(response.Body).Decode(&a.me)
	} else if json.NewDecoder(response.Body).Decode(&problem) == nil {
		a.code = problem.Code
	}
	return a
}

// askTimes asks n times at once.
func (c *client) askTimes(b *optest.Browser, n int) []answer {
	answers := make([]answer, n)
	begin := make(chan struct{})
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() {
			<-begin
			answers[i] = c.ask(b)
		})
	}
	close(begin)
	asking.Wait()
	return answers
}

// TestRefreshOnce_100_parallel_requests_over_3_processes: exactly one refresh at the provider, 100 good answers with one
// token, and the session lives. The provider rotates refresh tokens and ends the grant if one comes twice.
func TestRefreshOnce_100_parallel_requests_over_3_processes(t *testing.T) {
	t.Parallel()
	const parallel = 100
	f := startFleet(t, optest.Config{})
	expiring(f, 20*time.Millisecond, nil)
	c := newClient(t, f)
	browsers := make([]*optest.Browser, *rounds)
	for i := range browsers {
		browsers[i] = c.login("alice")
	}
	wait(t, 1100*time.Millisecond) // the tokens end by the clock of other processes
	good, refreshes, instances := 0, 0, map[string]int{}
	for _, b := range browsers {
		calls := f.op.Calls("/oauth/token")
		tokens := map[string]bool{}
		for _, a := range c.askTimes(b, parallel) {
			if a.err != nil || a.status != http.StatusOK || a.Subject != "alice" {
				t.Errorf("refused: %d %s %v", a.status, a.code, a.err)
				continue
			}
			good++
			tokens[a.Token] = true
			instances[a.Instance]++
		}
		once := f.op.Calls("/oauth/token") - calls
		refreshes += once
		if once != 1 || len(tokens) != 1 {
			t.Errorf("%d refreshes, %d tokens", once, len(tokens))
		}
		for range names {
			if a := c.ask(b); a.status != http.StatusOK || !tokens[a.Token] {
				t.Errorf("the session is lost at %s: %d %s", a.Instance, a.status, a.code)
			}
		}
	}
	if len(instances) != len(names) {
		t.Errorf("served by %v", instances)
	}
	t.Logf("%d rounds: %d of %d requests good, %d refreshes, sessions lost 0, served by %v", *rounds, good, *rounds*parallel, refreshes, instances)
}

// wait lets real time pass: the processes have clocks of their own.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// only leaves one instance in service until the returned function is called.
func (f *fleet) only(i int) (all func()) {
	for j := range f.instances {
		if j != i {
			f.balancer.set(j, "")
		}
	}
	return func() {
		for j, instance := range f.instances {
			f.balancer.set(j, instance.addr)
		}
	}
}

// killDuringRefresh kills instance A after the provider has rotated a session's refresh token and before its answer has
// arrived, with twenty requests waiting for it. It returns what came of them, and then of twenty more at the others.
func killDuringRefresh(t *testing.T, c optest.Config) (f *fleet, asker *client, b *optest.Browser, dead, later []answer) {
	t.Helper()
	f = startFleet(t, c)
	begun := make(chan struct{}, 1000)
	expiring(f, 0, nil)
	asker = newClient(t, f)
	b = asker.login("alice")
	bob := asker.login("bob")
	wait(t, 1100*time.Millisecond)
	f.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" && a.Request.Form.Get("grant_type") == "refresh_token" {
			begun <- struct{}{}
			if len(begun) == 1 {
				a.Delay = -1 // no answer as long as somebody waits for it
			}
		}
	})
	all := f.only(0)
	done := make(chan []answer, 1)
	go func() { done <- asker.askTimes(b, 20) }()
	until(t, func() bool { return len(begun) == 1 })
	f.instances[0].kill()
	dead = <-done
	all()
	began := time.Now()
	later = asker.askTimes(b, 20)
	t.Logf("20 requests at the instance that was killed: %v; 20 at the others, after %v: %v", tally(dead), time.Since(began).Round(time.Second), tally(later))
	if a := asker.ask(bob); a.status != http.StatusOK || a.Subject != "bob" {
		t.Errorf("bob: %d %s", a.status, a.code)
	}
	return f, asker, b, dead, later
}

// until waits for something that a process does.
func until(t *testing.T, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !ready() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it does not happen")
		}
	}
}

// tally counts answers by what they are.
func tally(answers []answer) map[string]int {
	counts := map[string]int{}
	for _, a := range answers {
		name := http.StatusText(a.status)
		if a.code != "" {
			name += " (" + a.code + ")"
		}
		if a.err != nil {
			name = "no answer"
		}
		counts[name]++
	}
	return counts
}

// allGateway wants what a balancer says of an instance that died: nobody was let in.
func allGateway(t *testing.T, answers []answer) {
	t.Helper()
	for _, a := range answers {
		if a.err != nil || a.status != http.StatusBadGateway {
			t.Errorf("a request at the instance that was killed: %d %s %v", a.status, a.code, a.err)
		}
	}
}
