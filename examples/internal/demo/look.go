package demo

import (
	"embed"
	"net/http"
)

//go:embed web
var web embed.FS

// Style serves the style sheet that the examples have in common, and behind it an example's own rules.
func Style(own []byte) http.Handler {
	return content("text/css; charset=utf-8", append(file("base.css"), own...))
}

// Icon serves the mark of the pages.
func Icon() http.Handler { return content("image/svg+xml", file("icon.svg")) }

func file(name string) []byte {
	b, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err) // it is in the program
	}
	return b
}

func content(contentType string, b []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(b)
	})
}

// PageHeaders are those of a page that loads nothing from elsewhere and runs no script. Its forms may lead to its own
// site and to formTargets, sources of a Content-Security-Policy: browsers apply it to the redirects after a form too,
// and a logout goes to the provider, which may send the browser on.
func PageHeaders(h http.Header, formTargets string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make the Origin of the logout form null
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action 'self' "+formTargets)
}
