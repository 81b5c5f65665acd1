package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The attack rows (attacks_*_test.go) play browser and network themselves: requests go to the handler as they are, so
// that they may be what no browser sends. Each row is one change of a valid login. Ids are those of the catalogue; X
// rows are this package's own.

const (
	site         = "https://app.example"
	cookiePrefix = "__Host-t-"
	sessionName  = cookiePrefix + "s"
	attackSecret = "canary-client-secret 0123456789:0123456789%0123456789+0123456789-0123456789"
)

// attackKey makes a cookie key from a name.
func attackKey(name string) []byte {
	sum := sha256.Sum256([]byte("cookie key " + name))
	return sum[:]
}

// wall is a clock that stands still until it is moved.
type wall struct {
	mu sync.Mutex
	at time.Time
}

func (c *wall) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *wall) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a provider, an app at https://app.example, and everything that was said.
type world struct {
	testing.TB
	op     *optest.Server
	client *rp.Client
	auth   *middleware.Auth
	mux    *http.ServeMux
	app    http.Handler // what requests go to; the mux, unless a test puts something in front
	clock  *wall
	wire   *wiretap
	spoken *spoken
	page   http.HandlerFunc // the app's pages; set before the first request
}

// settings may be changed by a test before its world starts.
type settings struct {
	op   optest.Config
	rp   rp.Config
	auth middleware.Config
}

func newWorld(tb testing.TB, changes ...func(*settings)) *world {
	tb.Helper()
	w := &world{
		TB: tb, clock: &wall{at: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}, mux: http.NewServeMux(),
		spoken: &spoken{secrets: map[string]string{}}, page: whoami,
	}
	w.app = w.mux
	w.wire = &wiretap{base: &http.Transport{MaxIdleConnsPerHost: 100}, spoken: w.spoken}
	tb.Cleanup(w.wire.base.CloseIdleConnections)
	logger := w.logger()
	s := settings{
		op: optest.Config{ClientID: "app", ClientSecret: attackSecret, Algorithm: "ES256", Now: w.clock.Now}, // faster than RS256
		rp: rp.Config{
			ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/callback",
			PostLogoutRedirectURL: site + "/auth/logged-out", IDTokenAlgorithm: "ES256", Scopes: []string{"openid", "email", "offline_access"},
			Insecure: rp.Insecure{PlainHTTP: true}, Now: w.clock.Now, Logger: logger, Observe: w.spoken.observe,
		},
		auth: middleware.Config{Keys: [][]byte{attackKey("one")}, Name: "t", Now: w.clock.Now, Logger: logger, Observe: w.spoken.observe},
	}
	for _, change := range changes {
		change(&s)
	}
	w.op = optest.NewServer(s.op)
	tb.Cleanup(w.op.Close)
	w.client = w.newClient(s.rp)
	w.auth = w.newAuth(s.auth)
	w.register(w.auth)
	tb.Cleanup(w.noSecretWasSpoken)
	return w
}

// logger writes down what is logged.
func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.spoken, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *world) newClient(c rp.Config) *rp.Client {
	w.Helper()
	if c.Issuer == "" {
		c.Issuer = w.op.URL
	}
	c.HTTPClient = &http.Client{Transport: w.wire, Timeout: time.Minute}
	client, err := rp.New(w.Context(), c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = client.Close() })
	return client
}

func (w *world) newAuth(c middleware.Config) *middleware.Auth {
	w.Helper()
	if c.Client == nil {
		c.Client = w.client
	}
	for _, key := range c.Keys {
		w.spoken.secret("cookie key", string(key))
		w.spoken.secret("cookie key", fmt.Sprintf("%d", key))
		w.spoken.secret("cookie key", base64.StdEncoding.EncodeToString(key))
	}
	auth, err := middleware.New(c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = auth.Close() })
	return auth
}

// register puts the routes and a few pages of the app into the mux.
func (w *world) register(auth *middleware.Auth) {
	page := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.page(rw, r) })
	auth.Register(w.mux)
	w.mux.Handle("GET /{$}", auth.LoadSession(page))
	w.mux.Handle("/private", auth.RequireLogin(page))
	w.mux.Handle("/private/{rest...}", auth.RequireLogin(page))
	w.mux.Handle("/tokens", auth.RequireTokens(page))
}

// who is what the app's pages say. ID tells sessions apart.
type who struct {
	Subject, ID string
	Values      map[string]string
}

func whoami(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	if s == nil {
		_, _ = io.WriteString(w, "{}")
		return
	}
	_ = json.NewEncoder(w).Encode(who{Subject: s.Subject, ID: s.LogoutToken(), Values: map[string]string{"user": s.Value("user")}})
}

// reply is an answer of the app, with the events that it caused.
type reply struct {
	*http.Response
	body   string
	mu     sync.Mutex // guards events
	events []rp.Event
}

type replyKey struct{}

// code is that of the refusal; "" if nothing was refused.
func (r *reply) code() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range slices.Backward(r.events) {
		if e.Name == "refused" {
			return e.Code
		}
	}
	return ""
}

// sets returns the names of the cookies that the answer sets (drops) with names that begin with prefix.
func (r *reply) sets(prefix string) (set, dropped []string) {
	for _, c := range r.Cookies() {
		switch {
		case !strings.HasPrefix(c.Name, prefix):
		case c.MaxAge < 0:
			dropped = append(dropped, c.Name)
		default:
			set = append(set, c.Name)
		}
	}
	return set, dropped
}

// who reads the app's page.
func (r *reply) who() (v who) {
	_ = json.Unmarshal([]byte(r.body), &v)
	return v
}

// serve sends a request to the app and writes down what comes back.
func (w *world) serve(r *http.Request) *reply {
	rep := &reply{}
	rec := httptest.NewRecorder()
	w.app.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), replyKey{}, rep)))
	rep.Response = rec.Result()
	rep.body = rec.Body.String()
	w.spoken.reply(w.op.URL, rep)
	return rep
}

// refused checks what every refusal has in common.
func (w *world) refused(rep *reply, status int, code string) {
	w.Helper()
	if rep.StatusCode != status || rep.code() != code {
		w.Errorf("status %d, code %q; want %d, %q\n%s", rep.StatusCode, rep.code(), status, code, rep.body)
	}
	if cc := rep.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
		w.Errorf("Cache-Control %q", cc)
	}
	for _, part := range []string{"s", "t0", "t1"} {
		if set, dropped := rep.sets(cookiePrefix + part); set != nil || dropped != nil {
			w.Errorf("session cookies: sets %v, drops %v", set, dropped)
		}
	}
	if l := rep.Header.Get("Location"); l != "" {
		w.Errorf("a refusal leads to %s", l)
	}
}

// visitor is a cookie jar without rules: it stores and sends everything.
type visitor struct {
	w       *world
	mu      sync.Mutex // guards cookies
	cookies map[string]string
}

func (w *world) visitor() *visitor { return &visitor{w: w, cookies: map[string]string{}} }

// header is the Cookie header: the cookies whose names begin with one of the prefixes; all without any.
func (v *visitor) header(prefixes ...string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(v.cookies)) {
		if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, cookiePrefix+p) }) {
			pairs = append(pairs, name+"="+v.cookies[name])
		}
	}
	return strings.Join(pairs, "; ")
}

func (v *visitor) keep(rep *reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range rep.Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
			continue
		}
		v.cookies[c.Name] = c.Value
	}
}

// clone is the same browser, before what comes.
func (v *visitor) clone() *visitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	return &visitor{w: v.w, cookies: maps.Clone(v.cookies)}
}

// send sends a request with all cookies, unless it has some.
func (v *visitor) send(r *http.Request) *reply {
	if h := v.header(); r.Header["Cookie"] == nil && h != "" {
		r.Header.Set("Cookie", h)
	}
	rep := v.w.serve(r)
	v.keep(rep)
	return rep
}

// navigation is what a browser sends when its user opens a page.
func navigation(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, site+path, nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "none")
	r.Header.Set("Accept", "text/html")
	return r
}

// formPost is a POST from a page of the app.
func formPost(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, site+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", site)
	r.Header.Set("Accept", "text/html")
	return r
}

func (v *visitor) open(path string) *reply { return v.send(navigation(path)) }

// id opens a page and returns the ID of the session; "" if there is none.
func (v *visitor) id() string { return v.open("/").who().ID }

// attempt is a login that has come to the provider's answer.
type attempt struct {
	v      *visitor
	to     *url.URL   // the authorization request
	form   url.Values // the answer
	cookie string     // the transaction's, name=value
}

// begin starts a login by opening a path.
func (v *visitor) begin(path string) *attempt {
	v.w.Helper()
	rep := v.open(path)
	names, _ := rep.sets(cookiePrefix + "x")
	to, err := url.Parse(rep.Header.Get("Location"))
	if err != nil || len(names) != 1 || !strings.HasPrefix(to.String(), v.w.op.URL+"/authorize?") {
		v.w.Fatalf("no login started: status %d, %s, %s", rep.StatusCode, rep.code(), to)
	}
	q := to.Query()
	v.w.spoken.secret("state", q.Get("state"))
	v.w.spoken.secret("nonce", q.Get("nonce"))
	return &attempt{v: v, to: to, cookie: names[0] + "=" + v.cookies[names[0]]}
}

// answer is begin, with what the provider answers; user may be "".
func (v *visitor) answer(path, user string) *attempt {
	v.w.Helper()
	a := v.begin(path)
	a.ask(user)
	return a
}

// ask gets the provider's answer.
func (a *attempt) ask(user string) {
	w := a.v.w
	w.Helper()
	q := a.to.Query()
	if user != "" {
		q.Set("login_hint", user)
	}
	b := optest.NewBrowser(w.op.Client())
	b.Stop = func(_ string, u *url.URL) bool { return u.Host == "app.example" }
	page, err := b.Open(w.Context(), w.op.URL+"/authorize?"+q.Encode())
	if err != nil {
		w.Fatal(err)
	}
	switch forms := page.Forms(); {
	case len(forms) == 1:
		a.form = forms[0].Fields
	case page.Header.Get("Location") != "":
		u, _ := url.Parse(page.Header.Get("Location"))
		a.form, _ = url.ParseQuery(u.RawQuery + u.Fragment)
	default:
		w.Fatalf("status %d: %s", page.Status, page.Body)
	}
	for _, name := range []string{"code", "id_token", "access_token"} {
		w.spoken.secret(name, a.form.Get(name))
	}
}

// callback is the POST that brings an answer to the app. What a row changes is all that differs from a valid one.
type callback struct {
	method, target string
	form           url.Values
	body           string // instead of form, if not ""
	header         http.Header
	request        func(*http.Request)
}

func (a *attempt) callback() *callback {
	c := &callback{
		method: http.MethodPost, target: "/auth/callback", form: maps.Clone(a.form),
		header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"}, "Cookie": {a.cookie}, "Origin": {"null"}, "Accept": {"text/html"},
			"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
		},
	}
	if a.v.w.client.ResponseMode() == rp.Fragment { // our relay page posts it
		c.header.Set("Sec-Fetch-Site", "same-origin")
	}
	return c
}

func (c *callback) build() *http.Request {
	body := c.body
	if body == "" {
		body = c.form.Encode()
	}
	r := httptest.NewRequest(c.method, site+c.target, strings.NewReader(body))
	r.Header = c.header
	if c.request != nil {
		c.request(r)
	}
	return r
}

// post sends the answer as it is, and goes on where the login does.
func (a *attempt) post() *reply {
	rep := a.v.send(a.callback().build())
	if to := rep.Header.Get("Location"); rep.StatusCode == http.StatusSeeOther && strings.HasPrefix(to, "/auth/login-continue?") {
		return a.v.send(continuation(to))
	}
	return rep
}

// continuation is what a browser sends after the callback of a login that goes on: the chain began on another site.
func continuation(to string) *http.Request {
	r := navigation(to)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

// login runs a whole login.
func (v *visitor) login(path, user string) *reply {
	v.w.Helper()
	rep := v.answer(path, user).post()
	if rep.StatusCode != http.StatusSeeOther {
		v.w.Fatalf("login: status %d, %s\n%s", rep.StatusCode, rep.code(), rep.body)
	}
	return rep
}

// ownerOf is whom cookies are sealed for.
func ownerOf(c *rp.Client) string {
	sum := sha256.Sum256([]byte(c.Issuer() + "\x00" + c.ClientID() + "\x00" + c.RedirectURL()))
	return string(sum[:])
}
