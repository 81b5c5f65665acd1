package optest_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

var registered = optest.Config{ClientID: clientID, ClientSecret: secret}

func TestEachResponseTypeInEachMode(t *testing.T) {
	t.Parallel()
	promised := map[string][]string{
		"code":                {"code"},
		"id_token":            {"id_token"},
		"code id_token":       {"code", "id_token"},
		"code token":          {"access_token", "code", "expires_in", "token_type"},
		"token id_token code": {"access_token", "code", "expires_in", "id_token", "token_type"}, // a set
	}
	for responseType, names := range promised {
		for _, mode := range []string{"form_post", "fragment", "query"} {
			if mode == "query" && responseType != "code" {
				continue
			}
			t.Run(responseType+" by "+mode, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, registered)
				got := w.login("response_type", responseType, "response_mode", mode)
				if (got.Get("relayed") == "yes") != (mode == "fragment") {
					t.Errorf("relayed by the page of the app: %v", got)
				}
				got.Del("relayed")
				want := append([]string{"iss", "state"}, names...)
				if have := slices.Sorted(maps.Keys(got)); !slices.Equal(have, slices.Sorted(slices.Values(want))) {
					t.Errorf("parameters %v, want %v", have, want)
				}
				if got.Get("iss") != w.op.URL || got.Get("state") != "state-1" {
					t.Errorf("iss %q, state %q", got.Get("iss"), got.Get("state"))
				}
				if got.Has("id_token") {
					checkFirst(t, w, got)
				}
				if got.Has("code") {
					checkSecond(t, w, got)
				}
			})
		}
	}
}

func checkFirst(t *testing.T, w *world, got url.Values) {
	t.Helper()
	header, claims := w.verify(got.Get("id_token"))
	want := map[string]any{
		"iss": w.op.URL, "sub": "alice", "aud": clientID, "azp": clientID, "nonce": "nonce-1", "s_hash": half("RS256", "state-1"),
		"name": "Alice", "email": "alice@example.com", "email_verified": true, "c_hash": nil, "at_hash": nil,
	}
	if got.Has("code") {
		want["c_hash"] = half("RS256", got.Get("code"))
	}
	if got.Has("access_token") {
		want["at_hash"] = half("RS256", got.Get("access_token"))
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("first ID Token: %s is %v, want %v", name, claims[name], value)
		}
	}
	for _, name := range []string{"exp", "iat", "auth_time", "sid", "amr"} {
		if claims[name] == nil {
			t.Errorf("first ID Token: %s is missing", name)
		}
	}
	if header.Algorithm != "RS256" {
		t.Errorf("alg %q", header.Algorithm)
	}
}

func checkSecond(t *testing.T, w *world, got url.Values) {
	t.Helper()
	status, answer := w.exchange(got.Get("code"))
	if status != http.StatusOK || answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || answer["refresh_token"] == nil {
		t.Fatalf("status %d, %v", status, answer)
	}
	if answer["access_token"] == got.Get("access_token") {
		t.Error("both channels got the same access token")
	}
	_, claims := w.verify(answer["id_token"])
	if claims["nonce"] != "nonce-1" || claims["at_hash"] != half("RS256", answer["access_token"].(string)) || claims["c_hash"] != nil {
		t.Errorf("second ID Token: %v", claims)
	}
}

func TestEachAlgorithmSignsAndHashes(t *testing.T) {
	t.Parallel()
	for _, alg := range allAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Algorithm: string(alg)})
			if strings.HasPrefix(string(alg), "HS") && len(secret) < 64 {
				checkHS(t, w, string(alg))
				return
			}
			got := w.login("response_type", "code id_token token")
			header, claims := w.verify(got.Get("id_token"))
			if header.Algorithm != string(alg) || claims["c_hash"] != half(string(alg), got.Get("code")) ||
				claims["at_hash"] != half(string(alg), got.Get("access_token")) {
				t.Errorf("alg %s, claims %v", header.Algorithm, claims)
			}
		})
	}
}

// checkHS signs again, since go-jose wants secrets as long as the hash.
func checkHS(t *testing.T, w *world, alg string) {
	t.Helper()
	parts := strings.Split(w.login().Get("id_token"), ".")
	again := optest.JWS(alg, []byte(secret), decode(t, parts[0]), decode(t, parts[1]))
	if again != strings.Join(parts, ".") {
		t.Errorf("another signature: %s", again)
	}
}

func TestSpecVector(t *testing.T) {
	t.Parallel()
	const code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk" // OpenID Connect Core A.6
	if got := optest.HalfHash("RS256", code); got != "LDktKdoQak3Pk0cnXxCltA" {
		t.Errorf("c_hash %q", got)
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	code := w.login().Get("code")
	_, first := w.exchange(code)
	if status, answer := w.exchange(code); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Fatalf("second use: %d %v", status, answer)
	}
	if status, _ := w.renew(first["refresh_token"].(string)); status != http.StatusBadRequest {
		t.Errorf("the refresh token still works: %d", status)
	}
	if status, _, _ := w.do(http.MethodGet, "/api", "", "Authorization", "Bearer "+first["access_token"].(string)); status != http.StatusUnauthorized {
		t.Errorf("the access token still works: %d", status)
	}
}

func TestCodeIsRefused(t *testing.T) {
	t.Parallel()
	rows := map[string][]string{
		"with a wrong verifier":     {"code_verifier", strings.Repeat("x", 43)},
		"without verifier":          {"code_verifier", ""},
		"with a short verifier":     {"code_verifier", "short"},
		"with another redirect_uri": {"redirect_uri", "http://127.0.0.1/other"},
		"without redirect_uri":      {"redirect_uri", ""},
		"as another code":           {"code", "guessed"},
	}
	for name, change := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			code := w.login().Get("code")
			if status, answer := w.exchange(code, change...); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
				t.Errorf("%d %v", status, answer)
			}
		})
	}
	t.Run("with a verifier that nothing was sent for", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, registered)
		code := w.login("code_challenge", "", "code_challenge_method", "").Get("code")
		if _, answer := w.exchange(code); answer["error"] != "invalid_grant" {
			t.Errorf("%v", answer)
		}
	})
	t.Run("after its lifetime", func(t *testing.T) {
		t.Parallel()
		now := newClock()
		w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Now: now.Now})
		code := w.login().Get("code")
		now.advance(61 * time.Second)
		if _, answer := w.exchange(code); answer["error"] != "invalid_grant" {
			t.Errorf("%v", answer)
		}
	})
}

func TestRefreshRotatesAndReuseRevokes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	_, first := w.exchange(w.login().Get("code"))
	old := first["refresh_token"].(string)
	status, second := w.renew(old, "scope", "openid email")
	if status != http.StatusOK || second["refresh_token"] == old || second["scope"] != "openid email" {
		t.Fatalf("%d %v", status, second)
	}
	_, claims := w.verify(second["id_token"])
	_, original := w.verify(first["id_token"])
	if claims["nonce"] != nil || claims["auth_time"] != original["auth_time"] || claims["sid"] != original["sid"] {
		t.Errorf("refreshed ID Token: %v", claims)
	}
	if status, _ := w.renew(second["refresh_token"].(string), "scope", "openid phone"); status != http.StatusBadRequest {
		t.Errorf("a wider scope: %d", status)
	}
	if status, answer := w.renew(old); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("reuse: %d %v", status, answer)
	}
	if status, _ := w.renew(second["refresh_token"].(string)); status != http.StatusBadRequest {
		t.Errorf("the successor outlives the reuse: %d", status)
	}
}

func TestRefreshTokenNeedsOfflineAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	_, answer := w.exchange(w.login("scope", "openid").Get("code"))
	if answer["refresh_token"] != nil || answer["access_token"] == nil {
		t.Errorf("%v", answer)
	}
	if _, claims := w.verify(answer["id_token"]); claims["email"] != nil || claims["name"] != nil {
		t.Errorf("claims nobody asked for: %v", claims)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, want string
		change     []string
	}{
		{"plain PKCE", "invalid_request", []string{"code_challenge_method", "plain"}},
		{"PKCE without method, which means plain", "invalid_request", []string{"code_challenge_method", ""}},
		{"no nonce with an ID Token", "invalid_request", []string{"nonce", ""}},
		{"a token type", "unsupported_response_type", []string{"response_type", "id_token token"}},
		{"no openid", "invalid_scope", []string{"scope", "profile"}},
		{"a token in a query", "invalid_request", []string{"response_mode", "query"}},
		{"a mode nobody knows", "invalid_request", []string{"response_mode", "web_message"}},
		{"none with login", "invalid_request", []string{"prompt", "none login"}},
		{"a prompt nobody knows", "invalid_request", []string{"prompt", "dance"}},
		{"max_age in words", "invalid_request", []string{"max_age", "ten"}},
		{"claims that are no JSON", "invalid_request", []string{"claims", "{"}},
		{"a request object", "request_not_supported", []string{"request", "e30.e30."}},
		{"a relative resource", "invalid_target", []string{"resource", "/orders"}},
		{"a hint of somebody else", "invalid_request", []string{"id_token_hint", "a.b.c"}},
		{"no session for prompt=none", "login_required", []string{"prompt", "none"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			got := w.login(row.change...)
			if got.Get("error") != row.want || got.Get("state") != "state-1" || got.Get("iss") != w.op.URL || got.Has("code") || got.Has("id_token") {
				t.Errorf("%v, want %s", got, row.want)
			}
		})
	}
}

func TestDuplicateParametersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	p := w.request()
	p.Add("nonce", "another")
	w.open(p)
	if got := w.last(); got.Get("error") != "invalid_request" {
		t.Errorf("%v", got)
	}
}

func TestNothingIsSentToAStranger(t *testing.T) {
	t.Parallel()
	rows := map[string][]string{
		"unregistered redirect_uri": {"redirect_uri", "http://127.0.0.1:1/callback"},
		"redirect_uri with a slash": {"redirect_uri", "/"},
		"unknown client":            {"client_id", "nobody"},
		"no client":                 {"client_id", ""},
	}
	for name, change := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			page := w.open(w.request(change...))
			if page.Status != http.StatusBadRequest || len(page.History) != 1 || len(w.got) != 0 {
				t.Errorf("status %d, history %v", page.Status, page.History)
			}
		})
	}
}

func TestPublicClientNeedsPKCE(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID})
	if got := w.login("code_challenge", "", "code_challenge_method", ""); got.Get("error") != "invalid_request" {
		t.Errorf("%v", got)
	}
	if status, _ := w.exchange(w.login().Get("code"), "client_secret", ""); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestZeroConfigTakesAnyClient(t *testing.T) {
	t.Parallel()
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	w := newWorld(t, optest.Config{})
	w.op = op
	got := w.login("client_id", "whoever")
	if status, _ := w.exchange(got.Get("code"), "client_id", "whoever", "client_secret", "anything"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestProviderThatKeepsRefreshTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, KeepRefreshTokens: true})
	_, first := w.exchange(w.login().Get("code"))
	for range 2 {
		if status, answer := w.renew(first["refresh_token"].(string)); status != http.StatusOK || answer["refresh_token"] != nil {
			t.Errorf("%d %v", status, answer)
		}
	}
}

func TestOddUserNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Claims: map[string]any{"sub": "élise"}})
	for hint, want := range map[string]string{"": "élise", "@": "élise", "  bob  ": "bob", "b\u00e9\r\nb@x": "bb"} {
		_, claims := w.verify(w.login("prompt", "login", "login_hint", hint).Get("id_token"))
		if claims["sub"] != want {
			t.Errorf("%q: %v", hint, claims["sub"])
		}
		if want == "élise" && claims["name"] != "Élise" {
			t.Errorf("name %v", claims["name"])
		}
	}
}

func TestKeySetIsAListWhereThereIsNoKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Algorithm: "HS256"})
	if got := string(w.op.JWKS()); got != `{"keys":[]}` {
		t.Errorf("%s", got)
	}
}
