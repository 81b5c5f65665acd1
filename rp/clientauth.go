package rp

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// The registered names of the methods (Core 9, IANA OAuth Token Endpoint Authentication Methods).
const (
	authBasic      = "client_secret_basic"
	authBasicRaw   = "client_secret_basic (raw)"
	authPost       = "client_secret_post"
	authSecretJWT  = "client_secret_jwt"
	authPrivateJWT = "private_key_jwt"
	authNone       = "none"
)

// ClientAuth is how the client authenticates at the provider, with every grant. It is a value: the With methods return
// a changed copy. It redacts itself. The zero value is refused by [New]; use [Public] for a client without credentials.
//
// See Core 9, https://openid.net/specs/openid-connect-core-1_0.html#ClientAuthentication.
type ClientAuth struct {
	method      string
	secret      string
	key         crypto.Signer
	keyID       string
	algorithm   string
	audience    string
	certificate *x509.Certificate
	err         error // of a With method; New reports it
}

// SecretBasic sends the secret in the Authorization header, form-encoded first as RFC 6749, section 2.3.1, requires.
func SecretBasic(secret string) ClientAuth { return ClientAuth{method: authBasic, secret: secret} }

// SecretBasicRaw is [SecretBasic] without the form encoding, for providers that do not decode it.
func SecretBasicRaw(secret string) ClientAuth {
	return ClientAuth{method: authBasicRaw, secret: secret}
}

// SecretPost sends the secret in the form body.
func SecretPost(secret string) ClientAuth { return ClientAuth{method: authPost, secret: secret} }

// SecretJWT sends an assertion that is signed with the secret: HS256, or what [ClientAuth.WithAlgorithm] says. The
// secret must be as long as the hash (RFC 7518, section 3.2).
func SecretJWT(secret string) ClientAuth { return ClientAuth{method: authSecretJWT, secret: secret} }

// PrivateKeyJWT sends an assertion (RFC 7523) that is signed with key: RS256 for RSA, by curve for EC, EdDSA for
// Ed25519, or what [ClientAuth.WithAlgorithm] says. kid names the key in the provider's copy of our key set; it may be
// empty. The assertion's aud is the issuer, as one string. key may live in hardware; it is used by many goroutines.
func PrivateKeyJWT(key crypto.Signer, kid string) ClientAuth {
	return ClientAuth{method: authPrivateJWT, key: key, keyID: kid}
}

// Public is a client without credentials: client_id alone, protected by PKCE.
func Public() ClientAuth { return ClientAuth{method: authNone} }

// WithAudience changes the aud of assertions, for providers that want their token endpoint's URL there. Any other value
// than the issuer lets a dishonest provider pass our assertion on to the one that the value names.
func (a ClientAuth) WithAudience(aud string) ClientAuth {
	if aud == "" {
		a.err = errors.Join(a.err, errors.New("WithAudience: empty"))
	}
	a.audience = aud
	return a
}

// WithAlgorithm changes the algorithm of assertions; it must fit the key.
func (a ClientAuth) WithAlgorithm(alg string) ClientAuth {
	if alg == "" {
		a.err = errors.Join(a.err, errors.New("WithAlgorithm: empty"))
	}
	a.algorithm = alg
	return a
}

// WithCertificate adds the header members x5t and x5t#S256 of the key's certificate, which Entra ID finds the key by.
func (a ClientAuth) WithCertificate(certificate *x509.Certificate) ClientAuth {
	if certificate == nil {
		a.err = errors.Join(a.err, errors.New("WithCertificate: nil"))
	}
	a.certificate = certificate
	return a
}

// validate checks the method's own consistency. Its errors name what to change.
func (a ClientAuth) validate() error {
	switch {
	case a.err != nil:
		return a.err
	case a.method == "":
		return errors.New("required; rp.Public() for a client without credentials")
	case a.method == authPrivateJWT:
		return a.validateKey()
	case a.key != nil, a.certificate != nil:
		return fmt.Errorf("%s takes no key or certificate", a.method)
	case a.method == authNone:
		return a.validateNoAssertion()
	case a.secret == "":
		return fmt.Errorf("%s needs a secret", a.method)
	case a.method == authSecretJWT:
		return a.validateSecretJWT()
	default:
		return a.validateNoAssertion()
	}
}

func (a ClientAuth) validateNoAssertion() error {
	if a.algorithm != "" || a.audience != "" {
		return fmt.Errorf("%s has no assertion: WithAlgorithm and WithAudience do nothing", a.method)
	}
	return nil
}

func (a ClientAuth) validateSecretJWT() error {
	alg, ok := hmacAlgorithms[a.assertionAlgorithm()]
	if !ok {
		return fmt.Errorf("client_secret_jwt cannot use %q: HS256, HS384 or HS512", a.algorithm)
	}
	if len(a.secret) < alg.Size() {
		return fmt.Errorf("client_secret_jwt needs a secret of at least %d bytes", alg.Size())
	}
	return nil
}

func (a ClientAuth) validateKey() error {
	if a.key == nil {
		return errors.New("private_key_jwt needs a key")
	}
	if err := checkSigner(a.key, a.assertionAlgorithm()); err != nil {
		return fmt.Errorf("private_key_jwt: %w", err)
	}
	if a.certificate != nil {
		pub, ok := a.key.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !pub.Equal(a.certificate.PublicKey) {
			return errors.New("WithCertificate: not the certificate of the key")
		}
	}
	return nil
}

// confidential says whether the client proves who it is.
func (a ClientAuth) confidential() bool { return a.method != authNone }

// authenticate adds the credentials to a token request. Only one method is ever used in a request (RFC 6749, section
// 2.3), and a secret is never in the URL. client_id is in the body except with Basic.
func (c *Client) authenticate(r *http.Request, form url.Values) error {
	a := c.cfg.ClientAuth
	switch a.method {
	case authBasic:
		// "using the "application/x-www-form-urlencoded" encoding algorithm" (RFC 6749, section 2.3.1)
		r.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(a.secret))
		return nil
	case authBasicRaw:
		r.SetBasicAuth(c.cfg.ClientID, a.secret)
		return nil
	case authPost:
		form.Set("client_secret", a.secret)
	case authSecretJWT, authPrivateJWT:
		assertion, err := c.assertion()
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	form.Set("client_id", c.cfg.ClientID)
	return nil
}
