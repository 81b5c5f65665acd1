package rp_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// D34, D35 and F20 are in clientauth_test.go; so is D08's hint about the audience.

// D32: both halves are form-encoded before they are joined, so that any byte survives.
func TestBasicCredentials(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"D32_colon":        {"app", "a:b:" + clientSecret},
		"D32_colon_in_id":  {"my:app", clientSecret},
		"D32_percent":      {"app", "100%25%" + clientSecret},
		"D32_plus_space":   {"app", "a+b c " + clientSecret},
		"D32_not_ASCII":    {"äpp", "gehéim✓" + clientSecret},
		"D32_form_letters": {"a&b=c", "x&client_id=evil" + clientSecret},
		"D32_quotes_NUL":   {"app", "\"\\\x00\r\n" + clientSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setting) {
				s.op.ClientID, s.op.ClientSecret = pair[0], pair[1]
				s.rp.ClientID, s.rp.ClientAuth = pair[0], rp.SecretBasic(pair[1])
			})
			w.said.secret(pair[1])
			_ = w.tokens(rp.AuthOptions{})
			encoded, ok := strings.CutPrefix(w.op.Requests(pathToken)[0].Header.Get("Authorization"), "Basic ")
			joined, err := base64.StdEncoding.DecodeString(encoded)
			if !ok || err != nil {
				t.Fatalf("%q: %v", encoded, err)
			}
			id, secret, _ := strings.Cut(string(joined), ":")
			id, err1 := url.QueryUnescape(id)
			secret, err2 := url.QueryUnescape(secret)
			if id != pair[0] || secret != pair[1] || err1 != nil || err2 != nil {
				t.Errorf("got %q and %q", id, secret)
			}
		})
	}
}

// D33: one method, one place, at the exchange and at the refresh; nothing in a URL.
func TestCredentialsAreInOnePlace(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	jwks := lazyClient(t, func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(key, "k") }).JWKS()
	const code, refresh = " code code_verifier grant_type redirect_uri", " grant_type refresh_token"
	for name, row := range map[string]struct {
		auth   rp.ClientAuth
		header bool
		before string // members of the form that come before those of the grant, in order
	}{
		"D33_basic":      {rp.SecretBasic(clientSecret), true, ""},
		"D33_basic_raw":  {rp.SecretBasicRaw(clientSecret), true, ""},
		"D33_post":       {rp.SecretPost(clientSecret), false, "client_id client_secret"},
		"D33_secret_JWT": {rp.SecretJWT(clientSecret), false, "client_assertion client_assertion_type client_id"},
		"D33_key":        {rp.PrivateKeyJWT(key, "k"), false, "client_assertion client_assertion_type client_id"},
		"D33_public":     {rp.Public(), false, "client_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setting) {
				s.rp.ClientAuth = row.auth
				switch name {
				case "D33_key":
					s.op.ClientSecret, s.op.ClientKeys = "", jwks
				case "D33_public":
					s.op.ClientSecret = ""
				}
			})
			_, err := w.client.Refresh(t.Context(), w.tokens(rp.AuthOptions{}), rp.Target{})
			w.must(err)
			w.calls(pathToken, 2)
			ids := map[string]bool{}
			for i, grant := range []string{code, refresh} {
				r := w.op.Requests(pathToken)[i]
				if got := strings.Join(members(anyValues(r.Form)), " "); got != sortedWords(row.before+grant) {
					t.Errorf("the form has %s, want %s", got, sortedWords(row.before+grant))
				}
				if (r.Header.Get("Authorization") != "") != row.header {
					t.Errorf("Authorization: %v", r.Header["Authorization"])
				}
				if assertion := r.Form.Get("client_assertion"); assertion != "" {
					ids[assertionID(t, assertion)] = true
				}
			}
			if strings.Contains(row.before, "assertion") && len(ids) != 2 {
				t.Errorf("D35: %d jti in two requests", len(ids))
			}
			for _, r := range w.op.Requests("/authorize") {
				for _, secret := range []string{"client_secret", "client_assertion", "code_verifier"} {
					if r.URL.Query().Has(secret) {
						t.Errorf("%s is in the URL", secret)
					}
				}
			}
		})
	}
}

func base64url(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func sortedWords(s string) string {
	set := map[string]any{}
	for _, word := range strings.Fields(s) {
		set[word] = nil
	}
	return strings.Join(members(set), " ")
}

func assertionID(t *testing.T, assertion string) string {
	t.Helper()
	var claims struct {
		ID string `json:"jti"`
	}
	payload, err := base64url(strings.Split(assertion, ".")[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil || len(claims.ID) < 22 {
		t.Fatalf("jti %q: %v", claims.ID, err)
	}
	return claims.ID
}

// D36: a provider that names another one's token endpoint gets an assertion that is good for itself alone.
func TestAudienceInjection(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]rp.ClientAuth{
		"D36_private_key_jwt": rp.PrivateKeyJWT(edKey(t), "k"), "D36_client_secret_jwt": rp.SecretJWT(clientSecret),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *setting) { s.rp.Discovery, s.rp.ClientAuth = rp.Lazy, auth })
			w.lie(pathMeta, func(a *optest.Answer) {
				a.JSON["token_endpoint"] = evilIssuer + "/honest/token"
				a.JSON["token_endpoint_auth_signing_alg_values_supported"] = []string{"none"}
			})
			audience := make(chan string, 1)
			w.net.serve("127.0.0.2:80", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				assertion := r.FormValue("client_assertion")
				w.said.secret(assertion, r.FormValue("code"), r.FormValue("code_verifier"))
				payload, _ := base64url(strings.Split(assertion, ".")[1])
				var claims struct{ Aud json.RawMessage }
				_ = json.Unmarshal(payload, &claims)
				audience <- string(claims.Aud)
				rw.WriteHeader(http.StatusUnauthorized)
			}))
			_, err := w.client.Exchange(t.Context(), w.verified(rp.AuthOptions{}))
			w.want(err, says("", 401))
			if got := <-audience; got != `"`+opIssuer+`"` {
				t.Errorf("aud is %s", got)
			}
		})
	}
}
