package e2e_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// TestWithoutMiddleware uses rp alone, in the order of the protocol, with every kind of token signature that the
// provider has for a client that asks for it.
func TestWithoutMiddleware(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "HS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			m := newManual(t, "manual-"+strings.ToLower(algorithm), algorithm)
			b := m.w.profile(t)
			b.open(m.w.apps.url(m.name) + "/login")
			b.fill("#username", "alice")
			b.click("#continue")
			b.click("#allow")
			b.see("#done")
			m.redeem(t)
		})
	}
}

// manual is an app without sessions: one request waits for one answer.
type manual struct {
	w      *world
	name   string
	client *rp.Client
	mu     sync.Mutex
	asked  *rp.AuthRequest // guarded by mu
	answer url.Values      // guarded by mu
}

func newManual(t *testing.T, name, algorithm string) *manual {
	t.Helper()
	w := start(t)
	name = w.apps.unique(name)
	m := &manual{w: w, name: name}
	callback := w.apps.url(name) + "/callback"
	w.provider.register(t, certified, map[string]any{
		"client_id": name, "client_secret": secret, "redirect_uris": []string{callback}, "id_token_signed_response_alg": algorithm,
		"response_types": []string{"code id_token token"}, "grant_types": []string{"authorization_code", "implicit", "refresh_token"},
	})
	client, err := rp.New(t.Context(), rp.Config{
		Issuer: w.provider.issuers[certified], ClientID: name, ClientAuth: rp.SecretBasic(secret), RedirectURL: callback,
		Scopes: []string{"openid", "email", "offline_access"}, ResponseType: rp.CodeIDTokenToken, IDTokenAlgorithm: algorithm,
		HTTPClient: w.httpClient(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	m.client = client
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", m.login)
	mux.HandleFunc("POST /callback", m.callback)
	w.apps.handle(name, mux)
	return m
}

func (m *manual) login(w http.ResponseWriter, r *http.Request) {
	hour := time.Hour
	q, err := m.client.NewAuthRequest(r.Context(), rp.AuthOptions{
		Prompt: "consent", MaxAge: &hour, Claims: json.RawMessage(`{"id_token":{"email":{"essential":true}}}`),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	m.mu.Lock()
	m.asked = q
	m.mu.Unlock()
	http.Redirect(w, r, q.Redirect().URL, http.StatusFound)
}

func (m *manual) callback(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	m.mu.Lock()
	m.answer = r.PostForm
	m.mu.Unlock()
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(`<p id="done">done</p>`))
}

// redeem goes from the answer to refreshed tokens, each value through its bytes as if processes changed in between.
func (m *manual) redeem(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	m.mu.Lock()
	defer m.mu.Unlock()
	q, err := m.client.ParseAuthRequest(m.asked.Bytes())
	must(t, "ParseAuthRequest", err)
	answer, err := m.client.VerifyResponse(ctx, q, m.answer)
	must(t, "VerifyResponse", err)
	first := answer.IDToken()
	if first.Subject != "alice" || first.AuthTime.IsZero() || answer.AccessToken() == nil {
		t.Errorf("first: sub %q, auth_time %v, access token %v", first.Subject, first.AuthTime, answer.AccessToken() != nil)
	}
	answer, err = m.client.ParseAuthResponse(answer.Bytes())
	must(t, "ParseAuthResponse", err)
	tokens, err := m.client.Exchange(ctx, answer)
	must(t, "Exchange", err)
	if _, err := m.client.Exchange(ctx, answer); err == nil {
		t.Error("a code was redeemed twice")
	}
	tokens, err = m.client.ParseTokens(tokens.Bytes())
	must(t, "ParseTokens", err)
	m.use(ctx, t, tokens)
}

func (m *manual) use(ctx context.Context, t *testing.T, tokens *rp.Tokens) {
	t.Helper()
	info, err := m.client.UserInfo(ctx, tokens)
	must(t, "UserInfo", err)
	info, err = m.client.ParseUserInfo(info.Bytes())
	must(t, "ParseUserInfo", err)
	var claims struct {
		Email string `json:"email"`
	}
	must(t, "Claims", info.Claims(&claims))
	if info.Subject != "alice" || claims.Email != "alice@example.test" {
		t.Errorf("user info: %q, %q", info.Subject, claims.Email)
	}
	next, err := m.client.Refresh(ctx, tokens, rp.Target{})
	must(t, "Refresh", err)
	if next.OAuth2().AccessToken == tokens.OAuth2().AccessToken || next.OAuth2().RefreshToken == tokens.OAuth2().RefreshToken {
		t.Error("the refresh brought nothing new")
	}
	// A rotated refresh token that is used again ends its family (RFC 9700, section 4.14.2).
	if _, err := m.client.Refresh(ctx, tokens, rp.Target{}); err == nil {
		t.Error("a rotated refresh token was taken again")
	}
	var grants []string
	for _, c := range m.w.provider.calls(t, m.name, "/oauth/token") {
		grants = append(grants, c.Grant)
	}
	if want := []string{"authorization_code", "refresh_token", "refresh_token"}; !slices.Equal(grants, want) {
		t.Errorf("token calls %q, want %q", grants, want)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
