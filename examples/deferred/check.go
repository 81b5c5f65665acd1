package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	for _, scene := range []func(*demo.Check){slow, down, forged} {
		scene(c)
	}
	c.NoSecretSeen()
}

func calls(c *demo.Check) int { return c.Provider.Calls("/oauth/token") }

func shows(p *optest.Page, text string) bool {
	return p.Status == http.StatusOK && strings.Contains(p.Text(), text)
}

// choose makes the token endpoint fine, slow or down, as a visitor of the page does.
func choose(c *demo.Check, day string) { c.Submit(c.Open("/"), url.Values{"day": {day}}) }

// slow is a day on which the token endpoint takes four seconds.
func slow(c *demo.Check) {
	choose(c, "slow")
	page := c.Open("/auth/login?return_to=/")
	c.That("alice is logged in, and the token endpoint has not been asked", shows(page, "Hello Alice") && shows(page, "pending") && calls(c) == 0)
	page = c.Submit(page, url.Values{"text": {"buy milk"}})
	c.That("what needs no token works", shows(page, "buy milk") && calls(c) == 0)

	began := time.Now()
	var tabs sync.WaitGroup
	answers := make([]*optest.Page, 10)
	for i := range answers {
		tabs.Go(func() { answers[i] = c.Fetch(http.MethodGet, "/orders") })
	}
	for page = c.Open("/"); shows(page, "pending") && time.Since(began) < time.Minute; page = c.Open("/") {
		<-time.After(20 * time.Millisecond)
	}
	c.That("ten tabs want orders: while the code is being redeemed, other pages do not wait", shows(page, "redeeming")) // else: ready
	tabs.Wait()
	good := 0
	for _, answer := range answers {
		if shows(answer, "The API knows alice") {
			good++
		}
	}
	c.That("all ten get their orders, when the slow endpoint has answered", good == len(answers) && time.Since(began) >= slowness)
	c.That("the code was sent once", calls(c) == 1)
	c.That("the session has its tokens now, and is the same", shows(c.Open("/"), "ready") && shows(c.Open("/"), "buy milk"))
}

// down is a day on which the token endpoint fails.
func down(c *demo.Check) {
	choose(c, "down")
	c.Press(c.Open("/"), "/auth/logout")
	c.That("alice logs out, and nothing of hers is left on the page", shows(c.Open("/"), "In at once") && !shows(c.Open("/"), "buy milk"))
	before := calls(c)
	page := c.Open("/auth/login?return_to=/")
	c.That("she logs in again, though the token endpoint is down", shows(page, "Hello Alice") && shows(page, "buy milk"))
	page = c.Open("/orders")
	c.That("her orders cannot be had: 503, and she is not sent away", page.Status == http.StatusServiceUnavailable && page.URL == c.URL+"/orders")
	page = c.Open("/")
	c.That("she is still logged in, and the page says why there are no tokens", shows(page, "Hello Alice") && shows(page, "lost") && shows(page, "unavailable"))
	c.That("a code that may have arrived is not sent again", calls(c) == before+1)

	choose(c, "fine")
	logins := c.Provider.Calls("/authorize")
	page = c.Open("/orders")
	c.That("when it is well again, the next click fetches another code, without a question", shows(page, "The API knows alice") && silent(c, logins))
	c.That("and brings her to where she wanted to go", page.URL == c.URL+"/orders")
}

// silent reports whether the provider was asked once since, and told not to ask the user.
func silent(c *demo.Check, since int) bool {
	requests := c.Provider.Requests("/authorize")
	return len(requests) == since+1 && requests[since].URL.Query().Get("prompt") == "none"
}

// forged is a provider, or somebody in the middle, whose second answer is about somebody else.
func forged(c *demo.Check) {
	c.Provider.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" && a.Claims != nil {
			a.Claims["sub"] = "mallory"
		}
	})
	c.Press(c.Open("/"), "/auth/logout")
	c.That("alice logs in once more", shows(c.Open("/auth/login?return_to=/"), "pending"))
	before := c.Provider.Calls("/api")
	page := c.Open("/orders")
	c.That("the second ID Token names somebody else: the page is refused", page.Status >= 400 && !strings.Contains(page.Text(), "mallory"))
	c.That("the session is over, and no token was used", shows(c.Open("/"), "In at once") && c.Provider.Calls("/api") == before)
}
