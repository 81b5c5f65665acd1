// Command api is an app whose backend calls an API as the user.
//
// Look at orders: there is no token in it. The API client was made once for the whole process; the request's context
// names the session, and the transport adds that session's second access token, to the API's origin and to no other.
// RequireTokens has a live token before the handler runs: it refreshes an old one first.
//
//	go run ./examples/api          # then open the address that it prints
//	go run ./examples/api -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{Name: "api", Secret: secret, App: newApp, Check: check}

func main() { demo.Main(program) }

func newApp(issuer, base string) (http.Handler, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:                issuer,
		ClientID:              "api",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "offline_access"},
		Resources:             []string{issuer + "/api"}, // whom the access token is for (RFC 8707)
		Insecure:              rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions outlive a restart
	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{key}})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("GET /{$}", http.RedirectHandler("/orders", http.StatusSeeOther))

	api := &http.Client{Transport: auth.Transport(nil, issuer), Timeout: 10 * time.Second}
	mux.Handle("GET /orders", auth.RequireTokens(orders(api, issuer+"/api")))
	mux.Handle("GET /elsewhere", auth.RequireTokens(orders(api, base+"/")))
	return mux, nil
}

// orders shows what the API says. The same client serves every user.
func orders(api *http.Client, address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			http.Error(w, "no such API", http.StatusInternalServerError)
			return
		}
		response, err := api.Do(request)
		switch {
		case errors.Is(err, rp.ErrOrigin):
			http.Error(w, "the token is not for that origin: nothing was sent", http.StatusForbidden)
			return
		case err != nil:
			http.Error(w, "the API cannot be reached", http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "The API answered %s\n\n", response.Status)
		_, _ = io.Copy(w, io.LimitReader(response.Body, 1<<20))
	})
}
