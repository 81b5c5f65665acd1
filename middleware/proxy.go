package middleware

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// forwarded are the headers that an API may see of a browser's request: what it wants, what it brings, and what links a
// trace. Nothing else: whoever may name the user to an API by a header (X-Forwarded-User, X-Auth-Request-Email,
// X_Remote_User, …: every proxy has its own) would be that user there.
var forwarded = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Length",
	"Content-Type", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
	"Prefer", "Range", "Traceparent", "Tracestate", "User-Agent", "X-Request-Id",
}

// returned are the headers that a browser may see of an API's answer. The rest would be the app's own words there:
// cookies, the permissions of CORS, Clear-Site-Data, Alt-Svc, Service-Worker-Allowed, Refresh; or orders to a proxy in
// front, such as X-Accel-Redirect.
var returned = []string{
	"Accept-Ranges", "Allow", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Range",
	"Content-Type", "Date", "Deprecation", "Etag", "Last-Modified", "Preference-Applied", "Ratelimit", "Ratelimit-Policy",
	"Retry-After", "Sunset", "Traceparent", "Vary", "X-Request-Id",
}

// StripRequest prepares a browser's request for an API that a proxy of this app speaks to in the user's name. It leaves
// the headers that describe what is wanted and what is sent, and those named in keep; it removes all others: cookies,
// Authorization, every header that may say who the user is or where the request comes from, whatever its spelling, and
// Upgrade, so that no WebSocket gets through. It also takes the dot segments out of the path, so that it stays below
// the API's, an access_token out of the query, and drops trailers.
//
// Call it in Rewrite of an [net/http/httputil.ReverseProxy], before SetURL, with the proxy's Out; add headers of the app
// after it. [Auth.Transport] adds the token later, where no header of the browser can take it away. keep never keeps
// Cookie and Authorization.
func StripRequest(r *http.Request, keep ...string) {
	keepOnly(r.Header, forwarded, keep)
	for _, name := range [...]string{"Authorization", "Cookie"} {
		r.Header.Del(name)
	}
	r.Trailer = nil
	if q := r.URL.Query(); q.Has("access_token") { // RFC 6750, section 2.3: another user's, if an API takes it from there
		q.Del("access_token")
		r.URL.RawQuery = q.Encode()
	}
	if p, dots := climbs(r.URL.Path); dots {
		r.URL.Path, r.URL.RawPath = cleanPath(p), ""
	}
}

// climbs reports whether a server may find dot segments in a path: also one that takes a backslash for a slash, drops what
// follows a semicolon in a segment, or decodes once more. It returns the path as that server reads it.
func climbs(p string) (string, bool) {
	for range 4 {
		segments := strings.Split(strings.ReplaceAll(p, `\`, "/"), "/")
		for i, s := range segments {
			if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." {
				segments[i] = name
			}
		}
		if plain := strings.Join(segments, "/"); hasDots(plain) {
			return plain, true
		}
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			break
		}
		p = next
	}
	return p, false
}

// cleanPath resolves dot segments, and never leads above the root.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// StripResponse prepares an API's answer for the browser: it leaves the headers that describe the content, removes all
// others, Set-Cookie first of all, and adds those that keep the content from being more than data on this site: it is
// stored nowhere, read by no other site, taken for no other type, and a page that somebody opens as such runs nothing.
// A Location is left where something was created (201, 202): a redirect of the API leads a browser away from the proxy.
//
// It is ModifyResponse of an [net/http/httputil.ReverseProxy]. It fails for an answer that switches protocols, which the
// proxy then answers with an error.
func StripResponse(r *http.Response) error {
	if r.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("middleware: StripResponse: the API switches protocols")
	}
	h := r.Header
	location := h.Get("Location")
	keepOnly(h, returned, nil)
	if location != "" && (r.StatusCode == http.StatusCreated || r.StatusCode == http.StatusAccepted) {
		h.Set("Location", location)
	}
	if r.StatusCode == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Session") // RFC 9110, section 15.5.2; Basic would ask for a password here
	}
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	r.Body = &untrailed{r.Body, r}
	r.Trailer = nil
	return nil
}

// untrailed is a body after which no trailer comes: they are headers that come too late to be stripped. The proxy looks for
// them when it has closed the body.
type untrailed struct {
	io.ReadCloser
	of *http.Response
}

func (u *untrailed) Close() error {
	err := u.ReadCloser.Close()
	u.of.Trailer = nil
	return err
}

func keepOnly(h http.Header, names, more []string) {
	for name := range h {
		if !slices.Contains(names, name) && !slices.ContainsFunc(more, func(m string) bool { return http.CanonicalHeaderKey(m) == name }) {
			delete(h, name)
		}
	}
}
