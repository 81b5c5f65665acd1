package optest_test

import (
	"crypto"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/rp/optest"
)

const (
	clientID = "client-1"
	secret   = "a secret: 100% + safe & long enough"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	pkce     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// world is a provider on localhost, an app on 127.0.0.1 that only writes down what it gets, and a browser.
type world struct {
	t   *testing.T
	op  *optest.Server
	app *httptest.Server
	b   *optest.Browser

	mu  sync.Mutex
	got []*http.Request // at /callback with parameters, parsed
}

func newWorld(t *testing.T, c optest.Config) *world {
	t.Helper()
	w := &world{t: t}
	w.app = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.app.Close)
	if c.RedirectURLs == nil {
		c.RedirectURLs = []string{w.callback()}
	}
	w.op = optest.NewServer(c)
	t.Cleanup(w.op.Close)
	w.b = optest.NewBrowser(nil)
	return w
}

func (w *world) callback() string { return w.app.URL + "/callback" }

const relay = `<!DOCTYPE html><form method="post" action="/callback"><input type="hidden" name="relayed" value="yes"></form>
<script>for (const [k, v] of new URLSearchParams(location.hash.slice(1))) add(k, v); document.forms[0].submit()</script>`

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/callback" {
		_, _ = io.WriteString(out, "done")
		return
	}
	if r.Method == http.MethodGet && r.URL.RawQuery == "" {
		out.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(out, relay)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	w.got = append(w.got, r)
	w.mu.Unlock()
	http.Redirect(out, r, "/done", http.StatusSeeOther)
}

// last is the newest answer that the app got.
func (w *world) last() url.Values {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.got) == 0 {
		w.t.Fatal("the app got no answer")
	}
	return w.got[len(w.got)-1].Form
}

// request is a good authorization request, with changes given as name, value; an empty value drops the parameter.
func (w *world) request(changes ...string) url.Values {
	p := url.Values{
		"client_id": {clientID}, "redirect_uri": {w.callback()}, "response_type": {"code id_token"}, "response_mode": {"form_post"},
		"scope": {"openid profile email offline_access"}, "state": {"state-1"}, "nonce": {"nonce-1"},
		"code_challenge": {pkce}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		p.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			p.Del(changes[i])
		}
	}
	return p
}

func (w *world) base() string { return strings.TrimSuffix(w.op.URL, "/") }

func (w *world) open(p url.Values) *optest.Page {
	w.t.Helper()
	page, err := w.b.Open(w.t.Context(), w.base()+"/authorize?"+p.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

// login sends the browser to the provider and returns what the app got.
func (w *world) login(changes ...string) url.Values {
	w.t.Helper()
	before := len(w.got)
	page := w.open(w.request(changes...))
	if len(w.got) != before+1 {
		w.t.Fatalf("the app got no answer; the browser is at %s: %d %s", page.URL, page.Status, page.Text())
	}
	return w.last()
}

// do sends a request with a plain client.
func (w *world) do(method, path, body string, header ...string) (int, http.Header, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.base()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := w.op.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, response.Header, b
}

// exchange redeems a code; changes are as in request.
func (w *world) exchange(code string, changes ...string) (int, map[string]any) {
	w.t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
		"client_id": {clientID}, "client_secret": {secret},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return w.token(form)
}

func (w *world) renew(refreshToken string, more ...string) (int, map[string]any) {
	w.t.Helper()
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {clientID}, "client_secret": {secret},
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return w.token(form)
}

func (w *world) token(form url.Values, header ...string) (int, map[string]any) {
	w.t.Helper()
	status, _, body := w.do(http.MethodPost, "/oauth/token", form.Encode(), header...)
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		w.t.Fatalf("token answer %q: %v", body, err)
	}
	return status, answer
}

var allAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	jose.HS256, jose.HS384, jose.HS512,
}

// verify checks a JWS with go-jose against the published keys, or the client secret, and returns header and claims.
func (w *world) verify(raw any) (jose.Header, map[string]any) {
	w.t.Helper()
	text, _ := raw.(string)
	jws, err := jose.ParseSignedCompact(text, allAlgorithms)
	if err != nil {
		w.t.Fatalf("%q: %v", text, err)
	}
	header := jws.Signatures[0].Header
	var key any = []byte(secret)
	if !strings.HasPrefix(header.Algorithm, "HS") {
		key = w.publicKey(header.KeyID)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		w.t.Fatalf("signature: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		w.t.Fatal(err)
	}
	return header, claims
}

func (w *world) publicKey(kid string) any {
	w.t.Helper()
	_, _, body := w.do(http.MethodGet, "/jwks", "")
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &set); err != nil {
		w.t.Fatal(err)
	}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.KeyID == kid { // go-jose cannot read every odd key
			return key.Key
		}
	}
	w.t.Fatalf("no key with kid %q in %s", kid, body)
	return nil
}

// half is the hash of OpenID Connect Core 3.3.2.11, written again.
func half(alg, value string) string {
	h := map[string]crypto.Hash{"6": crypto.SHA256, "4": crypto.SHA384, "2": crypto.SHA512, "A": crypto.SHA512}[alg[len(alg)-1:]].New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// clock can be set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
