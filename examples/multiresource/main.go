// Command multiresource is an app whose backend calls several APIs behind one provider, each with a token of its own.
//
// Look at clients: there is one for each API, made once for the process. An API gets a token that is good for it and for
// no other (RFC 8707), got with the session's one refresh token and kept in the session. The user has agreed to the first
// two at the login; look at show for the third: its error becomes a login that asks for one more, and comes back.
//
//	go run ./examples/multiresource          # then open the address that it prints
//	go run ./examples/multiresource -check   # plays the browser itself
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const secret = "only-for-the-provider-of-this-example"

// The APIs. The provider of this example plays all of them, and each refuses a token that is for another one.
const (
	orders   = "https://orders.example"
	invoices = "https://invoices.example"
	payroll  = "https://payroll.example"
	unknown  = "https://unknown.example" // to the provider
)

var program = demo.Program{
	Name: "multiresource", Secret: secret, App: newApp, Check: check,
	Provider: func(c *optest.Config) { c.Resources = []string{orders, invoices, payroll} },
}

func main() { demo.Main(program) }

type app struct {
	http.Handler
	issuer  string
	client  *rp.Client
	auth    *middleware.Auth
	clients map[string]*http.Client // by API
}

func newApp(issuer, base string) (http.Handler, error) {
	a := &app{issuer: issuer}
	var err error
	a.client, err = rp.New(context.Background(), rp.Config{
		Issuer:                issuer,
		ClientID:              "multiresource",
		ClientAuth:            rp.SecretBasic(secret),
		RedirectURL:           base + "/auth/callback",
		PostLogoutRedirectURL: base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "offline_access"},
		Resources:             []string{orders, invoices}, // what the login asks for
		Insecure:              rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions outlive a restart
	a.auth, err = middleware.New(middleware.Config{Client: a.client, Keys: [][]byte{key}})
	if err != nil {
		return nil, err
	}
	a.clients = map[string]*http.Client{}
	for _, api := range []string{orders, invoices, payroll, unknown} {
		transport := a.auth.TransportFor(rp.Target{Resource: api}, nil, issuer) // issuer: where this API is
		a.clients[api] = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	}
	a.Handler = a.routes()
	return a, nil
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	a.auth.Register(mux)
	mux.Handle("GET /{$}", a.auth.LoadSession(http.HandlerFunc(a.home)))
	mux.Handle("GET /two", a.auth.RequireTokens(a.show(orders, invoices)))
	mux.Handle("GET /three", a.auth.RequireTokens(a.show(orders, invoices, payroll)))
	mux.Handle("GET /unknown", a.auth.RequireTokens(a.show(orders, unknown)))
	mux.Handle("GET /style.css", demo.Style(style))
	mux.Handle("GET /icon.svg", demo.Icon())
	return mux
}

// show calls some APIs.
func (a *app) show(apis ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What happens if a bug, or an API that is not honest, uses one API's token at another one.
		mixed, err := a.call(r, a.clients[orders], invoices)
		if err != nil {
			http.Error(w, "the API cannot be reached", http.StatusBadGateway)
			return
		}
		v := view{Mixed: &mixed}
		for _, api := range apis {
			answer, err := a.call(r, a.clients[api], api)
			if a.auth.StepUp(w, r, err) { // the user has not agreed to this one yet: the provider asks, and we come back
				return
			}
			if err != nil {
				http.Error(w, "the API cannot be reached", http.StatusBadGateway)
				return
			}
			v.Answers = append(v.Answers, answer)
		}
		a.render(w, r, v)
	})
}

// call asks an API what it says about the token that it gets.
func (a *app) call(r *http.Request, client *http.Client, api string) (answer, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, a.issuer+"/api?resource="+url.QueryEscape(api), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	return read(api, response)
}

// Close waits for refreshes under way.
func (a *app) Close() error { return errors.Join(a.auth.Close(), a.client.Close()) }
