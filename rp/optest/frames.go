package optest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// logoutPage is the end of a logout with iframes (Front-Channel Logout 1.0 section 3).
type logoutPage struct {
	Frames []string
	Target string
}

// framesPage loads the clients' logout pages, and goes on to the target, if there is one, after a moment.
func framesPage(a *Answer, frames []string, target string) *Answer {
	for _, frame := range frames {
		a.frameSources += " " + origin(frame)
	}
	a.frameSources = "; frame-src" + a.frameSources
	if target != "" {
		a.HTTPHeader.Set("Refresh", "1; url="+target)
	}
	a.Body = a.page("logout", logoutPage{frames, target}, "")
	return a
}

// loadFrames loads the iframes of a page that stays, each through its redirects. Documents in frames are loaded and no
// more: they submit no forms and load no frames of their own.
func (b *Browser) loadFrames(ctx context.Context, page *Page) {
	for t := range page.tags() {
		source, ok := t.attrs["src"]
		if t.name != "iframe" || !ok {
			continue
		}
		n, err := page.navigation(http.MethodGet, source, nil)
		if err != nil || !page.permitsFrame(n) {
			continue
		}
		n.frame = true
		page.Frames = append(page.Frames, b.loadFrame(ctx, page, n))
	}
}

// loadFrame returns a page with Status 0 if there was no answer, or the policy stops a redirect.
func (b *Browser) loadFrame(ctx context.Context, parent *Page, n *navigation) *Page {
	for {
		if b.Stop != nil && b.Stop(n.method, n.target) || !parent.permitsFrame(n) {
			return &Page{URL: n.target.String()}
		}
		page, err := b.load(ctx, n)
		if err != nil {
			return &Page{URL: n.target.String()}
		}
		location := page.Header.Get("Location")
		if location == "" || !redirects(page.Status) || len(n.passed) >= maxRedirects {
			return page
		}
		if n, err = n.redirected(page, location); err != nil {
			return page
		}
	}
}

// permitsFrame asks the policies of the page about an iframe (CSP level 3, sections 6.1.6 and 6.1.2).
func (p *Page) permitsFrame(n *navigation) bool {
	for _, policy := range p.policies() {
		for _, directive := range []string{"frame-src", "child-src", "default-src"} {
			sources, ok := policy[directive]
			if !ok {
				continue
			}
			if !fitsAny(sources, n.from, n.target, len(n.passed) > 0) {
				return false
			}
			break
		}
	}
	return true
}

func fitsAny(sources []string, page, target *url.URL, redirected bool) bool {
	for _, source := range sources {
		if sourceFits(strings.TrimSpace(source), page, target, redirected) {
			return true
		}
	}
	return false
}

// foreign tells if a document is in a frame of another site. It gets no cookies and sets none: SameSite keeps Lax and Strict
// ones away, and browsers block or partition the rest.
func (n *navigation) foreign() bool { return n.frame && n.fetchSite() == "cross-site" }
