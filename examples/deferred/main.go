// Command deferred is an app that lets its user in at once, however slow the provider's token endpoint is.
//
// Look at ExchangeOnDemand: the first ID Token came with the browser and has passed every check. That is a login, and
// what needs no more than the user works from now on. The code waits, sealed, in the session, and is redeemed once for
// the whole fleet: when somebody first needs a token (RequireTokens), or by the first request after half of its life,
// which does not wait for it.
//
//	go run ./examples/deferred          # then open the address that it prints, and make the provider slow
//	go run ./examples/deferred -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/examples/internal/embedded"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{Name: "deferred", Secret: secret, Stage: newApp, Check: check}

func main() { demo.Main(program) }

type app struct {
	http.Handler
	issuer   string
	client   *rp.Client
	store    *embedded.Store
	auth     *middleware.Auth
	api      *http.Client
	notes    notes
	endpoint *endpoint // of the provider, to be made slow
	login    atomic.Int64
}

func newApp(op *optest.Server, base string) (http.Handler, error) {
	a := &app{issuer: op.URL, endpoint: newEndpoint(op)}
	var err error
	a.client, err = rp.New(context.Background(), rp.Config{
		Issuer:                op.URL,
		ClientID:              "deferred",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "offline_access"},
		Insecure:              rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	if a.store, err = embedded.NewStore(); err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions outlive a restart
	a.auth, err = middleware.New(middleware.Config{
		Client:       a.client,
		Keys:         [][]byte{key},
		Store:        a.store,
		Exchange:     middleware.ExchangeOnDemand,
		CodeLifetime: codeLifetime,
		Observe:      a.observe,
	})
	if err != nil {
		return nil, err
	}
	a.api = &http.Client{Transport: a.auth.Transport(nil, op.URL), Timeout: 10 * time.Second}
	a.Handler = a.routes()
	return a, nil
}

// codeLifetime is shorter than the 60 s for which most providers take a code. A real app leaves it at its default, 50 s.
const codeLifetime = 40 * time.Second

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	a.auth.Register(mux)
	mux.Handle("GET /{$}", a.auth.LoadSession(http.HandlerFunc(a.home)))
	mux.Handle("GET /orders", a.auth.RequireTokens(http.HandlerFunc(a.orders))) // waits for the token
	own := http.NewCrossOriginProtection()                                      // the routes of auth look after themselves
	mux.Handle("POST /note", own.Handler(a.auth.RequireLogin(http.HandlerFunc(a.note))))
	mux.Handle("POST /provider", own.Handler(a.endpoint))
	mux.Handle("GET /style.css", demo.Style(style))
	mux.Handle("GET /icon.svg", demo.Icon())
	return mux
}

// note needs to know the user, and nothing else.
func (a *app) note(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	a.notes.add(s.Issuer+" "+s.Subject, r.PostFormValue("text"))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// observe remembers how long the last login took, from the provider's answer to the session.
func (a *app) observe(_ context.Context, e rp.Event) {
	if e.Name == "login" {
		a.login.Store(int64(e.Took))
	}
}

// Close waits for a redemption under way.
func (a *app) Close() error {
	return errors.Join(a.auth.Close(), a.client.Close(), a.store.Close())
}

// notes are what a real app has in its database.
type notes struct {
	mu  sync.Mutex // guards all
	all map[string][]string
}

const maxNotes = 5

func (n *notes) add(user, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string][]string{}
	}
	if text = text[:min(len(text), 200)]; text != "" && len(n.all[user]) < maxNotes {
		n.all[user] = append(n.all[user], text)
	}
}

func (n *notes) of(user string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[user]
}
