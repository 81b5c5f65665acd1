// Command spa is a front end that runs in the browser, with a backend that keeps the tokens.
//
// The pages are files. Their script asks GET /auth/me who is logged in, and calls an API below /api/, where a proxy adds
// the user's access token: look at proxy. No token ever comes to the browser, so no script, no extension and no hole in
// the front end can take one away; the script has the session's cookie work for it, and cannot read that either.
//
//	go run ./examples/spa          # then open the address that it prints
//	go run ./examples/spa -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{Name: "spa", Secret: secret, App: newApp, Check: check}

func main() { demo.Main(program) }

type app struct {
	http.Handler
	client *rp.Client
	auth   *middleware.Auth
}

func newApp(issuer, base string) (http.Handler, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:                issuer,
		ClientID:              "spa",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "offline_access"},
		Insecure:              rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions outlive a restart
	auth, err := middleware.New(middleware.Config{
		Client:   client,
		Keys:     [][]byte{key},
		MeClaims: []string{"sub", "name"}, // what GET /auth/me tells the script
	})
	if err != nil {
		return nil, err
	}
	api, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	auth.Register(mux)
	for _, file := range []string{"GET /{$}", "GET /app.js", "GET /app.css"} {
		mux.Handle(file, headers(issuer, http.FileServerFS(files)))
	}
	mux.Handle("GET /base.css", demo.Style(nil))
	mux.Handle("GET /icon.svg", demo.Icon())
	foreign := http.NewCrossOriginProtection() // what changes something must come from our own pages
	mux.Handle("/api", foreign.Handler(auth.RequireTokens(proxy(auth, api))))
	return &app{Handler: mux, client: client, auth: auth}, nil
}

// proxy passes requests to one API, as the user. This is all there is to it.
func proxy(auth *middleware.Auth, api *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			middleware.StripRequest(p.Out) // no cookie of ours, and nothing that says who the user is but the token
			p.SetURL(api)
		},
		Transport:      auth.Transport(nil, api.String()),
		ModifyResponse: middleware.StripResponse, // no cookie of the API, and nothing that a browser would run
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !auth.StepUp(w, r, err) {
				http.Error(w, "the API cannot be reached", http.StatusBadGateway)
			}
		},
	}
}

//go:embed web
var web embed.FS

// headers are those of a front end whose only script is its own file: nothing inline, nothing from elsewhere, and text
// never becomes markup.
func headers(issuer string, next http.Handler) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
		"frame-ancestors 'none'; form-action 'self' " + issuer + "; require-trusted-types-for 'script'; trusted-types 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "same-origin") // no-referrer would make the Origin of the logout form null
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// Close waits for refreshes under way.
func (a *app) Close() error { return errors.Join(a.auth.Close(), a.client.Close()) }
