package optest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/twofold-auth/twofold/rp/optest"
)

// A login of "alice" by form_post, with nothing but the provider and a browser.
func Example() {
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		fmt.Println(r.Method, r.URL.Path, slices.Sorted(maps.Keys(r.PostForm)))
	}))
	defer app.Close()

	request := url.Values{
		"client_id": {"demo"}, "redirect_uri": {app.URL + "/callback"}, "response_type": {"code id_token"},
		"response_mode": {"form_post"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
	}
	_, err := optest.NewBrowser(nil).Open(context.Background(), op.URL+"/authorize?"+request.Encode())
	fmt.Println(err, op.Calls("/authorize"), op.Calls("/oauth/token"))
	// Output:
	// POST /callback [code id_token iss state]
	// <nil> 1 0
}

// A provider that lies: the front-channel ID Token names another user, under a good signature.
func ExampleHandler_Fault() {
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/authorize" {
			fmt.Println("it was", a.Claims["sub"])
			a.Claims["sub"] = "mallory"
			a.Params.Del("iss")
		}
	})

	browser := optest.NewBrowser(nil)
	browser.Stop = func(_ string, u *url.URL) bool { return u.Host == "127.0.0.1:1" } // keep the answer
	request := url.Values{
		"client_id": {"demo"}, "redirect_uri": {"http://127.0.0.1:1/callback"}, "response_type": {"code id_token"},
		"response_mode": {"form_post"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
	}
	page, err := browser.Open(context.Background(), op.URL+"/authorize?"+request.Encode())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(slices.Sorted(maps.Keys(page.Forms()[0].Fields)))
	// Output:
	// it was alice
	// [code id_token state]
}

// The smallest lie: one bit of a signature.
func ExampleTamper() {
	fmt.Println(optest.Tamper("aGVhZGVy.Y2xhaW1z.AAAA"))
	// Output: aGVhZGVy.Y2xhaW1z.AAEA
}

// A provider in a server of one's own: the handler stands where its issuer says.
func ExampleNewHandler() {
	mux := http.NewServeMux()
	mux.Handle("/op/", optest.NewHandler("http://localhost:8080/op", optest.Config{LoginPage: true}))

	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/op/jwks", nil))
	fmt.Println(recorder.Code, recorder.Header().Get("Content-Type"))
	// Output: 200 application/json
}

// Cookies behave as in Chromium: a cross-site form brings only those with SameSite=None.
func ExampleBrowser() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Println("came:", r.Header.Get("Cookie"))
			return
		}
		w.Header().Add("Set-Cookie", "__Host-login=1; Path=/; Secure; HttpOnly; SameSite=None")
		w.Header().Add("Set-Cookie", "__Host-session=1; Path=/; Secure; HttpOnly; SameSite=Lax")
	}))
	defer app.Close()
	op := optest.NewServer(optest.Config{})
	defer op.Close()

	ctx, browser := context.Background(), optest.NewBrowser(nil)
	if _, err := browser.Open(ctx, app.URL); err != nil {
		fmt.Println(err)
	}
	request := url.Values{
		"client_id": {"demo"}, "redirect_uri": {app.URL + "/"}, "response_type": {"code"}, "response_mode": {"form_post"}, "scope": {"openid"},
	}
	if _, err := browser.Open(ctx, op.URL+"/authorize?"+request.Encode()); err != nil {
		fmt.Println(err)
	}
	// Output: came: __Host-login=1
}

// A token for one API is refused by another one. The provider plays both.
func ExampleServer_resources() {
	op := optest.NewServer(optest.Config{Resources: []string{"https://orders.example", "https://billing.example"}})
	defer op.Close()
	response, err := http.PostForm(op.URL+"/oauth/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"demo"}, "client_secret": {"any"}, "resource": {"https://orders.example"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	var token struct {
		Access string `json:"access_token"`
	}
	_ = json.NewDecoder(response.Body).Decode(&token)

	for _, demand := range []string{"resource=https://orders.example", "resource=https://billing.example", "acr_values=gold"} {
		r, _ := http.NewRequest(http.MethodGet, op.URL+"/api?"+demand, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token.Access)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = answer.Body.Close()
		_, reason, _ := strings.Cut(answer.Header.Get("WWW-Authenticate"), "error=")
		fmt.Println(strings.TrimSpace(answer.Status[:4] + reason))
	}
	// Output:
	// 200
	// 401 "invalid_token", error_description="the access token is for another API"
	// 401 "insufficient_user_authentication", error_description="another login is needed", acr_values="gold"
}
