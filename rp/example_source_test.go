package rp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// exampleClient returns a client of op.
func exampleClient(op *optest.Server) *rp.Client {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic("secret"), RedirectURL: "http://127.0.0.1:9/callback",
		Scopes: []string{"openid", "offline_access"}, Resources: []string{"https://orders.example", "https://billing.example"},
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// exampleLogin logs somebody in.
func exampleLogin(client *rp.Client) *rp.Tokens {
	ctx := context.Background()
	q, err := client.NewAuthRequest(ctx, rp.AuthOptions{})
	if err != nil {
		log.Fatal(err)
	}
	browser := optest.NewBrowser(nil)
	browser.Stop = func(_ string, u *url.URL) bool { return u.Host == "127.0.0.1:9" }
	page, err := browser.Open(ctx, q.Redirect().URL)
	if err != nil {
		log.Fatal(err)
	}
	a, err := client.VerifyResponse(ctx, q, page.Forms()[0].Fields)
	if err != nil {
		log.Fatal(err)
	}
	t, err := client.Exchange(ctx, a)
	if err != nil {
		log.Fatal(err)
	}
	return t
}

// A job at night needs no user: it calls an API as itself. One source for all goroutines; the token is fetched once.
func ExampleClient_ClientCredentials() {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	client := exampleClient(op)
	defer func() { _ = client.Close() }()

	source := client.ClientCredentials(rp.Target{Resource: "https://orders.example", Scopes: []string{"orders:read"}})
	api := &http.Client{Transport: rp.Transport(source, nil, op.URL)}
	for range 3 {
		resp, err := api.Get(op.URL + "/api?resource=https://orders.example&scope=orders:read")
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("tokens fetched:", op.Calls("/oauth/token"))
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// tokens fetched: 1
}

// An API that was called with a user's token must call the next one: it exchanges the token for one that is good there,
// and for less.
func ExampleClient_TokenExchange() {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	client := exampleClient(op)
	defer func() { _ = client.Close() }()
	incoming := exampleLogin(client).OAuth2().AccessToken // stands for what a request brought, and you have verified

	token, err := client.TokenExchange(context.Background(), rp.TokenExchange{
		SubjectToken: incoming,
		Target:       rp.Target{Resource: "https://stock.example", Scopes: []string{"openid"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodGet, op.URL+"/api?resource=https://stock.example", http.NoBody)
	token.SetAuthHeader(r)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, strings.Contains(string(body), `"sub":"alice"`))

	_, err = client.TokenExchange(context.Background(), rp.TokenExchange{SubjectToken: "Bearer " + incoming})
	fmt.Println(err)
	// Output:
	// 200 OK true
	// rp: token exchange: invalid options: SubjectToken: give the token alone, without the scheme that stands before it in a header
}

// An app that keeps its users' tokens in a table of its own. Seal what you write there: Bytes is secret.
func ExampleClient_TokenSource() {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	client := exampleClient(op)
	defer func() { _ = client.Close() }()
	table := map[string][]byte{"alice": exampleLogin(client).Bytes()}

	// Later, in a worker:
	tokens, err := client.ParseTokens(table["alice"])
	if err != nil {
		log.Fatal(err)
	}
	source := client.TokenSource(tokens, func(_ context.Context, t *rp.Tokens) error {
		table["alice"] = t.Bytes() // the old refresh token is worth nothing any more
		fmt.Println("saved")
		return nil
	})
	for _, resource := range []string{"https://orders.example", "https://billing.example", "https://orders.example"} {
		token, err := source.For(rp.Target{Resource: resource}).Token(context.Background())
		switch e, refused := errors.AsType[*rp.Error](err); {
		case refused && e.Code == "invalid_grant":
			fmt.Println("alice has to log in again")
		case err != nil:
			fmt.Println("later:", rp.ErrorCode(err))
		default:
			fmt.Println(resource, token.Type())
		}
	}
	fmt.Println("refreshed", op.Calls("/oauth/token")-1, "times")
	// Output:
	// saved
	// https://orders.example Bearer
	// saved
	// https://billing.example Bearer
	// https://orders.example Bearer
	// refreshed 2 times
}

// perRPC is what google.golang.org/grpc/credentials.PerRPCCredentials wants, without importing it.
type perRPC struct {
	source  rp.TokenSource
	service string // the one that the token is for, e.g. "https://orders.example:443/shop.Orders"
}

// GetRequestMetadata is called for each call, with the service's URI.
func (c perRPC) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if len(uri) != 1 || uri[0] != c.service {
		return nil, rp.ErrOrigin // one connection may serve several names
	}
	token, err := c.source.Token(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token.AccessToken}, nil
}

// RequireTransportSecurity keeps the token off plain connections.
func (perRPC) RequireTransportSecurity() bool { return true }

// In gRPC a TokenSource becomes credentials of ten lines, for grpc.WithPerRPCCredentials or grpc.PerRPCCredentials.
// Session.For of package middleware is such a source, too.
func ExampleTokenSource_gRPC() {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	client := exampleClient(op)
	defer func() { _ = client.Close() }()

	credentials := perRPC{
		source:  client.ClientCredentials(rp.Target{Resource: "https://orders.example"}),
		service: "https://orders.example:443/shop.Orders",
	}
	metadata, err := credentials.GetRequestMetadata(context.Background(), "https://orders.example:443/shop.Orders")
	fmt.Println(strings.HasPrefix(metadata["authorization"], "Bearer "), err)
	_, err = credentials.GetRequestMetadata(context.Background(), "https://evil.example:443/shop.Orders")
	fmt.Println(err)
	fmt.Println(credentials.RequireTransportSecurity())
	// Output:
	// true <nil>
	// origin is not one that the token is for
	// true
}

// A library that knows x/oauth2 takes a TokenSource too. Its context bounds each fetch.
func ExampleOAuth2TokenSource() {
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: "secret"}) // stands for your provider
	defer op.Close()
	client := exampleClient(op)
	defer func() { _ = client.Close() }()

	source := rp.OAuth2TokenSource(context.Background(), client.ClientCredentials(rp.Target{}))
	token, err := source.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}
