package main

import (
	"bytes"
	"net/http"

	"github.com/twofold-auth/twofold/examples/internal/demo"
)

func check(c *demo.Check) {
	page := c.Open("/")
	c.That("a visit led through the login and back", page.URL == c.URL+"/" && page.Status == http.StatusOK)
	c.That("the app knows who it is", bytes.Contains(page.Body, []byte("You are alice")))
	c.That("the session has no tokens", c.Open("/token").Status == http.StatusNotFound)

	page = c.Submit(page, nil)
	c.That("the logout ended at the app's landing page", page.URL != "" && page.Status == http.StatusOK)
	c.That("nobody is logged in any more", c.Open("/token").Status == http.StatusUnauthorized)

	calls := c.Provider.Calls("/oauth/token")
	c.That("the token endpoint was never called", calls == 0)
	c.Note("requests at the provider: %d authorization, %d key set, %d token endpoint",
		c.Provider.Calls("/authorize"), c.Provider.Calls("/jwks"), calls)
}
