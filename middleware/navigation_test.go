package middleware_test

import (
	"net/http"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestWhoMayBeSentToLogin(t *testing.T) {
	t.Parallel()
	const script, prefetch, page = middleware.NavScript, middleware.NavPrefetch, middleware.NavPage
	for _, tc := range []struct {
		name, method string
		h            http.Header
		want         middleware.Navigation
		open         middleware.Navigation // at the login route
	}{
		{"a navigation", "GET", header("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", html), page, page},
		{"a navigation without Accept", "GET", header("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), page, page},
		{"an old browser", "GET", header("Accept", html), page, page},
		{"an old browser, HTML last", "GET", header("Accept", "*/*, TEXT/HTML ;q=0.1"), page, page},
		{"H22_fetch", "GET", header("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", html), script, script},
		{"H22_no_cors_image", "GET", header("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), script, script},
		{"H22_iframe", "GET", header("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Accept", html), script, script},
		{"H22_mode_alone", "GET", header("Sec-Fetch-Mode", "navigate", "Accept", html), script, page},
		{"H22_dest_alone", "GET", header("Sec-Fetch-Dest", "document", "Accept", html), script, page},
		{"H22_xhr_of_an_old_browser", "GET", header("Accept", html, "X-Requested-With", "XMLHttpRequest"), script, page},
		{"H22_json", "GET", header("Accept", "application/json"), script, page},
		{"H22_anything", "GET", header("Accept", "*/*"), script, page},
		{"H22_HTML_refused", "GET", header("Accept", "application/json, text/html;q=0"), script, page},
		{"H22_HTML_refused_in_full", "GET", header("Accept", "text/html; q=0.000"), script, page},
		{"H22_no_headers", "GET", header(), script, page},
		{"H22_websocket", "GET", header("Sec-Fetch-Mode", "websocket", "Upgrade", "websocket"), script, script},
		{"H38_upgrade", "GET", header("Accept", html, "Upgrade", "websocket"), script, page},
		{"H23_prefetch", "GET", header("Sec-Purpose", "prefetch", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), prefetch, prefetch},
		{"H23_prerender", "GET", header("Sec-Purpose", "prefetch;prerender", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), prefetch, prefetch},
		{"H23_purpose", "GET", header("Purpose", "prefetch", "Accept", html), prefetch, prefetch},
		{"H23_x_moz", "GET", header("X-Moz", "prefetch", "Accept", html), prefetch, prefetch},
		{"H23_safari_preview", "GET", header("X-Purpose", "preview", "Accept", html), prefetch, prefetch},
		{"H24_head", "HEAD", header("Accept", html), script, script},
		{"H25_post", "POST", header("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", html), script, page},
		{"put", "PUT", header("Accept", html), script, script},
		{"A47_method_override", "PUT", header("Accept", html, "X-HTTP-Method-Override", "GET"), script, script},
	} {
		if got := middleware.Classify(tc.method, tc.h); got != tc.want {
			t.Errorf("%s: %d at a page, not %d", tc.name, got, tc.want)
		}
		if got := middleware.ClassifyOpen(tc.method, tc.h); got != tc.open {
			t.Errorf("%s: %d at the login route, not %d", tc.name, got, tc.open)
		}
	}
}

func TestH31_whose_logout(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example.com"
	for _, tc := range []struct {
		name string
		h    http.Header
		want bool
	}{
		{"own page", header("Origin", origin, "Sec-Fetch-Site", "same-origin"), true},
		{"own page, old browser", header("Origin", origin), true},
		{"typed", header("Sec-Fetch-Site", "none"), true},
		{"no browser", header(), true},
		{"another site", header("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), false},
		{"another site, old browser", header("Origin", "https://evil.example"), false},
		{"another site that hides", header("Origin", "null", "Sec-Fetch-Site", "cross-site"), false},
		{"opaque", header("Origin", "null"), false},
		{"a subdomain", header("Origin", "https://x.app.example.com", "Sec-Fetch-Site", "same-site"), false},
		{"another port", header("Origin", origin+":8443"), false},
		{"over http", header("Origin", "http://app.example.com"), false},
		{"same site alone", header("Sec-Fetch-Site", "same-site"), false},
		{"two origins", header("Origin", origin, "Origin", "https://evil.example"), false},
		{"two sites", header("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"), false},
		{"an empty origin", header("Origin", ""), false},
		{"own origin from another site", header("Origin", origin, "Sec-Fetch-Site", "cross-site"), false},
	} {
		if got := middleware.SameOrigin(tc.h, origin); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
