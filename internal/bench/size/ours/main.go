// Command ours is the empty program with logins by Twofold.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

func main() {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer: os.Getenv("ISSUER"), ClientID: os.Getenv("CLIENT"), ClientAuth: rp.SecretBasic(os.Getenv("SECRET")), RedirectURL: os.Getenv("REDIRECT"),
	})
	if err != nil {
		panic(err)
	}
	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{[]byte(os.Getenv("KEY"))}})
	if err != nil {
		panic(err)
	}
	auth.Register(http.DefaultServeMux)
	http.Handle("/", auth.RequireTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintln(w, "Hello", r.URL.Path) })))
	server := &http.Server{Addr: os.Getenv("ADDR"), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}
