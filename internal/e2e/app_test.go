package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// secret is every confidential client's. Its reserved characters show that Basic authentication form-encodes it.
const secret = "a secret: 100% of 32+ bytes & more/less=secret"

// options say how an app differs from the default one: the certified provider, code id_token by form_post, PKCE,
// client_secret_basic, RS256.
type options struct {
	host       string         // the provider's; "" is certified
	method     string         // token_endpoint_auth_method; "" is client_secret_basic
	metadata   map[string]any // further client metadata at the provider
	logouts    bool           // the provider tells the app of logouts
	client     func(*rp.Config)
	middleware func(*middleware.Config)
	routes     func(*app, *http.ServeMux) // further ones
}

// app is a small web app built on the public API, at https://NAME.app.test. It is its provider's client NAME.
type app struct {
	t      *testing.T
	w      *world
	name   string
	url    string
	host   string // the provider's
	rp     *rp.Client
	heard  *canary.Recorder
	auth   *middleware.Auth
	api    *http.Client
	mu     sync.Mutex
	logins []login    // guarded by mu: what the hooks saw
	events []rp.Event // guarded by mu
	failed []string   // guarded by mu: what the app's handlers reported
}

// login is what OnIdentity and OnTokens saw of one login.
type login struct {
	identity *rp.IDToken
	front    bool
	tokens   *rp.Tokens
}

func (w *world) app(t *testing.T, name string, o options) *app {
	t.Helper()
	if o.host == "" {
		o.host = certified
	}
	if o.method == "" {
		o.method = "client_secret_basic"
	}
	name = w.apps.unique(name)
	a := &app{t: t, w: w, name: name, url: w.apps.url(name), host: o.host, heard: canary.Listen(t)}
	auth, metadata := credentials(t, o.method)
	if o.logouts {
		metadata["backchannel_logout_uri"], metadata["backchannel_logout_session_required"] = a.url+"/auth/backchannel-logout", true
	}
	client := w.httpClient()
	client.Transport = a.heard.Transport(client.Transport)
	config := rp.Config{
		Issuer: w.provider.issuers[o.host], ClientID: name, ClientAuth: auth,
		RedirectURL: a.url + "/auth/callback", PostLogoutRedirectURL: a.url + "/auth/logged-out",
		Scopes: []string{"openid", "profile", "email"}, HTTPClient: client,
		Logger: a.heard.Logger(),
	}
	if o.client != nil {
		o.client(&config)
	}
	a.register(config, o.metadata, metadata)
	var err error
	if a.rp, err = rp.New(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.rp.Close() })
	a.start(o)
	return a
}

// credentials are a client's way to authenticate, and how the provider knows it.
func credentials(t *testing.T, method string) (rp.ClientAuth, map[string]any) {
	t.Helper()
	m := map[string]any{"token_endpoint_auth_method": method, "client_secret": secret}
	switch method {
	case "client_secret_basic":
		return rp.SecretBasic(secret), m
	case "client_secret_post":
		return rp.SecretPost(secret), m
	case "client_secret_jwt":
		m["token_endpoint_auth_signing_alg"] = "HS256"
		return rp.SecretJWT(secret), m
	case "private_key_jwt":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return rp.PrivateKeyJWT(key, "2026-11"), map[string]any{
			"token_endpoint_auth_method": method, "token_endpoint_auth_signing_alg": "ES256", "jwks": keySet(key.Public(), "2026-11"),
		}
	}
	t.Fatalf("unknown method %q", method)
	return rp.ClientAuth{}, nil
}

// register makes the app known to its provider, by what its configuration says.
func (a *app) register(c rp.Config, further ...map[string]any) {
	a.t.Helper()
	metadata := map[string]any{
		"client_id": a.name, "redirect_uris": []string{c.RedirectURL}, "post_logout_redirect_uris": []string{c.PostLogoutRedirectURL},
		"response_types": []string{string(responseType(c))}, "grant_types": grants(c),
	}
	for _, more := range further {
		for k, v := range more {
			metadata[k] = v
		}
	}
	a.w.provider.register(a.t, a.host, metadata)
}

func responseType(c rp.Config) rp.ResponseType {
	if c.ResponseType == "" {
		return rp.CodeIDToken
	}
	return c.ResponseType
}

func grants(c rp.Config) []string {
	list := []string{"authorization_code"}
	if slices.Contains(c.Scopes, "offline_access") {
		list = append(list, "refresh_token")
	}
	if responseType(c) != rp.Code {
		list = append(list, "implicit")
	}
	return list
}

func (a *app) start(o options) {
	a.t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	config := middleware.Config{
		Client: a.rp, Keys: [][]byte{key}, Name: cookieName, Logger: a.heard.Logger(),
		OnIdentity: a.onIdentity, OnTokens: a.onTokens, Observe: a.observe,
	}
	if o.middleware != nil {
		o.middleware(&config)
	}
	auth, err := middleware.New(config)
	if err != nil {
		a.t.Fatal(err)
	}
	a.auth = auth
	a.t.Cleanup(func() { _ = auth.Close() })
	a.api = &http.Client{Transport: auth.Transport(a.w.httpClient().Transport, a.w.api.url)}
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.HandleFunc("GET /{$}", a.public)
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(a.account)))
	mux.Handle("GET /orders", auth.RequireTokens(a.call("/orders")))
	mux.Handle("GET /brief", auth.RequireTokens(a.call("/brief")))
	mux.Handle("GET /userinfo", auth.RequireTokens(http.HandlerFunc(a.userInfo)))
	mux.Handle("POST /refresh", auth.RequireTokens(http.HandlerFunc(a.refresh)))
	if o.routes != nil {
		o.routes(a, mux)
	}
	a.w.apps.handle(a.name, a.heard.Handler(mux))
}

func (a *app) onIdentity(l *middleware.Login) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logins = append(a.logins, login{identity: l.IDToken, front: l.FrontChannel})
	return nil
}

func (a *app) onTokens(l *middleware.Login, t *rp.Tokens) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.logins) == 0 || a.logins[len(a.logins)-1].tokens != nil {
		a.logins = append(a.logins, login{identity: l.IDToken, front: l.FrontChannel})
	}
	a.logins[len(a.logins)-1].tokens = t
	return nil
}

func (a *app) observe(_ context.Context, e rp.Event) {
	a.heard.Value(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

// last is what the hooks saw of the newest login.
func (a *app) last() login {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.logins) == 0 {
		a.t.Fatal("no hook saw a login")
	}
	return a.logins[len(a.logins)-1]
}

var page = template.Must(template.New("").Parse(`<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{{.Title}}</title><h1 id="title">{{.Title}}</h1>
{{range $k, $v := .Rows}}<p>{{$k}}: <span id="{{$k}}">{{$v}}</span></p>{{end}}
<a id="login" href="{{.Login}}">Log in</a>
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/auth/logout"><input type="hidden" name="return_to" value="/"><button id="logout">Log out</button></form></html>`))

func (a *app) show(w http.ResponseWriter, title string, rows map[string]string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, map[string]any{"Title": title, "Rows": rows, "Login": a.auth.LoginURL("/account")})
}

func (a *app) public(w http.ResponseWriter, _ *http.Request) { a.show(w, "Public", nil) }

func (a *app) account(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	var claims struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	if err := s.Claims(&claims); err != nil {
		a.fail(w, err)
		return
	}
	a.show(w, "Account", map[string]string{"sub": s.Subject, "name": claims.Name, "email": claims.Email, "sid": s.SessionID})
}

// call shows what an API answers to the session's access token.
func (a *app) call(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := http.NewRequestWithContext(r.Context(), http.MethodGet, a.w.api.url+path, nil)
		if err != nil {
			a.fail(w, err)
			return
		}
		answer, err := a.api.Do(q)
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
		a.show(w, "API", map[string]string{"status": answer.Status, "answer": string(body)})
	})
}

func (a *app) userInfo(w http.ResponseWriter, r *http.Request) {
	info, err := middleware.FromContext(r.Context()).UserInfo(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	var claims map[string]any
	if err := info.Claims(&claims); err != nil {
		a.fail(w, err)
		return
	}
	out, _ := json.Marshal(claims)
	a.show(w, "User info", map[string]string{"sub": info.Subject, "claims": string(out)})
}

func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	if err := middleware.FromContext(r.Context()).Refresh(r.Context()); err != nil {
		a.fail(w, err)
		return
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}

func (a *app) fail(w http.ResponseWriter, err error) {
	a.mu.Lock()
	a.failed = append(a.failed, err.Error())
	a.mu.Unlock()
	http.Error(w, "the app reports: "+err.Error(), http.StatusInternalServerError)
}

// healthy fails the test if a handler of the app reported an error.
func (a *app) healthy() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.failed {
		a.t.Errorf("the app reports: %s", f)
	}
}

// signIn goes to a protected page, logs in at the provider as user and comes back.
func (a *app) signIn(b *tab, path, user string) {
	a.t.Helper()
	b.open(a.url + path)
	a.atProvider(b)
	a.identify(b, user)
	b.click("#allow")
	b.see("#title")
	if got := b.where(); got != a.url+path {
		a.t.Fatalf("the login ended at %s, want %s", got, a.url+path)
	}
}

// identify logs in at the provider; what follows is its consent page.
func (a *app) identify(b *tab, user string) {
	a.t.Helper()
	b.fill("#username", user)
	b.click("#continue")
	b.see("#allow")
}

// atProvider fails the test unless the tab shows the provider.
func (a *app) atProvider(b *tab) {
	a.t.Helper()
	if u, err := url.Parse(b.where()); err != nil || u.Hostname() != a.host {
		a.t.Fatalf("the browser is at %s, want the provider at %s\n%s", b.where(), a.host, read(b, visible))
	}
}

// callbacks are the requests that brought an authorization response.
func (a *app) callbacks() []visit { return a.w.apps.visits(a.name, http.MethodPost, "/auth/callback") }

// tokenCalls are the app's calls to the token endpoint.
func (a *app) tokenCalls() []call {
	a.t.Helper()
	return a.w.provider.calls(a.t, a.name, "/oauth/token")
}

// requests are the app's authorization requests.
func (a *app) requests() []call { a.t.Helper(); return a.w.provider.calls(a.t, a.name, "/authorize") }

// cookieName is the Config.Name of every app; hosts keep their cookies apart.
const cookieName = "e2e"

// kinds of cookies, by what follows the name.
const (
	transactions = "x"
	identities   = "s"
	tokenParts   = "t"
)

// of are the names of a visit's cookies of some kinds.
func (v visit) of(kinds ...string) []string {
	return slices.DeleteFunc(slices.Clone(v.cookies), func(name string) bool { return !isKind(name, kinds...) })
}

func isKind(name string, kinds ...string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasPrefix(name, "__Host-"+cookieName+"-"+kind) })
}

// session are the cookies of the profile that make a session of this app.
func (a *app) session(b *tab) []string {
	a.t.Helper()
	var names []string
	for name := range b.cookies(a.url) {
		if isKind(name, identities, tokenParts) {
			names = append(names, name)
		}
	}
	return names
}
