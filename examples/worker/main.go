// Command worker is an app with a worker that acts for its users when they are away.
//
// Look at allow: [middleware.Session.Grant] moves the session's refresh token into a record of its own, which outlives
// the logout. Then look at worker.go: with the ID of that record, and without any session, the worker gets a live
// access token whenever it wants one. It also has tokens for itself, the app, and for a service that it works with.
//
//	go run ./examples/worker          # then open the address that it prints
//	go run ./examples/worker -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/examples/internal/embedded"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{
	Name: "worker", Secret: secret, App: newApp, Check: check,
	Provider: func(c *optest.Config) { c.AccessTokenLifetime = 20 * time.Second }, // so that one sees it renewed
}

func main() { demo.Main(program) }

// app is the web app and its worker. Real ones may be two programs: they need the same Store, Keys and client.
type app struct {
	http.Handler
	issuer string
	client *rp.Client
	store  *embedded.Store
	auth   *middleware.Auth
	jobs   *jobs
	worker *worker
}

func newApp(issuer, base string) (http.Handler, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:                issuer,
		ClientID:              "worker",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "offline_access"},
		Resources:             []string{orders},
		Insecure:              rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	store, err := embedded.NewStore()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions and grants outlive a restart
	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{key}, Store: store})
	if err != nil {
		return nil, err
	}
	a := &app{issuer: issuer, client: client, store: store, auth: auth, jobs: newJobs()}
	a.Handler = a.routes()
	a.worker = startWorker(a.client, a.auth, a.jobs, issuer)
	return a, nil
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	a.auth.Register(mux)
	mux.Handle("GET /{$}", a.auth.LoadSession(http.HandlerFunc(a.home)))
	own := http.NewCrossOriginProtection() // the routes of auth look after themselves
	mux.Handle("POST /allow", own.Handler(a.auth.RequireLogin(http.HandlerFunc(a.allow))))
	mux.Handle("POST /withdraw", own.Handler(a.auth.RequireLogin(http.HandlerFunc(a.withdraw))))
	mux.Handle("POST /round", own.Handler(http.HandlerFunc(a.round)))
	mux.Handle("GET /style.css", demo.Style(style))
	mux.Handle("GET /icon.svg", demo.Icon())
	return mux
}

// allow lets the worker act for the user from now on.
func (a *app) allow(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	if a.jobs.grantOf(user{s.Issuer, s.Subject}) != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	grant, err := s.Grant(r.Context())
	switch {
	case errors.Is(err, middleware.ErrLoginRequired): // given away already: the next login brings another refresh token
		http.Redirect(w, r, a.auth.LoginURL("/"), http.StatusSeeOther)
		return
	case err != nil:
		http.Error(w, "not just now", http.StatusServiceUnavailable)
		return
	}
	a.jobs.add(user{s.Issuer, s.Subject}, grant)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// withdraw ends that, and has the tokens revoked.
func (a *app) withdraw(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	if err := a.auth.EndGrant(r.Context(), a.jobs.grantOf(user{s.Issuer, s.Subject})); err != nil {
		http.Error(w, "not just now", http.StatusServiceUnavailable)
		return
	}
	a.jobs.remove(user{s.Issuer, s.Subject})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// round is for the impatient: the worker does its next round now.
func (a *app) round(w http.ResponseWriter, r *http.Request) {
	a.worker.round(r.Context())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// Close ends the worker first: it uses the others.
func (a *app) Close() error {
	a.worker.stop()
	return errors.Join(a.auth.Close(), a.client.Close(), a.store.Close())
}
