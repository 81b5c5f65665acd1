package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

// runCheck starts provider and app on free ports, and uses the app as a user would.
func runCheck(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	listener, err := demo.Listen(ctx, "-check", "localhost:0")
	if err != nil {
		return err
	}
	embedded, err := demo.Listen(ctx, "-check", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := settings{base: demo.URL(listener), log: slog.New(slog.DiscardHandler)}
	op := s.embed(embedded)
	served := make(chan error, 2)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	go func() { served <- demo.Serve(serving, embedded, op) }()
	a, err := newApp(ctx, s)
	if err != nil {
		return err
	}
	defer a.close()
	go func() { served <- demo.Serve(serving, listener, a.routes()) }()
	c := demo.NewCheck(ctx, out, a.base)
	c.Provider = op
	check(c, a) //nolint:contextcheck // c carries it
	stop()
	return errors.Join(c.Err(), <-served, <-served)
}

// check is the walk of somebody who has just read the README.
func check(c *demo.Check, a *app) {
	if !logIn(c) {
		return
	}
	calls := c.Provider.Calls("/oauth/token")
	for _, name := range attackNames {
		attackOnce(c, a, name)
	}
	c.That("none of their codes was sent to the token endpoint", c.Provider.Calls("/oauth/token") == calls)
	page := c.Open("/flow")
	c.That("the session is still there", page.Status == http.StatusOK && page.URL == c.URL+"/flow")
	logOut(c, page)
	withoutCookie(c)
}

// logIn reports whether the rest can be checked.
func logIn(c *demo.Check) bool {
	page := c.Open("/")
	c.That("the landing page offers a login", page.Status == http.StatusOK && strings.Contains(page.Text(), "Log in"))
	page = c.Click(page, "/auth/login?return_to=%2Fflow")
	if !c.That("which leads to the provider, on another site", strings.HasPrefix(page.URL, "http://127.0.0.1:")) {
		return false
	}
	page = c.Submit(page, url.Values{"username": {"alice"}})
	if !c.That("which leads back to the flow page", page.URL == c.URL+"/flow" && page.Status == http.StatusOK) {
		return false
	}
	shown := page.Text()
	text := string(c.Open("/flow.txt").Body)
	c.Note("%s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        "))
	for _, want := range []string{"signature", "nonce", "c_hash"} {
		c.That("it shows the check of "+want, strings.Contains(shown, want) && strings.Contains(text, "passed  "+want))
	}
	c.That("the first ID Token has a c_hash, which belongs to it alone", strings.Contains(text, "c_hash             own"))
	c.That("both name the same user", strings.Contains(text, `sub                agrees  "alice"`))
	c.That("the API knew who was calling", strings.Contains(text, "HTTP 200 OK") && strings.Contains(text, `"sub": "alice"`))
	c.That("no code or token is on the page in full", !secretShown(c, page.Body))
	c.That("the page may load nothing from elsewhere", sealedOff(page))
	c.That("the code was sent once", c.Provider.Calls("/oauth/token") == 1)
	return true
}

// secretShown looks for what the browser brought and what the API got.
func secretShown(c *demo.Check, body []byte) bool {
	for _, r := range c.Provider.Requests("/api") {
		if bytes.Contains(body, []byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))) {
			return true
		}
	}
	for _, r := range c.Provider.Requests("/oauth/token") {
		if bytes.Contains(body, []byte(r.Form.Get("code"))) || bytes.Contains(body, []byte(r.Form.Get("code_verifier"))) {
			return true
		}
	}
	return len(c.Provider.Requests("/api")) == 0
}

func sealedOff(p *optest.Page) bool {
	return strings.HasPrefix(p.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'self'; img-src 'self';") &&
		!bytes.Contains(p.Body, []byte("<script")) && !bytes.Contains(p.Body, []byte(" style=")) &&
		!bytes.Contains(p.Body, []byte(`src="http`))
}

// attackOnce logs in again with an answer that is changed on its way.
func attackOnce(c *demo.Check, a *app, name string) {
	page := c.Open(a.attackURL(name))
	if strings.HasPrefix(page.URL, a.issuer) {
		page = c.Submit(page, url.Values{"username": {"alice"}})
	}
	refused := page.Status >= http.StatusBadRequest && strings.Contains(page.Text(), attacks[name].Refusal)
	c.That("attack “"+attacks[name].Title+"” is refused as "+attacks[name].Refusal, refused)
}

func logOut(c *demo.Check, page *optest.Page) {
	page = c.Submit(page, url.Values{"csrf": page.Forms()[0].Fields["csrf"]})
	if strings.HasPrefix(page.URL, "http://127.0.0.1:") {
		page = c.Submit(page, nil) // the provider asks whether the user means it
	}
	c.That("the logout ends at the app's own page", page.URL != "" && strings.HasPrefix(page.URL, c.URL+"/auth/logged-out"))
	page = c.Open("/flow")
	c.That("and a visit now leads to the provider again", strings.HasPrefix(page.URL, "http://127.0.0.1:"))
}

// withoutCookie is Safari over plain http: the answer comes, the cookie does not.
func withoutCookie(c *demo.Check) {
	forgetful := optest.NewBrowser(nil)
	forgetful.Stop = func(_ string, u *url.URL) bool { return u.Path == "/auth/callback" }
	page, err := forgetful.Open(c.Context(), c.URL+"/auth/login")
	if err == nil {
		page, err = forgetful.Submit(c.Context(), page, url.Values{"username": {"alice"}})
	}
	if !c.That("another browser logs in", err == nil) {
		return
	}
	stranger := optest.NewBrowser(nil)
	page, err = stranger.Submit(c.Context(), page, nil)
	c.That("a browser that drops the cookie gets a page that says so",
		err == nil && page.Status == http.StatusBadRequest && strings.Contains(page.Text(), "Safari"))
}
