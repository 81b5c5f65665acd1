package optest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
)

func known(alg string) bool { return slices.Contains(algorithms, alg) }

// signingKey is one key of the provider.
type signingKey struct {
	kid, alg string
	signer   crypto.Signer
}

// keyring holds the provider's keys, one for each kind of key that was needed.
type keyring struct {
	mu      sync.Mutex
	current map[string]signingKey // by kind; guarded by mu
	order   []string              // kinds in the order of their making; guarded by mu
	retired []signingKey          // for id_token_hint; guarded by mu
}

// kind of key that an algorithm needs; "" for HS* and unknown ones.
func kind(alg string) string {
	switch {
	case !known(alg) || strings.HasPrefix(alg, "HS"):
		return ""
	case alg == "ES256":
		return "P-256"
	case alg == "ES384":
		return "P-384"
	case alg == "ES512":
		return "P-521"
	case alg == "EdDSA":
		return "Ed25519"
	}
	return "RSA"
}

func (k *keyring) get(alg string) signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := kind(alg)
	if key, ok := k.current[name]; ok {
		return key
	}
	if k.current == nil {
		k.current = map[string]signingKey{}
	}
	key := signingKey{kid: "k-" + random(6), alg: alg, signer: newKey(name)}
	k.current[name] = key
	k.order = append(k.order, name)
	return key
}

// rotate forgets all keys but those that an id_token_hint may still be signed with.
func (k *keyring) rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.order {
		old := k.current[name]
		k.retired = append(k.retired, old)
		k.current[name] = signingKey{kid: "k-" + random(6), alg: old.alg, signer: newKey(name)}
	}
}

func (k *keyring) list() (current, retired []signingKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.order {
		current = append(current, k.current[name])
	}
	return current, slices.Clone(k.retired)
}

func newKey(kind string) crypto.Signer {
	var key crypto.Signer
	var err error
	switch kind {
	case "P-256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nextRSA()
	}
	if err != nil {
		panic("optest: " + err.Error())
	}
	return key
}

// RSA keys take about a hundred milliseconds to make and tests make providers by the hundred, so a process has eight and
// deals them out in turn: neighbours, and a provider before and after a rotation, never have the same.
var (
	rsaPool = func() (pool [8]func() *rsa.PrivateKey) {
		for i := range pool {
			pool[i] = sync.OnceValue(func() *rsa.PrivateKey {
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					panic("optest: " + err.Error())
				}
				return key
			})
		}
		return pool
	}()
	rsaNext atomic.Uint32
)

func nextRSA() *rsa.PrivateKey {
	return rsaPool[rsaNext.Add(1)%uint32(len(rsaPool))]()
}

// Key returns the provider's private key for an algorithm, made at first use and published from then on; nil for HS* and
// for algorithms that it does not know.
func (h *Handler) Key(alg string) crypto.Signer {
	if kind(alg) == "" {
		return nil
	}
	return h.keys.get(alg).signer
}

// KeyID returns the kid of [Handler.Key].
func (h *Handler) KeyID(alg string) string {
	if kind(alg) == "" {
		return ""
	}
	return h.keys.get(alg).kid
}

// RotateKeys makes new signing keys. The old ones leave the JWK Set at once.
func (h *Handler) RotateKeys() { h.keys.rotate() }

// JWKS returns the JWK Set as an honest /jwks sends it now.
func (h *Handler) JWKS() []byte { return mustEncode(map[string]any{"keys": h.publicKeys()}) }

// publicKeys returns the JWK Set's keys as members, so that a fault can change each of them.
func (h *Handler) publicKeys() []any {
	current, _ := h.keys.list()
	keys := []any{}
	if h.config.OddKeys {
		keys = oddKeys()
	}
	for _, key := range current {
		keys = append(keys, jwk(jose.JSONWebKey{Key: key.signer.Public(), KeyID: key.kid, Algorithm: key.alg, Use: "sig"}))
	}
	return keys
}

func jwk(key jose.JSONWebKey) map[string]any {
	b, err := key.MarshalJSON()
	if err != nil {
		panic("optest: " + err.Error())
	}
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		panic("optest: " + err.Error())
	}
	return members
}

// oddKeys are neighbours that real JWK Sets have and that a client must step over (RFC 7517 section 5).
func oddKeys() []any {
	weak := make([]byte, 128) // a modulus of 1024 bits; nobody has to own its factors
	_, _ = rand.Read(weak)
	weak[0] |= 0x80
	weak[127] |= 1
	encryption := jwk(jose.JSONWebKey{Key: nextRSA().Public(), KeyID: "odd-enc", Algorithm: "RSA-OAEP-256", Use: "enc"})
	bare := jwk(jose.JSONWebKey{Key: newKey("P-256").Public()})
	return []any{
		map[string]any{ // the curve's generator
			"kty": "EC", "crv": "secp256k1", "use": "sig", "alg": "ES256K", "kid": "odd-secp256k1",
			"x": "eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g", "y": "SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg",
		},
		map[string]any{"kty": "LMS", "kid": "odd-kty", "use": "sig", "pub": "AAAA"},
		map[string]any{"kty": "oct", "kid": "odd-oct", "alg": "HS256", "k": random(32)},
		map[string]any{"kty": "RSA", "kid": "odd-rsa1024", "use": "sig", "alg": "RS256", "e": "AQAB", "n": b64.EncodeToString(weak)},
		encryption,
		bare,
	}
}

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b64.EncodeToString(b)
}
