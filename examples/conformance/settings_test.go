package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// good is an environment that is accepted. Every row of a test is one change of it.
func good() map[string]string {
	return map[string]string{
		"RP_LISTEN": "127.0.0.1:0", "RP_BASE_URL": "https://rp.example.com", "RP_ISSUER": "https://op.example.com/",
		"RP_CLIENT_ID": "client:+%", "RP_CLIENT_SECRET": "a secret that is long enough: 0123", "RP_RESPONSE_TYPE": "code id_token",
		"RP_RESPONSE_MODE": "form_post", "RP_SCOPES": "openid email", "RP_CLIENT_AUTH": "client_secret_basic",
		"RP_USERINFO": "bearer_header", "RP_REQUEST_OBJECT": "none", "RP_REGISTRATION": "static", "RP_EXCHANGE": "now",
	}
}

func keyFile(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func env(m map[string]string) func(string) string { return func(name string) string { return m[name] } }

func TestParse_refuses_what_is_not_supported_or_malformed_by_name(t *testing.T) {
	t.Parallel()
	ec := keyFile(t)
	rows := []struct {
		change map[string]string
		want   string
	}{
		{map[string]string{"RP_LISTEN": ""}, "RP_LISTEN"},
		{map[string]string{"RP_LISTEN": "localhost"}, "RP_LISTEN"},
		{map[string]string{"RP_LISTEN": "localhost:http"}, "RP_LISTEN"},
		{map[string]string{"RP_LISTEN": "localhost:70000"}, "RP_LISTEN"},
		{map[string]string{"RP_BASE_URL": ""}, "RP_BASE_URL"},
		{map[string]string{"RP_BASE_URL": "rp.example.com"}, "RP_BASE_URL"},
		{map[string]string{"RP_BASE_URL": "http://rp.example.com"}, "RP_BASE_URL"},
		{map[string]string{"RP_BASE_URL": "https://rp.example.com/app"}, "RP_BASE_URL"},
		{map[string]string{"RP_BASE_URL": "https://rp.example.com?a=b"}, "RP_BASE_URL"},
		{map[string]string{"RP_BASE_URL": "https://user@rp.example.com"}, "RP_BASE_URL"},
		{map[string]string{"RP_ISSUER": ""}, "RP_ISSUER"},
		{map[string]string{"RP_ISSUER": "op.example.com"}, "RP_ISSUER"},
		{map[string]string{"RP_ISSUER": "http://op.example.com"}, "RP_ISSUER"},
		{map[string]string{"RP_ISSUER": "https://op.example.com/?"}, "RP_ISSUER"},
		{map[string]string{"RP_CLIENT_ID": ""}, "RP_CLIENT_ID"},
		{map[string]string{"RP_CLIENT_SECRET": ""}, "RP_CLIENT_SECRET"},
		{map[string]string{"RP_RESPONSE_TYPE": "token"}, "RP_RESPONSE_TYPE"},
		{map[string]string{"RP_RESPONSE_TYPE": "id_token token"}, "RP_RESPONSE_TYPE"},
		{map[string]string{"RP_RESPONSE_TYPE": "none"}, "RP_RESPONSE_TYPE"},
		{map[string]string{"RP_RESPONSE_TYPE": "code code"}, "RP_RESPONSE_TYPE"},
		{map[string]string{"RP_RESPONSE_MODE": "query"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_RESPONSE_MODE": "jwt"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_RESPONSE_MODE": "form_post.jwt"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_RESPONSE_MODE": "fragment.jwt"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_RESPONSE_MODE": "query.jwt"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_RESPONSE_MODE": "web_message"}, "RP_RESPONSE_MODE"},
		{map[string]string{"RP_SCOPES": "email"}, "RP_SCOPES"},
		{map[string]string{"RP_SCOPES": "openid openid"}, "RP_SCOPES"},
		{map[string]string{"RP_CLIENT_AUTH": "tls_client_auth"}, "RP_CLIENT_AUTH"},
		{map[string]string{"RP_CLIENT_AUTH": "self_signed_tls_client_auth"}, "RP_CLIENT_AUTH"},
		{map[string]string{"RP_CLIENT_AUTH": "basic"}, "RP_CLIENT_AUTH"},
		{map[string]string{"RP_CLIENT_AUTH": "client_secret_jwt", "RP_CLIENT_SECRET": "short"}, "RP_CLIENT_AUTH"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt"}, "RP_PRIVATE_KEY_FILE"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt", "RP_PRIVATE_KEY_FILE": "/does/not/exist"}, "RP_PRIVATE_KEY_FILE"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt", "RP_PRIVATE_KEY_FILE": write(t, []byte("no PEM"))}, "RP_PRIVATE_KEY_FILE"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt", "RP_PRIVATE_KEY_FILE": write(t, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))}, "RP_PRIVATE_KEY_FILE"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt", "RP_PRIVATE_KEY_FILE": ec, "RP_PRIVATE_KEY_ALG": "RS256"}, "RP_PRIVATE_KEY_ALG"},
		{map[string]string{"RP_CLIENT_AUTH": "private_key_jwt", "RP_PRIVATE_KEY_FILE": ec, "RP_PRIVATE_KEY_ALG": "none"}, "RP_PRIVATE_KEY_ALG"},
		{map[string]string{"RP_ID_TOKEN_ALG": "none"}, "RP_ID_TOKEN_ALG"},
		{map[string]string{"RP_ID_TOKEN_ALG": "rs256"}, "RP_ID_TOKEN_ALG"},
		{map[string]string{"RP_ID_TOKEN_ALG": "ES256K"}, "RP_ID_TOKEN_ALG"},
		{map[string]string{"RP_ID_TOKEN_ALG": "HS256", "RP_CLIENT_SECRET": "short"}, "RP_ID_TOKEN_ALG"},
		{map[string]string{"RP_ID_TOKEN_ENC_ALG": "RSA-OAEP"}, "RP_ID_TOKEN_ENC_ALG"},
		{map[string]string{"RP_ID_TOKEN_ENC_KEY_ID": "enc"}, "RP_ID_TOKEN_ENC_KEY_ID"},
		{map[string]string{"RP_USERINFO": "query"}, "RP_USERINFO"},
		{map[string]string{"RP_USERINFO_ALG": "none"}, "RP_USERINFO_ALG"},
		{map[string]string{"RP_REQUEST_OBJECT": "request"}, "RP_REQUEST_OBJECT"},
		{map[string]string{"RP_REQUEST_OBJECT": "request_uri"}, "RP_REQUEST_OBJECT"},
		{map[string]string{"RP_REQUEST_OBJECT_ALG": "none"}, "RP_REQUEST_OBJECT_ALG"},
		{map[string]string{"RP_PAR": "1"}, "RP_PAR"},
		{map[string]string{"RP_PAR": "yes"}, "RP_PAR"},
		{map[string]string{"RP_SENDER_CONSTRAIN": "dpop"}, "RP_SENDER_CONSTRAIN"},
		{map[string]string{"RP_SENDER_CONSTRAIN": "mtls"}, "RP_SENDER_CONSTRAIN"},
		{map[string]string{"RP_CLIENT_CERT_FILE": ec}, "RP_CLIENT_CERT_FILE"},
		{map[string]string{"RP_CLIENT_CERT_KEY_FILE": ec}, "RP_CLIENT_CERT_KEY_FILE"},
		{map[string]string{"RP_PROFILE": "fapi1"}, "RP_PROFILE"},
		{map[string]string{"RP_PROFILE": "fapi2"}, "RP_PROFILE"},
		{map[string]string{"RP_PROFILE": "fapi2ms"}, "RP_PROFILE"},
		{map[string]string{"RP_RESOURCE_URL": "/api"}, "RP_RESOURCE_URL"},
		{map[string]string{"RP_RESOURCE_URL": "http://api.example/"}, "RP_RESOURCE_URL"},
		{map[string]string{"RP_RESOURCE_URL": "https:///api"}, "RP_RESOURCE_URL"},
		{map[string]string{"RP_REGISTRATION": "dynamic"}, "RP_REGISTRATION"},
		{map[string]string{"RP_WEBFINGER": "acct:joe@example.com"}, "RP_WEBFINGER"},
		{map[string]string{"RP_AUTH_PARAMS": "state=x"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "NONCE=x"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "redirect_uri=x"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "code_challenge=x"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "prompt=none+login"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "prompt=none&prompt=login"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "=x"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "a=%zz"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "a=1&a=2"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "max_age=soon"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "max_age=-1"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "claims=[]"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_AUTH_PARAMS": "claims=null"}, "RP_AUTH_PARAMS"},
		{map[string]string{"RP_POST_LOGOUT_REDIRECT_URI": "https://rp.example.com/bye"}, "RP_POST_LOGOUT_REDIRECT_URI"},
		{map[string]string{"RP_EXCHANGE": "on_demand", "RP_RESPONSE_TYPE": "code"}, "RP_EXCHANGE"},
		{map[string]string{"RP_EXCHANGE": "on_demand", "RP_RESPONSE_TYPE": "id_token"}, "RP_EXCHANGE"},
		{map[string]string{"RP_EXCHANGE": "later"}, "RP_EXCHANGE"},
		{map[string]string{"RP_EXCHANGE": "never", "RP_RESPONSE_TYPE": "code token"}, "RP_EXCHANGE"},
		{map[string]string{"RP_STORE": "memory"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "mysql://localhost/app"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "redis:localhost"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "redis://localhost/first"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "redis://localhost?no_such_option=1"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "postgres://localhost:port/app"}, "RP_STORE"},
		{map[string]string{"RP_STORE": "postgres://user:hunter2@localhost/app?sslmode=perhaps"}, "RP_STORE"},
		{map[string]string{"RP_CA_FILE": "/does/not/exist"}, "RP_CA_FILE"},
		{map[string]string{"RP_CA_FILE": ec}, "RP_CA_FILE"},
	}
	for _, row := range rows {
		values := good()
		maps.Copy(values, row.change)
		p, err := newProgram(env(values), discard)
		var refused *settingError
		if !errors.As(err, &refused) || refused.Name != row.want {
			t.Errorf("%v: %v, want %s", row.change, err, row.want)
		}
		if p != nil {
			p.close()
		}
	}
}

func TestParse_accepts(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, value string
		is          func(*settings) bool
	}{
		{"RP_STORE", "", func(s *settings) bool { return s.store == storeSetting{} }},
		{"RP_STORE", "redis://:pass@127.0.0.1:1/2", func(s *settings) bool { return s.store.redis.DB == 2 && s.store.postgres == nil }},
		{"RP_STORE", "rediss://127.0.0.1:1", func(s *settings) bool { return s.store.redis.TLSConfig != nil }},
		{"RP_STORE", "postgres://app@127.0.0.1:1/db?sslmode=disable", func(s *settings) bool { return s.store.postgres.Database == "db" }},
		{"RP_RESPONSE_TYPE", "token id_token code", func(s *settings) bool { return s.client.ResponseType == rp.CodeIDTokenToken }},
		{"RP_RESPONSE_TYPE", "", func(s *settings) bool { return s.client.ResponseType == rp.CodeIDToken }},
		{"RP_RESPONSE_TYPE", "id_token", func(s *settings) bool { return s.client.ResponseType == rp.ImplicitIDToken }},
		{"RP_RESPONSE_MODE", "", func(s *settings) bool { return s.client.ResponseMode == rp.Fragment }},
		{"RP_BASE_URL", "http://localhost:8080", func(s *settings) bool { return s.client.RedirectURL == "http://localhost:8080/callback" }},
		{"RP_ISSUER", "http://127.0.0.1:9000/tenant/", func(s *settings) bool {
			return s.client.Issuer == "http://127.0.0.1:9000/tenant/" && s.client.Insecure.PlainHTTP
		}},
		{"RP_USERINFO", "bearer_body", func(s *settings) bool { return s.userInfo && s.client.UserInfoBody }},
		{"RP_USERINFO", "none", func(s *settings) bool { return !s.userInfo }},
		{"RP_USERINFO_ALG", "RS256", func(s *settings) bool { return s.client.UserInfoAlgorithm == "RS256" }},
		{"RP_ID_TOKEN_ALG", "HS256", func(s *settings) bool { return s.client.IDTokenAlgorithm == "HS256" }},
		{"RP_SCOPES", "", func(s *settings) bool { return s.client.Scopes == nil }},
		{"RP_PAR", "0", func(*settings) bool { return true }},
		{"RP_REQUEST_OBJECT_ALG", "RS256", func(*settings) bool { return true }},
		{"RP_EXCHANGE", "on_demand", func(s *settings) bool { return s.exchange == middleware.ExchangeOnDemand }},
		{"RP_EXCHANGE", "never", func(s *settings) bool { return s.exchange == middleware.ExchangeNever }},
		{"RP_POST_LOGOUT_REDIRECT_URI", "https://rp.example.com/logged-out", func(s *settings) bool {
			return s.client.PostLogoutRedirectURL == "https://rp.example.com/logged-out"
		}},
		{"RP_AUTH_PARAMS", "prompt=none&max_age=0&acr_values=1+2&login_hint=bob&ui_locales=de&audience=api&claims=%7B%7D", func(s *settings) bool {
			o := s.options
			return o.Prompt == "none" && *o.MaxAge == 0*time.Second && slices.Equal(o.ACRValues, []string{"1", "2"}) &&
				o.LoginHint == "bob" && o.UILocales == "de" && o.Extra.Get("audience") == "api" && string(o.Claims) == "{}" && len(o.Extra) == 1
		}},
		{"RP_AUTH_PARAMS", "resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb", func(s *settings) bool { return len(s.options.Resources) == 2 }},
	}
	for _, row := range rows {
		values := good()
		values[row.name] = row.value
		s, err := parse(env(values))
		if err != nil || !row.is(s) {
			t.Errorf("%s=%s: %v", row.name, row.value, err)
		}
		if p, err := newProgram(env(values), discard); err != nil {
			t.Errorf("%s=%s: %v", row.name, row.value, err)
		} else {
			p.close()
		}
	}
}

func TestParse_an_empty_mode_of_code_is_the_query(t *testing.T) {
	t.Parallel()
	values := good()
	values["RP_RESPONSE_TYPE"], values["RP_RESPONSE_MODE"] = "code", ""
	s, err := parse(env(values))
	if err != nil || s.client.ResponseMode != rp.Query {
		t.Errorf("mode %q, %v", s.client.ResponseMode, err)
	}
}

// clientKeys makes a key file and the JWK Set that the provider knows it by.
func clientKeys(t *testing.T) (file string, jwks []byte) {
	t.Helper()
	file = keyFile(t)
	values := good()
	values["RP_CLIENT_AUTH"], values["RP_PRIVATE_KEY_FILE"], values["RP_PRIVATE_KEY_ID"] = "private_key_jwt", file, "2026"
	p, err := newProgram(env(values), discard)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	return file, p.client.JWKS()
}
