package optest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/rp/optest"
)

// clientKey is the client's own, with the JWK Set that it would register.
func clientKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "c1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return key, set
}

// assert makes a client assertion with go-jose; changes replace claims, nil deletes.
func assert(t *testing.T, alg jose.SignatureAlgorithm, key any, issuer string, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": clientID, "sub": clientID, "aud": issuer, "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if alg[0] != 'H' {
		options.WithHeader("kid", "c1")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func basic(id, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+password))
}

func TestEachClientAuthentication(t *testing.T) {
	t.Parallel()
	key, set := clientKey(t)
	other, _ := clientKey(t)
	both := optest.Config{ClientID: clientID, ClientSecret: secret, ClientKeys: set}
	only := func(method string) optest.Config { c := both; c.ClientAuth = method; return c }
	signed := func(k *ecdsa.PrivateKey, changes map[string]any) func(*testing.T, *world) (url.Values, string) {
		return func(t *testing.T, w *world) (url.Values, string) {
			return url.Values{"client_assertion_type": {jwtBearer}, "client_assertion": {assert(t, jose.ES256, k, w.op.URL, changes)}}, ""
		}
	}
	form := func(pairs ...string) func(*testing.T, *world) (url.Values, string) {
		return func(*testing.T, *world) (url.Values, string) {
			v := url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				v.Set(pairs[i], pairs[i+1])
			}
			return v, ""
		}
	}
	header := func(value string, pairs ...string) func(*testing.T, *world) (url.Values, string) {
		return func(t *testing.T, w *world) (url.Values, string) {
			v, _ := form(pairs...)(t, w)
			return v, value
		}
	}
	mac := func(password string) func(*testing.T, *world) (url.Values, string) {
		return func(t *testing.T, w *world) (url.Values, string) {
			raw := assert(t, jose.HS256, []byte(password), w.op.URL, nil)
			return url.Values{"client_assertion_type": {jwtBearer}, "client_assertion": {raw}}, ""
		}
	}
	escaped := url.QueryEscape(secret)
	now := time.Now()
	rows := []struct {
		name   string
		config optest.Config
		use    func(*testing.T, *world) (url.Values, string)
		want   string // error code; "" is success
	}{
		{"basic", both, header(basic(clientID, escaped)), ""},
		{"basic with client_id in the body", both, header(basic(clientID, escaped), "client_id", clientID), ""},
		{"basic with another client_id in the body", both, header(basic(clientID, escaped), "client_id", "x"), "invalid_request"},
		{"basic not form-encoded", both, header(basic(clientID, secret)), "invalid_client"},
		{"basic with a wrong secret", both, header(basic(clientID, "x")), "invalid_client"},
		{"basic of another client", both, header(basic("x", escaped)), "invalid_client"},
		{"basic and post", both, header(basic(clientID, escaped), "client_secret", secret), "invalid_request"},
		{"basic that is no base64", both, header("Basic !"), "invalid_client"},
		{"post", both, form("client_id", clientID, "client_secret", secret), ""},
		{"post with a wrong secret", both, form("client_id", clientID, "client_secret", "x"), "invalid_client"},
		{"post where basic is registered", only("client_secret_basic"), form("client_id", clientID, "client_secret", secret), "invalid_client"},
		{"no credentials", both, form("client_id", clientID), "invalid_client"},
		{"no credentials for a public client", optest.Config{ClientID: clientID}, form("client_id", clientID), ""},
		{"a secret for a public client", optest.Config{ClientID: clientID}, form("client_id", clientID, "client_secret", "x"), "invalid_client"},
		{"client_secret_jwt", both, mac(secret), ""},
		{"client_secret_jwt with a wrong secret", both, mac("another secret that is as long as that"), "invalid_client"},
		{"client_secret_jwt where private_key_jwt is registered", only("private_key_jwt"), mac(secret), "invalid_client"},
		{"private_key_jwt", both, signed(key, nil), ""},
		{"private_key_jwt with another key", both, signed(other, nil), "invalid_client"},
		{"private_key_jwt where post is registered", only("client_secret_post"), signed(key, nil), "invalid_client"},
		{"an assertion in another assertion type", both, form("client_assertion", "a.b.c", "client_assertion_type", "x"), "invalid_request"},
		{"an assertion that is none", both, form("client_assertion", "a.b.c", "client_assertion_type", jwtBearer), "invalid_client"},
		{"an assertion for another audience", both, signed(key, map[string]any{"aud": "https://op.example.com"}), "invalid_client"},
		{"an assertion for two audiences", both, signed(key, map[string]any{"aud": []string{"x", "y"}}), "invalid_client"},
		{"an assertion of another issuer", both, signed(key, map[string]any{"iss": "x"}), "invalid_client"},
		{"an assertion of another client", both, signed(key, map[string]any{"iss": "x", "sub": "x"}), "invalid_client"},
		{"an assertion without exp", both, signed(key, map[string]any{"exp": nil}), "invalid_client"},
		{"an assertion that is over", both, signed(key, map[string]any{"exp": now.Add(-time.Second).Unix()}), "invalid_client"},
		{"an assertion for a year", both, signed(key, map[string]any{"exp": now.AddDate(1, 0, 0).Unix()}), "invalid_client"},
		{"an assertion from the future", both, signed(key, map[string]any{"iat": now.Add(time.Hour).Unix()}), "invalid_client"},
		{"an assertion not good yet", both, signed(key, map[string]any{"nbf": now.Add(time.Hour).Unix()}), "invalid_client"},
		{"an assertion without jti", both, signed(key, map[string]any{"jti": nil}), "invalid_client"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.config)
			fields, authorization := row.use(t, w)
			form := url.Values{
				"grant_type": {"authorization_code"}, "code": {w.login().Get("code")}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
			}
			maps.Copy(form, fields)
			var headers []string
			if authorization != "" {
				headers = []string{"Authorization", authorization}
			}
			status, answer := w.token(form, headers...)
			got, _ := answer["error"].(string)
			if got != row.want {
				t.Errorf("%d %v, want %q", status, answer, row.want)
			}
			if (status == http.StatusUnauthorized) != (row.want == "invalid_client") {
				t.Errorf("status %d", status)
			}
		})
	}
}

func TestAssertionIsGoodOnceAndForTheTokenEndpointToo(t *testing.T) {
	t.Parallel()
	key, set := clientKey(t)
	w := newWorld(t, optest.Config{ClientID: clientID, ClientKeys: set})
	raw := assert(t, jose.ES256, key, w.op.URL+"/oauth/token", nil)
	use := func() map[string]any {
		_, answer := w.token(url.Values{
			"grant_type": {"authorization_code"}, "code": {w.login().Get("code")}, "redirect_uri": {w.callback()},
			"code_verifier": {verifier}, "client_assertion_type": {jwtBearer}, "client_assertion": {raw},
		})
		return answer
	}
	if answer := use(); answer["error"] != nil {
		t.Fatalf("first use: %v", answer)
	}
	if answer := use(); answer["error"] != "invalid_client" {
		t.Errorf("second use: %v", answer)
	}
}

func TestRequestsShowWhatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	code := w.login().Get("code")
	w.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
	}, "Authorization", basic(clientID, url.QueryEscape(secret)), "X-Probe", "1")
	sent := w.op.Requests("/oauth/token")
	if len(sent) != 1 || sent[0].Method != http.MethodPost || sent[0].Form.Get("code") != code || sent[0].Header.Get("X-Probe") != "1" ||
		sent[0].URL.RawQuery != "" {
		t.Errorf("%v", sent)
	}
	if sent := w.op.Requests("/authorize"); len(sent) != 1 || sent[0].URL.Query().Get("nonce") != "nonce-1" || sent[0].Form != nil {
		t.Errorf("%v", sent)
	}
}

func TestTokenEndpointRefusesOddRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	twice := url.Values{"grant_type": {"authorization_code", "refresh_token"}, "client_id": {clientID}, "client_secret": {secret}}
	if _, answer := w.token(twice); answer["error"] != "invalid_request" {
		t.Errorf("%v", answer)
	}
	for grant, want := range map[string]string{"": "invalid_request", "password": "unsupported_grant_type", "refresh_token": "invalid_grant"} {
		if _, answer := w.token(url.Values{"grant_type": {grant}, "client_id": {clientID}, "client_secret": {secret}}); answer["error"] != want {
			t.Errorf("%q: %v", grant, answer)
		}
	}
	status, _, body := w.do(http.MethodPost, "/oauth/token", `{"grant_type":"x"}`, "Content-Type", "application/json")
	if status != http.StatusBadRequest {
		t.Errorf("%d %s", status, body)
	}
}
