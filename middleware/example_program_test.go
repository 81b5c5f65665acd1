package middleware_test

import (
	"context"
	"encoding/hex"
	"html/template"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

func Example_program() {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:                "https://login.example.com/",
		ClientID:              os.Getenv("CLIENT_ID"),
		ClientAuth:            rp.SecretBasic(os.Getenv("CLIENT_SECRET")),
		RedirectURL:           "https://app.example.com/auth/callback",
		PostLogoutRedirectURL: "https://app.example.com/auth/logged-out",
		Scopes:                []string{"openid", "profile", "email", "offline_access"},
	})
	if err != nil {
		log.Fatal(err)
	}
	key, err := hex.DecodeString(os.Getenv("COOKIE_KEY")) // openssl rand -hex 32
	if err != nil {
		log.Fatal("COOKIE_KEY: ", err)
	}
	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{key}})
	if err != nil {
		log.Fatal(err)
	}
	api := &http.Client{Transport: auth.Transport(nil, "https://api.example.com"), Timeout: 10 * time.Second}

	mux := http.NewServeMux()
	auth.Register(mux) // /auth/login, /auth/callback, /auth/logout, …
	mux.Handle("GET /{$}", auth.LoadSession(http.HandlerFunc(home)))
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(account)))
	mux.Handle("GET /orders", auth.RequireTokens(orders(api)))
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

var homePage = template.Must(template.New("home").Parse(`<!doctype html><title>Shop</title>
{{if .}}<p>Hello {{.Subject}}. <a href="/account">Account</a>, <a href="/orders">orders</a></p>
<form method="post" action="/auth/logout"><button>Log out</button></form>
{{else}}<p><a href="/auth/login?return_to=/account">Log in</a></p>{{end}}`))

// home is public; it shows who is logged in, if anybody is.
func home(w http.ResponseWriter, r *http.Request) {
	if err := homePage.Execute(w, middleware.FromContext(r.Context())); err != nil {
		log.Print(err)
	}
}

// account needs to know who it is, and nothing else: no token is opened.
func account(w http.ResponseWriter, r *http.Request) {
	var user struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	if err := middleware.FromContext(r.Context()).Claims(&user); err != nil {
		http.Error(w, "no claims", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, user.Name+" <"+user.Email+">")
}

// orders calls an API as the user. The request's context names the session, and so the access token.
func orders(api *http.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://api.example.com/orders", nil)
		if err != nil {
			http.Error(w, "orders", http.StatusInternalServerError)
			return
		}
		resp, err := api.Do(req)
		if err != nil {
			http.Error(w, "orders are not available", http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.Copy(w, io.LimitReader(resp.Body, 1<<20))
	}
}
