package middleware

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxReturnTo is the longest return-to that is kept; it travels in a cookie.
const maxReturnTo = 2048

// resolve returns a return-to as a path of this app with query and fragment, in a spelling that every browser takes
// for one, or the home page. A browser is generous: it takes a backslash for a slash, drops tabs and line breaks
// wherever they are, and takes what begins with two slashes for another host. What could be any of that, also after
// one more decoding somewhere behind us, is not believed.
func (s site) resolve(returnTo string) string {
	if p, ok := s.local(returnTo); ok {
		return p
	}
	return s.home()
}

func (s site) local(raw string) (string, bool) {
	if len(raw) > maxReturnTo || !utf8.ValidString(raw) || strings.ContainsFunc(raw, isDeceptive) {
		return "", false
	}
	if !rootedPath(raw) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	if !rootedPath(u.Path) || strings.ContainsFunc(u.Path, isDeceptive) || hasDots(u.Path) {
		return "", false
	}
	if s.isRoute(u.Path) {
		return "", false
	}
	return spell(u)
}

// rootedPath reports whether p begins with one slash: two are another host.
func rootedPath(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.HasPrefix(p, `/\`)
}

// hasDots reports whether a segment is "." or "..": resolved, "/..//host" begins with two slashes.
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// isDeceptive finds what browsers drop or take for a slash, and what ends or turns a line.
func isDeceptive(r rune) bool {
	return r < ' ' || r == 0x7f || r == '\\' || r >= 0x80 && r <= 0x9f || r == 0x2028 || r == 0x2029 || r == 0xfeff
}

// isRoute reports whether a path is one of ours, where a login must not lead to.
func (s site) isRoute(p string) bool {
	dir, name := path.Split(strings.ToLower(path.Clean(strings.TrimSpace(p))))
	return strings.TrimSuffix(dir, "/") == strings.ToLower(s.prefix+s.dir) &&
		(name == strings.ToLower(s.last) || s.me && name == routeMe || slices.Contains(routeNames, name))
}

// spell writes the URL again, everything percent-encoded that is not plain ASCII.
func spell(u *url.URL) (string, bool) {
	out := u.EscapedPath()
	if u.RawQuery != "" {
		out += "?" + escapeRest(u.RawQuery)
	}
	if u.Fragment != "" {
		out += "#" + u.EscapedFragment()
	}
	return out, rootedPath(out) && len(out) <= maxReturnTo
}

// escapeRest encodes in a query what has no place in a header or an HTML attribute.
func escapeRest(q string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(q) {
		c := q[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>`", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// here is the return-to of the page that a request asks for. Of the request's target only path and query count: an
// absolute form, or a Host header, says nothing about who we are.
func (s site) here(r *http.Request) string {
	target := s.prefix + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	return s.resolve(target)
}

// absolute resolves a URL of this app, as third parties name it: our origin in front, or a path.
func (s site) absolute(target string) string {
	rest, ok := strings.CutPrefix(target, s.origin)
	if ok && rest == "" {
		rest = "/"
	}
	return s.resolve(rest)
}
