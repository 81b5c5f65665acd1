package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestCatalogue runs the public catalogue of attacks against an app of ours, by each response type with an ID Token in
// the answer: what optest promises to its users.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	types := map[rp.ResponseType]string{rp.CodeIDToken: "RS256", rp.CodeIDTokenToken: "ES256"}
	untried := map[string]int{}
	t.Run("types", func(t *testing.T) {
		for responseType, alg := range types {
			t.Run(string(responseType), func(t *testing.T) { tryAll(t, responseType, alg, untried) })
		}
	})
	for name, n := range untried {
		if n == len(types) {
			t.Errorf("%s never took place", name)
		}
	}
}

// tryAll shares one app among the attacks, but for those on what an app reads when it starts. untried counts the attacks
// that did not take place.
func tryAll(t *testing.T, responseType rp.ResponseType, alg string, untried map[string]int) {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: attackSecret, Algorithm: alg})
	t.Cleanup(op.Close)
	shared, err := targetAt(t, op, responseType, alg)
	if err != nil {
		t.Fatal(err)
	}
	for _, attack := range optest.Attacks() {
		t.Run(attack.String(), func(t *testing.T) {
			target, err := shared, error(nil)
			if attack.Cold {
				op.Fault(attack.Fault)
				target, err = targetAt(t, op, responseType, alg)
			}
			if err != nil { // it did not start
				op.Fault(nil)
				if attack.Expect == optest.Accept {
					t.Error(err)
				}
				return
			}
			err = attack.Try(t.Context(), target)
			if errors.Is(err, optest.ErrNotTried) {
				untried[attack.String()]++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// targetAt starts an app whose page /me is for users alone.
func targetAt(t *testing.T, op *optest.Server, responseType rp.ResponseType, alg string) (optest.Target, error) {
	t.Helper()
	heard := canary.Listen(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(heard.Handler(mux))
	t.Cleanup(server.Close)
	client, err := rp.New(t.Context(), rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: server.URL + "/auth/callback",
		ResponseType: responseType, IDTokenAlgorithm: alg, Scopes: []string{"openid", "email", "offline_access"},
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: heard.Logger(),
		HTTPClient: &http.Client{Transport: heard.Transport(nil), Timeout: time.Minute},
		Observe:    func(_ context.Context, e rp.Event) { heard.Value(e) },
	})
	if err != nil {
		return optest.Target{}, err
	}
	t.Cleanup(func() { _ = client.Close() })
	auth, err := middleware.New(middleware.Config{
		Client: client, Keys: [][]byte{attackKey("catalogue")}, Logger: heard.Logger(),
		Observe: func(_ context.Context, e rp.Event) { heard.Value(e) },
	})
	if err != nil {
		return optest.Target{}, err
	}
	t.Cleanup(func() { _ = auth.Close() })
	auth.Register(mux)
	mux.Handle("GET /me", auth.RequireLogin(http.HandlerFunc(whoami)))
	return optest.Target{Provider: op.Handler, Login: server.URL + "/auth/login?return_to=/me", Private: server.URL + "/me"}, nil
}
