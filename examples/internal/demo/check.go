package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

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
}

// NewCheck returns a Check with a fresh browser. It prints to out.
func NewCheck(ctx context.Context, out io.Writer, base string) *Check {
	return &Check{Browser: optest.NewBrowser(nil), URL: base, ctx: ctx, out: out}
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

// Post submits an empty form to a path of the app, as a button of the page would.
func (c *Check) Post(p *optest.Page, path string) *optest.Page {
	return c.arrived(c.Browser.SubmitForm(c.ctx, p, optest.Form{Action: path, Method: "POST"}))
}

func (c *Check) arrived(p *optest.Page, err error) *optest.Page {
	if err != nil {
		c.That(err.Error(), false)
		return &optest.Page{}
	}
	return p
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
