package demo

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"github.com/twofold-auth/twofold/middleware"
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

// Render writes a page made by a template, with [PageHeaders]. It is written whole or not at all.
func Render(w http.ResponseWriter, page *template.Template, formTargets string, data any) {
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		http.Error(w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	PageHeaders(w.Header(), formTargets)
	_, _ = b.WriteTo(w) // the browser has gone: nobody is left to tell
}

// UserName is how a page greets a user.
func UserName(s *middleware.Session) string {
	var user struct {
		Name string `json:"name"`
	}
	if err := s.Claims(&user); err != nil || user.Name == "" {
		return s.Subject
	}
	return user.Name
}
