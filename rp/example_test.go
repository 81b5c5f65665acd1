package rp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The whole Hybrid Flow without package middleware: two handlers. A real app seals q.Bytes() into a cookie at /login and
// reads it with ParseAuthRequest at /callback; here there is one browser, and a variable will do.
func Example() {
	ctx := context.Background()
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()

	client, err := rp.New(ctx, rp.Config{
		Issuer:      op.URL,
		ClientID:    "app",
		ClientAuth:  rp.SecretBasic("secret"),
		RedirectURL: app.URL + "/callback",
		Scopes:      []string{"openid", "offline_access"},
		Insecure:    rp.Insecure{PlainHTTP: true}, // the provider is on this machine
		Logger:      quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	var q *rp.AuthRequest
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		if q, err = client.NewAuthRequest(r.Context(), rp.AuthOptions{}); err != nil {
			http.Error(w, rp.ErrorCode(err), http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, q.Redirect().URL, http.StatusFound)
	})
	mux.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "parameters", http.StatusBadRequest)
			return
		}
		// The first channel: the code in this answer is worth nothing until all of it was verified.
		a, err := client.VerifyResponse(r.Context(), q, r.PostForm)
		if err != nil {
			http.Error(w, rp.ErrorCode(err), http.StatusForbidden)
			return
		}
		// The second channel: the code is spent, and both ID Tokens must match.
		t, err := client.Exchange(r.Context(), a)
		if err != nil {
			http.Error(w, rp.ErrorCode(err), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "first %s, second %s, refresh token %t",
			a.IDToken().Subject, t.IDToken().Subject, t.OAuth2().RefreshToken != "")
	})

	page, err := optest.NewBrowser(nil).Open(ctx, app.URL+"/login")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Status, string(page.Body))
	// Output: 200 first alice, second alice, refresh token true
}

// What was checked in an ID Token, in order. A receipt holds no secret and may be logged.
func ExampleConfig_observe() {
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	client, err := rp.New(context.Background(), rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.Public(), RedirectURL: "http://127.0.0.1:9/callback",
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: quiet,
		Observe: func(_ context.Context, e rp.Event) {
			fmt.Printf("%s %q\n", e.Name, e.Code)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	q, err := client.NewAuthRequest(context.Background(), rp.AuthOptions{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.VerifyResponse(context.Background(), q, url.Values{"state": {"guessed"}, "code": {"x"}})
	fmt.Println(errors.Is(err, rp.ErrState))
	// Output:
	// discovery ""
	// auth_request ""
	// auth_response "state"
	// true
}

// staticSource is a TokenSource for the example.
type staticSource string

func (s staticSource) Token(context.Context) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: string(s)}, nil
}

// A token goes to the origins that it is for, and nowhere else: not even where an API redirects to.
func ExampleTransport() {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, other.URL, http.StatusFound)
			return
		}
		_ = json.NewEncoder(w).Encode(r.Header.Get("Authorization"))
	}))
	defer api.Close()

	client := &http.Client{Transport: rp.Transport(staticSource("token"), nil, api.URL)}
	resp, err := client.Get(api.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var seen string
	_ = json.NewDecoder(resp.Body).Decode(&seen)
	fmt.Println(seen)

	_, err = client.Get(api.URL + "/moved")
	fmt.Println(errors.Is(err, rp.ErrOrigin))
	_, err = client.Get(other.URL)
	fmt.Println(errors.Is(err, rp.ErrOrigin))
	// Output:
	// Bearer token
	// true
	// true
}

// A message of the provider becomes an *Error; its code decides what the user is told.
func ExampleError() {
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	client, err := rp.New(context.Background(), rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.Public(), RedirectURL: "http://127.0.0.1:9/callback",
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	q, err := client.NewAuthRequest(context.Background(), rp.AuthOptions{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.VerifyResponse(context.Background(), q, url.Values{
		"state": {q.State()}, "error": {"access_denied"}, "error_description": {"the user said no\r\n"},
	})
	if e, ok := errors.AsType[*rp.Error](err); ok {
		fmt.Println(e.Code, rp.ErrorCode(err))
	}
	fmt.Println(err)
	// Output:
	// access_denied provider_error
	// rp: authorization response: provider answered access_denied: "the user said no??"
}
