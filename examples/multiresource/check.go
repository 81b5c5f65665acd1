package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	page := c.Open("/two")
	text := page.Text()
	first := tokens(page)
	c.That("a visit led through the login and back, and both APIs answer", page.URL == c.URL+"/two" && page.Status == http.StatusOK &&
		strings.Contains(text, "alice, for "+orders) && strings.Contains(text, "alice, for "+invoices) && !strings.Contains(text, " and "+invoices))
	if !c.That("each got a token of its own", len(first) == 3 && first[0] != first[1]) {
		return
	}
	c.That("the orders' token opens no invoices", first[2] == first[0] && strings.Contains(text, "401") && strings.Contains(text, "for another API"))
	c.That("the code was sent once, and the refresh token once for each API", c.Provider.Calls("/oauth/token") == 3)
	c.That("a reload asks for nothing more", slices.Equal(tokens(c.Open("/two")), first) && c.Provider.Calls("/oauth/token") == 3)

	script := c.Fetch(http.MethodGet, "/three")
	c.That("a script that wants the third API is told so, and sent nowhere", script.Status == http.StatusUnauthorized && script.Header.Get("Location") == "")
	page = c.Open("/three")
	c.That("a user who wants it goes by the provider, and is back", strings.Contains(page.Text(), "alice, for "+payroll) &&
		page.URL == c.URL+"/three" && passed(page, "/authorize"))
	c.That("which was asked for all three", slices.Equal(lastResources(c), []string{orders, invoices, payroll}))
	c.That("what the session had is still there", hasFirst(page, first))
	page = c.Open("/three")
	c.That("the next visit asks nobody", page.Status == http.StatusOK && !passed(page, "/authorize"))

	before := c.Provider.Calls("/authorize")
	page = c.Open("/unknown")
	c.That("an API that the provider does not know is refused, after one question", page.Status == http.StatusForbidden && c.Provider.Calls("/authorize") == before+1)
	page = c.Open("/three")
	c.That("which harms nothing", page.Status == http.StatusOK && hasFirst(page, first))

	c.Press(page, "/auth/logout")
	c.That("after the logout there is nothing to be had", c.Fetch(http.MethodGet, "/two").Status == http.StatusUnauthorized)
	c.NoSecretSeen()
}

var token = regexp.MustCompile(`<code>([0-9a-f]{8})</code>`)

// tokens are the hashes in the page's table.
func tokens(p *optest.Page) []string {
	var all []string
	for _, found := range token.FindAllStringSubmatch(string(p.Body), -1) {
		all = append(all, found[1])
	}
	return all
}

// hasFirst reports whether the page shows the same first two tokens.
func hasFirst(p *optest.Page, first []string) bool {
	now := tokens(p)
	return len(now) > 2 && slices.Equal(now[:2], first[:2])
}

// passed reports whether the way to a page led over an endpoint of the provider.
func passed(p *optest.Page, endpoint string) bool {
	return slices.ContainsFunc(p.History, func(address string) bool {
		u, err := url.Parse(address)
		return err == nil && u.Path == endpoint
	})
}

// lastResources are what the last authorization request asked for.
func lastResources(c *demo.Check) []string {
	requests := c.Provider.Requests("/authorize")
	return requests[len(requests)-1].URL.Query()["resource"]
}
