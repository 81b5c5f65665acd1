package rp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Group K. K01 (no secret is said), K03 (no control character in an error) and K10 (closed lists) are checked after each
// row of all attack tables, by world.secrets, want and observe. K04 (cookie keys) and K12 are about package middleware.
// K05, K06, K08 and K09 have their rows in config_test.go, K02 too; what follows is what those leave out.

// K01, turned round: the check would find a secret.
func TestTheCheckForSecretsFindsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, responseType(rp.CodeIDTokenToken))
	tokens := w.tokens(rp.AuthOptions{})
	_, err := w.client.UserInfo(t.Context(), tokens)
	w.must(err)
	form := w.op.Requests(pathToken)[0].Form
	asked := w.op.Requests("/authorize")[0].URL.Query()
	parts := strings.Split(tokens.IDToken().Raw(), ".")
	for name, secret := range map[string]string{
		"code": form.Get("code"), "verifier": form.Get("code_verifier"), "state": asked.Get("state"), "nonce": asked.Get("nonce"),
		"client secret": clientSecret, "access token": tokens.OAuth2().AccessToken, "refresh token": tokens.OAuth2().RefreshToken,
		"ID Token": tokens.IDToken().Raw(), "payload": parts[1], "signature": parts[2], "first": tokens.First().Raw(),
		"credentials": strings.TrimPrefix(w.op.Requests(pathToken)[0].Header.Get("Authorization"), "Basic "),
	} {
		leak, finds := &said{}, &finder{TB: t}
		_, _ = leak.Write([]byte("before " + secret + " after"))
		leak.check(finds, w.secrets())
		if !finds.found {
			t.Errorf("K01: nobody would notice if the %s were said", name)
		}
	}
}

// finder notices an error instead of reporting it.
type finder struct {
	testing.TB
	found bool
}

func (f *finder) Errorf(string, ...any) { f.found = true }
func (*finder) Helper()                 {}

// K03: what a provider wrote arrives in the log as one printable line.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	const evil = "x\r\n{\"level\":\"ERROR\"}\x1b[31m\u202e\u2028"
	w := newWorld(t, lazy)
	w.op.Fault(func(a *optest.Answer) {
		switch a.Endpoint {
		case pathMeta:
			a.JSON["response_types_supported"] = []string{evil}
		case pathKeys:
			a.JSON["keys"] = append([]any{
				map[string]any{"kty": evil, "kid": evil},
				map[string]any{"kty": "EC", "crv": evil, "x": evil, "y": evil},
				map[string]any{"kty": "RSA", "n": evil, "e": strings.Repeat(evil, 1000)},
			}, a.JSON["keys"].([]any)...)
		}
	})
	w.must(w.verifies())
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) < 3 {
		t.Fatalf("log: %q", lines)
	}
	for _, line := range lines {
		var record map[string]any
		mustUnmarshal(t, []byte(line), &record)
		for name, value := range record {
			text, _ := value.(string)
			if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 1024 {
				t.Errorf("K03: %s is %q", name, text)
			}
		}
	}
}

// K05, K06: what a configuration may not be, beside the rows of config_test.go.
func TestConfigThatContradictsItself(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, field string
		change      func(*rp.Config)
	}{
		{"K05_host_like_localhost", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "http://localhost.evil.example/cb" }},
		{"K05_host_like_an_address", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "http://127.0.0.1.evil.example/cb" }},
		{"K05_localhost_as_user", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "http://localhost@evil.example/cb" }},
		{"K05_user_over_https", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "https://user@app.example/cb" }},
		{"K05_unparsable", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "https://[::1/cb" }},
		{"K05_any_address", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "http://0.0.0.0/cb" }},
		{"K05_javascript", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "javascript:alert(1)" }},
		{"K05_no_host", "RedirectURL", func(c *rp.Config) { c.RedirectURL = "https:///cb" }},
		{"K05_landing_with_fragment", "PostLogoutRedirectURL", func(c *rp.Config) { c.PostLogoutRedirectURL = "https://app.example/#" }},
		{"K06_HS256_with_private_key_jwt", "IDTokenAlgorithm", func(c *rp.Config) {
			c.IDTokenAlgorithm, c.ClientAuth = "HS256", rp.PrivateKeyJWT(edKey(t), "k")
		}},
		{"K06_HS256_userinfo_without_secret", "UserInfoAlgorithm", func(c *rp.Config) {
			c.UserInfoAlgorithm, c.ClientAuth = "HS256", rp.Public()
		}},
		{"K06_HS512_with_a_secret_for_HS256", "IDTokenAlgorithm", func(c *rp.Config) {
			c.IDTokenAlgorithm, c.ClientAuth = "HS512", rp.SecretBasic(strings.Repeat("s", 32))
		}},
		{"K06_unknown_algorithm", "IDTokenAlgorithm", func(c *rp.Config) { c.IDTokenAlgorithm = "RS256 " }},
		{"K06_algorithm_in_lower_case", "IDTokenAlgorithm", func(c *rp.Config) { c.IDTokenAlgorithm = "rs256" }},
		{"C01_None", "IDTokenAlgorithm", func(c *rp.Config) { c.IDTokenAlgorithm = "None" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := lazyConfig()
			row.change(&c)
			_, err := rp.New(t.Context(), c)
			if !errors.Is(err, rp.ErrConfig) || rp.ErrorCode(err) != "config" || !strings.Contains(err.Error(), row.field) {
				t.Errorf("%v; want one that names %s", err, row.field)
			}
		})
	}
}

// K07: an HTTP client without a time-out gets ours; one with a time-out keeps its own.
func TestHTTPClientTimeouts(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ given, want time.Duration }{
		"K07_none": {0, 10 * time.Second}, "K07_negative": {-1, 10 * time.Second}, "K07_two_seconds": {2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s *setting) {
					s.rp.Discovery, s.rp.HTTPClient.Timeout = rp.Lazy, row.given
				})
				w.lie(pathMeta, web(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
				start := time.Now()
				w.want(w.client.Ready(t.Context()), rp.ErrUnavailable)
				if took := since(start); took != row.want {
					t.Errorf("took %v, want %v", took, row.want)
				}
			})
		})
	}
}

// K09: each field of Insecure, those of later releases too, is logged by its name when it is set, and none when not.
func TestEachInsecureFieldIsLogged(t *testing.T) {
	t.Parallel()
	fields := reflect.TypeFor[rp.Insecure]()
	for i := -1; i < fields.NumField(); i++ {
		w := &said{}
		c := lazyConfig()
		if i >= 0 {
			reflect.ValueOf(&c.Insecure).Elem().Field(i).SetBool(true)
		}
		c.Logger = logTo(w)
		client, err := rp.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		for j := range fields.NumField() {
			name := "Insecure." + fields.Field(j).Name
			if logged := strings.Contains(w.String(), name); logged != (i == j) {
				t.Errorf("K09: %s logged: %v, set: %v", name, logged, i == j)
			}
		}
	}
}

// K02: JSON that was made of our values, read back by a stranger, holds nothing.
func TestJSONOfEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	q := w.request(rp.AuthOptions{})
	a, err := w.client.VerifyResponse(t.Context(), q, w.answer(q))
	w.must(err)
	tokens, err := w.client.Exchange(t.Context(), a)
	w.must(err)
	u, err := w.client.UserInfo(t.Context(), tokens)
	w.must(err)
	text, err := json.Marshal([]any{q, a, tokens, u, w.client, tokens.IDToken(), a.IDToken(), tokens.IDToken().Receipt(), rp.SecretPost(clientSecret)})
	w.must(err)
	_, _ = w.said.Write(text) // and the end of this test searches it
	if strings.Contains(string(text), "alice") {
		t.Errorf("K02: it names the user: %s", text)
	}
}
