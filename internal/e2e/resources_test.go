package e2e_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// target is one of the APIs that the provider knows.
func (w *world) target(path string) rp.Target { return rp.Target{Resource: w.api.url + path} }

// manyAPIs are options of an app that calls several APIs, each with a token of its own, at /at?api=/orders.
func manyAPIs(w *world) options {
	o := offline(w, "/orders")
	base := o.client
	o.client = func(c *rp.Config) {
		base(c)
		c.Resources = []string{w.api.url + "/orders", w.api.url + "/stock"}
	}
	o.routes = func(a *app, mux *http.ServeMux) {
		mux.Handle("GET /at", a.auth.RequireTokens(http.HandlerFunc(a.at)))
	}
	return o
}

// at calls an API with the token for the API of the query's "for", or with its own.
func (a *app) at(w http.ResponseWriter, r *http.Request) {
	api, to := r.URL.Query().Get("api"), r.URL.Query().Get("for")
	if to == "" {
		to = api
	}
	client := &http.Client{Transport: a.auth.TransportFor(a.w.target(to), a.w.httpClient().Transport, a.w.api.url)}
	q, err := http.NewRequestWithContext(r.Context(), http.MethodGet, a.w.api.url+api, nil)
	if err != nil {
		a.fail(w, err)
		return
	}
	answer, err := client.Do(q)
	if a.auth.StepUp(w, r, err) {
		return
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		a.fail(w, err)
		return
	}
	a.show(w, "API", map[string]string{"status": answer.Status, "answer": string(body), "sub": middleware.FromContext(r.Context()).Subject})
}

// TestTokensForTwoAPIs: one login and one refresh token give each API a token of its own, which is kept, and which no
// other API takes.
func TestTokensForTwoAPIs(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "two-apis", manyAPIs(w))
	b := w.profile(t)
	a.signIn(b, "/at?api=/orders", "alice")
	seen := map[string]string{}
	for _, api := range []string{"/orders", "/stock", "/orders", "/stock"} {
		b.open(a.url + "/at?api=" + api)
		got := b.text("#answer")
		if !strings.Contains(got, `"resource":"`+api+`"`) || !strings.Contains(got, `"sub":"alice"`) {
			t.Errorf("%s answers %s", api, got)
		}
		tokens := w.api.accepted(a.name)
		token := tokens[len(tokens)-1]
		if before, ok := seen[api]; ok && before != token {
			t.Errorf("%s got another token, although the first was good", api)
		}
		seen[api] = token
	}
	if seen["/orders"] == seen["/stock"] {
		t.Error("both APIs got the same token")
	}
	b.open(a.url + "/at?api=/stock&for=/orders")
	if got := b.text("#status"); !strings.HasPrefix(got, "401") {
		t.Errorf("the token for one API at the other: %s", got)
	}
	grants := a.grants()
	if grants[0] != "authorization_code" || len(grants) > 3 || slices.Contains(grants[1:], "authorization_code") {
		t.Errorf("grants: %q", grants)
	}
	if n := len(a.requests()); n != 1 {
		t.Errorf("%d logins", n)
	}
	b.quiet()
	a.healthy()
}

// grants are the successful token calls.
func (a *app) grants() []string {
	a.t.Helper()
	var list []string
	for _, c := range a.tokenCalls() {
		if c.Status == http.StatusOK {
			list = append(list, c.Grant)
		}
	}
	return list
}

// TestOneMoreAPI: an API that the login did not ask for leads, once, through another login that asks for all of them. It
// is merged into the session, which is in sealed cookies: the app's own values are still there.
func TestOneMoreAPI(t *testing.T) {
	t.Parallel()
	w := start(t)
	o := manyAPIs(w)
	base := o.middleware
	o.middleware = func(c *middleware.Config) {
		base(c)
		c.OnIdentity = onlyFirst("customer", "4711")
	}
	routes := o.routes
	o.routes = func(a *app, mux *http.ServeMux) {
		routes(a, mux)
		mux.Handle("GET /value", a.auth.RequireLogin(a.valueOf("customer")))
	}
	a := w.app(t, "one-more-api", o)
	b := w.profile(t)
	a.signIn(b, "/value", "alice")
	before := b.cookies(a.url)
	b.open(a.url + "/at?api=/brief")
	b.click("#allow") // the provider knows the user, and asks what prompt=consent asks for
	if got := b.text("#answer"); !strings.Contains(got, `"resource":"/brief"`) || !strings.Contains(got, `"sub":"alice"`) {
		t.Errorf("/brief answers %s", got)
	}
	asked := a.requests()
	if len(asked) != 2 {
		t.Fatalf("%d authorization requests, want 2", len(asked))
	}
	a.continued(1)
	b.open(a.url + "/value")
	if got := b.text("#customer"); got != "4711" {
		t.Errorf("the value is %q after the merge", got)
	}
	for name, c := range b.cookies(a.url) {
		if isKind(name, identities) && c.Value == before[name].Value {
			t.Errorf("cookie %s survives a login unchanged", name)
		}
	}
	for _, api := range []string{"/orders", "/stock"} {
		b.open(a.url + "/at?api=" + api)
		if got := b.text("#status"); got != "200 OK" {
			t.Errorf("%s answers %s after the merge", api, got)
		}
	}
	if n := len(a.requests()); n != 2 {
		t.Errorf("%d logins", n)
	}
	b.quiet()
	a.healthy()
}

// onlyFirst is a hook that keeps a value at the first login only, and the number of the login at each.
func onlyFirst(name, value string) func(*middleware.Login) error {
	var logins atomic.Int64
	return func(l *middleware.Login) error {
		n := logins.Add(1)
		l.Values = map[string]string{"login": strconv.FormatInt(n, 10)}
		if n == 1 {
			l.Values[name] = value
		}
		return nil
	}
}

func (a *app) valueOf(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := middleware.FromContext(r.Context())
		a.show(w, "Value", map[string]string{name: s.Value(name), "sub": s.Subject, "acr": s.ACR})
	})
}

// continued fails the test unless so many logins went on in a GET of the app's own, which brought the session that the
// provider's POST cannot bring.
func (a *app) continued(times int) {
	a.t.Helper()
	posts := a.callbacks()
	for _, v := range posts {
		if len(v.of(identities, tokenParts)) != 0 {
			a.t.Error("a session cookie came with the provider's POST")
		}
	}
	visits := a.w.apps.visits(a.name, http.MethodGet, "/auth/login-continue")
	if len(visits) != times {
		a.t.Fatalf("%d logins went on in a GET, want %d", len(visits), times)
	}
	for _, v := range visits {
		if len(v.of(identities)) == 0 {
			a.t.Errorf("the GET brings the cookies %q and no session", v.cookies)
		}
	}
}
