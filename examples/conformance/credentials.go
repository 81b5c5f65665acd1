package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// clientAuth: an empty RP_CLIENT_AUTH is the default of client registration, client_secret_basic.
func (e *environment) clientAuth() rp.ClientAuth {
	switch e.oneOf("RP_CLIENT_AUTH",
		"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none") {
	case "client_secret_basic":
		return rp.SecretBasic(e.required("RP_CLIENT_SECRET"))
	case "client_secret_post":
		return rp.SecretPost(e.required("RP_CLIENT_SECRET"))
	case "client_secret_jwt":
		return rp.SecretJWT(e.required("RP_CLIENT_SECRET"))
	case "private_key_jwt":
		return e.privateKeyJWT()
	default:
		return rp.Public()
	}
}

func (e *environment) privateKeyJWT() rp.ClientAuth {
	key := e.privateKey()
	auth := rp.PrivateKeyJWT(key, e.get("RP_PRIVATE_KEY_ID"))
	alg := e.get("RP_PRIVATE_KEY_ALG")
	if alg == "" {
		return auth
	}
	if key != nil && !slices.Contains(algorithms(key), alg) {
		e.fail("RP_PRIVATE_KEY_ALG", "%q does not fit the key", alg)
	}
	return auth.WithAlgorithm(alg)
}

func (e *environment) privateKey() crypto.Signer {
	const name = "RP_PRIVATE_KEY_FILE"
	file := e.required(name)
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the path is the operator's
	if err != nil {
		e.fail(name, "%v", err)
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		e.fail(name, "no PEM block")
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok || algorithms(signer) == nil {
		e.fail(name, "not a PKCS#8 key for RS, PS, ES or EdDSA")
		return nil
	}
	return signer
}

// algorithms lists what a key can sign with.
func algorithms(key crypto.Signer) []string {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PrivateKey:
		return map[string][]string{"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}}[k.Curve.Params().Name]
	case ed25519.PrivateKey:
		return []string{"EdDSA", "Ed25519"}
	default:
		return nil
	}
}

// requestTimeout bounds one call of the resource; the library has its own.
const requestTimeout = 10 * time.Second

// transport is what RP_CA_FILE asks for; nil is the default one.
func (s *settings) transport() http.RoundTripper {
	if s.client.HTTPClient == nil {
		return nil
	}
	return s.client.HTTPClient.Transport
}

// httpClient trusts RP_CA_FILE beside the system's authorities. nil is the library's own client.
func (e *environment) httpClient() *http.Client {
	file := e.get("RP_CA_FILE")
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the path is the operator's
	if err != nil {
		e.fail("RP_CA_FILE", "%v", err)
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		e.fail("RP_CA_FILE", "no certificate in it")
	}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: requestTimeout,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
}
