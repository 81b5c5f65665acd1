package rp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// smallKey is an RSA key of 1024 bits.
type smallKey struct{ crypto.Signer }

func (smallKey) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
}

// lazyConfig needs no provider.
func lazyConfig() rp.Config {
	return rp.Config{
		Issuer: "https://op.example/", ClientID: "app", ClientAuth: rp.SecretBasic(clientSecret),
		RedirectURL: "https://app.example/callback", Discovery: rp.Lazy, Logger: quiet,
	}
}

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, field string
		change      func(*rp.Config)
	}{
		{"no issuer", "Issuer", func(c *rp.Config) { c.Issuer = "" }},
		{"F02_issuer_with_query", "Issuer", func(c *rp.Config) { c.Issuer += "?a=b" }},
		{"F02_issuer_with_empty_query", "Issuer", func(c *rp.Config) { c.Issuer += "?" }},
		{"F02_issuer_with_fragment", "Issuer", func(c *rp.Config) { c.Issuer += "#" }},
		{"F02_issuer_over_http", "Issuer", func(c *rp.Config) { c.Issuer = "http://op.example" }},
		{"F02_issuer_over_http_on_loopback_not_allowed", "Issuer", func(c *rp.Config) { c.Issuer = "http://localhost" }},
		{"F02_issuer_over_http_elsewhere_though_allowed", "Issuer", func(c *rp.Config) {
			c.Issuer, c.Insecure.PlainHTTP = "http://op.example", true
		}},
		{"F05_issuer_with_user", "Issuer", func(c *rp.Config) { c.Issuer = "https://op.example@evil.example" }},
		{"F05_issuer_of_another_scheme", "Issuer", func(c *rp.Config) { c.Issuer = "gopher://op.example" }},
		{"issuer is no URL", "Issuer", func(c *rp.Config) { c.Issuer = "op.example" }},
		{"no client ID", "ClientID", func(c *rp.Config) { c.ClientID = "" }},
		{"no redirect URL", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "" }},
		{"K05_redirect_over_http", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "http://app.example/cb" }},
		{"K05_redirect_with_fragment", "RedirectURL", func(c *rp.Config) { c.RedirectURL += "#" }},
		{"K05_redirect_relative", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "/cb" }},
		{"K05_redirect_of_an_app_scheme", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "app://cb" }},
		{"K05_landing_over_http", "PostLogoutRedirectURL", func(c *rp.Config) {
			c.PostLogoutRedirectURL = "http://app.example/bye"
		}},
		{"K06_no_client_auth", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.ClientAuth{} }},
		{"K06_empty_secret", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.SecretPost("") }},
		{"K06_no_key", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(nil, "") }},
		{"K06_algorithm_of_another_key", "ClientAuth", func(c *rp.Config) {
			c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAlgorithm("RS256")
		}},
		{"K06_algorithm_of_another_curve", "ClientAuth", func(c *rp.Config) {
			c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAlgorithm("ES384")
		}},
		{"K06_HS_with_private_key_jwt", "ClientAuth", func(c *rp.Config) {
			c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAlgorithm("HS256")
		}},
		{"K06_none_with_private_key_jwt", "ClientAuth", func(c *rp.Config) {
			c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAlgorithm("none")
		}},
		{"K06_weak_key", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(smallKey{}, "") }},
		{"K06_short_secret_for_client_secret_jwt", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.SecretJWT("short") }},
		{"K06_RS256_with_client_secret_jwt", "ClientAuth", func(c *rp.Config) {
			c.ClientAuth = rp.SecretJWT(clientSecret).WithAlgorithm("RS256")
		}},
		{"K06_audience_without_assertion", "ClientAuth", func(c *rp.Config) { c.ClientAuth = c.ClientAuth.WithAudience("x") }},
		{"K06_algorithm_without_assertion", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.Public().WithAlgorithm("x") }},
		{"K06_empty_audience", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAudience("") }},
		{"K06_empty_algorithm", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithAlgorithm("") }},
		{"K06_no_certificate", "ClientAuth", func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(ec, "").WithCertificate(nil) }},
		{"D50_scopes_without_openid", "Scopes", func(c *rp.Config) { c.Scopes = []string{"email"} }},
		{"D50_no_scopes", "Scopes", func(c *rp.Config) { c.Scopes = []string{} }},
		{"a scope with a space", "Scopes", func(c *rp.Config) { c.Scopes = []string{"openid", "a b"} }},
		{"a scope twice", "Scopes", func(c *rp.Config) { c.Scopes = []string{"openid", "openid"} }},
		{"a relative resource", "Resources", func(c *rp.Config) { c.Resources = []string{"/api"} }},
		{"a resource with fragment", "Resources", func(c *rp.Config) { c.Resources = []string{"https://api.example/#"} }},
		{"an empty audience", "Audiences", func(c *rp.Config) { c.Audiences = []string{""} }},
		{"response type token", "ResponseType", func(c *rp.Config) { c.ResponseType = "token" }},
		{"response type id_token token", "ResponseType", func(c *rp.Config) { c.ResponseType = "id_token token" }},
		{"query for the hybrid flow", "ResponseMode", func(c *rp.Config) { c.ResponseMode = rp.Query }},
		{"A42_JARM", "ResponseMode", func(c *rp.Config) { c.ResponseMode = "form_post.jwt" }},
		{"K08_leeway_over_five_minutes", "Leeway", func(c *rp.Config) { c.Leeway = 5*time.Minute + 1 }},
		{"K08_leeway_negative", "Leeway", func(c *rp.Config) { c.Leeway = -1 }},
		{"C01_algorithm_none", "IDTokenAlgorithm", func(c *rp.Config) { c.IDTokenAlgorithm = "none" }},
		{"C02_HS256_without_secret", "IDTokenAlgorithm", func(c *rp.Config) {
			c.IDTokenAlgorithm, c.ClientAuth = "HS256", rp.Public()
		}},
		{"HS256 with a short secret", "IDTokenAlgorithm", func(c *rp.Config) {
			c.IDTokenAlgorithm, c.ClientAuth = "HS256", rp.SecretBasic("short")
		}},
		{"C01_userinfo_algorithm_none", "UserInfoAlgorithm", func(c *rp.Config) { c.UserInfoAlgorithm = "none" }},
		{"unknown match", "Match", func(c *rp.Config) { c.Match = 9 }},
		{"unknown discovery", "Discovery", func(c *rp.Config) { c.Discovery = 9 }},
		{"F05_metadata_URL_over_http", "MetadataURL", func(c *rp.Config) { c.MetadataURL = "http://op.example/x" }},
		{"metadata URL beside endpoints", "MetadataURL", func(c *rp.Config) {
			c.MetadataURL, c.Endpoints = "https://op.example/x", &rp.Endpoints{}
		}},
		{"F06_endpoints_without_authorization", "Endpoints: authorization_endpoint", func(c *rp.Config) {
			c.Endpoints = &rp.Endpoints{Token: "https://op.example/t", JWKS: "https://op.example/j"}
		}},
		{"F06_endpoints_without_token", "Endpoints: token_endpoint", func(c *rp.Config) {
			c.Endpoints = &rp.Endpoints{Authorization: "https://op.example/a", JWKS: "https://op.example/j"}
		}},
		{"F06_endpoints_without_keys", "Endpoints: jwks_uri", func(c *rp.Config) {
			c.Endpoints = &rp.Endpoints{Authorization: "https://op.example/a", Token: "https://op.example/t"}
		}},
		{"D41_token_endpoint_over_http", "Endpoints: token_endpoint", func(c *rp.Config) {
			c.Endpoints = &rp.Endpoints{
				Authorization: "https://op.example/a", Token: "http://op.example/t", JWKS: "https://op.example/j",
			}
		}},
		{"H36_endpoint_with_our_parameter", "Endpoints: authorization_endpoint", func(c *rp.Config) {
			c.Endpoints = &rp.Endpoints{
				Authorization: "https://op.example/a?state=x", Token: "https://op.example/t", JWKS: "https://op.example/j",
			}
		}},
		{"no PKCE for a public client", "Insecure.NoPKCE", func(c *rp.Config) {
			c.ClientAuth, c.Insecure.NoPKCE = rp.Public(), true
		}},
		{"no PKCE without a first ID Token", "Insecure.NoPKCE", func(c *rp.Config) {
			c.ResponseType, c.Insecure.NoPKCE = rp.CodeToken, true
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := lazyConfig()
			tc.change(&c)
			_, err := rp.New(t.Context(), c)
			if !errors.Is(err, rp.ErrConfig) || rp.ErrorCode(err) != "config" || !strings.Contains(err.Error(), ": "+tc.field) {
				t.Errorf("%v; want one that names %s", err, tc.field)
			}
			named, ok := errors.AsType[*rp.ConfigError](err)
			if !ok || named.Field != strings.Split(tc.field, ":")[0] {
				t.Errorf("the error names the field only in its text: %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "canary") {
				t.Error("the error shows the secret")
			}
			if n := strings.Count(fmt.Sprint(err), rp.ErrConfig.Error()); n != 1 {
				t.Errorf("%d reasons for one mistake: %v", n, err)
			}
		})
	}
	if client, err := rp.New(t.Context(), lazyConfig()); err != nil {
		t.Errorf("the configuration that all rows change: %v", err)
	} else {
		_ = client.Close()
	}
}

func TestNewFreezesItsConfig(t *testing.T) {
	t.Parallel()
	c := lazyConfig()
	c.Scopes = []string{"openid", "email"}
	c.Endpoints = &rp.Endpoints{
		Authorization: "https://op.example/a?p=policy", Token: "https://op.example/t", JWKS: "https://op.example/j",
	}
	client, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	c.Scopes[1], c.Endpoints.Authorization = "evil", "https://evil.example"
	q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	url := q.Redirect().URL
	if !strings.HasPrefix(url, "https://op.example/a?p=policy&") || strings.Contains(url, "evil") {
		t.Errorf("the request follows the caller's later changes: %s", url)
	}
}

func TestK09_what_is_weak_is_logged_at_start(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*rp.Config){
		"Insecure.NoPKCE":            func(c *rp.Config) { c.Insecure.NoPKCE = true },
		"Insecure.NoIssuerParameter": func(c *rp.Config) { c.Insecure.NoIssuerParameter = true },
		"Insecure.PlainHTTP":         func(c *rp.Config) { c.Insecure.PlainHTTP = true },
		"InsecureSkipVerify": func(c *rp.Config) {
			c.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c := lazyConfig()
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			change(&c)
			client, err := rp.New(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			if !strings.Contains(log.String(), field) || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("log: %q", log.String())
			}
		})
	}
}

// Whatever prints, encodes or logs a value of this package shows none of its secrets.
func TestK02_secrets_do_not_print_themselves(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	config := lazyConfig()
	client := newClient(t, op, func(c *rp.Config) { c.ResponseType = rp.CodeIDTokenToken })
	a, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q, params := pending(t, client)
	u, err := client.UserInfo(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	x := rp.TokenExchange{SubjectToken: tokens.OAuth2().AccessToken, ActorToken: tokens.IDToken().Raw()}
	source := client.TokenSource(tokens, func(context.Context, *rp.Tokens) error { return nil })
	credentials := client.ClientCredentials(rp.Target{})
	own, err := credentials.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		own.AccessToken, clientSecret, q.State(), params.Get("code"), a.AccessToken().AccessToken, a.IDToken().Raw(),
		tokens.OAuth2().AccessToken, tokens.OAuth2().RefreshToken, tokens.IDToken().Raw(), "alice@",
	}
	for name, v := range map[string]any{
		"ClientAuth": config.ClientAuth, "Config": config, "Client": client, "AuthRequest": q, "AuthResponse": a,
		"Tokens": tokens, "UserInfo": u, "*Config": &config, "nested": struct{ T *rp.Tokens }{tokens},
		"value": struct{ C rp.Config }{config}, "TokenExchange": x, "*TokenExchange": &x,
		"RefreshSource": source, "source of a target": source.For(rp.Target{Resource: "https://a.example/"}),
		"source of client credentials": credentials,
	} {
		var out bytes.Buffer
		fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v)
		_ = json.NewEncoder(&out).Encode(v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		_ = gob.NewEncoder(&out).Encode(v)
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
				t.Errorf("%s shows a secret: %s", name, out.String())
			}
		}
	}
}

func TestF08_at_start_New_fails_and_lazily_it_does_not(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	op.Fault(func(a *optest.Answer) { a.Status = http.StatusServiceUnavailable })
	c := lazyConfig()
	c.Issuer, c.Insecure.PlainHTTP, c.Discovery = op.URL, true, rp.AtStart
	if _, err := rp.New(t.Context(), c); !errors.Is(err, rp.ErrUnavailable) {
		t.Errorf("at start: %v", err)
	}
	c.Discovery = rp.Lazy
	client, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatalf("lazily: %v", err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Ready(t.Context()); !errors.Is(err, rp.ErrUnavailable) || rp.ErrorCode(err) != "unavailable" {
		t.Errorf("lazily: %v", err)
	}
}

func TestNewObeysItsContext(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	op.Fault(func(a *optest.Answer) { a.Delay = -1 })
	c := lazyConfig()
	c.Issuer, c.Insecure.PlainHTTP, c.Discovery = op.URL, true, rp.AtStart
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rp.New(ctx, c); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
