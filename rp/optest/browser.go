package optest

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Browser is a browser without a screen: one cookie jar with the rules of Chromium (SameSite, Secure, __Host-), redirects,
// forms that submit themselves, and relay pages that post the fragment. Its fields are set before first use; its methods
// are safe for concurrent use, as the tabs of a browser are.
type Browser struct {
	// Stop, if not nil, is asked before each request. At true nothing is sent: the page that led there is returned, and
	// can be submitted later, by another browser too.
	Stop func(method string, u *url.URL) bool
	// NoScript switches scripts off: forms do not submit themselves.
	NoScript bool
	// Now is the clock of the cookie jar; nil is time.Now.
	Now func() time.Time
}

// NewBrowser returns a browser with an empty jar. It uses the Transport and the Timeout of c; nil: the default transport
// and 10 s. For a TLS server pass [Server.Client].
func NewBrowser(c *http.Client) *Browser { return nil }

// Open navigates as if the user had typed the address.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) { return nil, nil }

// Click follows a link from a page; href may be relative.
func (b *Browser) Click(ctx context.Context, p *Page, href string) (*Page, error) { return nil, nil }

// Submit fills in and submits the first form of the page that has all the fields; if none has, the first form. A button
// is named as a field, for example {"action": {"cancel"}}.
func (b *Browser) Submit(ctx context.Context, p *Page, fields url.Values) (*Page, error) {
	return nil, nil
}

// SubmitForm submits a form that may stand on the page or not. f.Action may be relative to the page.
func (b *Browser) SubmitForm(ctx context.Context, p *Page, f Form) (*Page, error) { return nil, nil }

// Refresh does what the page's Refresh header or meta element asks for, which Open and Submit do not.
func (b *Browser) Refresh(ctx context.Context, p *Page) (*Page, error) { return nil, nil }

// Cookies returns the cookies that are kept for an address, with their attributes, whatever their SameSite is.
func (b *Browser) Cookies(address string) []*http.Cookie { return nil }

// Page is where a navigation ended.
type Page struct {
	URL     string // with the fragment
	Status  int
	Header  http.Header
	Body    []byte
	History []string // every URL of the navigation in order; the last one is URL
}

// Form is a form of a page.
type Form struct {
	ID, Action, Method string     // Action as it is written, Method GET or POST
	Fields             url.Values // what would be sent if no button had a name
}

// Link is a link of a page.
type Link struct{ Href, Text string }

// Forms returns the forms of the page.
func (p *Page) Forms() []Form { return nil }

// Links returns the links of the page.
func (p *Page) Links() []Link { return nil }
