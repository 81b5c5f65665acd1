package rp

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // x5t is a SHA-1 thumbprint by definition (RFC 7515, section 4.1.7); it protects nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is how long a client assertion is valid: long enough for one request.
const assertionLife = 60 * time.Second

// assertionHeader holds alg, typ, kid and a certificate's thumbprints, and nothing else.
type assertionHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid,omitempty"`
	X5T       string `json:"x5t,omitempty"`
	X5TS256   string `json:"x5t#S256,omitempty"`
}

// assertionClaims are those of RFC 7523, section 3. aud is one string: a list would let one provider use an assertion
// that was made for another (draft-ietf-oauth-rfc7523bis).
type assertionClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
}

// assertion makes a client assertion for one request; its jti is never used again.
func (c *Client) assertion() (string, error) {
	a := c.cfg.ClientAuth
	now := c.cfg.Now()
	alg := a.assertionAlgorithm()
	header := assertionHeader{Algorithm: alg, Type: "JWT", KeyID: a.keyID}
	header.X5T, header.X5TS256 = thumbprints(a.certificate)
	claims := assertionClaims{
		Issuer: c.cfg.ClientID, Subject: c.cfg.ClientID, Audience: c.assertionAudience(), ID: rand.Text(),
		IssuedAt: now.Unix(), Expiry: now.Add(assertionLife).Unix(),
	}
	input, err := signingInput(header, claims)
	if err != nil {
		return "", err
	}
	signature, err := a.sign(alg, input)
	if err != nil {
		return "", fmt.Errorf("rp: client assertion: %w", err)
	}
	return string(input) + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// assertionAudience is the issuer unless the configuration chose another value.
func (c *Client) assertionAudience() string {
	if c.cfg.ClientAuth.audience != "" {
		return c.cfg.ClientAuth.audience
	}
	return c.cfg.Issuer
}

func signingInput(header, claims any) ([]byte, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	p, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	input := base64.RawURLEncoding.AppendEncode(make([]byte, 0, 2*(len(h)+len(p))), h)
	return base64.RawURLEncoding.AppendEncode(append(input, '.'), p), nil
}

func thumbprints(certificate *x509.Certificate) (x5t, x5tS256 string) {
	if certificate == nil {
		return "", ""
	}
	s1 := sha1.Sum(certificate.Raw) //nolint:gosec // see the import
	s256 := sha256.Sum256(certificate.Raw)
	return base64.RawURLEncoding.EncodeToString(s1[:]), base64.RawURLEncoding.EncodeToString(s256[:])
}

// JWKS returns the client's own public keys, to serve at the URL that the provider knows (RFC 7517, section 5). Without
// a private key it is an empty set. The caller may change the bytes.
func (c *Client) JWKS() []byte {
	return append([]byte(nil), c.jwks...)
}

// publicKeys renders the key of private_key_jwt. Only the public half is ever touched (RFC 7517, section 9.2).
func publicKeys(a ClientAuth) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if a.method == authPrivateJWT {
		key := jose.JSONWebKey{Key: a.key.Public(), KeyID: a.keyID, Algorithm: a.assertionAlgorithm(), Use: "sig"}
		if a.certificate != nil {
			key.Certificates = []*x509.Certificate{a.certificate}
		}
		set.Keys = append(set.Keys, key)
	}
	return json.Marshal(set)
}
