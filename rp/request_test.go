package rp_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

func lazyClient(tb testing.TB, change func(*rp.Config)) *rp.Client {
	tb.Helper()
	c := lazyConfig()
	c.Endpoints = &rp.Endpoints{
		Authorization: "https://op.example/authorize", Token: "https://op.example/token", JWKS: "https://op.example/jwks",
	}
	if change != nil {
		change(&c)
	}
	client, err := rp.New(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// sent returns the parameters of a request; each must be there once.
func sent(t *testing.T, r rp.Redirect) url.Values {
	t.Helper()
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	params := u.Query()
	for name, values := range r.Fields {
		params[name] = append(params[name], values...)
	}
	for name, values := range params {
		if len(values) != 1 && name != "resource" {
			t.Errorf("%s is there %d times", name, len(values))
		}
	}
	return params
}

func TestH36_the_default_request(t *testing.T) {
	t.Parallel()
	q, err := lazyClient(t, nil).NewAuthRequest(t.Context(), rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	params := sent(t, q.Redirect())
	for name, min := range map[string]int{"state": 22, "nonce": 22, "code_challenge": 43} {
		value := params.Get(name)
		if len(value) < min || len(value) > 43 || url.QueryEscape(value) != value {
			t.Errorf("%s = %q", name, value)
		}
		params.Del(name)
	}
	const want = "client_id=app&code_challenge_method=S256&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&" +
		"response_mode=form_post&response_type=code+id_token&scope=openid"
	if got := params.Encode(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOptionsAreSent(t *testing.T) {
	t.Parallel()
	age := 5 * time.Minute
	hint := "e30.eyJzdWIiOiJhbGljZSJ9.c2ln" // {"sub":"alice"}
	q, err := lazyClient(t, nil).NewAuthRequest(t.Context(), rp.AuthOptions{
		Prompt: "login consent", LoginHint: "a&b@example.com", IDTokenHint: hint, UILocales: "de en", MaxAge: &age,
		ACRValues: []string{"silver", "gold"}, EssentialACR: []string{"gold"}, Scopes: []string{"openid", "email"},
		Resources: []string{"https://a.example/", "https://b.example/"},
		Claims:    json.RawMessage(`{"userinfo":{"email":null},"id_token":{"auth_time":{"essential":true}}}`),
		Extra:     url.Values{"audience": {"https://api.example"}, "x&y": {"1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	params := sent(t, q.Redirect())
	for name, want := range map[string]string{
		"prompt": "login consent", "login_hint": "a&b@example.com", "id_token_hint": hint, "ui_locales": "de en",
		"max_age": "300", "acr_values": "silver gold", "scope": "openid email", "audience": "https://api.example",
		"x&y":    "1",
		"claims": `{"id_token":{"acr":{"essential":true,"values":["gold"]},"auth_time":{"essential":true}},"userinfo":{"email":null}}`,
	} {
		if got := params.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := params["resource"]; len(got) != 2 || got[1] != "https://b.example/" {
		t.Errorf("resource = %q", got)
	}
}

// hint is the beginning of an ID Token with this payload.
func hint(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload))
}

func TestOptionsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	negative, fraction := -time.Second, 1500*time.Millisecond
	rows := map[string]rp.AuthOptions{
		"prompt none with another":            {Prompt: "none login"},
		"a negative max_age":                  {MaxAge: &negative},
		"a max_age with a fraction":           {MaxAge: &fraction},
		"D50_scopes_without_openid":           {Scopes: []string{"email"}},
		"a relative resource":                 {Resources: []string{"/api"}},
		"an acr with a space":                 {ACRValues: []string{"a b"}},
		"no essential acr at all":             {EssentialACR: []string{}},
		"claims that are an array":            {Claims: json.RawMessage(`[]`)},
		"claims with a name twice":            {Claims: json.RawMessage(`{"a":1,"a":2}`)},
		"an essential acr of a number":        {Claims: json.RawMessage(`{"id_token":{"acr":{"essential":true,"value":1}}}`)},
		"an essential acr of no values":       {Claims: json.RawMessage(`{"id_token":{"acr":{"essential":true,"values":[]}}}`)},
		"an essential acr of mixed values":    {Claims: json.RawMessage(`{"id_token":{"acr":{"essential":true,"values":["a",1]}}}`)},
		"an essential acr asked for twice":    {Claims: json.RawMessage(`{"id_token":{"acr":{"essential":true,"value":"a","values":["a"]}}}`)},
		"a sub that is a number":              {Claims: json.RawMessage(`{"id_token":{"sub":{"value":7}}}`)},
		"a sub that is empty":                 {Claims: json.RawMessage(`{"id_token":{"sub":{"value":""}}}`)},
		"a sub unlike the expected":           {Claims: json.RawMessage(`{"id_token":{"sub":{"value":"a"}}}`), Expect: map[string]string{"sub": "b"}},
		"acr twice":                           {Claims: json.RawMessage(`{"id_token":{"acr":null}}`), EssentialACR: []string{"x"}},
		"a hint that is no token":             {IDTokenHint: "hint"},
		"a hint without sub":                  {IDTokenHint: "e30.e30.c2ln"},
		"a hint whose payload goes on":        {IDTokenHint: hint(`{"sub":"ab"}`) + "!.c2ln"},
		"a hint whose sub is a number":        {IDTokenHint: hint(`{"sub":7}`) + ".c2ln"},
		"a hint whose sub is empty":           {IDTokenHint: hint(`{"sub":""}`) + ".c2ln"},
		"an empty acr among good ones":        {ACRValues: []string{"a", ""}},
		"claims whose id_token is null":       {Claims: json.RawMessage(`{"id_token":null}`), EssentialACR: []string{"x"}},
		"an expectation that contradicts":     {Expect: map[string]string{"hd": "a"}, Extra: url.Values{"hd": {"b"}}},
		"an extra parameter with two values":  {Extra: url.Values{"audience": {"a", "b"}}},
		"an extra parameter without a name":   {Extra: url.Values{"": {"a"}}},
		"an extra parameter without a value":  {Extra: url.Values{"audience": {}}},
		"D49_state_in_another_case":           {Extra: url.Values{"STATE": {"x"}}},
		"an empty resource among good ones":   {Resources: []string{"https://a.example", ""}},
		"a resource that is no URI":           {Resources: []string{"https://[::1"}},
		"a resource twice":                    {Resources: []string{"https://a.example", "https://a.example"}},
		"claims whose id_token is no object":  {Claims: json.RawMessage(`{"id_token":1}`), EssentialACR: []string{"x"}},
		"an organization unlike the expected": {Expect: map[string]string{"org_id": "org_a"}, Extra: url.Values{"organization": {"org_b"}}},
	}
	for _, name := range []string{
		"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
		"code_challenge_method", "prompt", "login_hint", "id_token_hint", "ui_locales", "max_age", "acr_values", "claims",
		"resource", "request", "request_uri", "client_secret",
	} {
		rows["D49_extra_"+name] = rp.AuthOptions{Extra: url.Values{name: {"x"}}}
	}
	client := lazyClient(t, nil)
	for name, options := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := client.NewAuthRequest(t.Context(), options)
			if q != nil || !errors.Is(err, rp.ErrOptions) || rp.ErrorCode(err) != "options" {
				t.Errorf("%v", err)
			}
			if err := options.Validate(); !errors.Is(err, rp.ErrOptions) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
	if err := (rp.AuthOptions{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestResponseModeIsSentUnlessItIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		responseType rp.ResponseType
		mode         rp.ResponseMode
		want         string
	}{
		{rp.CodeIDToken, "", "form_post"},
		{rp.CodeIDToken, rp.Fragment, ""},
		{rp.Code, "", ""},
		{rp.Code, rp.Query, ""},
		{rp.Code, rp.FormPost, "form_post"},
		{rp.Code, rp.Fragment, "fragment"},
		{rp.ImplicitIDToken, rp.Fragment, ""},
	} {
		client := lazyClient(t, func(c *rp.Config) { c.ResponseType, c.ResponseMode = tc.responseType, tc.mode })
		q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := sent(t, q.Redirect()).Get("response_mode"); got != tc.want {
			t.Errorf("%s, %q: response_mode %q, want %q", tc.responseType, tc.mode, got, tc.want)
		}
	}
}

func TestH37_a_long_request_is_posted(t *testing.T) {
	t.Parallel()
	q, err := lazyClient(t, func(c *rp.Config) { c.Endpoints.Authorization += "?p=policy" }).
		NewAuthRequest(t.Context(), rp.AuthOptions{LoginHint: strings.Repeat("x", 2000)})
	if err != nil {
		t.Fatal(err)
	}
	r := q.Redirect()
	if r.URL != "https://op.example/authorize?p=policy" || r.Fields.Get("state") != q.State() || r.Fields.Has("p") {
		t.Errorf("%q with %d fields", r.URL, len(r.Fields))
	}
	r.Fields.Set("state", "other")
	if got := q.Redirect().Fields.Get("state"); got != q.State() {
		t.Error("the caller's change of one Redirect shows in the next")
	}
}

func TestD31_verifier_state_and_nonce_are_never_the_same_twice(t *testing.T) {
	t.Parallel()
	client := lazyClient(t, nil)
	seen := map[string]bool{}
	for range 10_000 {
		q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		params := sent(t, q.Redirect())
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if seen[params.Get(name)] {
				t.Fatalf("%s came twice", name)
			}
			seen[params.Get(name)] = true
		}
	}
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	const landing = "https://app.example/bye"
	client := lazyClient(t, func(c *rp.Config) {
		c.Endpoints.EndSession, c.PostLogoutRedirectURL = "https://op.example/logout?p=policy", landing
	})
	r, err := client.EndSession(t.Context(), "a.b.c", "s")
	if err != nil {
		t.Fatal(err)
	}
	const want = "client_id=app&id_token_hint=a.b.c&p=policy&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&state=s"
	if got := sent(t, *r).Encode(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	long := strings.Repeat("x", 3000)
	r, err = client.EndSession(t.Context(), long, "s")
	if err != nil || r.Fields.Get("id_token_hint") != long || r.URL != "https://op.example/logout?p=policy" {
		t.Errorf("I22: a long hint is not posted: %v", err)
	}
	_, err = lazyClient(t, nil).EndSession(t.Context(), "", "")
	if !errors.Is(err, rp.ErrUnsupported) || rp.ErrorCode(err) != "unsupported" {
		t.Errorf("I21: %v", err)
	}
}
