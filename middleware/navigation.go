package middleware

import (
	"net/http"
	"strings"
)

// A request is one of these to a page that needs a login.
type navigation uint8

const (
	// navScript is anything that cannot follow a redirect to a login page: a fetch, an image, a POST, a HEAD.
	navScript navigation = iota
	// navPrefetch is a browser that guesses where its user may go next.
	navPrefetch
	// navPage is a user who opens a page.
	navPage
)

// classify decides by method and headers. Only a GET that says that it is a navigation to a document is one; without
// Fetch Metadata (https://www.w3.org/TR/fetch-metadata/) a GET that asks for HTML and does not come from a script.
func classify(method string, h http.Header) navigation {
	switch {
	case isPrefetch(h):
		return navPrefetch
	case method != http.MethodGet || h.Get("Upgrade") != "":
		return navScript
	}
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" {
		if mode == "navigate" && dest == "document" {
			return navPage
		}
		return navScript
	}
	if acceptsHTML(h) && h.Get("X-Requested-With") == "" {
		return navPage
	}
	return navScript
}

// classifyOpen decides for the routes that a link or the app itself leads to: what does not say that it is something
// else is a navigation.
func classifyOpen(method string, h http.Header) navigation {
	switch {
	case isPrefetch(h):
		return navPrefetch
	case method != http.MethodGet && method != http.MethodPost, framedOrFetched(h):
		return navScript
	default:
		return navPage
	}
}

// framedOrFetched reports whether Fetch Metadata says that a request is no navigation of a whole page.
func framedOrFetched(h http.Header) bool {
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	return mode != "" && mode != "navigate" || dest != "" && dest != "document"
}

func isPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := h.Get(name); v != "" && containsFold(v, "prefetch", "prerender", "preview") {
			return true
		}
	}
	return false
}

func containsFold(s string, words ...string) bool {
	s = strings.ToLower(s)
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// acceptsHTML reports whether Accept names text/html, and not with the weight zero.
func acceptsHTML(h http.Header) bool {
	for _, line := range h.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), "text/html") {
				weight, named := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=")
				return !named || strings.Trim(weight, "0.") != ""
			}
		}
	}
	return false
}

// sameOrigin decides whether a POST that changes something comes from our own pages. It refuses a foreign or opaque
// Origin and a Sec-Fetch-Site that is not same-origin or none. A client without these headers is no browser that a
// foreign page could use: for those that have cookies, one of both is always there.
func sameOrigin(h http.Header, origin string) bool {
	if values := h.Values("Origin"); len(values) > 1 || len(values) == 1 && values[0] != origin {
		return false
	}
	if values := h.Values("Sec-Fetch-Site"); len(values) > 1 {
		return false
	}
	switch h.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	default:
		return false
	}
}
