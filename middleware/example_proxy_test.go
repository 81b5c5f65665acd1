package middleware_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// A page that runs in the browser calls an API through the app, which adds the user's access token. No token, cookie or
// header that names a user gets from one to the other.
func ExampleStripRequest() {
	provider := optest.NewServer(optest.Config{})
	defer provider.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "api=1")
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		_, _ = fmt.Fprintf(w, "%s with a %s token and cookies %q", r.URL.Path, scheme, r.Header.Get("Cookie"))
	}))
	defer api.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	auth, err := newAuth(provider.URL, app.URL, middleware.Config{})
	if err != nil {
		log.Fatal(err)
	}
	auth.Register(mux)

	if err := proxy(mux, auth, "/api", api.URL); err != nil {
		log.Fatal(err)
	}

	browser := optest.NewBrowser(nil)
	page, err := browser.Open(context.Background(), app.URL+"/api/orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Status, page.Header["Set-Cookie"])
	fmt.Println(page.Text())
	// Output:
	// 200 []
	// /orders with a Bearer token and cookies ""
}

// proxy is all of it: CrossOriginProtection keeps other sites from posting with the user's cookies.
func proxy(mux *http.ServeMux, auth *middleware.Auth, prefix, api string) error {
	target, err := url.Parse(api)
	forward := &httputil.ReverseProxy{
		Transport:      auth.Transport(nil, api),
		Rewrite:        func(r *httputil.ProxyRequest) { middleware.StripRequest(r.Out); r.SetURL(target) },
		ModifyResponse: middleware.StripResponse,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !auth.StepUp(w, r, err) {
				http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
			}
		},
	}
	mux.Handle(prefix+"/", http.NewCrossOriginProtection().Handler(auth.RequireTokens(http.StripPrefix(prefix, forward))))
	return err
}

// A check for a claim that is an object, such as Keycloak's realm_access. A missing or odd claim is no.
func ExampleCheck() {
	hasRole := func(role string) middleware.Check {
		return func(_ *http.Request, s *middleware.Session) error {
			var claims struct {
				Realm struct {
					Roles []string `json:"roles"`
				} `json:"realm_access"`
			}
			if err := s.Claims(&claims); err != nil {
				return err
			}
			for _, have := range claims.Realm.Roles {
				if have == role {
					return nil
				}
			}
			return &middleware.Refusal{Text: "This page is for " + role + "s."}
		}
	}
	s := middleware.NewSession(map[string]any{"sub": "alice", "realm_access": map[string]any{"roles": []string{"editor"}}}, nil)
	fmt.Println(hasRole("editor")(nil, s), "/", hasRole("admin")(nil, s))
	// Output: <nil> / refused: This page is for admins.
}

// Two things are asked for before a payment: a login with a second factor, and one of the last five minutes. Who has
// not logged in so is sent to the provider, once.
func ExampleAll() {
	provider := optest.NewServer(optest.Config{})
	defer provider.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	auth, err := newAuth(provider.URL, app.URL, middleware.Config{})
	if err != nil {
		log.Fatal(err)
	}
	auth.Register(mux)
	strong := middleware.All(middleware.HasACR("urn:example:mfa"), middleware.MaxAge(5*time.Minute))
	mux.Handle("GET /pay", auth.Require(strong, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "You came with "+middleware.FromContext(r.Context()).ACR)
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/pay")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Text())
	// Output: You came with urn:example:mfa
}
