package middleware

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cookieNames are the names of one Auth. The prefix __Host- makes browsers refuse such a cookie from another host, a
// subdomain's included, and without Secure (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
type cookieNames struct {
	prefix   string // __Host-<Name>-
	identity string // the session's identity part, or the store's name of the session
	tokens   [maxChunks]string
	logout   string
}

const (
	// maxCookies of ours are read from a request: five logins, a session, a logout, and some that a change left behind.
	maxCookies = 24
	// maxChunks and chunkSize: browsers keep 4,096 bytes for each cookie with its name; some count the attributes too.
	maxChunks = 2
	chunkSize = 3900
	// maxSessionSize is what all cookies of a session may take: common servers take 8 KB of headers.
	maxSessionSize = 7 << 10

	suffixTransaction = "x"
)

func newCookieNames(name string) cookieNames {
	prefix := "__Host-" + name + "-"
	n := cookieNames{prefix: prefix, identity: prefix + "s", logout: prefix + "o"}
	for i := range n.tokens {
		n.tokens[i] = prefix + "t" + strconv.Itoa(i)
	}
	return n
}

// cookie is one of ours as a request brought it.
type cookie struct{ name, value string }

// cookies are those of ours that a request brought, in its order.
type cookies []cookie

// read scans the Cookie headers once for names with our prefix. It never fails: what is malformed is not ours. A name
// is recognised only as it is, not behind other white space than a blank or tab (nothing is decoded or folded).
func (n *cookieNames) read(h http.Header) cookies {
	var found cookies
	for _, line := range h["Cookie"] {
		for len(line) > 0 && len(found) < maxCookies {
			var part string
			part, line, _ = strings.Cut(line, ";")
			part = strings.Trim(part, " \t")
			if !strings.HasPrefix(part, n.prefix) {
				continue
			}
			name, value, ok := strings.Cut(part, "=")
			if !ok {
				continue
			}
			if found == nil {
				found = make(cookies, 0, 4)
			}
			found = append(found, cookie{name, value})
		}
	}
	return found
}

// get returns the value of a name that is there exactly once. A name that is there twice was set by somebody else
// too; no one can tell which is ours, so none is.
func (c cookies) get(name string) (value string, ok bool) {
	for _, k := range c {
		if k.name != name {
			continue
		}
		if ok {
			return "", false
		}
		value, ok = k.value, true
	}
	return value, ok
}

// has reports whether a name is there, once or more.
func (c cookies) has(name string) bool {
	for _, k := range c {
		if k.name == name {
			return true
		}
	}
	return false
}

// setCookie renders a Set-Cookie line with every attribute. The value has no byte that needs quotes.
func setCookie(name, value string, age time.Duration, site http.SameSite) string {
	var b strings.Builder
	b.Grow(len(name) + len(value) + 80)
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(value)
	b.WriteString("; Path=/; Max-Age=")
	b.WriteString(strconv.FormatInt(max(1, int64(age/time.Second)), 10))
	b.WriteString("; HttpOnly; Secure")
	b.WriteString(sameSite(site))
	return b.String()
}

// dropCookie renders the line that removes a cookie: the same attributes as when it was set.
func dropCookie(name string, site http.SameSite) string {
	return name + "=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure" + sameSite(site)
}

func sameSite(s http.SameSite) string {
	if s == http.SameSiteNoneMode {
		return "; SameSite=None"
	}
	return "; SameSite=Lax"
}

// addCookies adds Set-Cookie lines to a response that has not begun.
func addCookies(h http.Header, lines []string) {
	if len(lines) > 0 {
		h["Set-Cookie"] = append(h["Set-Cookie"], lines...)
	}
}
