package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/twofold-auth/twofold/rp"
)

// settings say which provider, and where the app is.
type settings struct {
	issuer, clientID, secret string
	post                     bool   // the secret goes in the form, not in the header
	audience                 string // Auth0: the API that the access token is for
	key                      crypto.Signer
	keyID                    string
	embedded                 bool // the provider is ours
	base                     string
	log                      *slog.Logger
}

func (s *settings) redirectURL() string   { return s.base + "/auth/callback" }
func (s *settings) postLogoutURL() string { return s.base + "/auth/logged-out" }

// parse reads the environment. Each error names the variable. An empty issuer asks for the embedded provider.
func parse(get func(string) string) (settings, error) {
	s := settings{issuer: get("ISSUER"), clientID: get("CLIENT_ID"), secret: get("CLIENT_SECRET"), keyID: get("CLIENT_KEY_ID"), audience: get("AUDIENCE")}
	file := get("CLIENT_KEY_FILE")
	if s.issuer == "" {
		for _, name := range []string{"CLIENT_ID", "CLIENT_SECRET", "CLIENT_KEY_FILE", "CLIENT_KEY_ID", "CLIENT_AUTH", "AUDIENCE"} {
			if get(name) != "" {
				return s, fmt.Errorf("ISSUER is missing, though %s is set", name)
			}
		}
		return s, nil
	}
	u, err := url.Parse(s.issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return s, fmt.Errorf("ISSUER %q is not a URL such as https://login.example.com/", s.issuer)
	case s.clientID == "":
		return s, errors.New("CLIENT_ID is missing")
	case s.secret == "" && file == "":
		return s, errors.New("CLIENT_SECRET is missing; or CLIENT_KEY_FILE for a client with a private key")
	case s.secret != "" && file != "":
		return s, errors.New("CLIENT_SECRET and CLIENT_KEY_FILE are both set: a client has one way to authenticate")
	case file == "" && s.keyID != "":
		return s, errors.New("CLIENT_KEY_FILE is missing, though CLIENT_KEY_ID is set")
	case file != "" && s.keyID == "":
		return s, errors.New("CLIENT_KEY_ID is missing: the kid that the provider knows the key by")
	case file != "":
		s.key, err = readKey(file)
	}
	if err != nil {
		return s, err
	}
	return s, s.setAuth(get("CLIENT_AUTH"))
}

// setAuth takes token_endpoint_auth_method; empty is what the credentials are for.
func (s *settings) setAuth(method string) error {
	switch {
	case method == "", method == "client_secret_basic" && s.secret != "", method == "private_key_jwt" && s.key != nil:
	case method == "client_secret_post" && s.secret != "":
		s.post = true
	default:
		return fmt.Errorf("CLIENT_AUTH %q: client_secret_basic or client_secret_post with CLIENT_SECRET, private_key_jwt with CLIENT_KEY_FILE", method)
	}
	return nil
}

func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the path is the user's own
	if err != nil {
		return nil, fmt.Errorf("CLIENT_KEY_FILE: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("CLIENT_KEY_FILE %s holds no PEM block", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("CLIENT_KEY_FILE %s is not PKCS#8: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("CLIENT_KEY_FILE %s: a %T cannot sign", file, key)
	}
	return signer, nil
}

func (s *settings) clientAuth() rp.ClientAuth {
	if s.key != nil {
		return rp.PrivateKeyJWT(s.key, s.keyID)
	}
	if s.post {
		return rp.SecretPost(s.secret)
	}
	return rp.SecretBasic(s.secret)
}

// authOptions: without audience Auth0 gives an access token that is for its own UserInfo endpoint alone.
func (s *settings) authOptions() rp.AuthOptions {
	if s.audience == "" {
		return rp.AuthOptions{}
	}
	return rp.AuthOptions{Extra: url.Values{"audience": {s.audience}}}
}

// scopes: not every provider gives refresh tokens to whoever asks.
func (s *settings) scopes() []string {
	scopes := []string{"openid", "profile", "email"}
	if s.embedded {
		scopes = append(scopes, "offline_access")
	}
	return scopes
}

// resources: the embedded provider's API wants access tokens that are for it (RFC 8707). Of others nothing is known.
func (s *settings) resources() []string {
	if s.embedded {
		return []string{s.issuer + "/api"}
	}
	return nil
}

func (s *settings) plainHTTP() bool { return strings.HasPrefix(s.issuer, "http:") }
