package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func check(c *demo.Check) {
	// The access token of a login lives for a second, so that a worker gets nowhere without the refresh token.
	var refreshes atomic.Int32
	c.Provider.Fault(func(a *optest.Answer) {
		switch {
		case a.Endpoint == "/oauth/token" && a.Grant == "authorization_code":
			a.JSON["expires_in"] = 1
		case a.Endpoint == "/oauth/token" && a.Grant == "refresh_token":
			refreshes.Add(1)
		}
	})
	text := work(c)
	c.That("for itself the app has a token that no user has anything to do with", strings.Contains(text, "a token of worker, for "+prices))
	text = c.Open("/auth/login?return_to=/").Text()
	c.That("alice logs in", strings.Contains(text, "You are Alice"))
	c.That("the worker does nothing for her yet", !strings.Contains(work(c), "a token of alice"))

	text = c.Press(c.Open("/"), "/allow").Text()
	c.That("she allows it", strings.Contains(text, "for alice, who is logged in once"))
	c.Press(c.Open("/"), "/auth/logout")
	text = c.Open("/").Text()
	c.That("she logs out, and has no session anywhere", strings.Contains(text, "for alice, who is logged in nowhere") && !strings.Contains(text, "You are Alice"))
	c.That("nothing that needs a session works any more", c.Fetch(http.MethodPost, "/withdraw").Status == http.StatusUnauthorized)

	<-time.After(1100 * time.Millisecond)
	text = work(c)
	c.That("the worker reads her orders all the same, with a token for that", strings.Contains(text, "a token of alice, for "+orders))
	c.That("and has them printed, with another one that is for the printer alone", strings.Contains(text, "a token of alice, for "+printing))
	work(c)
	c.That("the refresh token was used once for both rounds", refreshes.Load() == 1)
	c.That("the printer's token opens nothing else", refusedElsewhere(c))

	c.Open("/auth/login?return_to=/")
	text = c.Press(c.Open("/"), "/withdraw").Text()
	c.That("alice comes back and withdraws", strings.Contains(text, "for nobody yet"))
	c.That("from then on the worker does nothing for her", !strings.Contains(work(c), "alice") && refreshes.Load() == 1)
	c.NoSecretSeen()
}

// work has the worker do a round, and returns what the page says of it.
func work(c *demo.Check) string {
	_, text, _ := strings.Cut(c.Press(c.Open("/"), "/round").Text(), heading)
	text, _, _ = strings.Cut(text, heading) // those before
	return text
}

// heading stands over each round, newest first.
const heading = "and the API sees"

// refusedElsewhere takes the last token that the printer got to the orders.
func refusedElsewhere(c *demo.Check) bool {
	for _, r := range slices.Backward(c.Provider.Requests("/api")) {
		if r.URL.Query().Get("resource") != printing {
			continue
		}
		again := httptest.NewRequestWithContext(c.Context(), http.MethodGet, "/api?resource="+url.QueryEscape(orders), http.NoBody)
		again.Header = r.Header
		answer := httptest.NewRecorder()
		c.Provider.ServeHTTP(answer, again)
		return answer.Code == http.StatusUnauthorized
	}
	return false
}
