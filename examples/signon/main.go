// Command signon is an app that only wants to know who its user is. It never asks the token endpoint.
//
// Look at ExchangeNever: the first ID Token came with the browser and has passed every check, its signature, nonce and
// c_hash included. That is a login. The code is left to expire, and no access or refresh token lies about anywhere.
//
//	go run ./examples/signon          # then open the address that it prints
//	go run ./examples/signon -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{Name: "signon", Secret: secret, App: newApp, Check: check}

func main() { demo.Main(program) }

func newApp(issuer, base string) (http.Handler, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:                issuer,
		ClientID:              "signon",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "email"},
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
		Exchange: middleware.ExchangeNever,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("GET /{$}", auth.RequireLogin(http.HandlerFunc(hello)))
	mux.Handle("GET /token", auth.LoadSession(http.HandlerFunc(token)))
	return mux, nil
}

var page = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Signed on</title>
<h1>Hello {{.Name}}</h1>
<p>You are {{.Session.Subject}} at {{.Session.Issuer}}. No token was asked for.</p>
<form method="post" action="/auth/logout"><input type="hidden" name="csrf" value="{{.Session.LogoutToken}}"><button>Log out</button></form>
`))

func hello(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	var user struct {
		Name string `json:"name"`
	}
	if err := s.Claims(&user); err != nil {
		http.Error(w, "the session's claims cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, map[string]any{"Name": user.Name, "Session": s}) // the browser has gone: nobody is left to tell
}

// token shows that there is nothing to take.
func token(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	if s == nil {
		http.Error(w, "not logged in", http.StatusUnauthorized)
		return
	}
	if _, err := s.Token(r.Context()); !errors.Is(err, middleware.ErrNoTokens) {
		http.Error(w, "there should be no token here", http.StatusInternalServerError)
		return
	}
	http.Error(w, "this session has no tokens", http.StatusNotFound)
}
