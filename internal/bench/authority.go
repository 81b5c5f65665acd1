package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/rp/optest"
)

const (
	clientID     = "client"
	clientSecret = "a secret of at least thirty-two bytes, for all"
	redirectURL  = "https://app.example.com/auth/callback"
	theNonce     = "n-0S6_WzA2Mj-Qcb0Orv1zh30vL1MPRs"
	theCode      = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"
)

// authority is an issuer that does nothing but publish its metadata and keys: the least that relying parties need.
type authority struct {
	server  *httptest.Server
	issuer  string
	fetches atomic.Int64 // of the keys
	down    atomic.Bool  // answer 503

	document []byte // the JWKS, if it is not made from keys
	nonce    string // of the tokens that token makes

	mu   sync.Mutex // guards what follows
	keys []signKey
}

// signKey is one key of an authority.
type signKey struct {
	kid, alg string
	private  crypto.Signer
}

func newAuthority(keys ...signKey) *authority {
	a := &authority{keys: keys, nonce: theNonce}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", a.metadata)
	mux.HandleFunc("GET /jwks", a.serveKeys)
	a.server = httptest.NewServer(mux)
	a.issuer = a.server.URL
	return a
}

func (a *authority) close() { a.server.Close() }

func (a *authority) metadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": a.issuer, "jwks_uri": a.issuer + "/jwks",
		"authorization_endpoint": a.issuer + "/authorize", "token_endpoint": a.issuer + "/token",
		"userinfo_endpoint":                     a.issuer + "/userinfo",
		"response_types_supported":              []string{"code", "code id_token"},
		"response_modes_supported":              []string{"query", "form_post"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "PS256", "ES256", "EdDSA"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (a *authority) serveKeys(w http.ResponseWriter, _ *http.Request) {
	a.fetches.Add(1)
	if a.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	document := a.document
	if document == nil {
		document = keySetJSON(a.keys)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}

// rotate publishes other keys.
func (a *authority) rotate(keys ...signKey) {
	a.mu.Lock()
	a.keys = keys
	a.mu.Unlock()
}

// token is an ID Token of usual size, by the time of c.
func (a *authority) token(k signKey, c *clock) string {
	now := c.Now().Unix()
	return a.idToken(k, tokenSize, map[string]any{"nonce": a.nonce, "iat": now, "exp": now + 3600, "auth_time": now})
}

func keySetJSON(keys []signKey) []byte {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: k.alg, Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err) // the keys are ours
	}
	return b
}

// newKey makes a key for an algorithm.
func newKey(alg, kid string) signKey {
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return signKey{kid, alg, private}
}

// idToken signs claims that every relying party here believes, padded to size bytes. Others replace or add claims.
func (a *authority) idToken(k signKey, size int, others map[string]any) string {
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": a.issuer, "sub": "248289761001", "aud": clientID, "iat": now, "exp": now + 3600, "auth_time": now - 60,
		"nonce": theNonce, "c_hash": optest.HalfHash(k.alg, theCode), "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
		"acr": "urn:mace:incommon:iap:silver", "amr": []string{"pwd", "otp"},
		"name": "Alice Adams", "given_name": "Alice", "family_name": "Adams", "preferred_username": "alice",
		"email": "alice@example.com", "email_verified": true, "locale": "en", "updated_at": 1_799_000_000,
		"groups":  []string{"admins", "staff", "users"},
		"address": map[string]any{"street_address": "1 Main Street", "locality": "Springfield", "country": "US"},
		"picture": "",
	}
	for name, value := range others {
		claims[name] = value
	}
	header := fmt.Appendf(nil, `{"alg":%q,"typ":"JWT","kid":%q}`, k.alg, k.kid)
	sign := func() string {
		b, err := json.Marshal(claims)
		if err != nil {
			panic(err) // the claims are ours
		}
		return optest.JWS(k.alg, k.private, header, b)
	}
	token := sign()
	if missing := size - len(token); missing > 0 {
		claims["picture"] = random(missing * 3 / 4)
		token = sign()
	}
	return token
}

// random returns n characters that nobody can pack tighter.
func random(n int) string {
	text := ""
	for len(text) < n {
		text += rand.Text()
	}
	return text[:n]
}
