package middleware_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// A login from the first click to the page, with a provider and a browser of package optest.
func Example() {
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
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "Hello %s", middleware.FromContext(r.Context()).Subject)
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/account")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Status, page.Text())
	// Output: 200 Hello alice
}

// newAuth is what the examples have in common.
func newAuth(issuer, app string, c middleware.Config) (*middleware.Auth, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer: issuer, ClientID: "app", ClientAuth: rp.SecretBasic("secret"), RedirectURL: app + "/auth/callback",
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // in production the same key for all instances, from a secret store
	c.Client, c.Keys, c.Logger = client, [][]byte{key}, slog.New(slog.DiscardHandler)
	return middleware.New(c)
}

// The hook runs when the first ID Token is verified and the code is not yet spent: the app finds its own user, or
// refuses. What it keeps in Values is in each session.
func ExampleConfig() {
	provider := optest.NewServer(optest.Config{})
	defer provider.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	users := map[string]string{"alice": "user-17"} // by issuer and sub, in a database

	auth, err := newAuth(provider.URL, app.URL, middleware.Config{
		OnIdentity: func(l *middleware.Login) error {
			id, ok := users[l.IDToken.Subject]
			if !ok {
				return &middleware.Refusal{Text: "Ask your administrator for an account."}
			}
			l.Values["user"] = id
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	auth.Register(mux)
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, middleware.FromContext(r.Context()).Value("user"))
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/account")
	if err != nil {
		log.Fatal(err)
	}
	delete(users, "alice")
	refused, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/account")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Status, page.Text())
	fmt.Println(refused.Status, provider.Calls("/oauth/token"), "code redeemed")
	// Output:
	// 200 user-17
	// 403 1 code redeemed
}

// A handler is tested without any provider: the test says who is logged in.
func ExampleNewSession() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := middleware.FromContext(r.Context())
		token, err := s.Token(r.Context())
		if err != nil {
			http.Error(w, "no token", http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintf(w, "%s calls the API with %s", s.Subject, token.AccessToken)
	}

	session := middleware.NewSession(
		map[string]any{"iss": "https://op.example.com", "sub": "alice"},
		&oauth2.Token{AccessToken: "test-token", TokenType: "Bearer"},
	)
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	w := httptest.NewRecorder()
	handler(w, r.WithContext(middleware.NewContext(r.Context(), session)))
	fmt.Println(w.Body)
	// Output: alice calls the API with test-token
}

// A page that changes the password wants a login of the last five minutes. Who has an older one is sent to the
// provider once more.
func ExampleAuth_Require() {
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

	recent := 5 * time.Minute
	check := func(_ *http.Request, s *middleware.Session) error {
		switch {
		case s.Subject == "guest":
			return errors.New("guests have no password")
		case time.Since(s.AuthTime) > recent:
			return &middleware.Challenge{Options: rp.AuthOptions{MaxAge: &recent}}
		}
		return nil
	}
	mux.Handle("GET /password", auth.Require(check, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "Your new password?")
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/password")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Text())
	// Output: Your new password?
}

// One http.Client for the whole process: the request's context names the session, and so the access token. It goes to
// the named origins only.
func ExampleAuth_Transport() {
	provider := optest.NewServer(optest.Config{}) // it has an API too
	defer provider.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	auth, err := newAuth(provider.URL, app.URL, middleware.Config{})
	if err != nil {
		log.Fatal(err)
	}
	auth.Register(mux)

	api := &http.Client{Transport: auth.Transport(nil, provider.URL), Timeout: 10 * time.Second}
	get := func(ctx context.Context, url string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := api.Do(req)
		if err != nil {
			return "", err
		}
		return resp.Status, resp.Body.Close()
	}
	mux.Handle("GET /orders", auth.RequireTokens(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := get(r.Context(), provider.URL+"/api")
		_, _ = fmt.Fprintln(w, "the API:", status, err)
		_, err = get(r.Context(), "https://elsewhere.example.com/")
		_, _ = fmt.Fprintln(w, "elsewhere:", errors.Is(err, rp.ErrOrigin))
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(page.Body))
	// Output:
	// the API: 200 OK <nil>
	// elsewhere: true
}
