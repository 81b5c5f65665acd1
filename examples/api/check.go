package main

import (
	"bytes"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	// The access token of the login lives for one second.
	c.Provider.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" && a.Grant == "authorization_code" {
			a.JSON["expires_in"] = 1
		}
	})
	page := c.Open("/orders")
	c.That("a visit of /orders led through the login and back", page.URL == c.URL+"/orders" && page.Status == http.StatusOK)
	c.That("the API knows who is calling, and that the token is for it",
		bytes.Contains(page.Body, []byte(`"sub":"alice"`)) && bytes.Contains(page.Body, []byte(`/api"]`)))
	c.Note("%s", bytes.Join(bytes.Fields(page.Body), []byte(" ")))

	<-time.After(1100 * time.Millisecond)
	page = c.Open("/orders")
	c.That("when the token has ended, RequireTokens gets another before the handler runs",
		page.Status == http.StatusOK && bytes.Contains(page.Body, []byte("200 OK")) && c.Provider.Calls("/oauth/token") == 2)
	page = c.Open("/orders")
	c.That("once, for all the visits that follow", page.Status == http.StatusOK && c.Provider.Calls("/oauth/token") == 2)

	calls := c.Provider.Calls("/api")
	page = c.Open("/elsewhere")
	c.That("the token goes to no other origin", page.Status == http.StatusForbidden && c.Provider.Calls("/api") == calls)
}
