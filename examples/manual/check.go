package main

import (
	"bytes"
	"net/http"
	"net/url"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	page := c.Open("/")
	c.That("a visit led through the login and back", page.URL == c.URL+"/" && page.Status == http.StatusOK)
	c.That("UserInfo was asked with the second access token", bytes.Contains(page.Body, []byte("You are alice (alice@")))
	c.Note("%s", bytes.TrimSpace(page.Body))

	calls := c.Provider.Calls("/oauth/token")
	page = c.Post(page, "/refresh")
	c.That("the refresh token was used, once, and the session goes on",
		page.Status == http.StatusOK && c.Provider.Calls("/oauth/token") == calls+1)

	// An attacker starts a login, stops before the answer is posted, and has the user's browser post it.
	attacker := optest.NewBrowser(nil)
	attacker.Stop = func(_ string, u *url.URL) bool { return u.Path == "/auth/callback" }
	answer, err := attacker.Open(c.Context(), c.URL+"/login")
	if !c.That("an attacker holds back an answer of the provider", err == nil) {
		return
	}
	calls = c.Provider.Calls("/oauth/token")
	page = c.Submit(answer, nil)
	c.That("it is worthless in the user's browser", page.Status == http.StatusBadRequest)
	c.That("and its code was not sent", c.Provider.Calls("/oauth/token") == calls)
}
