package rp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const clientSecret = "canary-secret-of-at-least-sixty-four-bytes-0123456789-0123456789-0123456789"

// newClient returns a client of op; change may alter its configuration.
func newClient(tb testing.TB, op *optest.Server, change func(*rp.Config)) *rp.Client {
	tb.Helper()
	c := rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(clientSecret),
		RedirectURL: "http://127.0.0.1:9/callback", Scopes: []string{"openid", "email", "offline_access"},
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: quiet,
	}
	if change != nil {
		change(&c)
	}
	listen(tb, &c)
	client, err := rp.New(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// listen searches what c logs and reports for what it sends and gets (K01), unless somebody counts.
func listen(tb testing.TB, c *rp.Config) {
	if _, is := tb.(*testing.T); !is || strings.HasPrefix(tb.Name(), "TestAlloc") {
		return
	}
	heard := canary.Listen(tb)
	if c.Logger == quiet {
		c.Logger = heard.Logger()
	}
	if c.Observe == nil {
		c.Observe = func(_ context.Context, e rp.Event) { heard.Value(e) }
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Transport: heard.Transport(nil), Timeout: time.Minute} // it may be a busy machine
	}
}

// newOP returns a provider with the client of newClient.
func newOP(tb testing.TB, c optest.Config) *optest.Server {
	tb.Helper()
	c.ClientID = "app"
	if c.ClientSecret == "" && c.ClientKeys == nil {
		c.ClientSecret = clientSecret
	}
	op := optest.NewServer(c)
	tb.Cleanup(op.Close)
	return op
}

// answer plays the browser: it sends q to the provider and returns the parameters that come back.
func answer(tb testing.TB, q *rp.AuthRequest) url.Values {
	tb.Helper()
	b := optest.NewBrowser(&http.Client{Timeout: time.Minute})
	b.Stop = func(_ string, u *url.URL) bool { return u.Host == "127.0.0.1:9" }
	page, err := b.Open(tb.Context(), q.Redirect().URL)
	if err != nil {
		tb.Fatal(err)
	}
	if q.ResponseMode() == rp.FormPost {
		if forms := page.Forms(); len(forms) == 1 {
			return forms[0].Fields
		}
		tb.Fatalf("status %d: %s", page.Status, page.Body)
	}
	u, err := url.Parse(page.Header.Get("Location"))
	if err != nil {
		tb.Fatal(err)
	}
	if q.ResponseMode() == rp.Query {
		return u.Query()
	}
	params, err := url.ParseQuery(u.Fragment)
	if err != nil {
		tb.Fatal(err)
	}
	return params
}

// login runs the whole flow up to the tokens.
func login(ctx context.Context, tb testing.TB, c *rp.Client, o rp.AuthOptions) (*rp.AuthResponse, *rp.Tokens, error) {
	tb.Helper()
	q, err := c.NewAuthRequest(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	a, err := c.VerifyResponse(ctx, q, answer(tb, q))
	if err != nil {
		return nil, nil, err
	}
	t, err := c.Exchange(ctx, a)
	return a, t, err
}

func TestLoginWithEachResponseTypeAndMode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		responseType rp.ResponseType
		mode         rp.ResponseMode
	}{
		{rp.CodeIDToken, rp.FormPost},
		{rp.CodeIDToken, rp.Fragment},
		{rp.CodeToken, rp.FormPost},
		{rp.CodeIDTokenToken, rp.FormPost},
		{"id_token token code", rp.Fragment},
		{rp.Code, rp.Query},
		{rp.Code, rp.FormPost},
	} {
		t.Run(string(tc.responseType)+" "+string(tc.mode), func(t *testing.T) {
			t.Parallel()
			op := newOP(t, optest.Config{OddKeys: true})
			client := newClient(t, op, func(c *rp.Config) { c.ResponseType, c.ResponseMode = tc.responseType, tc.mode })
			a, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if (a.IDToken() != nil) != (tokens.First() != nil) {
				t.Error("the first ID Token is lost")
			}
			var claims struct {
				Sub string `json:"sub"`
			}
			if err := tokens.Claims(&claims); err != nil || claims.Sub != "alice" {
				t.Errorf("claims %+v, %v", claims, err)
			}
			u, err := client.UserInfo(t.Context(), tokens)
			if err != nil || u.Subject != "alice" {
				t.Errorf("userinfo: %v", err)
			}
			next, err := client.Refresh(t.Context(), tokens, rp.Target{})
			if err != nil {
				t.Fatal(err)
			}
			if next.OAuth2().AccessToken == tokens.OAuth2().AccessToken {
				t.Error("the refresh brought the same access token")
			}
			if _, err := client.Exchange(t.Context(), a); !errors.Is(err, rp.ErrCodeSpent) {
				t.Errorf("the code passes twice: %v", err)
			}
			if n := op.Calls("/oauth/token"); n != 2 {
				t.Errorf("token endpoint called %d times", n)
			}
		})
	}
}

func TestImplicitIDTokenHasNothingToExchange(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, func(c *rp.Config) { c.ResponseType = rp.ImplicitIDToken })
	a, _, err := login(t.Context(), t, client, rp.AuthOptions{})
	if a == nil || a.IDToken().Subject != "alice" || !errors.Is(err, rp.ErrNoCode) {
		t.Fatalf("%v, %v", a, err)
	}
	if n := op.Calls("/oauth/token"); n != 0 {
		t.Errorf("token endpoint called %d times", n)
	}
}
