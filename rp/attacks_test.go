package rp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// The attack rows (attacks_*_test.go). Each row is one change of a valid exchange, by a provider that lies or a browser
// that does, and expects one sentinel with its code. Ids are those of the catalogue; X rows are this package's own.
// After each row everything that was said (log, events, errors) is searched for every secret of the row.

const (
	opIssuer   = "http://localhost"
	evilIssuer = "http://127.0.0.2"
	evilPlace  = "127.0.0.3:80" // a place that must never hear from us
	callback   = "http://127.0.0.1:9/callback"

	pathToken = "/oauth/token"
	pathKeys  = "/jwks"
	pathMeta  = "/.well-known/openid-configuration"
)

// world is a provider, a client, and the network between them: in memory, so that it can live in a synctest bubble.
type world struct {
	testing.TB
	op     *optest.Handler
	client *rp.Client
	net    *network
	said   *said
	log    said // the log alone
}

// setting changes the two sides before they start.
type setting struct {
	op optest.Config
	rp rp.Config
}

// newWorld starts a provider and its client; change may be nil.
func newWorld(tb testing.TB, change func(*setting)) *world {
	tb.Helper()
	w := &world{TB: tb, net: newNetwork(tb), said: &said{}}
	s := setting{
		op: optest.Config{ClientID: "app", ClientSecret: clientSecret},
		rp: rp.Config{
			Issuer: opIssuer, ClientID: "app", ClientAuth: rp.SecretBasic(clientSecret), RedirectURL: callback,
			Scopes: []string{"openid", "email", "offline_access"}, Insecure: rp.Insecure{PlainHTTP: true},
			HTTPClient: &http.Client{Transport: w.net.transport, Timeout: time.Minute}, // it may be a busy machine
		},
	}
	if change != nil {
		change(&s)
	}
	tb.Cleanup(func() { w.said.check(tb, w.secrets()) })
	w.op = optest.NewHandler(s.rp.Issuer, s.op)
	w.net.serve(strings.TrimPrefix(s.rp.Issuer, "http://")+":80", w.said.tap(w.op))
	s.rp.Logger = logTo(io.MultiWriter(w.said, &w.log))
	if s.rp.Observe == nil {
		s.rp.Observe = w.observe
	}
	client, err := rp.New(tb.Context(), s.rp)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	w.client = client
	return w
}

// ours takes the HTTP client's time-out away: ours counts.
func ours(s *setting) { s.rp.HTTPClient.Timeout = 0 }

// observe writes events down; K10: whoever counts them by name and code has two closed lists as labels.
func (w *world) observe(_ context.Context, e rp.Event) {
	w.said.value(e)
	if !slices.Contains(rp.Events(), e.Name) || (e.Code != "" && !slices.Contains(rp.Codes(), e.Code)) || e.Reference != "" {
		w.Errorf("K10: event %q with code %q", e.Name, e.Code)
	}
	if (e.Err == nil) != (e.Code == "") || e.Took < 0 {
		w.Errorf("event %q with code %q, error %v, took %v", e.Name, e.Code, e.Err, e.Took)
	}
}

// request makes an authorization request.
func (w *world) request(o rp.AuthOptions) *rp.AuthRequest {
	w.Helper()
	q, err := w.client.NewAuthRequest(w.Context(), o)
	if err != nil {
		w.Fatal(err)
	}
	w.said.value(q)
	return q
}

// answer plays an honest browser: it takes q to the provider and returns the parameters that come back.
func (w *world) answer(q *rp.AuthRequest) url.Values {
	w.Helper()
	return w.open(q, q.Redirect().URL)
}

func (w *world) open(q *rp.AuthRequest, address string) url.Values {
	w.Helper()
	b := optest.NewBrowser(&http.Client{Transport: w.net.transport})
	b.Stop = func(_ string, u *url.URL) bool { return u.Host == "127.0.0.1:9" }
	page, err := b.Open(w.Context(), address)
	if err != nil {
		w.Fatal(err)
	}
	params := url.Values{}
	if forms := page.Forms(); q.ResponseMode() == rp.FormPost && len(forms) == 1 {
		params = forms[0].Fields
	} else if u, err := url.Parse(page.Header.Get("Location")); err == nil && q.ResponseMode() == rp.Query {
		params = u.Query()
	} else if err == nil {
		params, _ = url.ParseQuery(u.Fragment)
	}
	if len(params) == 0 {
		w.Fatalf("no answer: status %d: %s", page.Status, page.Body)
	}
	for _, name := range []string{"code", "id_token", "access_token", "state"} {
		w.said.secret(params[name]...)
	}
	return params
}

// verified is a login up to the verified answer.
func (w *world) verified(o rp.AuthOptions) *rp.AuthResponse {
	w.Helper()
	q := w.request(o)
	a, err := w.client.VerifyResponse(w.Context(), q, w.answer(q))
	w.must(err)
	w.said.value(a)
	return a
}

// tokens is a whole login.
func (w *world) tokens(o rp.AuthOptions) *rp.Tokens {
	w.Helper()
	t, err := w.client.Exchange(w.Context(), w.verified(o))
	w.must(err)
	w.said.value(t)
	return t
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.said.value(err)
		w.Fatal(err)
	}
}

// calls compares the number of requests that an endpoint got.
func (w *world) calls(endpoint string, want int) {
	w.Helper()
	if got := w.op.Calls(endpoint); got != want {
		w.Errorf("%s was called %d times, want %d", endpoint, got, want)
	}
}

// lie makes the provider lie at one endpoint.
func (w *world) lie(endpoint string, f func(*optest.Answer)) {
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == endpoint {
			f(a)
		}
	})
}

// sentinels are all reasons, each with its code, written down here once more and not read from the code under test.
var sentinels = []struct {
	err  error
	code string
}{
	{rp.ErrNotSaved, "not_saved"},
	{context.Canceled, "canceled"},
	{rp.ErrState, "state"},
	{rp.ErrIssuerParameter, "issuer_parameter"},
	{rp.ErrParameters, "parameters"},
	{rp.ErrNotVerified, "not_verified"},
	{rp.ErrNoCode, "no_code"},
	{rp.ErrCodeSpent, "code_spent"},
	{rp.ErrNoRefreshToken, "no_refresh_token"},
	{rp.ErrTokenResponse, "token_response"},
	{rp.ErrUserInfo, "userinfo"},
	{rp.ErrLogoutToken, "logout_token"},
	{rp.ErrMetadata, "metadata"},
	{rp.ErrConfig, "config"},
	{rp.ErrOptions, "options"},
	{rp.ErrFormat, "format"},
	{rp.ErrOtherClient, "other_client"},
	{rp.ErrOrigin, "origin"},
	{rp.ErrUnsupported, "unsupported"},
	{rp.ErrUnavailable, "unavailable"},
	{rp.ErrClosed, "closed"},
	{verify.ErrPolicy, "config"},
	{verify.ErrMalformed, "id_token_malformed"},
	{verify.ErrType, "id_token_type"},
	{verify.ErrAlgorithm, "id_token_algorithm"},
	{verify.ErrKey, "id_token_key"},
	{verify.ErrSignature, "id_token_signature"},
	{verify.ErrIssuer, "id_token_issuer"},
	{verify.ErrSubject, "id_token_subject"},
	{verify.ErrAudience, "id_token_audience"},
	{verify.ErrAuthorizedParty, "id_token_authorized_party"},
	{verify.ErrExpired, "id_token_expired"},
	{verify.ErrIssuedAt, "id_token_issued_at"},
	{verify.ErrNotBefore, "id_token_not_before"},
	{verify.ErrNonce, "id_token_nonce"},
	{verify.ErrCodeHash, "id_token_code_hash"},
	{verify.ErrAccessTokenHash, "id_token_access_token_hash"},
	{verify.ErrStateHash, "id_token_state_hash"},
	{verify.ErrAuthTime, "id_token_auth_time"},
	{verify.ErrACR, "id_token_acr"},
	{verify.ErrClaim, "id_token_claim"},
	{verify.ErrMismatch, "id_token_mismatch"},
	{rp.ErrNotSent, "not_sent"}, // the last: it comes beside a reason
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustUnmarshal(tb testing.TB, b []byte, v any) {
	tb.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
}

// says is an expected answer of the provider: its error code, or "" and a status.
func says(code string, status int) error { return &rp.Error{Code: code, StatusCode: status} }

// down is what a provider that cannot answer gives: unavailable, and what it said.
func down(status int) error { return errors.Join(rp.ErrUnavailable, says("", status)) }

// want compares err with the sentinels that expected holds: these and no other, and the code of the first. What the
// provider said is compared by code and status. nil expects success.
func (w *world) want(err, expected error) {
	w.Helper()
	w.said.value(err)
	if (err == nil) != (expected == nil) {
		w.Fatalf("error is %v, want %v", err, expected)
	}
	code := ""
	for _, s := range sentinels {
		is := errors.Is(expected, s.err)
		if errors.Is(err, s.err) != is {
			w.Errorf("error is %v, want %v", err, expected)
		}
		if is && code == "" {
			code = s.code
		}
	}
	said, expects := errors.AsType[*rp.Error](expected)
	got, is := errors.AsType[*rp.Error](err)
	if expects != is {
		w.Errorf("error is %v, want %v", err, expected)
	} else if said != nil && (got.Code != said.Code || got.StatusCode != said.StatusCode) {
		w.Errorf("provider said %q with %d, want %q with %d", got.Code, got.StatusCode, said.Code, said.StatusCode)
	}
	if said != nil && code == "" {
		code = "provider_error"
	}
	if got := rp.ErrorCode(err); got != code {
		w.Errorf("code %q, want %q: %v", got, code, err)
	}
	if err != nil && (strings.ContainsFunc(err.Error(), unicode.IsControl) || !utf8.ValidString(err.Error())) {
		w.Errorf("K03: the error holds control characters: %q", err)
	}
}

// secrets are all that must not be said: what we sent, what came, and what was kept.
func (w *world) secrets() []string {
	list := []string{clientSecret, url.QueryEscape(clientSecret)}
	for _, r := range w.op.Requests("/authorize") {
		list = append(list, r.URL.Query().Get("state"), r.URL.Query().Get("nonce"))
	}
	for _, endpoint := range []string{pathToken, "/userinfo", "/api", "/revoke"} {
		for _, r := range w.op.Requests(endpoint) {
			_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			list = append(list, credentials)
			for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret", "client_assertion", "access_token", "token", "subject_token", "actor_token"} {
				list = append(list, r.Form.Get(name))
			}
		}
	}
	return append(list, w.said.secrets()...)
}

// said is everything that was said in the open, and what was said in confidence.
type said struct {
	mu         sync.Mutex
	text       bytes.Buffer
	confidence []string
}

// Write is for log handlers.
func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// String returns what was said in the open.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// logTo logs everything.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// value says v in each way that a program might.
func (s *said) value(v any) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v\n%+v\n%#v\n%s\n%q\n", v, v, v, v, v)
	_ = json.NewEncoder(&b).Encode(v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("value", "v", v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("value", "v", v)
	_, _ = s.Write(b.Bytes())
}

func (s *said) secret(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confidence = append(s.confidence, values...)
}

func (s *said) secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.confidence)
}

// check searches for secrets, and for the payload and signature of those that are tokens.
func (s *said) check(tb testing.TB, secrets []string) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text.String()
	for _, secret := range secrets {
		parts := strings.Split(secret, ".")
		if len(parts) == 3 {
			parts = parts[1:]
		}
		for _, part := range parts {
			if len(part) >= 16 && strings.Contains(text, part) {
				at := strings.Index(text, part)
				tb.Errorf("K01: a secret was said: …%s…", text[max(0, at-200):min(len(text), at+len(part)+50)])
				return
			}
		}
	}
}

// tap listens to what the token endpoint answers.
func (s *said) tap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, pathToken) {
			h.ServeHTTP(rw, r)
			return
		}
		t := &tapped{ResponseWriter: rw}
		h.ServeHTTP(t, r)
		var members map[string]any
		_ = json.Unmarshal(t.body.Bytes(), &members)
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			if token, ok := members[name].(string); ok {
				s.secret(token)
			}
		}
	})
}

type tapped struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (t *tapped) Write(b []byte) (int, error) {
	if t.body.Len() < 1<<20 {
		t.body.Write(b)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (t *tapped) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// pass lets virtual time pass: only in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }

func since(start time.Time) time.Duration {
	now := time.Now()
	return now.Sub(start)
}

// network carries connections by address, in memory.
type network struct {
	tb        testing.TB
	transport *http.Transport

	mu      sync.Mutex // guards what follows
	places  map[string]*place
	dialled []string
}

func newNetwork(tb testing.TB) *network {
	n := &network{tb: tb, places: map[string]*place{}}
	n.transport = &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 16}
	tb.Cleanup(n.transport.CloseIdleConnections)
	return n
}

// serve answers at an address (host:port) until the test ends.
func (n *network) serve(address string, h http.Handler) {
	p := &place{conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	n.places[address] = p
	n.mu.Unlock()
	web := &http.Server{Handler: h, ErrorLog: discard}
	go func() { _ = web.Serve(p) }()
	n.tb.Cleanup(func() { _ = web.Close() })
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	p := n.places[address]
	n.dialled = append(n.dialled, address)
	n.mu.Unlock()
	if p == nil {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dials counts the connections to an address.
func (n *network) dials(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, d := range n.dialled {
		if d == address {
			count++
		}
	}
	return count
}

// discard is for servers whose peers break off.
var discard = log.New(io.Discard, "", 0)

// place is a net.Listener.
type place struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *place) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *place) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *place) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
