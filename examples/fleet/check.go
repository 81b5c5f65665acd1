package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

// runCheck starts a fleet on free ports, and uses and breaks it.
func runCheck(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	p := plan{listen: "localhost:0", provider: "127.0.0.1:0", quiet: true, config: optest.Config{LoginPage: true}}
	f, err := p.start(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	c := demo.NewCheck(ctx, w, f.base)
	c.Provider = f.op
	c.Note("sessions are in %s", f.what)
	r := &rehearsal{Check: c, fleet: f}
	r.run()
	return errors.Join(c.Err(), f.stop())
}

// rehearsal is three browsers, of two users, and a fleet.
type rehearsal struct {
	*demo.Check
	fleet              *fleet
	phone, laptop, bob *optest.Browser
}

func (r *rehearsal) run() {
	r.phone, r.laptop, r.bob = newBrowser("Firefox/140.0"), newBrowser("Chrome/140.0.0.0"), newBrowser("Edg/140.0.0.0")
	for _, step := range []func(*rehearsal) bool{
		(*rehearsal).logIn, (*rehearsal).everyInstance, (*rehearsal).refreshOnce,
		(*rehearsal).killInstance, (*rehearsal).killRedis,
		(*rehearsal).logOutOne, (*rehearsal).logOutHere, (*rehearsal).logOutEverywhere, (*rehearsal).logOutAtProvider,
	} {
		if !step(r) {
			return
		}
	}
}

// at makes r that browser's.
func (r *rehearsal) at(b *optest.Browser) *rehearsal {
	r.Browser = b
	return r
}

// newBrowser names itself by an end of a User-Agent.
func newBrowser(name string) *optest.Browser {
	return optest.NewBrowser(&http.Client{Transport: userAgent("Mozilla/5.0 " + name), Timeout: 30 * time.Second})
}

type userAgent string

// RoundTrip implements [http.RoundTripper].
func (u userAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", string(u))
	return http.DefaultTransport.RoundTrip(r) //nolint:forbidigo // a browser, with a time-out of its own
}

// logIn logs three browsers in.
func (r *rehearsal) logIn() bool {
	for _, visit := range []struct {
		browser *optest.Browser
		user    string
	}{{r.phone, "alice"}, {r.laptop, "alice"}, {r.bob, "bob"}} {
		if !r.at(visit.browser).enter(visit.user) {
			return false
		}
	}
	text := r.at(r.phone).Open("/").Text()
	return r.That("alice sees her two devices, and not bob's", strings.Contains(text, "2 logged in") &&
		strings.Contains(text, "Firefox") && strings.Contains(text, "Chrome") && !strings.Contains(text, "Edge"))
}

// enter logs a user in with the browser.
func (r *rehearsal) enter(user string) bool {
	page := r.Open("/")
	if strings.Contains(page.Text(), "Log in once") {
		page = r.Click(page, "/auth/login?return_to=%2F")
	}
	if strings.HasPrefix(page.URL, r.fleet.issuer) {
		page = r.Submit(page, url.Values{"username": {user}})
	}
	return r.That(user+" logs in", page.Status == http.StatusOK && page.URL == r.URL+"/" && strings.Contains(page.Text(), "Your devices"))
}

var servedBy = regexp.MustCompile(`Served by instance ([A-Z])`)

// instances opens the page a few times, and returns which instances served it; "" if it was not always this user's.
func (r *rehearsal) instances() (names string) {
	for range 6 {
		page := r.Open("/")
		served := servedBy.FindStringSubmatch(page.Text())
		if page.Status != http.StatusOK || served == nil || !strings.Contains(page.Text(), "Your devices") {
			return ""
		}
		if !strings.Contains(names, served[1]) {
			names += served[1]
		}
	}
	return names
}

// all reports whether every browser is logged in, at that many instances.
func (r *rehearsal) all(instances int) bool {
	for _, b := range []*optest.Browser{r.phone, r.laptop, r.bob} {
		if names := r.at(b).instances(); len(names) != instances {
			r.Note("served by %q", names)
			return false
		}
	}
	return true
}

func (r *rehearsal) everyInstance() bool {
	return r.That("each of the three is logged in at each of the three instances", r.all(3))
}

// me is what the page for scripts says.
type me struct{ Instance, Subject, SID, Token string }

// ask returns what scripts get.
func (r *rehearsal) ask() (m me, status int) {
	page := r.Open("/me")
	if page.Status == http.StatusOK {
		_ = json.Unmarshal(page.Body, &m) // compared by the caller
	}
	return m, page.Status
}

func (r *rehearsal) refreshOnce() bool {
	before, _ := r.at(r.phone).ask()
	calls := r.Provider.Calls("/oauth/token")
	r.Post(r.Open("/"), "/refresh")
	tokens := map[string]bool{}
	for range names {
		now, _ := r.ask()
		tokens[now.Token] = true
	}
	return r.That("“Refresh now” asks the provider once, and every instance has the new token",
		r.Provider.Calls("/oauth/token") == calls+1 && len(tokens) == 1 && !tokens[before.Token] && !tokens[""])
}

func (r *rehearsal) killInstance() bool {
	r.fleet.instances[0].kill()
	ok := r.That("kill -9 of an instance: all three are still logged in at the other two", r.all(2))
	if err := r.fleet.restart(0); err != nil {
		return r.That(err.Error(), false)
	}
	return r.That("it starts again, and knows them too", r.all(3)) && ok
}

func (r *rehearsal) killRedis() bool {
	r.fleet.store.Kill()
	cookies := len(r.at(r.bob).Browser.Cookies(r.URL))
	page, guarded := r.Open("/"), r.Open("/me")
	ok := r.That("kill -9 of Redis: 503 with Retry-After, nobody is let in and nobody is sent to log in",
		refusedForNow(page, r.URL) && refusedForNow(guarded, r.URL) && len(r.Browser.Cookies(r.URL)) == cookies)
	if err := r.fleet.store.Start(); err != nil {
		return r.That(err.Error(), false)
	}
	return r.That("it starts again, the instances find it, and all three are logged in as before", r.found() && r.all(3)) && ok
}

// found waits until every instance has found Redis again; go-redis looks once a second.
func (r *rehearsal) found() bool {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for good := 0; good < len(names); {
		select {
		case <-ctx.Done():
			return false
		case <-pause.C:
		}
		good++
		if r.script("/me") == http.StatusServiceUnavailable {
			good = 0
		}
	}
	return true
}

func refusedForNow(p *optest.Page, base string) bool {
	return p.Status == http.StatusServiceUnavailable && p.Header.Get("Retry-After") != "" && strings.HasPrefix(p.URL, base+"/") &&
		!strings.Contains(p.Text(), "alice") && !strings.Contains(p.Text(), "bob")
}

// inside reports whether the browser is logged in, at every instance; outside whether it is at none.
func (r *rehearsal) inside(b *optest.Browser) bool { return r.at(b).count(http.StatusOK) }

func (r *rehearsal) outside(b *optest.Browser) bool { return r.at(b).count(http.StatusUnauthorized) }

// count asks as a script does: a browser would be led to the provider, which remembers its user.
func (r *rehearsal) count(status int) bool {
	for range names {
		if r.script("/me") != status {
			return false
		}
	}
	return true
}

func (r *rehearsal) script(path string) int {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.URL+path, http.NoBody)
	if err != nil {
		return 0
	}
	for _, c := range r.Browser.Cookies(r.URL) {
		request.AddCookie(c)
	}
	response, err := (&http.Client{Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func (r *rehearsal) logOutOne() bool {
	page := r.at(r.phone).Open("/")
	for _, form := range page.Forms() {
		if form.Action == "/end" {
			page, _ = r.Browser.SubmitForm(r.Context(), page, form)
			break
		}
	}
	ok := r.That("alice logs her laptop out, from her phone", strings.Contains(page.Text(), "1 logged in") && r.outside(r.laptop) && r.inside(r.phone))
	return r.at(r.laptop).enter("alice") && ok
}

func (r *rehearsal) logOutHere() bool {
	page := r.at(r.laptop).Open("/")
	page = r.Submit(page, url.Values{"csrf": page.Forms()[1].Fields["csrf"]})
	if strings.HasPrefix(page.URL, r.fleet.issuer) {
		page = r.Submit(page, nil) // the provider asks whether the user means it
	}
	return r.That("“Log out here” leads by the provider to the app's own page", strings.HasPrefix(page.URL, r.URL+"/auth/logged-out")) &&
		r.That("that laptop is logged out everywhere, the phone nowhere", r.outside(r.laptop) && r.inside(r.phone))
}

func (r *rehearsal) logOutEverywhere() bool {
	if !r.at(r.laptop).enter("alice") {
		return false
	}
	r.at(r.phone).Post(r.Open("/"), "/everywhere")
	return r.That("“Log out everywhere” ends both of alice's sessions, at every instance", r.outside(r.phone) && r.outside(r.laptop)) &&
		r.That("bob is still logged in", r.inside(r.bob))
}

func (r *rehearsal) logOutAtProvider() bool {
	deliveries := r.Provider.LogoutUser(r.Context(), "bob")
	return r.That("the provider logs bob out, and tells one of the instances", len(deliveries) == 1 && deliveries[0].Status == http.StatusOK) &&
		r.That("all of them refuse his next request", r.outside(r.bob))
}
