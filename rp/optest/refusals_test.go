package optest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/rp/optest"
)

// What a provider that takes any client refuses even so, and demands that are met but for one detail.

// anybody returns a provider that takes any client and any redirect URI.
func anybody(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, optest.Config{})
	w.op = optest.NewServer(optest.Config{})
	t.Cleanup(w.op.Close)
	return w
}

func TestRequestsThatAnyProviderRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]string{
		"no client":                     {"client_id", ""},
		"no redirect_uri":               {"redirect_uri", ""},
		"a redirect_uri that is none":   {"redirect_uri", "http://[::1"},
		"a redirect_uri without scheme": {"redirect_uri", "//127.0.0.1/callback"},
		"a redirect_uri without host":   {"redirect_uri", "http:///callback"},
		"another scheme":                {"redirect_uri", "ftp://127.0.0.1/callback"},
		"a fragment":                    {"redirect_uri", "http://127.0.0.1:1/callback#x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := anybody(t)
			if page := w.open(w.request(change...)); page.Status != http.StatusBadRequest || len(page.History) != 1 || len(w.got) != 0 {
				t.Errorf("status %d, history %v", page.Status, page.History)
			}
		})
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		t.Run(name+" twice", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			p := w.request()
			p.Add(name, "http://127.0.0.1:1/evil")
			if page := w.open(p); page.Status != http.StatusBadRequest || len(page.History) != 1 || len(w.got) != 0 {
				t.Errorf("status %d, history %v", page.Status, page.History)
			}
		})
	}
	t.Run("response_mode twice is answered in the standard mode", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, registered)
		p := w.request()
		p.Add("response_mode", "form_post")
		w.open(p)
		if got := w.last(); got.Get("error") != "invalid_request" || got.Get("relayed") != "yes" { // by the fragment's page
			t.Errorf("%v", got)
		}
	})
}

func TestResourcesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	for _, resource := range []string{"/orders", "https://[::1", "https://orders.example/#x", "https://orders.example#"} {
		if got := w.login("resource", resource); got.Get("error") != "invalid_target" {
			t.Errorf("%s: %v", resource, got)
		}
	}
}

// A class of login that is asked for in the claims parameter and not essential is no reason to refuse.
func TestVoluntaryClassInTheClaimsParameter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withResources)
	got := w.login("claims", `{"id_token":{"acr":{"values":["platinum"]}}}`)
	if got.Has("error") {
		t.Fatalf("%v", got)
	}
	if _, claims := w.verify(got.Get("id_token")); claims["acr"] != nil {
		t.Errorf("acr is %v", claims["acr"])
	}
}

// Half a registration is one: nobody without these credentials gets in.
func TestHalfARegistration(t *testing.T) {
	t.Parallel()
	_, set := clientKey(t)
	for name, row := range map[string]struct {
		config optest.Config
		change []string // of a redemption with client_id and client_secret
	}{
		"a secret alone, nothing sent":       {optest.Config{ClientSecret: secret}, []string{"client_secret", ""}},
		"a secret alone, another sent":       {optest.Config{ClientSecret: secret}, []string{"client_secret", "x"}},
		"keys alone, nothing sent":           {optest.Config{ClientKeys: set}, []string{"client_secret", ""}},
		"keys alone, a secret sent":          {optest.Config{ClientKeys: set}, []string{"client_secret", "x"}},
		"a name and a secret, nothing sent":  {registered, []string{"client_secret", ""}},
		"a name and keys, nothing sent":      {optest.Config{ClientID: clientID, ClientKeys: set}, []string{"client_secret", ""}},
		"any client, and none of any name":   {optest.Config{}, []string{"client_id", ""}},
		"a name and a secret, and no client": {registered, []string{"client_id", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.config)
			if status, answer := w.exchange(w.login().Get("code"), row.change...); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
				t.Errorf("%d %v", status, answer)
			}
		})
	}
}

func TestBasicThatIsNone(t *testing.T) {
	t.Parallel()
	good := basic(clientID, url.QueryEscape(secret))
	for name, row := range map[string]struct {
		config        optest.Config
		authorization string
		want          any
	}{
		"another scheme":                       {registered, "Bearer " + strings.TrimPrefix(good, "Basic "), "invalid_client"},
		"basic in lower case":                  {registered, "basic " + strings.TrimPrefix(good, "Basic "), nil},
		"base64 with a tail":                   {registered, good + "!", "invalid_client"},
		"no colon, where any secret will do":   {optest.Config{}, "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID)), "invalid_client"},
		"a secret with a broken escape":        {optest.Config{}, basic(clientID, "%zz"), "invalid_client"},
		"a name with a broken escape":          {optest.Config{}, basic("%zz", "x"), "invalid_client"},
		"any secret where any secret will do":  {optest.Config{}, basic(clientID, "x"), nil},
		"no secret, where the client has none": {optest.Config{ClientID: clientID}, basic(clientID, ""), "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.config)
			_, answer := w.token(url.Values{
				"grant_type": {"authorization_code"}, "code": {w.login().Get("code")}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
			}, "Authorization", row.authorization)
			if answer["error"] != row.want {
				t.Errorf("%v, want %v", answer, row.want)
			}
		})
	}
}

// An assertion whose signature is good, and one thing in it is not.
func TestAssertionsThatAreAlmostRight(t *testing.T) {
	t.Parallel()
	key, set := clientKey(t)
	for name, row := range map[string]struct {
		typ    string
		change map[string]any
		want   any
	}{
		"the valid one that all rows change": {"JWT", nil, nil},
		"another typ":                        {"at+jwt", nil, "invalid_client"},
		"the typ of draft rfc7523bis":        {"client-authentication+jwt", nil, nil},
		"the right audience and one more":    {"JWT", map[string]any{"aud": []string{"ISSUER", "https://other.example"}}, "invalid_client"},
		"the right audience in a list":       {"JWT", map[string]any{"aud": []string{"ISSUER"}}, nil},
		"iat that is a text":                 {"JWT", map[string]any{"iat": "now"}, "invalid_client"},
		"neither iss nor sub":                {"JWT", map[string]any{"iss": nil, "sub": nil}, "invalid_client"},
		"exp right now":                      {"JWT", map[string]any{"exp": newClock().Now().Unix()}, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, optest.Config{ClientID: clientID, ClientKeys: set, Now: newClock().Now})
			claims := map[string]any{
				"iss": clientID, "sub": clientID, "aud": w.op.URL, "jti": rand.Text(), "exp": newClock().Now().Add(time.Minute).Unix(),
			}
			for name, v := range row.change {
				if list, ok := v.([]string); ok {
					list = slices.Clone(list)
					list[0] = w.op.URL
					v = list
				}
				if claims[name] = v; v == nil {
					delete(claims, name)
				}
			}
			header, _ := json.Marshal(map[string]any{"alg": "ES256", "kid": "c1", "typ": row.typ})
			payload, _ := json.Marshal(claims)
			_, answer := w.token(url.Values{
				"grant_type": {"authorization_code"}, "code": {w.login().Get("code")}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
				"client_assertion_type": {jwtBearer}, "client_assertion": {optest.JWS("ES256", key, header, payload)},
			})
			if answer["error"] != row.want {
				t.Errorf("%v, want %v", answer, row.want)
			}
		})
	}
}

// The verifier belongs to the challenge, and is none (RFC 7636 section 4.1).
func TestVerifiersThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	for name, row := range map[string]struct {
		verifier string
		want     any
	}{
		"43 characters":           {strings.Repeat("a", 43), nil},
		"42 characters":           {strings.Repeat("a", 42), "invalid_grant"},
		"128 characters":          {strings.Repeat("a", 128), nil},
		"129 characters":          {strings.Repeat("a", 129), "invalid_grant"},
		"a character that is odd": {"+" + strings.Repeat("a", 43), "invalid_grant"},
		"each of the others":      {"-._~" + strings.Repeat("a", 43), nil},
	} {
		sum := sha256.Sum256([]byte(row.verifier))
		code := w.login("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:])).Get("code")
		if _, answer := w.exchange(code, "code_verifier", row.verifier); answer["error"] != row.want {
			t.Errorf("%s: %v", name, answer)
		}
	}
	for name, change := range map[string][]string{
		"a method without a challenge": {"code_challenge", ""}, "a challenge that is too short": {"code_challenge", pkce[1:]},
	} {
		if got := w.login(change...); got.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := w.login("response_type", ""); got.Get("error") != "invalid_request" {
		t.Errorf("no response_type: %v", got)
	}
}

func TestGrantsOfOtherClients(t *testing.T) {
	t.Parallel()
	w := anybody(t)
	code := w.login("client_id", "one").Get("code")
	if _, answer := w.exchange(code, "client_id", "two"); answer["error"] != "invalid_grant" {
		t.Errorf("a code: %v", answer)
	}
	_, tokens := w.exchange(w.login("client_id", "one").Get("code"), "client_id", "one")
	if _, answer := w.renew(tokens["refresh_token"].(string), "client_id", "two"); answer["error"] != "invalid_grant" {
		t.Errorf("a refresh token: %v", answer)
	}
	if status, _ := w.renew(tokens["refresh_token"].(string), "client_id", "one"); status != http.StatusOK {
		t.Error("what another client tried has ended the grant")
	}
	if status, answer := w.own("client_credentials"); status != http.StatusOK || answer["access_token"] == nil {
		t.Errorf("client credentials where any client will do: %v", answer)
	}
	public := newWorld(t, optest.Config{ClientID: clientID})
	_, refused := public.token(url.Values{
		"grant_type": {exchangeGrant}, "client_id": {clientID}, "subject_token": {"x"}, "subject_token_type": {accessType},
	})
	if refused["error"] != "unauthorized_client" {
		t.Errorf("an exchange by a public client: %v", refused)
	}
	_, odd := w.own(exchangeGrant, "subject_token_type", accessType)
	if odd["error"] != "invalid_request" {
		t.Errorf("an exchange of nothing: %v", odd)
	}
}

// What names the user at a logout or a login is a token of this provider, and of this one alone.
func TestHintsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	hinted := func(t *testing.T, w *world, raw, want string) {
		t.Helper()
		if got := w.login("id_token_hint", raw); got.Get("error") != want {
			t.Errorf("%v, want %q", got, want)
		}
	}
	for name, row := range map[string]struct {
		claim string
		value any
		want  string
	}{
		"another issuer": {"iss", "https://op.example", "invalid_request"}, "nobody": {"sub", "", "invalid_request"}, "ours": {"x", "y", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			w.op.Fault(func(a *optest.Answer) {
				if a.Claims != nil {
					a.Claims[row.claim] = row.value
				}
			})
			raw := w.login().Get("id_token")
			w.op.Fault(nil)
			hinted(t, w, raw, row.want)
		})
	}
	t.Run("signed with no secret, by a provider that has none", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, optest.Config{ClientID: clientID})
		payload, _ := json.Marshal(map[string]any{"iss": w.op.URL, "sub": "mallory", "aud": clientID})
		hinted(t, w, optest.JWS("HS256", []byte{}, []byte(`{"alg":"HS256"}`), payload), "invalid_request")
	})
	t.Run("signed with the client secret", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Algorithm: "HS256"})
		raw := w.login().Get("id_token")
		hinted(t, w, raw, "")
		hinted(t, w, optest.Tamper(raw), "invalid_request")
	})
	t.Run("of another client, at the logout", func(t *testing.T) {
		t.Parallel()
		w := anybody(t)
		raw := w.login("client_id", "one").Get("id_token")
		page, err := w.b.Open(t.Context(), w.op.URL+"/logout?"+url.Values{"client_id": {"two"}, "id_token_hint": {raw}}.Encode())
		if err != nil || page.Status != http.StatusBadRequest {
			t.Errorf("%v %v", page, err)
		}
	})
}

// Only the button of the provider's own page answers its question.
func TestLogoutIsConfirmedByPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, LoginPage: true})
	if _, err := w.b.Submit(t.Context(), w.open(w.request()), url.Values{"username": {"alice"}}); err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, c := range w.b.Cookies(w.op.URL) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	for name, row := range map[string]struct{ method, body string }{
		"a POST that confirms nothing": {http.MethodPost, "client_id=" + clientID},
		"a GET with the words":         {http.MethodGet, "confirmed=yes"},
	} {
		status, _, body := w.do(row.method, "/logout", row.body, "Cookie", strings.Join(cookies, "; "))
		if status != http.StatusOK || !strings.Contains(string(body), "Log out?") {
			t.Errorf("%s: %d", name, status)
		}
	}
	if got := w.login("prompt", "none"); got.Has("error") {
		t.Errorf("%v", got)
	}
}

func TestWhatTheTokenEndpointReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	if status, _, _ := w.do(http.MethodPost, "/oauth/token", "grant_type="+strings.Repeat("x", 1<<20)); status != http.StatusBadRequest {
		t.Errorf("more than a megabyte: %d", status)
	}
	status, header, _ := w.do(http.MethodGet, "/api", "")
	if challenge := header.Get("WWW-Authenticate"); status != http.StatusUnauthorized || challenge != `Bearer realm="optest"` { // RFC 6750 section 3.1
		t.Errorf("without a token: %d %s", status, challenge)
	}
}

func TestPrivateKeysAreNotRegistered(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "c1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if message := panics(func() { optest.NewHandler("http://localhost", optest.Config{ClientKeys: set}) }); !strings.Contains(message, "private key") {
		t.Errorf("%q", message)
	}
}
