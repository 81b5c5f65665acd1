package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// Check plays the user of an app, prints what it sees, and remembers whether all of it was right.
type Check struct {
	// Browser is the user's.
	Browser *optest.Browser
	// Provider is the app's, to be asked what it saw; nil if there is none of ours.
	Provider *optest.Handler
	// URL is where the app is.
	URL string

	ctx    context.Context //nolint:containedctx // a Check is one run
	out    io.Writer
	passed int
	failed int

	mu   sync.Mutex     // guards seen: users have many tabs
	seen []*optest.Page // of the app
}

// NewCheck returns a Check with a fresh browser. It prints to out.
func NewCheck(ctx context.Context, out io.Writer, base string) *Check {
	return &Check{Browser: optest.NewBrowser(&http.Client{Timeout: 30 * time.Second}), URL: base, ctx: ctx, out: out}
}

// Context bounds the run.
func (c *Check) Context() context.Context { return c.ctx }

// That prints one line, and remembers if it is not so. It returns ok.
func (c *Check) That(what string, ok bool) bool {
	verdict := "ok    "
	c.passed++
	if !ok {
		verdict = "FAILED"
		c.passed--
		c.failed++
	}
	_, _ = fmt.Fprintf(c.out, "%s  %s\n", verdict, what)
	return ok
}

// Note prints something that is only of interest.
func (c *Check) Note(format string, a ...any) {
	_, _ = fmt.Fprintf(c.out, "        "+format+"\n", a...)
}

// Open navigates to a path of the app. Without an answer the check has failed, and the page is empty.
func (c *Check) Open(path string) *optest.Page {
	return c.arrived(c.Browser.Open(c.ctx, c.URL+path))
}

// Submit fills in and submits a form of the page.
func (c *Check) Submit(p *optest.Page, fields url.Values) *optest.Page {
	return c.arrived(c.Browser.Submit(c.ctx, p, fields))
}

// Click follows a link of the page.
func (c *Check) Click(p *optest.Page, href string) *optest.Page {
	return c.arrived(c.Browser.Click(c.ctx, p, href))
}

// Press submits the form of the page that leads to a path, as it stands. Without one the check has failed.
func (c *Check) Press(p *optest.Page, path string) *optest.Page {
	for _, form := range p.Forms() {
		if form.Action == path {
			return c.arrived(c.Browser.SubmitForm(c.ctx, p, form))
		}
	}
	return c.arrived(nil, fmt.Errorf("there is no button for %s on %s (status %d)", path, p.URL, p.Status))
}

// Post submits an empty form to a path of the app, as a button of the page would.
func (c *Check) Post(p *optest.Page, path string) *optest.Page {
	return c.arrived(c.Browser.SubmitForm(c.ctx, p, optest.Form{Action: path, Method: "POST"}))
}

// Fetch sends what a script of the app's own page would send with fetch: the browser's cookies, and no navigation, with
// further headers if there are pairs of name and value. It follows no redirect. Without an answer the check has failed,
// and the page is empty.
func (c *Check) Fetch(method, path string, headers ...string) *optest.Page {
	request, err := http.NewRequestWithContext(c.ctx, method, c.URL+path, http.NoBody)
	if err != nil {
		return c.arrived(nil, err)
	}
	for name, value := range map[string]string{
		"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Origin": c.URL,
	} {
		request.Header.Set(name, value)
	}
	for pair := range slices.Chunk(headers, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	for _, cookie := range c.Browser.Cookies(c.URL + path) {
		request.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value}) //nolint:gosec // what a browser sends has no attributes
	}
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return c.arrived(nil, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	c.Browser.SetCookies(c.URL+path, response.Cookies()...)
	return c.arrived(&optest.Page{URL: c.URL + path, Status: response.StatusCode, Header: response.Header, Body: body}, err)
}

func (c *Check) arrived(p *optest.Page, err error) *optest.Page {
	if err != nil {
		c.That(err.Error(), false)
		return &optest.Page{}
	}
	if strings.HasPrefix(p.URL, c.URL+"/") {
		c.mu.Lock()
		c.seen = append(c.seen, p)
		c.mu.Unlock()
	}
	return p
}

// jwt is how every JWT begins, be it an access token or an ID Token; cookies are sealed, and their random letters are none.
var jwt = regexp.MustCompile(`eyJ[\w-]+\.eyJ`)

// NoSecretSeen checks that none of the app's answers so far holds a token, code, verifier or password, whether the
// provider gave it or got it. Cookies are sealed: they are looked at too.
func (c *Check) NoSecretSeen() {
	secrets := map[string]string{}
	for _, endpoint := range []string{"/oauth/token", "/revoke", "/userinfo", "/api"} {
		for _, r := range c.Provider.Requests(endpoint) {
			_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			secrets[credentials] = "an Authorization of " + endpoint
			for _, name := range []string{"code", "code_verifier", "refresh_token", "subject_token", "token", "client_secret", "client_assertion"} {
				secrets[r.Form.Get(name)] = name
			}
		}
	}
	delete(secrets, "")
	for _, p := range c.seen {
		var text strings.Builder
		_ = p.Header.Write(&text) // it is in memory
		text.Write(p.Body)
		for secret, name := range secrets {
			if strings.Contains(text.String(), secret) {
				c.That(fmt.Sprintf("no %s in %s", name, p.URL), false)
			}
		}
		if jwt.MatchString(text.String()) {
			c.That("no JWT in "+p.URL, false)
		}
	}
	c.That(fmt.Sprintf("in the %d answers that the browser got from the app is none of the %d secrets that were sent over the back channel",
		len(c.seen), len(secrets)), len(c.seen) > 0 && len(secrets) > 0)
}

// Err says whether anything failed, or nothing was checked at all.
func (c *Check) Err() error {
	switch {
	case c.failed > 0:
		return fmt.Errorf("%d of %d checks failed", c.failed, c.failed+c.passed)
	case c.passed == 0:
		return errors.New("nothing was checked")
	default:
		_, _ = fmt.Fprintf(c.out, "all %d checks passed\n", c.passed)
		return nil
	}
}
