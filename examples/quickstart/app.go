package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// app is what an app has to write: a client, the middleware, and its own pages.
type app struct {
	settings
	client *rp.Client
	auth   *middleware.Auth
	api    *http.Client
	flows  *recorder
}

func newApp(ctx context.Context, s settings) (*app, error) {
	a := &app{settings: s, flows: newRecorder()}
	var err error
	a.client, err = rp.New(ctx, rp.Config{
		Issuer:                s.issuer,
		ClientID:              s.clientID,
		ClientAuth:            s.clientAuth(),
		RedirectURL:           s.redirectURL(),
		PostLogoutRedirectURL: s.postLogoutURL(),
		Scopes:                s.scopes(),
		Resources:             s.resources(),
		Insecure:              rp.Insecure{PlainHTTP: s.plainHTTP()},
		Logger:                s.log,
		Observe:               observe,
	})
	if err != nil {
		return nil, unavailable(s.issuer, err)
	}
	if err := a.client.Ready(ctx); err != nil { // or the first login would also fetch the keys
		return nil, unavailable(s.issuer, err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)                           // a real app keeps its key, so that sessions outlive a restart
	a.auth, err = middleware.New(middleware.Config{ //nolint:contextcheck // it makes no request
		Client:       a.client,
		Keys:         [][]byte{key},
		AuthOptions:  s.authOptions(),
		OnIdentity:   onIdentity,
		OnTokens:     a.flows.onTokens,
		ErrorHandler: a.refused,
		Logger:       s.log,
	})
	if err != nil {
		return nil, err
	}
	a.api = &http.Client{Transport: a.auth.Transport(nil, s.issuer), Timeout: 10 * time.Second}
	return a, nil
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	a.auth.Register(recorded{mux, a.flows})
	mux.Handle("GET /{$}", a.auth.LoadSession(http.HandlerFunc(a.landing)))
	mux.Handle("GET /flow", a.flows.record(a.auth.RequireTokens(http.HandlerFunc(a.flowPage))))
	mux.Handle("GET /flow.txt", a.auth.RequireTokens(http.HandlerFunc(a.flowText)))
	mux.Handle("GET /style.css", demo.Style(style))
	mux.Handle("GET /icon.svg", demo.Icon())
	return mux
}

func (a *app) close() {
	_ = a.auth.Close()
	_ = a.client.Close()
}
