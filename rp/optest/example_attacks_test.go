package optest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/twofold-auth/twofold/rp/optest"
)

// startApp starts an app of that kind.
func startApp(issuer string) *httptest.Server {
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		request := url.Values{
			"client_id": {"demo"}, "redirect_uri": {app.URL + "/callback"}, "response_type": {"code id_token"},
			"response_mode": {"form_post"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
		}
		http.Redirect(w, r, issuer+"/authorize?"+request.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("state") == "s" {
			http.SetCookie(w, &http.Cookie{Name: "user", Value: "alice", Path: "/"})
		}
	})
	mux.HandleFunc("/account", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("user"); err != nil {
			http.Error(w, "not logged in", http.StatusUnauthorized)
		}
	})
	return app
}

// The catalogue in one loop: here a few attacks on an app that compares the state, not very well, and forgets the nonce. A
// test would try all of them, give the cold ones an app of their own, and report what Try returns.
func ExampleAttacks() {
	op := optest.NewServer(optest.Config{})
	defer op.Close()
	app := startApp(op.URL)
	defer app.Close()

	target := optest.Target{Provider: op.Handler, Login: app.URL + "/login", Private: app.URL + "/account"}
	for _, attack := range optest.Attacks() {
		if !strings.HasPrefix(attack.Name, "state_") && !strings.HasPrefix(attack.Name, "nonce_w") {
			continue
		}
		if err := attack.Try(context.Background(), target); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// optest: A10_state_twice_the_same: the user is logged in
	// optest: A10_state_twice_another_last: the user is logged in
	// optest: A55_state_as_nonce: the user is logged in
	// optest: B22_nonce_wrong: the user is logged in
	// optest: B22_nonce_with_a_space: the user is logged in
}
