package optest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxRedirects = 20      // as in Chromium
	maxSteps     = 60      // requests of one navigation, self-submitting pages included
	maxPage      = 8 << 20 // bytes
)

// ErrBlocked is what a navigation ends with that a browser refuses: a form that the page's Content-Security-Policy does
// not let go there (nor be redirected there, as Chromium has it), or one from https to http on a host that is not loopback.
var ErrBlocked = errors.New("optest: the browser blocks this")

// Browser is a browser without a screen: one cookie jar with the rules of Chromium (SameSite, Secure, __Host-), redirects,
// forms that submit themselves, and relay pages that post the fragment of their address.
//
// It runs no scripts. A page with exactly one form and an inline script that calls submit, and that the page's
// Content-Security-Policy permits, is taken as a form that submits itself; if the script reads location.hash, the
// parameters of the fragment are added to the form first, and without a fragment nothing happens.
//
// The iframes of a page that stays are loaded too, and found in [Page].Frames. Those of another site get no cookies and set
// none.
//
// Its fields are set before first use; its methods are safe for concurrent use, as the tabs of a browser are.
type Browser struct {
	// Stop, if not nil, is asked before each request. At true nothing is sent: the page that led there is returned (a
	// redirect's own answer, if it was one), and can be submitted later, by another browser too.
	Stop func(method string, u *url.URL) bool
	// NoScript switches scripts off: forms do not submit themselves, and noscript elements are part of the page.
	NoScript bool
	// Now is the clock of the cookie jar; nil is time.Now.
	Now func() time.Time

	client *http.Client
	jar    jar
}

// network carries the requests of browsers without a transport. It is not http.DefaultTransport itself: httptest closes
// that one's idle connections with each server, and so breaks redirects of other tests that run at the same time.
var network = sync.OnceValue(func() http.RoundTripper {
	if std, ok := http.DefaultTransport.(*http.Transport); ok { //nolint:forbidigo // copied, for proxies and dialing
		return std.Clone()
	}
	return http.DefaultTransport //nolint:forbidigo // somebody's own
})

// NewBrowser returns a browser with an empty jar. It uses the Transport and the Timeout of c; nil: 10 s and a copy of the
// default transport, which a client without a Transport gets too. For a TLS server pass [Server.Client].
func NewBrowser(c *http.Client) *Browser {
	b := &Browser{client: &http.Client{
		Transport:     network(),
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c != nil {
		b.client.Timeout = c.Timeout
	}
	if c != nil && c.Transport != nil {
		b.client.Transport = c.Transport
	}
	return b
}

func (b *Browser) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return systemNow()
}

// Open navigates as if the user had typed the address.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	u, err := parseAddress(nil, address)
	if err != nil {
		return nil, err
	}
	return b.run(ctx, &navigation{method: http.MethodGet, target: u, gesture: true}, nil)
}

// Click follows a link from a page; href may be relative. It need not stand on the page.
func (b *Browser) Click(ctx context.Context, p *Page, href string) (*Page, error) {
	return b.leave(ctx, p, http.MethodGet, href, nil, true)
}

// Submit fills in and submits the first form of the page that has all the fields; if none has, the first form, with the
// fields added. The button that is pressed is a field too if it has a name, for example {"action": {"cancel"}}.
func (b *Browser) Submit(ctx context.Context, p *Page, fields url.Values) (*Page, error) {
	forms := p.Forms()
	if len(forms) == 0 {
		return nil, fmt.Errorf("optest: there is no form on %s (status %d)", p.URL, p.Status)
	}
	i := max(0, slices.IndexFunc(forms, func(f Form) bool { return f.has(fields) }))
	form := forms[i]
	for name, values := range fields {
		form.Fields[name] = values
	}
	return b.SubmitForm(ctx, p, form)
}

// SubmitForm submits a form from a page; it need not stand on the page. Its action may be relative.
func (b *Browser) SubmitForm(ctx context.Context, p *Page, f Form) (*Page, error) {
	fields := f.Fields
	if fields == nil {
		fields = url.Values{}
	}
	return b.leave(ctx, p, strings.ToUpper(f.Method), f.Action, fields, true)
}

// Refresh does what the page's Refresh header or meta element asks for, at once. The other methods never do.
func (b *Browser) Refresh(ctx context.Context, p *Page) (*Page, error) {
	target, ok := p.refresh()
	if !ok {
		return nil, fmt.Errorf("optest: %s asks for no refresh", p.URL)
	}
	return b.leave(ctx, p, http.MethodGet, target, nil, false)
}

// Cookies returns the cookies that are kept for an address, with their attributes, whatever their SameSite is.
func (b *Browser) Cookies(address string) []*http.Cookie {
	u, err := parseAddress(nil, address)
	if err != nil {
		return nil
	}
	return b.jar.list(u, b.now())
}

// SetCookies puts cookies into the jar as if the address had sent them, by the same rules; a negative MaxAge deletes.
func (b *Browser) SetCookies(address string, cookies ...*http.Cookie) {
	u, err := parseAddress(nil, address)
	if err != nil {
		return
	}
	for _, c := range cookies {
		b.jar.set(u, c, b.now())
	}
}

// leave starts a navigation from a page.
func (b *Browser) leave(ctx context.Context, p *Page, method, href string, form url.Values, gesture bool) (*Page, error) {
	n, err := p.navigation(method, href, form)
	if err != nil {
		return nil, err
	}
	n.gesture = gesture
	return b.run(ctx, n, p)
}

// run navigates until a page stays.
func (b *Browser) run(ctx context.Context, n *navigation, from *Page) (*Page, error) {
	var history []string
	for range maxSteps {
		if err := n.blocked(); err != nil {
			return nil, err
		}
		if b.Stop != nil && from != nil && b.Stop(n.method, n.target) {
			return from, nil
		}
		page, err := b.load(ctx, n)
		if err != nil {
			return nil, err
		}
		history = append(history, page.URL)
		page.History = slices.Clone(history)
		from = page
		next, err := b.next(n, page)
		if err == nil && next == nil {
			b.loadFrames(ctx, page)
		}
		if err != nil || next == nil {
			return page, err
		}
		n = next
	}
	return nil, fmt.Errorf("optest: no end after %d requests: %s", maxSteps, strings.Join(history[len(history)-4:], " → "))
}

// next returns the navigation that a page or a redirect leads to by itself, or nil.
func (b *Browser) next(n *navigation, page *Page) (*navigation, error) {
	if location := page.Header.Get("Location"); location != "" && redirects(page.Status) {
		if len(n.passed) >= maxRedirects {
			return nil, fmt.Errorf("optest: more than %d redirects, the last one to %s", maxRedirects, location)
		}
		return n.redirected(page, location)
	}
	form, ok := page.selfSubmitting()
	if !ok {
		return nil, nil
	}
	return page.navigation(form.Method, form.Action, form.Fields)
}

func redirects(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

// load sends one request and keeps the cookies of its answer.
func (b *Browser) load(ctx context.Context, n *navigation) (*Page, error) {
	request, err := n.request(ctx)
	if err != nil {
		return nil, err
	}
	if cookies := b.jar.header(n, b.now()); cookies != "" && !n.foreign() {
		request.Header.Set("Cookie", cookies)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	for _, line := range response.Header["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && !n.foreign() {
			b.jar.set(n.target, c, b.now())
		}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	if err != nil {
		return nil, err
	}
	return &Page{
		URL: n.target.String(), Status: response.StatusCode, Header: response.Header, Body: body, noScript: b.NoScript,
	}, nil
}
