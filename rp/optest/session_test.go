package optest_test

import (
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

func TestTheBrowserHasASession(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Now: now.Now})
	claims := func(changes ...string) map[string]any {
		t.Helper()
		got := w.login(changes...)
		if got.Has("error") {
			return map[string]any{"error": got.Get("error")}
		}
		_, c := w.verify(got.Get("id_token"))
		return c
	}
	first := claims()
	now.advance(10 * time.Minute)
	if silent := claims("prompt", "none"); silent["sid"] != first["sid"] || silent["auth_time"] != first["auth_time"] || silent["iat"] == first["iat"] {
		t.Errorf("prompt=none: %v after %v", silent, first)
	}
	if c := claims("prompt", "none", "max_age", "300"); c["error"] != "login_required" {
		t.Errorf("an old login for prompt=none: %v", c)
	}
	if c := claims("max_age", "3600"); c["auth_time"] != first["auth_time"] {
		t.Errorf("a young login was made again: %v", c)
	}
	again := claims("max_age", "300")
	if again["auth_time"] == first["auth_time"] || again["sid"] == first["sid"] {
		t.Errorf("max_age: %v", again)
	}
	now.advance(time.Second)
	for _, change := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"prompt", "select_account"}} {
		if c := claims(change...); c["sid"] == again["sid"] {
			t.Errorf("%v kept the login", change)
		}
	}
	if c := claims("prompt", "none", "max_age", "0"); c["error"] != "login_required" {
		t.Errorf("max_age=0 with prompt=none: %v", c)
	}
	if c := claims("acr_values", "urn:mfa urn:pwd"); c["acr"] != "urn:mfa" {
		t.Errorf("acr %v", c["acr"])
	}
	if c := claims("prompt", "none", "acr_values", "urn:other"); c["error"] != "login_required" {
		t.Errorf("another acr for prompt=none: %v", c)
	}
}

func TestTheRightUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{
		ClientID: clientID, ClientSecret: secret, Claims: map[string]any{"sub": "carol", "org_id": "org_1", "name": "Carol C."},
	})
	raw := w.login().Get("id_token")
	_, carol := w.verify(raw)
	if carol["sub"] != "carol" || carol["org_id"] != "org_1" || carol["name"] != "Carol C." {
		t.Errorf("%v", carol)
	}
	_, bob := w.verify(w.login("prompt", "login", "login_hint", "bob@example.com").Get("id_token"))
	if bob["sub"] != "bob" || bob["org_id"] != nil {
		t.Errorf("%v", bob)
	}
	if got := w.login("prompt", "none", "id_token_hint", raw); got.Get("error") != "login_required" {
		t.Errorf("the hint names carol, and bob was answered: %v", got)
	}
	w.op.RotateKeys()
	_, hinted := w.verify(w.login("id_token_hint", raw).Get("id_token"))
	if hinted["sub"] != "carol" {
		t.Errorf("%v", hinted)
	}
	if got := w.login("id_token_hint", optest.Tamper(raw)); got.Get("error") != "invalid_request" {
		t.Errorf("a forged hint: %v", got)
	}
}

func TestClaimsParameter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	asked := `{"id_token":{"email":null,"acr":{"essential":true,"values":["urn:a","urn:b"]}},"userinfo":{"name":null}}`
	got := w.login("scope", "openid", "claims", asked)
	_, claims := w.verify(got.Get("id_token"))
	if claims["email"] != "alice@example.com" || claims["name"] != nil || claims["acr"] != "urn:a" {
		t.Errorf("%v", claims)
	}
	_, answer := w.exchange(got.Get("code"))
	_, _, body := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+answer["access_token"].(string))
	var info map[string]any
	if err := json.Unmarshal(body, &info); err != nil || info["name"] != "Alice" || info["email"] != nil {
		t.Errorf("%v %v", err, info)
	}
	if got := w.login("prompt", "none", "claims", `{"id_token":{"sub":{"value":"dave"}}}`); got.Get("error") != "login_required" {
		t.Errorf("%v", got)
	}
}

func TestPOSTToTheAuthorizationEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	_, first := w.verify(w.login().Get("id_token"))
	page, err := w.b.Open(t.Context(), w.app.URL+"/done")
	if err != nil {
		t.Fatal(err)
	}
	form := optest.Form{Action: w.op.URL + "/authorize", Method: http.MethodPost, Fields: w.request("prompt", "none")}
	if _, err = w.b.SubmitForm(t.Context(), page, form); err != nil {
		t.Fatal(err)
	}
	if got := w.last(); got.Get("error") != "" {
		t.Fatalf("%v", got)
	}
	if _, claims := w.verify(w.last().Get("id_token")); claims["sid"] != first["sid"] {
		t.Error("the session cookie did not come with the cross-site POST")
	}
	form.Fields = w.request("response_mode", "fragment")
	if page, err = w.b.SubmitForm(t.Context(), page, form); err != nil || page.Status != http.StatusOK {
		t.Fatalf("%v %v", err, page)
	}
}

func TestLoginPage(t *testing.T) {
	t.Parallel()
	config := optest.Config{ClientID: clientID, ClientSecret: secret, LoginPage: true, Path: "/tenant/"}
	submit := func(t *testing.T, w *world, page *optest.Page, pairs ...string) *optest.Page {
		t.Helper()
		fields := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			fields.Set(pairs[i], pairs[i+1])
		}
		next, err := w.b.Submit(t.Context(), page, fields)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	for _, mode := range []string{"form_post", "fragment"} {
		t.Run("a user logs in by "+mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config)
			page := w.open(w.request("response_mode", mode))
			if !strings.Contains(page.URL, "/tenant/login?request=") || !strings.Contains(page.Text(), "your email address") {
				t.Fatalf("%s: %s", page.URL, page.Text())
			}
			if again := submit(t, w, page, "username", " ", "action", "login"); !strings.Contains(again.Text(), "type a user name") {
				t.Errorf("%s", again.Text())
			}
			submit(t, w, page, "username", "bob", "action", "login")
			if _, claims := w.verify(w.last().Get("id_token")); claims["sub"] != "bob" {
				t.Errorf("%v", claims)
			}
			if gone := submit(t, w, page, "username", "bob"); gone.Status != http.StatusBadRequest {
				t.Errorf("the login page works twice: %d", gone.Status)
			}
			_, silent := w.verify(w.login().Get("id_token"))
			if silent["sub"] != "bob" {
				t.Errorf("%v", silent)
			}
		})
	}
	t.Run("a user cancels", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config)
		submit(t, w, w.open(w.request()), "action", "cancel")
		if got := w.last(); got.Get("error") != "access_denied" || got.Get("state") != "state-1" || w.op.Calls("/login") != 2 {
			t.Errorf("%v", got)
		}
	})
	t.Run("a user is asked for consent only", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config)
		submit(t, w, w.open(w.request()), "username", "bob")
		page := w.open(w.request("prompt", "consent"))
		if !strings.Contains(page.Text(), "as bob") || len(page.Forms()) != 1 || page.Forms()[0].Fields.Has("username") {
			t.Fatalf("%s", page.Text())
		}
		submit(t, w, page, "action", "login")
		if _, claims := w.verify(w.last().Get("id_token")); claims["sub"] != "bob" {
			t.Errorf("%v", claims)
		}
	})
	t.Run("another user than asked for", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config)
		page := w.open(w.request("claims", `{"id_token":{"sub":{"value":"bob"}}}`))
		submit(t, w, page, "username", "mallory")
		if got := w.last(); got.Get("error") != "login_required" {
			t.Errorf("%v", got)
		}
	})
	t.Run("a page too old", func(t *testing.T) {
		t.Parallel()
		now := newClock()
		c := config
		c.Now = now.Now
		w := newWorld(t, c)
		page := w.open(w.request())
		now.advance(11 * time.Minute)
		if late := submit(t, w, page, "username", "bob"); late.Status != http.StatusBadRequest || len(w.got) != 0 {
			t.Errorf("%d", late.Status)
		}
	})
}

func TestPagesHaveAStrictPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, LoginPage: true})
	for _, page := range []*optest.Page{w.open(w.request()), w.open(w.request("client_id", "nobody"))} {
		policy := page.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'nonce-", "style-src 'nonce-", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: %q lacks %s", page.URL, policy, want)
			}
		}
		if strings.Contains(string(page.Body), "http://") || strings.Contains(string(page.Body), "https://") {
			t.Errorf("an external resource on %s", page.URL)
		}
	}
	if policy := w.open(w.request()).Header.Get("Content-Security-Policy"); !strings.Contains(policy, w.app.URL) {
		t.Errorf("%q does not let the answer go to the client", policy)
	}
}

func TestResourceTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	p := w.request("audience", "https://api.example.com", "resource", "https://b.example.com/x")
	w.open(p)
	_, answer := w.exchange(w.last().Get("code"))
	raw := answer["access_token"].(string)
	header, claims := w.verify(raw)
	aud, _ := claims["aud"].([]any)
	if header.ExtraHeaders["typ"] != "at+jwt" || !slices.Equal(aud, []any{"https://b.example.com/x", "https://api.example.com"}) ||
		claims["client_id"] != clientID || claims["sub"] != "alice" || claims["jti"] == nil {
		t.Errorf("%v %v", header, claims)
	}
	_, narrowed := w.renew(answer["refresh_token"].(string), "resource", "https://b.example.com/x")
	if _, claims := w.verify(narrowed["access_token"]); claims["aud"] != "https://b.example.com/x" {
		t.Errorf("%v", claims)
	}
	if _, refused := w.renew(narrowed["refresh_token"].(string), "resource", "https://c.example.com"); refused["error"] != "invalid_target" {
		t.Errorf("%v", refused)
	}
	status, _, body := w.do(http.MethodGet, "/api", "", "Authorization", "Bearer "+raw)
	var echo struct {
		Sub, Scope, IssuedBy string
		Aud                  []string
	}
	if err := json.Unmarshal(body, &echo); err != nil || status != http.StatusOK || echo.Sub != "alice" || len(echo.Aud) != 2 ||
		echo.Scope != "openid profile email offline_access" {
		t.Errorf("%d %s", status, body)
	}
}

func TestBearerTokens(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Now: now.Now})
	_, answer := w.exchange(w.login().Get("code"))
	raw := answer["access_token"].(string)
	rows := []struct {
		name, method, body, authorization string
		status                            int
	}{
		{"in the header", "GET", "", "Bearer " + raw, 200},
		{"in the header in lower case", "GET", "", "bearer " + raw, 200},
		{"in the body", "POST", "access_token=" + raw, "", 200},
		{"in both", "POST", "access_token=" + raw, "Bearer " + raw, 400},
		{"nowhere", "GET", "", "", 401},
		{"with another scheme", "GET", "", "DPoP " + raw, 401},
		{"that is unknown", "GET", "", "Bearer x", 401},
	}
	for _, row := range rows {
		for _, path := range []string{"/userinfo", "/api"} {
			var header []string
			if row.authorization != "" {
				header = []string{"Authorization", row.authorization}
			}
			status, h, _ := w.do(row.method, path, row.body, header...)
			if status != row.status || (status != 200) != (h.Get("WWW-Authenticate") != "") {
				t.Errorf("%s %s: %d %q", path, row.name, status, h.Get("WWW-Authenticate"))
			}
		}
	}
	if status, _, _ := w.do("GET", "/api?access_token="+raw, ""); status != 401 {
		t.Errorf("a token in the query: %d", status)
	}
	now.advance(time.Hour)
	if status, _, _ := w.do("GET", "/api", "", "Authorization", "Bearer "+raw); status != 401 {
		t.Errorf("an expired token: %d", status)
	}
}

func TestSignedUserInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, UserInfoAlgorithm: "ES256"})
	_, answer := w.exchange(w.login().Get("code"))
	_, header, body := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+answer["access_token"].(string))
	jws, claims := w.verify(string(body))
	if header.Get("Content-Type") != "application/jwt" || jws.Algorithm != string(jose.ES256) || claims["sub"] != "alice" ||
		claims["iss"] != w.op.URL || claims["aud"] != clientID {
		t.Errorf("%v %v %v", header, jws, claims)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T, w *world, p url.Values) *optest.Page {
		t.Helper()
		page, err := w.b.Open(t.Context(), w.op.URL+"/logout?"+p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	start := func(t *testing.T, page bool) (*world, string) {
		t.Helper()
		w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, PostLogoutRedirectURLs: []string{"http://127.0.0.1/out"}, LoginPage: page})
		w.b.Stop = func(_ string, u *url.URL) bool { return u.Path == "/out" }
		p := w.open(w.request())
		if page {
			if _, err := w.b.Submit(t.Context(), p, url.Values{"username": {"alice"}}); err != nil {
				t.Fatal(err)
			}
		}
		return w, w.last().Get("id_token")
	}
	over := func(t *testing.T, w *world) bool {
		t.Helper()
		return w.login("prompt", "none").Get("error") == "login_required"
	}
	t.Run("with a hint goes back with the state", func(t *testing.T) {
		t.Parallel()
		w, raw := start(t, true)
		page := open(t, w, url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {"http://127.0.0.1/out"}, "state": {"s&1"}})
		if page.Status != http.StatusFound || page.Header.Get("Location") != "http://127.0.0.1/out?state=s%261" || !over(t, w) {
			t.Errorf("%d %s", page.Status, page.Header.Get("Location"))
		}
	})
	t.Run("by POST", func(t *testing.T) {
		t.Parallel()
		w, raw := start(t, false)
		from, err := w.b.Open(t.Context(), w.app.URL+"/done")
		if err != nil {
			t.Fatal(err)
		}
		form := optest.Form{Method: "POST", Action: w.op.URL + "/logout", Fields: url.Values{"id_token_hint": {raw}}}
		page, err := w.b.SubmitForm(t.Context(), from, form)
		if err != nil || !strings.Contains(page.Text(), "You are logged out") || !over(t, w) {
			t.Errorf("%v %v", err, page)
		}
	})
	t.Run("without a hint asks", func(t *testing.T) {
		t.Parallel()
		w, _ := start(t, true)
		page := open(t, w, url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {"http://127.0.0.1/out"}})
		if !strings.Contains(page.Text(), "Log out?") || over(t, w) {
			t.Fatalf("%s", page.Text())
		}
		if page, err := w.b.Submit(t.Context(), page, nil); err != nil || page.Header.Get("Location") != "http://127.0.0.1/out" || !over(t, w) {
			t.Errorf("%v", err)
		}
	})
	refused := map[string]url.Values{
		"to an unregistered address": {"client_id": {clientID}, "post_logout_redirect_uri": {"http://127.0.0.1/evil"}},
		"of nobody":                  {"post_logout_redirect_uri": {"http://127.0.0.1/out"}},
		"of an unknown client":       {"client_id": {"x"}},
		"with a forged hint":         {"id_token_hint": {"a.b.c"}},
		"with two states":            {"state": {"a", "b"}},
	}
	for name, p := range refused {
		t.Run(name+" is refused", func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, false)
			if page := open(t, w, p); page.Status != http.StatusBadRequest || over(t, w) {
				t.Errorf("%d", page.Status)
			}
		})
	}
}
