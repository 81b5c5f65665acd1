package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// The Hybrid Flow as Auth0 and servers of its kind document it, one row for each sentence. The provider at tenant.test
// has their habits: its issuer ends in a slash, the routes are /authorize and /oauth/token, the API is named by
// `audience`, refresh tokens come without a consent page, and discovery has members that no specification knows.

// tenant is an app at the Auth0-like provider that asks for an API by audience.
func (w *world) tenant(t *testing.T, name string, o options) *app {
	t.Helper()
	o.host = auth0
	inner := o.middleware
	o.middleware = func(c *middleware.Config) {
		c.AuthOptions = rp.AuthOptions{Extra: url.Values{"audience": {w.api.url + "/orders"}}}
		if inner != nil {
			inner(c)
		}
	}
	return w.app(t, name, o)
}

func TestAuth0TheIssuerEndsInASlash(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-slash", options{})
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	issuer := w.provider.issuers[auth0]
	if !strings.HasSuffix(issuer, "/") {
		t.Fatalf("the issuer is %q", issuer)
	}
	l := a.last()
	if l.tokens.First().Issuer != issuer || l.tokens.IDToken().Issuer != issuer {
		t.Errorf("ID Tokens of %q and %q, want %q", l.tokens.First().Issuer, l.tokens.IDToken().Issuer, issuer)
	}
	b.quiet()
}

func TestAuth0TheRoutesAreAuthorizeAndOAuthToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-routes", options{})
	a.signIn(w.profile(t), "/account", "alice")
	if requests, calls := a.requests(), a.tokenCalls(); len(requests) != 1 || len(calls) != 1 || calls[0].Status != http.StatusOK {
		t.Errorf("/authorize: %d, /oauth/token: %+v", len(requests), calls)
	}
}

// TestAuth0TypesAndModes: the application gets an ID Token (and an access token) with the code at once, by form_post or
// in the fragment, and redeems the code for the second pair.
func TestAuth0TypesAndModes(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		kind rp.ResponseType
		mode rp.ResponseMode
	}{
		{"a0-code-id-token-form-post", rp.CodeIDToken, rp.FormPost},
		{"a0-code-id-token-fragment", rp.CodeIDToken, rp.Fragment},
		{"a0-code-id-token-token-form-post", rp.CodeIDTokenToken, rp.FormPost},
		{"a0-code-id-token-token-fragment", rp.CodeIDTokenToken, rp.Fragment},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			a := w.tenant(t, row.name, options{client: func(c *rp.Config) { c.ResponseType, c.ResponseMode = row.kind, row.mode }})
			b := w.profile(t)
			a.signIn(b, "/account", "alice")
			a.asked(row.kind, row.mode)
			a.answered(row.kind)
			a.exchanged("client_secret_basic")
			b.quiet()
			a.healthy()
		})
	}
}

func TestAuth0TheAudienceNamesTheAPI(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-audience", options{})
	b := w.profile(t)
	a.signIn(b, "/orders", "alice")
	if got := a.requests()[0].Query["audience"]; got != w.api.url+"/orders" {
		t.Errorf("audience is %q", got)
	}
	if got := b.text("#answer"); !strings.Contains(got, w.api.url+"/orders") {
		t.Errorf("the API sees %s", got)
	}
	a.healthy()
}

func TestAuth0DiscoveryHasFurtherMembers(t *testing.T) {
	t.Parallel()
	w := start(t)
	answer, err := w.httpClient().Get(w.provider.issuers[auth0] + ".well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var members map[string]any
	body, _ := io.ReadAll(answer.Body)
	if err := json.Unmarshal(body, &members); err != nil || members["global_token_revocation_endpoint"] == nil {
		t.Fatalf("discovery: %v %s", err, body)
	}
	w.tenant(t, "a0-discovery", options{}).signIn(w.profile(t), "/account", "alice")
}

func TestAuth0ClientSecretOrPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"client_secret_post", "private_key_jwt"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			a := w.tenant(t, "a0-"+strings.ReplaceAll(method, "_", "-"), options{method: method})
			a.signIn(w.profile(t), "/account", "alice")
			a.exchanged(method)
		})
	}
}

// TestAuth0WithoutRefreshToken: the token answer has one only if offline_access was asked for.
func TestAuth0WithoutRefreshToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-no-refresh", options{})
	b := w.profile(t)
	a.signIn(b, "/orders", "alice")
	if calls := a.tokenCalls(); len(calls) != 1 || calls[0].Refresh {
		t.Errorf("token calls: %+v", calls)
	}
	if got := a.last().tokens.OAuth2().RefreshToken; got != "" {
		t.Error("the tokens have a refresh token")
	}
	a.orders(b)
}

func TestAuth0WithRefreshToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-refresh", options{client: func(c *rp.Config) { c.Scopes = append(c.Scopes, "offline_access") }})
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	before := a.orders(b)
	b.open(a.url + "/account")
	b.click("#refresh")
	b.see("#sub")
	if after := a.orders(b); after == before {
		t.Error("the API gets the same access token after the refresh")
	}
	if calls := a.tokenCalls(); len(calls) != 2 || calls[1].Grant != "refresh_token" || calls[1].Status != http.StatusOK {
		t.Errorf("token calls: %+v", calls)
	}
	a.healthy()
}

// TestAuth0TheSecondAccessTokenCallsTheAPI: the front-channel token may differ from the second one, and only the second
// one is for APIs.
func TestAuth0TheSecondAccessTokenCallsTheAPI(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-second", options{client: func(c *rp.Config) { c.ResponseType = rp.CodeIDTokenToken }})
	var first string
	w.apps.intercept(a.name, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Path == "/auth/callback" {
			first = accessToken(r)
		}
		return false
	})
	a.signIn(w.profile(t), "/orders", "alice")
	got := w.api.accepted(a.name)
	if want := a.last().tokens.OAuth2().AccessToken; len(got) != 1 || got[0] != want || first == "" || first == want {
		t.Errorf("the API got %d tokens; the second one: %v; both channels gave the same: %v", len(got), len(got) == 1 && got[0] == want, first == want)
	}
}

// accessToken reads a form without taking it from the handler.
func accessToken(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	form, _ := url.ParseQuery(string(body))
	return form.Get("access_token")
}

// TestAuth0SignOnOnly: the app that wants no API never calls the token endpoint.
func TestAuth0SignOnOnly(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-sign-on", options{middleware: func(c *middleware.Config) { c.Exchange = middleware.ExchangeNever }})
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	b.open(a.url + "/account")
	if got := b.text("#name"); got != "alice of the tests" {
		t.Errorf("the app sees %q", got)
	}
	b.click("#logout")
	b.see("#end")
	if all := w.provider.logouts(t, a.url); len(all) != 1 || all[0].Query["id_token_hint"] == "" {
		t.Errorf("logouts: %+v", all)
	}
	if calls := a.tokenCalls(); len(calls) != 0 {
		t.Errorf("the token endpoint was called: %+v", calls)
	}
	if l := a.last(); !l.front || l.tokens != nil {
		t.Errorf("the hooks saw %+v", l)
	}
}

// TestAuth0LegacyClientWithHS256: its ID Tokens are signed with the client secret.
func TestAuth0LegacyClientWithHS256(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-legacy", options{
		metadata: map[string]any{"id_token_signed_response_alg": "HS256"},
		client:   func(c *rp.Config) { c.IDTokenAlgorithm = "HS256" },
	})
	a.signIn(w.profile(t), "/account", "alice")
	l := a.last()
	if got := []string{l.tokens.First().Receipt().Algorithm, l.tokens.IDToken().Receipt().Algorithm}; !slices.Equal(got, []string{"HS256", "HS256"}) {
		t.Errorf("algorithms: %q", got)
	}
}

// TestAuth0AnHS256TokenIsRefusedUnlessConfigured: the same client without the setting. The code is not redeemed.
func TestAuth0AnHS256TokenIsRefusedUnlessConfigured(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.tenant(t, "a0-not-legacy", options{metadata: map[string]any{"id_token_signed_response_alg": "HS256"}})
	b := w.profile(t)
	b.open(a.url + "/account")
	a.identify(b, "alice")
	b.click("#allow")
	b.see("a[href]")
	if got := b.where(); got != a.url+"/auth/callback" {
		t.Errorf("the browser is at %s", got)
	}
	if calls := a.tokenCalls(); len(calls) != 0 || len(a.session(b)) != 0 {
		t.Errorf("token calls %+v, session cookies %q", calls, a.session(b))
	}
	b.looks("error-algorithm")
}

// TestSeveralResources: a server with several resources (RFC 8707). The login asks for two, and each API gets a token
// of its own from the one refresh token; none is taken by the other API.
func TestSeveralResources(t *testing.T) {
	t.Parallel()
	w := start(t)
	orders, stock := w.api.url+"/orders", w.api.url+"/stock"
	a := w.app(t, "resources", options{
		client: func(c *rp.Config) {
			c.Scopes = append(c.Scopes, "offline_access", "orders:read", "stock:read")
			c.Resources = []string{orders, stock}
		},
		middleware: func(c *middleware.Config) { c.AuthOptions = rp.AuthOptions{Prompt: "consent"} },
	})
	a.signIn(w.profile(t), "/account", "alice")
	tokens := a.last().tokens
	status := func(api string) int {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+tokens.OAuth2().AccessToken)
		answer, err := w.httpClient().Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	for _, row := range []struct {
		resource, other string
	}{{stock, orders}, {orders, stock}} {
		next, err := a.rp.Refresh(t.Context(), tokens, rp.Target{Resource: row.resource})
		if err != nil {
			t.Fatalf("a token for %s: %v", row.resource, err)
		}
		tokens = next
		if here, there := status(row.resource), status(row.other); here != http.StatusOK || there != http.StatusUnauthorized {
			t.Errorf("a token for %s: %d there, %d at the other API", row.resource, here, there)
		}
	}
}
