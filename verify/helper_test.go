package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// The world of the tests: one issuer, one client, one login, one moment. Its signer and its hashes are written anew
// here and share nothing with the package.
const (
	issuer      = "https://login.example.com/"
	client      = "client-1"
	nonce       = "n-0S6_WzA2Mj-2u7kmd3s5h1kq"
	state       = "af0ifjsldkj"
	code        = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"
	accessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
	secret      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

var now = time.Unix(1_800_000_000, 0)

var everyAlgorithm = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
	"HS256", "HS384", "HS512",
}

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
	ecKeys = map[string]func() *ecdsa.PrivateKey{
		"ES256": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
		"ES384": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
		"ES512": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
	}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func privateKey(alg string) crypto.Signer {
	switch alg[:2] {
	case "RS", "PS":
		return rsaKey()
	case "ES":
		return ecKeys[alg]()
	case "Ed":
		return edKey()
	}
	return nil // HS*
}

// token is what a row changes: a valid token, what was promised, and who judges.
type token struct {
	alg            string
	header, claims map[string]any
	rawHeader      string // in place of header
	rawClaims      string // in place of claims
	key            crypto.PrivateKey
	policy         verify.Policy
	expect         verify.Expect
	compact        func(string) string // changes the finished token
	finished       string
}

// valid returns a token that FrontChannel and TokenEndpoint accept with its policy and expectation.
func valid(alg string) *token {
	t := &token{
		alg:    alg,
		header: map[string]any{"alg": alg, "kid": "key-1", "typ": "JWT"},
		claims: map[string]any{
			"iss": issuer, "sub": "alice", "aud": client, "exp": now.Unix() + 3600, "iat": now.Unix(),
			"nonce": nonce, "c_hash": half(alg, code), "at_hash": half(alg, accessToken), "s_hash": half(alg, state),
			"auth_time": now.Unix() - 10, "acr": "urn:example:gold", "amr": []any{"pwd", "otp"}, "sid": "session-1",
			"name": "Alice", "email": "alice@example.com",
		},
		policy: verify.Policy{Issuer: issuer, ClientID: client, Algorithm: alg, Now: func() time.Time { return now }},
		expect: verify.Expect{Nonce: nonce, State: state, Code: code, AccessToken: accessToken},
	}
	if strings.HasPrefix(alg, "HS") {
		t.key, t.policy.Secret = []byte(secret), []byte(secret)
		return t
	}
	t.key = privateKey(alg)
	t.policy.Keys = verify.StaticKeys(verify.Key{ID: "key-1", Public: privateKey(alg).Public()})
	return t
}

// raw signs the token as it stands, once.
func (t *token) raw() string {
	if t.finished == "" {
		t.finished = t.build()
	}
	return t.finished
}

func (t *token) build() string {
	header, claims := t.rawHeader, t.rawClaims
	if header == "" {
		header = string(must(json.Marshal(t.header)))
	}
	if claims == "" {
		claims = t.json()
	}
	raw := jws(t.alg, t.key, header, claims)
	if t.compact != nil {
		raw = t.compact(raw)
	}
	return raw
}

// json is the claims as they are signed.
func (t *token) json() string { return string(must(json.Marshal(t.claims))) }

func jws(alg string, key crypto.PrivateKey, header, claims string) string {
	input := b64(header) + "." + b64(claims)
	return input + "." + b64(string(sign(alg, key, input)))
}

func b64[T string | []byte](b T) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }

func hashOf(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "256"):
		return crypto.SHA256
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	}
	return crypto.SHA512 // *512, EdDSA with Ed25519
}

func sum(h crypto.Hash, text string) []byte { return sumBytes(h, []byte(text)) }

func sumBytes(h crypto.Hash, text []byte) []byte {
	switch h {
	case crypto.SHA256:
		s := sha256.Sum256(text)
		return s[:]
	case crypto.SHA384:
		s := sha512.Sum384(text)
		return s[:]
	}
	s := sha512.Sum512(text)
	return s[:]
}

// half is c_hash, at_hash and s_hash.
func half(alg, text string) string {
	s := sum(hashOf(alg), text)
	return b64(s[:len(s)/2])
}

func sign(alg string, key crypto.PrivateKey, input string) []byte {
	h := hashOf(alg)
	switch key := key.(type) {
	case []byte:
		m := hmac.New(h.New, key)
		m.Write([]byte(input))
		return m.Sum(nil)
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			return must(rsa.SignPSS(rand.Reader, key, h, sum(h, input), &rsa.PSSOptions{SaltLength: h.Size()}))
		}
		return must(rsa.SignPKCS1v15(nil, key, h, sum(h, input)))
	case *ecdsa.PrivateKey:
		size := (key.Params().BitSize + 7) / 8
		r, s, err := ecdsa.Sign(rand.Reader, key, sum(h, input))
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input))
	}
	return nil
}

// row is one mutation of a valid token and the one reason for which it is refused; nil: it is still accepted.
type row struct {
	name   string
	want   error
	change func(*token)
}

// set and without are the most frequent mutations.
func set(claim string, value any) func(*token) { return func(t *token) { t.claims[claim] = value } }

func without(claim string) func(*token) { return func(t *token) { delete(t.claims, claim) } }

func header(name string, value any) func(*token) { return func(t *token) { t.header[name] = value } }

func withoutHeader(name string) func(*token) { return func(t *token) { delete(t.header, name) } }

// claimText sets a claim to a JSON text that Go would not marshal.
func claimText(claim, text string) func(*token) {
	return func(t *token) { t.claims[claim] = json.RawMessage(text) }
}

// moreClaims puts text in before the closing brace of the claims.
func moreClaims(text string) func(*token) {
	return func(t *token) { t.rawClaims = strings.TrimSuffix(t.json(), "}") + text + "}" }
}

// flipSignature changes one bit in the middle of the signature.
func flipSignature(raw string) string {
	dot := strings.LastIndexByte(raw, '.')
	sig := must(base64.RawURLEncoding.DecodeString(raw[dot+1:]))
	sig[len(sig)/2] ^= 1
	return raw[:dot+1] + b64(sig)
}

var sentinels = map[string]error{
	"ErrPolicy": verify.ErrPolicy, "ErrMalformed": verify.ErrMalformed, "ErrType": verify.ErrType,
	"ErrAlgorithm": verify.ErrAlgorithm, "ErrKey": verify.ErrKey, "ErrSignature": verify.ErrSignature,
	"ErrIssuer": verify.ErrIssuer, "ErrSubject": verify.ErrSubject, "ErrAudience": verify.ErrAudience,
	"ErrAuthorizedParty": verify.ErrAuthorizedParty, "ErrExpired": verify.ErrExpired, "ErrIssuedAt": verify.ErrIssuedAt,
	"ErrNotBefore": verify.ErrNotBefore, "ErrNonce": verify.ErrNonce, "ErrCodeHash": verify.ErrCodeHash,
	"ErrAccessTokenHash": verify.ErrAccessTokenHash, "ErrStateHash": verify.ErrStateHash,
	"ErrAuthTime": verify.ErrAuthTime, "ErrACR": verify.ErrACR, "ErrClaim": verify.ErrClaim,
	"ErrMismatch": verify.ErrMismatch, "ErrKeySet": verify.ErrKeySet,
}

// wantRefusal fails unless err is an *Error that wraps want and no other sentinel and says nothing of the token.
func wantRefusal(t *testing.T, err, want error, raw string) {
	t.Helper()
	var e *verify.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *verify.Error", err)
	}
	for name, s := range sentinels {
		if errors.Is(err, s) != errors.Is(want, s) {
			t.Errorf("got %v, want %v (%s)", err, want, name)
		}
	}
	if e.Rule.Name == "" || e.Rule.Section == "" {
		t.Errorf("the refusal names no rule: %+v", e)
	}
	if len(err.Error()) > 300 {
		t.Errorf("%d bytes of error text", len(err.Error()))
	}
	for _, secret := range append(strings.Split(raw, "."), nonce, state, code, accessToken, secret) {
		if len(secret) > 6 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds %.20q", secret)
		}
	}
}

func runRows(t *testing.T, rows []row, check func(*testing.T, *token) (*verify.IDToken, error)) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			tok := valid("ES256")
			r.change(tok)
			got, err := check(t, tok)
			if r.want == nil {
				if err != nil || got == nil {
					t.Fatalf("got %v, want it accepted", err)
				}
				return
			}
			if got != nil {
				t.Errorf("a token beside the error %v", err)
			}
			wantRefusal(t, err, r.want, tok.raw())
		})
	}
}

func frontChannel(t *testing.T, tok *token) (*verify.IDToken, error) {
	return tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
}

func tokenEndpoint(t *testing.T, tok *token) (*verify.IDToken, error) {
	return tok.policy.TokenEndpoint(t.Context(), tok.raw(), tok.expect)
}
