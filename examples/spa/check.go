package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	for _, scene := range []func(*demo.Check){stranger, me, proxied, foreign, stepUp, logout} {
		scene(c)
	}
	c.NoSecretSeen()
}

var inline = regexp.MustCompile(`(?i)<script(?:\s+(?:defer|type="[^"]*"))*\s*>|\son[a-z]+\s*=|\sstyle\s*=|javascript:`)

// stranger is somebody who is not logged in.
func stranger(c *demo.Check) {
	page := c.Open("/")
	policy := page.Header.Get("Content-Security-Policy")
	c.That("the page is a file, with no inline script and a policy that permits none", page.Status == http.StatusOK &&
		!inline.Match(page.Body) && strings.Contains(policy, "script-src 'self';") && !strings.Contains(policy, "unsafe"))
	for _, path := range []string{"/auth/me", "/api"} {
		answer := c.Fetch(http.MethodGet, path)
		c.That("without a login a script gets 401 from "+path+", no redirect and no cookie", answer.Status == http.StatusUnauthorized &&
			answer.Header.Get("Location") == "" && answer.Header.Get("Set-Cookie") == "" && isJSON(answer))
	}
	c.That("nothing has reached the API", c.Provider.Calls("/api") == 0)
	page = c.Click(page, "/auth/login?return_to=/")
	c.That("the link to the login leads to the page again", page.URL == c.URL+"/" && page.Status == http.StatusOK)
}

func isJSON(p *optest.Page) bool {
	return strings.HasSuffix(p.Header.Get("Content-Type"), "json") && json.Valid(p.Body)
}

// me is what the script may know.
func me(c *demo.Check) {
	answer := c.Fetch(http.MethodGet, "/auth/me")
	var got struct {
		Claims map[string]any `json:"claims"`
		Tokens string         `json:"tokens"`
	}
	err := json.Unmarshal(answer.Body, &got)
	c.That("GET /auth/me names alice by the two claims that the app chose, and says that tokens are there", err == nil &&
		len(got.Claims) == 2 && got.Claims["sub"] == "alice" && got.Claims["name"] == "Alice" && got.Tokens == "ready")
	c.That("nobody stores it, and no other site may read it", strings.Contains(answer.Header.Get("Cache-Control"), "no-store") &&
		answer.Header.Get("Access-Control-Allow-Origin") == "")
	hidden := true
	for _, cookie := range c.Browser.Cookies(c.URL) {
		hidden = hidden && cookie.HttpOnly
	}
	c.That("no script can read a cookie of this app", hidden && len(c.Browser.Cookies(c.URL)) > 0)
}

// proxied are calls of the API, by a script that a stranger has got at, and with an API that sends what it should not.
func proxied(c *demo.Check) {
	c.Provider.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/api" {
			a.HTTPHeader.Set("Set-Cookie", "session=mallory")
			a.HTTPHeader.Set("Access-Control-Allow-Origin", "*")
		}
	})
	defer c.Provider.Fault(nil)
	answer := c.Fetch(http.MethodGet, "/api", "Authorization", "Bearer stolen", "X-Forwarded-User", "mallory", "X-Remote_User", "mallory")
	c.That("the API answers the script, as alice", answer.Status == http.StatusOK && strings.Contains(string(answer.Body), `"sub":"alice"`))
	c.That("its cookies and its word on other sites do not reach the browser", answer.Header.Get("Set-Cookie") == "" &&
		answer.Header.Get("Access-Control-Allow-Origin") == "")
	requests := c.Provider.Requests("/api")
	sent := requests[len(requests)-1].Header
	c.That("the API got her token, and neither cookies nor what the script said about the user", sent.Get("Cookie") == "" &&
		strings.HasPrefix(sent.Get("Authorization"), "Bearer ") && sent.Get("Authorization") != "Bearer stolen" &&
		sent.Get("X-Forwarded-User") == "" && sent.Get("X-Remote_User") == "")
	answer = c.Fetch(http.MethodPost, "/api")
	c.That("it can write, too", answer.Status == http.StatusOK && strings.Contains(string(answer.Body), `"method":"POST"`))
}

// foreign is a page of another site, in the same browser.
func foreign(c *demo.Check) {
	before := c.Provider.Calls("/api")
	evil := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}
	c.That("another site can make alice write nothing", c.Fetch(http.MethodPost, "/api", evil...).Status == http.StatusForbidden &&
		c.Provider.Calls("/api") == before)
	answer := c.Fetch(http.MethodGet, "/auth/me", evil...)
	c.That("nor learn who she is", answer.Status == http.StatusForbidden && !strings.Contains(string(answer.Body), "alice"))
	answer = c.Fetch(http.MethodPost, "/auth/logout", evil...)
	c.That("nor log her out", answer.Status == http.StatusForbidden && c.Fetch(http.MethodGet, "/auth/me").Status == http.StatusOK)
}

// stepUp is an API that wants a stronger login than alice's (RFC 9470).
func stepUp(c *demo.Check) {
	answer := c.Fetch(http.MethodGet, "/api?acr_values=gold")
	var problem struct {
		RetryURL string `json:"retry_url"`
	}
	err := json.Unmarshal(answer.Body, &problem)
	c.That("an API that wants a stronger login gets the script a 401 and an address for that", err == nil &&
		answer.Status == http.StatusUnauthorized && strings.HasPrefix(problem.RetryURL, "/auth/login"))
	page := c.Open(problem.RetryURL)
	c.That("which asks the provider for it, and comes back", page.Status == http.StatusOK && strings.HasPrefix(page.URL, c.URL+"/"))
	answer = c.Fetch(http.MethodGet, "/api?acr_values=gold")
	c.That("then the API answers", answer.Status == http.StatusOK && strings.Contains(string(answer.Body), `"acr":"gold"`))
}

func logout(c *demo.Check) {
	c.Press(c.Open("/"), "/auth/logout")
	c.That("after the logout GET /auth/me says so, and the API is closed", c.Fetch(http.MethodGet, "/auth/me").Status == http.StatusUnauthorized &&
		c.Fetch(http.MethodGet, "/api").Status == http.StatusUnauthorized)
}
