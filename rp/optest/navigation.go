package optest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// navigation is one document that is being fetched, through its redirects.
type navigation struct {
	method  string
	target  *url.URL
	body    string     // of a POST
	from    *url.URL   // the page that started it; nil if the user typed the address
	gesture bool       // the user clicked or typed
	frame   bool       // the document is in an iframe of the page
	policy  string     // Referrer-Policy
	forms   []csp      // policies of the page whose form this is
	passed  []*url.URL // addresses that redirected here
}

// request builds what Chromium would send, but for cookies.
func (n *navigation) request(ctx context.Context) (*http.Request, error) {
	address := *n.target
	address.Fragment, address.RawFragment = "", ""
	r, err := http.NewRequestWithContext(ctx, n.method, address.String(), strings.NewReader(n.body))
	if err != nil {
		return nil, err
	}
	if n.method == http.MethodGet {
		r.Body, r.ContentLength = nil, 0
	}
	h := r.Header
	h.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	h.Set("Accept-Language", "en")
	h.Set("Upgrade-Insecure-Requests", "1")
	h.Set("User-Agent", "Mozilla/5.0 (compatible; optest)")
	if trustworthy(n.target) {
		h.Set("Sec-Fetch-Site", n.fetchSite())
		h.Set("Sec-Fetch-Mode", "navigate")
		h.Set("Sec-Fetch-Dest", pick(n.frame, "iframe", "document"))
		if n.gesture {
			h.Set("Sec-Fetch-User", "?1")
		}
	}
	if referrer := n.referrer(); referrer != "" {
		h.Set("Referer", referrer)
	}
	if n.method == http.MethodPost {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		h.Set("Origin", n.origin())
	}
	return r, nil
}

// redirected follows a Location (Fetch standard, HTTP-redirect fetch).
func (n *navigation) redirected(page *Page, location string) (*navigation, error) {
	target, err := parseAddress(n.target, location)
	if err != nil {
		return nil, err
	}
	if target.Fragment == "" {
		target.Fragment, target.RawFragment = n.target.Fragment, n.target.RawFragment
	}
	next := *n
	next.target = target
	next.passed = append(n.passed[:len(n.passed):len(n.passed)], n.target)
	if page.Status == http.StatusSeeOther || (n.method == http.MethodPost && page.Status <= http.StatusFound) {
		next.method, next.body = http.MethodGet, ""
	}
	if policy := referrerPolicy(page.Header); policy != "" {
		next.policy = policy
	}
	return &next, nil
}

// blocked tells if a browser would not send this.
func (n *navigation) blocked() error {
	if n.forms == nil {
		return nil
	}
	if n.from.Scheme == "https" && !trustworthy(n.target) {
		return fmt.Errorf("%w: a form goes from %s to %s without TLS", ErrBlocked, originOf(n.from), originOf(n.target))
	}
	for _, policy := range n.forms {
		if !policy.permitsForm(n.from, n.target, len(n.passed) > 0) {
			return fmt.Errorf("%w: form-action of %s does not permit %s", ErrBlocked, n.from, originOf(n.target))
		}
	}
	return nil
}

// fetchSite is Sec-Fetch-Site: the farthest that any address on the way is from the page that started it.
func (n *navigation) fetchSite() string {
	if n.from == nil {
		return "none"
	}
	value := "same-origin"
	for _, u := range append(n.passed[:len(n.passed):len(n.passed)], n.target) {
		switch {
		case originOf(u) == originOf(n.from):
		case site(u) == site(n.from):
			value = "same-site"
		default:
			return "cross-site"
		}
	}
	return value
}

// sameSite tells if Strict cookies go along. Redirects on the way do not count, as in Chromium.
func (n *navigation) sameSite() bool { return n.from == nil || site(n.from) == site(n.target) }

// safe tells if Lax cookies go along across sites.
func (n *navigation) safe() bool { return n.method == http.MethodGet || n.method == http.MethodHead }

// origin is the Origin header of a POST (Fetch standard, append a request Origin header).
func (n *navigation) origin() string {
	if n.from == nil || n.tainted() {
		return "null"
	}
	from, to := originOf(n.from), originOf(n.target)
	switch n.policy {
	case "no-referrer":
		return "null"
	case "same-origin":
		if from != to {
			return "null"
		}
	case "", "strict-origin", "strict-origin-when-cross-origin", "no-referrer-when-downgrade":
		if n.from.Scheme == "https" && n.target.Scheme != "https" {
			return "null"
		}
	}
	return from
}

// tainted tells if a redirect went from one foreign origin to another one.
func (n *navigation) tainted() bool {
	last := ""
	for _, u := range append(n.passed[:len(n.passed):len(n.passed)], n.target) {
		o := originOf(u)
		if last != "" && o != last && last != originOf(n.from) {
			return true
		}
		last = o
	}
	return false
}

// referrer is the Referer header (Referrer Policy section 8.3).
func (n *navigation) referrer() string {
	if n.from == nil {
		return ""
	}
	full := *n.from
	full.Fragment, full.RawFragment, full.User = "", "", nil
	origin := originOf(n.from)
	same := origin == originOf(n.target)
	downgrade := trustworthy(n.from) && !trustworthy(n.target)
	origin += "/"
	switch n.policy {
	case "no-referrer":
		return ""
	case "unsafe-url":
		return full.String()
	case "origin":
		return origin
	case "same-origin":
		return pick(same, full.String(), "")
	case "origin-when-cross-origin":
		return pick(same, full.String(), origin)
	case "strict-origin":
		return pick(downgrade, "", origin)
	case "no-referrer-when-downgrade":
		return pick(downgrade, "", full.String())
	}
	if downgrade {
		return ""
	}
	return pick(same, full.String(), origin)
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

var referrerPolicies = map[string]bool{
	"no-referrer": true, "unsafe-url": true, "origin": true, "same-origin": true, "origin-when-cross-origin": true,
	"strict-origin": true, "no-referrer-when-downgrade": true, "strict-origin-when-cross-origin": true,
}

// referrerPolicy is the last policy of the header that is known; "" if there is none.
func referrerPolicy(h http.Header) (policy string) {
	for token := range strings.SplitSeq(strings.Join(h.Values("Referrer-Policy"), ","), ",") {
		if token = strings.ToLower(strings.TrimSpace(token)); referrerPolicies[token] {
			policy = token
		}
	}
	return policy
}

// parseAddress resolves an address as browsers do, who take a backslash for a slash and leave out tabs and line ends.
func parseAddress(base *url.URL, address string) (*url.URL, error) {
	address = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(strings.TrimSpace(address))
	end := strings.IndexAny(address, "?#")
	if end < 0 {
		end = len(address)
	}
	address = strings.ReplaceAll(address[:end], `\`, "/") + address[end:]
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("optest: %q is no http or https address", address)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

func originOf(u *url.URL) string {
	host, port := u.Hostname(), u.Port()
	if (u.Scheme == "http" && port == "80") || (u.Scheme == "https" && port == "443") {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// site is the schemeful site: scheme and registrable domain, without the port. A registrable domain is taken to be the
// last two labels, which is right for the names that tests use and wrong for names such as example.co.uk.
func site(u *url.URL) string { return u.Scheme + "://" + registrable(u.Hostname()) }

func registrable(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// trustworthy is what Chromium calls a potentially trustworthy origin: TLS, or a loopback host.
func trustworthy(u *url.URL) bool { return u.Scheme == "https" || loopback(u.Hostname()) }
