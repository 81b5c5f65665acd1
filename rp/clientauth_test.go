package rp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// signerOnly hides what a key is: all that a key in hardware shows.
type signerOnly struct{ crypto.Signer }

func mustKey(tb testing.TB, generate func() (crypto.Signer, error)) crypto.Signer {
	tb.Helper()
	key, err := generate()
	if err != nil {
		tb.Fatal(err)
	}
	return signerOnly{key}
}

func rsaKey(tb testing.TB) crypto.Signer {
	return mustKey(tb, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })
}

func ecKey(tb testing.TB, curve elliptic.Curve) crypto.Signer {
	return mustKey(tb, func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) })
}

func edKey(tb testing.TB) crypto.Signer {
	return mustKey(tb, func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err })
}

func TestEachClientAuthenticationLogsIn(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	for name, tc := range map[string]struct {
		auth   rp.ClientAuth
		method string
	}{
		"client_secret_basic":       {rp.SecretBasic("a b:c%+ü/&=" + clientSecret), "client_secret_basic"},
		"client_secret_post":        {rp.SecretPost("a b:c%+ü/&=" + clientSecret), "client_secret_post"},
		"client_secret_jwt":         {rp.SecretJWT(clientSecret), "client_secret_jwt"},
		"client_secret_jwt HS512":   {rp.SecretJWT(clientSecret).WithAlgorithm("HS512"), "client_secret_jwt"},
		"private_key_jwt RS256":     {rp.PrivateKeyJWT(key, "k"), "private_key_jwt"},
		"private_key_jwt PS256":     {rp.PrivateKeyJWT(key, "k").WithAlgorithm("PS256"), "private_key_jwt"},
		"private_key_jwt PS512":     {rp.PrivateKeyJWT(key, "k").WithAlgorithm("PS512"), "private_key_jwt"},
		"private_key_jwt ES256":     {rp.PrivateKeyJWT(ecKey(t, elliptic.P256()), "k"), "private_key_jwt"},
		"private_key_jwt ES384":     {rp.PrivateKeyJWT(ecKey(t, elliptic.P384()), "k"), "private_key_jwt"},
		"private_key_jwt ES512":     {rp.PrivateKeyJWT(ecKey(t, elliptic.P521()), "k"), "private_key_jwt"},
		"private_key_jwt EdDSA":     {rp.PrivateKeyJWT(edKey(t), "k"), "private_key_jwt"},
		"private_key_jwt, no kid":   {rp.PrivateKeyJWT(edKey(t), ""), "private_key_jwt"},
		"none, protected by PKCE":   {rp.Public(), ""},
		"client_secret_basic (raw)": {rp.SecretBasicRaw(clientSecret), "client_secret_basic"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := optest.Config{ClientID: "app", ClientAuth: tc.method}
			switch tc.method {
			case "private_key_jwt":
				config.ClientKeys = lazyClient(t, func(c *rp.Config) { c.ClientAuth = tc.auth }).JWKS()
			case "":
			default:
				config.ClientSecret = secretOf(name)
			}
			op := optest.NewServer(config)
			t.Cleanup(op.Close)
			client := newClient(t, op, func(c *rp.Config) { c.ClientAuth = tc.auth })
			if _, tokens, err := login(t.Context(), t, client, rp.AuthOptions{}); err != nil || tokens == nil {
				t.Fatal(err)
			}
		})
	}
}

func secretOf(name string) string {
	if name == "client_secret_basic" || name == "client_secret_post" {
		return "a b:c%+ü/&=" + clientSecret
	}
	return clientSecret
}

// assertionOf runs a login with auth and returns header and claims of the assertion that the token endpoint got.
func assertionOf(t *testing.T, auth rp.ClientAuth, op *optest.Server) (header, claims map[string]any) {
	t.Helper()
	client := newClient(t, op, func(c *rp.Config) { c.ClientAuth = auth })
	_, _, _ = login(t.Context(), t, client, rp.AuthOptions{})
	requests := op.Requests("/oauth/token")
	segments := strings.Split(requests[len(requests)-1].Form.Get("client_assertion"), ".")
	if len(segments) != 3 {
		t.Fatal("no assertion")
	}
	for i, to := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(segments[i])
		if err != nil || json.Unmarshal(text, to) != nil {
			t.Fatal("no assertion")
		}
	}
	return header, claims
}

func members(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestD34_D35_D36_what_an_assertion_says(t *testing.T) {
	t.Parallel()
	key := ecKey(t, elliptic.P256())
	auth := rp.PrivateKeyJWT(key, "k")
	keys := lazyClient(t, func(c *rp.Config) { c.ClientAuth = auth }).JWKS()
	op := newOP(t, optest.Config{ClientKeys: keys})
	header, claims := assertionOf(t, auth, op)
	if got := members(header); !slices.Equal(got, []string{"alg", "kid", "typ"}) || header["typ"] != "JWT" || header["kid"] != "k" {
		t.Errorf("header %v", header)
	}
	if got := members(claims); !slices.Equal(got, []string{"aud", "exp", "iat", "iss", "jti", "sub"}) {
		t.Errorf("claims %v", claims)
	}
	if claims["aud"] != op.URL || claims["iss"] != "app" || claims["sub"] != "app" {
		t.Errorf("claims %v", claims)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life <= 0 || life > 60 {
		t.Errorf("it lives %v s", life)
	}
	_, again := assertionOf(t, auth, op)
	if claims["jti"] == again["jti"] {
		t.Error("jti came twice")
	}
	_, other := assertionOf(t, auth.WithAudience(op.URL+"/oauth/token"), op)
	if other["aud"] != op.URL+"/oauth/token" {
		t.Errorf("aud %v", other["aud"])
	}
}

func TestD08_invalid_client_names_the_audience_and_the_alternative(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	op := newOP(t, optest.Config{ClientKeys: lazyClient(t, func(c *rp.Config) {
		c.ClientAuth = rp.PrivateKeyJWT(edKey(t), "k")
	}).JWKS()})
	client := newClient(t, op, func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(key, "k") })
	_, _, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err == nil || !strings.Contains(err.Error(), `aud was "`+op.URL+`"`) || !strings.Contains(err.Error(), op.URL+"/oauth/token") {
		t.Error(err)
	}
}

func TestAssertionWithCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	auth := rp.PrivateKeyJWT(key, "").WithCertificate(certificate)
	op := newOP(t, optest.Config{ClientKeys: lazyClient(t, func(c *rp.Config) { c.ClientAuth = auth }).JWKS()})
	header, _ := assertionOf(t, auth, op)
	if got := members(header); !slices.Equal(got, []string{"alg", "typ", "x5t", "x5t#S256"}) {
		t.Errorf("header %v", header)
	}
	c := lazyConfig()
	c.ClientAuth = rp.PrivateKeyJWT(ecKey(t, elliptic.P256()), "").WithCertificate(certificate)
	if _, err := rp.New(t.Context(), c); rp.ErrorCode(err) != "config" {
		t.Errorf("K06: a certificate of another key: %v", err)
	}
}

func TestF20_own_keys_show_only_their_public_half(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(t), "EC": ecKey(t, elliptic.P384()), "Ed25519": edKey(t)} {
		jwks := lazyClient(t, func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(key, "k") }).JWKS()
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal(jwks, &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%s: %s", name, jwks)
		}
		for _, member := range members(set.Keys[0]) {
			if !slices.Contains([]string{"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}, member) {
				t.Errorf("%s: member %s", name, member)
			}
		}
	}
	if got := string(lazyClient(t, nil).JWKS()); got != `{"keys":[]}` {
		t.Errorf("without a key: %s", got)
	}
}
