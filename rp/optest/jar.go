package optest

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxCookie   = 4096                 // bytes of name and value
	maxLife     = 400 * 24 * time.Hour // no cookie lives longer
	laxPostTime = 2 * time.Minute      // a cookie without SameSite goes with a cross-site POST for so long
)

// jar keeps cookies by the rules of RFC 6265bis as Chromium applies them. Secure cookies are stored and sent on loopback
// hosts over plain http too.
type jar struct {
	mu      sync.Mutex // guards what follows
	cookies []*cookie
	counter int
}

type cookie struct {
	http.Cookie
	domain   string
	hostOnly bool
	path     string
	created  time.Time
	expires  time.Time // zero: when the browser closes
	order    int
}

// set stores one cookie, replaces one, or ignores it.
func (j *jar) set(u *url.URL, c *http.Cookie, now time.Time) {
	fresh, ok := newCookie(u, c, now)
	if !ok {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !trustworthy(u) && j.shadowsSecure(fresh) {
		return // leave Secure cookies alone (RFC 6265bis 5.7, step 15)
	}
	j.counter++
	fresh.order = j.counter
	j.cookies = slices.DeleteFunc(j.cookies, func(old *cookie) bool {
		same := old.Name == fresh.Name && old.domain == fresh.domain && old.path == fresh.path && old.hostOnly == fresh.hostOnly
		if same && old.Value == fresh.Value {
			fresh.order, fresh.created = old.order, old.created
		}
		return same
	})
	if fresh.expires.IsZero() || fresh.expires.After(now) {
		j.cookies = append(j.cookies, fresh)
	}
}

func (j *jar) shadowsSecure(c *cookie) bool {
	return slices.ContainsFunc(j.cookies, func(old *cookie) bool {
		return old.Secure && old.Name == c.Name && (domainMatch(old.domain, c.domain) || domainMatch(c.domain, old.domain)) &&
			pathMatch(c.path, old.path)
	})
}

// newCookie reports false for a cookie that a browser refuses.
func newCookie(u *url.URL, c *http.Cookie, now time.Time) (*cookie, bool) {
	fresh := &cookie{Cookie: *c, created: now, path: c.Path}
	var ok bool
	fresh.domain, fresh.hostOnly, ok = cookieDomain(strings.ToLower(u.Hostname()), c.Domain)
	if fresh.path == "" || fresh.path[0] != '/' {
		fresh.path = defaultPath(u)
	}
	switch {
	case c.MaxAge < 0:
		fresh.expires = now
	case c.MaxAge > 0:
		fresh.expires = now.Add(min(time.Duration(c.MaxAge)*time.Second, maxLife))
	case !c.Expires.IsZero():
		fresh.expires = c.Expires
		if limit := now.Add(maxLife); c.Expires.After(limit) {
			fresh.expires = limit
		}
	}
	switch {
	case !ok, c.Name == "" && c.Value == "", len(c.Name)+len(c.Value) > maxCookie:
		return nil, false
	case c.Secure && !trustworthy(u):
		return nil, false
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		return nil, false
	}
	return fresh, prefixHolds(c, fresh)
}

// prefixHolds checks the promises of a name (RFC 6265bis 4.1.3), in any case as Chromium does.
func prefixHolds(c *http.Cookie, fresh *cookie) bool {
	name := strings.ToLower(c.Name)
	if name == "" {
		name = strings.ToLower(c.Value) // a cookie without a name must not look like one with a prefix
		return !strings.HasPrefix(name, "__host-") && !strings.HasPrefix(name, "__secure-")
	}
	switch {
	case strings.HasPrefix(name, "__secure-"):
		return c.Secure
	case strings.HasPrefix(name, "__host-"):
		return c.Secure && c.Domain == "" && c.Path == "/" && fresh.hostOnly
	}
	return true
}

// cookieDomain reports false for a Domain attribute that is not for this host to set, or is a whole top-level domain.
func cookieDomain(host, attribute string) (domain string, hostOnly, ok bool) {
	attribute = strings.ToLower(strings.TrimPrefix(attribute, "."))
	switch {
	case attribute == "":
		return host, true, true
	case attribute == host && (net.ParseIP(host) != nil || !strings.Contains(host, ".")):
		return host, true, true
	case !strings.Contains(attribute, ".") || !domainMatch(host, attribute):
		return "", false, false
	}
	return attribute, false, true
}

func domainMatch(host, domain string) bool {
	return host == domain || (net.ParseIP(host) == nil && strings.HasSuffix(host, "."+domain))
}

func defaultPath(u *url.URL) string {
	i := strings.LastIndexByte(u.Path, '/')
	if i <= 0 {
		return "/"
	}
	return u.Path[:i]
}

func pathMatch(path, cookiePath string) bool {
	rest, ok := strings.CutPrefix(path, cookiePath)
	return ok && (rest == "" || strings.HasSuffix(cookiePath, "/") || rest[0] == '/')
}

// fits tells if a cookie belongs to an address.
func (c *cookie) fits(u *url.URL, now time.Time) bool {
	host := strings.ToLower(u.Hostname())
	switch {
	case !c.expires.IsZero() && !c.expires.After(now):
		return false
	case c.hostOnly && host != c.domain, !domainMatch(host, c.domain):
		return false
	case !pathMatch(u.Path, c.path):
		return false
	}
	return !c.Secure || trustworthy(u)
}

// goesWith tells if SameSite lets a cookie go along with a navigation (RFC 6265bis 5.2 and 5.8.3).
func (c *cookie) goesWith(n *navigation, now time.Time) bool {
	if n.sameSite() {
		return true
	}
	switch c.SameSite {
	case http.SameSiteNoneMode:
		return true
	case http.SameSiteStrictMode:
		return false
	case http.SameSiteLaxMode:
		return n.safe()
	default: // no attribute: Lax, but for a while
		return n.safe() || now.Sub(c.created) <= laxPostTime
	}
}

// matching returns cookies in the order in which they are sent: longer paths first, then older ones.
func (j *jar) matching(fits func(*cookie) bool) []*cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []*cookie
	for _, c := range j.cookies {
		if fits(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *cookie) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.order, b.order))
	})
	return list
}

// header is the Cookie header of a navigation.
func (j *jar) header(n *navigation, now time.Time) string {
	var pairs []string
	for _, c := range j.matching(func(c *cookie) bool { return c.fits(n.target, now) && c.goesWith(n, now) }) {
		pair := c.Value
		if c.Quoted {
			pair = `"` + pair + `"`
		}
		if c.Name != "" {
			pair = c.Name + "=" + pair
		}
		pairs = append(pairs, pair)
	}
	return strings.Join(pairs, "; ")
}

func (j *jar) list(u *url.URL, now time.Time) []*http.Cookie {
	var list []*http.Cookie
	for _, c := range j.matching(func(c *cookie) bool { return c.fits(u, now) }) {
		out := c.Cookie //nolint:gosec // the attributes are what the server has set
		out.Path, out.Expires = c.path, c.expires
		list = append(list, &out)
	}
	return list
}
