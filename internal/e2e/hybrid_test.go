package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// TestHybrid logs in with each client authentication and each hybrid type and mode, and looks at both channels.
func TestHybrid(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, method string
		kind         rp.ResponseType
		mode         rp.ResponseMode
	}{
		{"basic", "client_secret_basic", rp.CodeIDToken, rp.FormPost},
		{"post", "client_secret_post", rp.CodeIDToken, rp.FormPost},
		{"jwt", "client_secret_jwt", rp.CodeIDToken, rp.FormPost},
		{"key", "private_key_jwt", rp.CodeIDToken, rp.FormPost},
		{"basic-code-token", "client_secret_basic", rp.CodeToken, rp.FormPost},
		{"basic-all-three", "client_secret_basic", rp.CodeIDTokenToken, rp.FormPost},
		{"fragment", "client_secret_basic", rp.CodeIDToken, rp.Fragment},
		{"fragment-code-token", "client_secret_basic", rp.CodeToken, rp.Fragment},
		{"fragment-all-three", "private_key_jwt", rp.CodeIDTokenToken, rp.Fragment},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			a := w.app(t, row.name, options{method: row.method, client: func(c *rp.Config) { c.ResponseType, c.ResponseMode = row.kind, row.mode }})
			b := w.profile(t)
			a.signIn(b, "/account", "alice")
			if sub, email := b.text("#sub"), b.text("#email"); sub != "alice" || email != "alice@example.test" {
				t.Errorf("the app sees sub %q and email %q", sub, email)
			}
			a.asked(row.kind, row.mode)
			a.answered(row.kind)
			a.exchanged(row.method)
			b.quiet()
			a.healthy()
		})
	}
}

// asked checks the authorization request that the provider got.
func (a *app) asked(kind rp.ResponseType, mode rp.ResponseMode) {
	a.t.Helper()
	all := a.requests()
	if len(all) != 1 {
		a.t.Fatalf("the provider got %d authorization requests, want 1", len(all))
	}
	q := all[0].Query
	if got := strings.Fields(q["response_type"]); !slices.Equal(got, strings.Fields(string(kind))) {
		a.t.Errorf("response_type is %q, want %q", got, kind)
	}
	want := map[rp.ResponseMode]string{rp.FormPost: "form_post", rp.Fragment: ""}[mode] // a default mode is not sent
	if q["response_mode"] != want {
		a.t.Errorf("response_mode is %q, want %q", q["response_mode"], want)
	}
	if q["code_challenge_method"] != "S256" || len(q["code_challenge"]) != 43 {
		a.t.Errorf("no PKCE: method %q, challenge %q", q["code_challenge_method"], q["code_challenge"])
	}
	if len(q["state"]) < 22 || len(q["nonce"]) < 22 || q["state"] == q["nonce"] {
		a.t.Errorf("state %q and nonce %q are not two secrets of 128 bits", q["state"], q["nonce"])
	}
}

// answered checks the callback: one POST, with the transaction cookie and without a session cookie, and what the hook
// saw of the front channel.
func (a *app) answered(kind rp.ResponseType) {
	a.t.Helper()
	posts := a.callbacks()
	if len(posts) != 1 {
		a.t.Fatalf("the app got %d callback POSTs, want 1", len(posts))
	}
	if got := posts[0].of(transactions); len(got) != 1 {
		a.t.Errorf("the callback brings the cookies %q, want one transaction cookie", posts[0].cookies)
	}
	if got := posts[0].of(identities, tokenParts); len(got) != 0 {
		a.t.Errorf("the callback brings the session cookies %q", got)
	}
	l := a.last()
	if want := kind != rp.CodeToken; l.front != want {
		a.t.Errorf("the identity came by the front channel: %v, want %v", l.front, want)
	}
	if l.tokens == nil {
		a.t.Fatal("OnTokens was not called")
	}
	if first := l.tokens.First(); (first != nil) != (kind != rp.CodeToken) {
		a.t.Errorf("first ID Token there: %v, response type %q", first != nil, kind)
	}
	if second := l.tokens.IDToken(); second == nil || second.Subject != "alice" {
		a.t.Errorf("second ID Token: %v", second)
	}
}

// exchanged checks the one call to the token endpoint.
func (a *app) exchanged(method string) {
	a.t.Helper()
	all := a.tokenCalls()
	if len(all) != 1 {
		a.t.Fatalf("the token endpoint was called %d times, want once: %+v", len(all), all)
	}
	c := all[0]
	if c.Status != http.StatusOK || c.Grant != "authorization_code" || c.Method != method {
		a.t.Errorf("token call: %+v", c)
	}
	if !slices.Contains(c.Parameters, "code_verifier") {
		a.t.Errorf("no code_verifier among %q", c.Parameters)
	}
	if basic := method == "client_secret_basic"; (c.Authorization == "basic") != basic || slices.Contains(c.Parameters, "client_id") == basic {
		a.t.Errorf("%s: Authorization %q, parameters %q", method, c.Authorization, c.Parameters)
	}
	if slices.Contains(c.Parameters, "client_secret") != (method == "client_secret_post") {
		a.t.Errorf("%s: parameters %q", method, c.Parameters)
	}
	if strings.HasSuffix(method, "_jwt") && (c.Assertion["aud"] != a.w.provider.issuers[a.host] || c.Assertion["iss"] != a.name || c.Assertion["jti"] == "") {
		a.t.Errorf("%s: assertion %v", method, c.Assertion)
	}
}

// TestSecondLogin: with a session there, the form_post brings the transaction cookie only, and the session's cookie is
// there again in the request after the 303.
func TestSecondLogin(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "second-login", options{})
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	before := b.cookies(a.url)
	b.open(a.url + "/auth/login?return_to=/account")
	b.see("#sub") // the provider knows the user: it asks nothing
	posts := a.callbacks()
	if len(posts) != 2 {
		t.Fatalf("%d callbacks, want 2", len(posts))
	}
	// The first login's cookie is there too: it marks that login as done.
	if got := posts[1]; len(got.of(identities, tokenParts)) != 0 || len(got.of(transactions)) != 2 {
		t.Errorf("the second callback brings %q", got.cookies)
	}
	pages := w.apps.visits(a.name, http.MethodGet, "/account")
	if got := pages[len(pages)-1]; len(got.of(identities, tokenParts)) == 0 {
		t.Errorf("the request after the 303 brings %q", got.cookies)
	}
	for name, c := range b.cookies(a.url) {
		if isKind(name, identities, tokenParts) && c.Value == before[name].Value {
			t.Errorf("cookie %s survives a login unchanged", name)
		}
	}
}

// TestCookieAttributes reads from Chromium what it stored.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "cookies", options{})
	b := w.profile(t)
	b.open(a.url + "/account")
	a.atProvider(b)
	seen := 0
	for name, c := range b.cookies(a.url) {
		seen++
		if !strings.HasPrefix(name, "__Host-") || !c.Secure || !c.HTTPOnly || c.SameSite != "None" || c.Path != "/" {
			t.Errorf("transaction cookie: %+v", c)
		}
	}
	if seen != 1 {
		t.Errorf("%d cookies at the start of a login, want the transaction's", seen)
	}
	a.identify(b, "alice")
	b.click("#allow")
	b.see("#sub")
	sessions := 0
	for name, c := range b.cookies(a.url) {
		if !isKind(name, identities, tokenParts) {
			continue
		}
		sessions++
		if !strings.HasPrefix(name, "__Host-") || !c.Secure || !c.HTTPOnly || c.SameSite != "Lax" || c.Path != "/" {
			t.Errorf("session cookie: %+v", c)
		}
	}
	if sessions == 0 {
		t.Error("no session cookie")
	}
}

// offline asks for a refresh token, which the certified provider gives after consent only, and for an API.
func offline(w *world, resource string) options {
	return options{
		client: func(c *rp.Config) {
			c.Scopes = append(c.Scopes, "offline_access")
			c.Resources = []string{w.api.url + resource}
		},
		middleware: func(c *middleware.Config) { c.AuthOptions = rp.AuthOptions{Prompt: "consent"} },
	}
}

// TestRefresh: each refresh uses the refresh token of the one before (the provider rotates them and ends the family
// when one is used twice), and the API gets the newest access token.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "refresh", offline(w, "/orders"))
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	tokens := []string{a.orders(b)}
	for range 2 {
		b.click("#refresh")
		b.see("#sub")
		token := a.orders(b)
		if slices.Contains(tokens, token) {
			t.Error("the API got an access token from before the refresh")
		}
		tokens = append(tokens, token)
		b.open(a.url + "/account")
	}
	var grants []string
	for _, c := range a.tokenCalls() {
		grants = append(grants, c.Grant)
		if c.Status != http.StatusOK || !c.Refresh {
			t.Errorf("token call: %+v", c)
		}
	}
	if !slices.Equal(grants, []string{"authorization_code", "refresh_token", "refresh_token"}) {
		t.Errorf("grants: %q", grants)
	}
	b.quiet()
	a.healthy()
}

// orders opens the page that calls the API and returns the token that the API got.
func (a *app) orders(b *tab) string {
	a.t.Helper()
	b.open(a.url + "/orders")
	if got := b.text("#answer"); !strings.Contains(got, `"sub":"alice"`) {
		a.t.Fatalf("the API answers %s", got)
	}
	all := a.w.api.accepted(a.name)
	return all[len(all)-1]
}

// TestShortLivedToken: a token that is over is replaced before the handler runs; the API never sees the old one.
func TestShortLivedToken(t *testing.T) {
	t.Parallel()
	w := start(t)
	var late atomic.Int64 // what the app's clock is ahead
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	o := offline(w, "/brief")
	client, wrapper := o.client, o.middleware
	o.client = func(c *rp.Config) { client(c); c.Now = now }
	o.middleware = func(c *middleware.Config) { wrapper(c); c.Now = now }
	a := w.app(t, "short-lived", o)
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	late.Store(int64(5 * time.Second))
	b.open(a.url + "/brief")
	if got := b.text("#status"); got != "200 OK" {
		t.Errorf("the API answers %s", got)
	}
	calls := a.tokenCalls()
	if len(calls) != 2 || calls[1].Grant != "refresh_token" {
		t.Errorf("token calls: %+v", calls)
	}
	if got := w.api.accepted(a.name); len(got) != 1 || got[0] == a.last().tokens.OAuth2().AccessToken {
		t.Errorf("the API got %d tokens, or the one that was over", len(got))
	}
	a.healthy()
}

// TestAPI: the second access token is what the API gets; the front-channel one never leaves the hook.
func TestAPI(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "api", options{client: func(c *rp.Config) {
		c.ResponseType = rp.CodeIDTokenToken
		c.Resources = []string{w.api.url + "/orders"}
	}})
	b := w.profile(t)
	a.signIn(b, "/orders", "alice")
	if got := b.text("#answer"); !strings.Contains(got, `"resource":"/orders"`) || !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("the API answers %s", got)
	}
	got := w.api.accepted(a.name)
	if want := a.last().tokens.OAuth2().AccessToken; len(got) != 1 || got[0] != want {
		t.Errorf("the API got %d tokens, and not the second one", len(got))
	}
	a.healthy()
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "userinfo", options{})
	b := w.profile(t)
	a.signIn(b, "/userinfo", "alice")
	if sub, claims := b.text("#sub"), b.text("#claims"); sub != "alice" || !strings.Contains(claims, "alice@example.test") {
		t.Errorf("sub %q, claims %s", sub, claims)
	}
	b.quiet()
	a.healthy()
}

// TestLogout ends the session here and, with the ID Token as hint, at the provider.
func TestLogout(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "logout", options{})
	b := w.profile(t)
	a.signIn(b, "/account", "alice")
	b.click("#logout")
	b.see("#end")
	a.atProvider(b)
	all := w.provider.logouts(t, a.url)
	if len(all) != 1 || all[0].Query["id_token_hint"] == "" || all[0].Query["state"] == "" {
		t.Errorf("logout requests at the provider: %d", len(all))
	}
	b.click("#end")
	b.see("a[href='/']")
	if got := b.where(); !strings.HasPrefix(got, a.url+"/auth/logged-out?state=") {
		t.Errorf("the logout ended at %s", got)
	}
	if left := a.session(b); len(left) > 0 {
		t.Errorf("cookies %q are still there", left)
	}
	b.open(a.url + "/account")
	b.see("#username") // the provider's session is over too
	a.atProvider(b)
	b.quiet()
}
