// Command gooidc is the empty program with what a login by go-oidc, x/oauth2 and gorilla/sessions calls. It is for its
// size: nobody can log in with it.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gorilla/sessions"
	"golang.org/x/oauth2"
)

func main() {
	provider, err := oidc.NewProvider(context.Background(), os.Getenv("ISSUER"))
	if err != nil {
		panic(err)
	}
	config := oauth2.Config{ClientID: os.Getenv("CLIENT"), ClientSecret: os.Getenv("SECRET"), RedirectURL: os.Getenv("REDIRECT"), Endpoint: provider.Endpoint()}
	verifier := provider.Verifier(&oidc.Config{ClientID: os.Getenv("CLIENT")})
	store := sessions.NewCookieStore([]byte(os.Getenv("KEY")))
	http.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		token, err := config.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption("verifier"))
		if err != nil {
			panic(err)
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := verifier.Verify(r.Context(), raw)
		if err != nil {
			panic(err)
		}
		s, _ := store.Get(r, "session")
		s.Values["sub"] = id.Subject
		_, _ = fmt.Fprintln(w, s.Save(r, w))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, config.AuthCodeURL("state", oauth2.S256ChallengeOption("verifier")), http.StatusFound)
	})
	server := &http.Server{Addr: os.Getenv("ADDR"), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}
