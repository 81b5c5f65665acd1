package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// api is a resource server of the provider's: two APIs that believe its JWT access tokens, each those for itself only.
type api struct {
	url     string
	client  *http.Client
	issuers []string
	mu      sync.Mutex
	tokens  map[string][]string // guarded by mu: every token that was accepted, in order, by client
}

func newAPI() *api { return &api{tokens: map[string][]string{}} }

// resources are the APIs that the provider knows, by identifier, as oidc-provider wants them.
func (a *api) resources() map[string]any {
	return map[string]any{
		a.url + "/orders": map[string]any{"scope": "orders:read", "audience": a.url + "/orders", "accessTokenTTL": 300},
		a.url + "/stock":  map[string]any{"scope": "stock:read", "audience": a.url + "/stock", "accessTokenTTL": 300},
		a.url + "/brief":  map[string]any{"scope": "orders:read", "audience": a.url + "/brief", "accessTokenTTL": 2},
	}
}

func (a *api) trust(client *http.Client, issuers map[string]string) {
	a.client = client
	for _, issuer := range issuers {
		a.issuers = append(a.issuers, issuer)
	}
}

// accepted are the tokens of a client that the API has accepted so far.
func (a *api) accepted(clientID string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tokens[clientID])
}

// accessClaims are the claims of an access token (RFC 9068) that the API looks at.
type accessClaims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "no Bearer token", http.StatusUnauthorized)
		return
	}
	claims, err := a.verify(r, raw)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	a.mu.Lock()
	a.tokens[claims.ClientID] = append(a.tokens[claims.ClientID], raw)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"resource": r.URL.Path, "sub": claims.Subject, "aud": claims.Audience})
}

// verify is RFC 9068 as far as a test needs it: signature, typ, issuer, audience and time.
func (a *api) verify(r *http.Request, raw string) (*accessClaims, error) {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, fmt.Errorf("access token: %w", err)
	}
	if typ := token.Headers[0].ExtraHeaders[jose.HeaderType]; typ != "at+jwt" {
		return nil, fmt.Errorf("access token: typ is %v", typ)
	}
	var unverified jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return nil, fmt.Errorf("access token: %w", err)
	}
	if !slices.Contains(a.issuers, unverified.Issuer) {
		return nil, fmt.Errorf("access token: unknown issuer %q", unverified.Issuer)
	}
	keys, err := a.keys(r, unverified.Issuer)
	if err != nil {
		return nil, err
	}
	var claims accessClaims
	if err := token.Claims(keys, &claims); err != nil {
		return nil, fmt.Errorf("access token: %w", err)
	}
	expected := jwt.Expected{Issuer: unverified.Issuer, AnyAudience: jwt.Audience{a.url + r.URL.Path}, Time: time.Now()}
	if err := claims.ValidateWithLeeway(expected, 0); err != nil {
		return nil, fmt.Errorf("access token for %v: %w", claims.Audience, err)
	}
	return &claims, nil
}

func (a *api) keys(r *http.Request, issuer string) (*jose.JSONWebKeySet, error) {
	q, err := http.NewRequestWithContext(r.Context(), http.MethodGet, strings.TrimSuffix(issuer, "/")+"/jwks", nil)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	answer, err := a.client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer answer.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&keys); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &keys, nil
}
