package optest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

// revoke sends a token to the revocation endpoint and returns status and error code.
func (w *world) revoke(form url.Values, header ...string) (int, string) {
	w.t.Helper()
	status, _, body := w.do(http.MethodPost, "/revoke", form.Encode(), header...)
	var answer struct{ Error string }
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			w.t.Fatalf("%q: %v", body, err)
		}
	}
	return status, answer.Error
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	credentials := func(token string) url.Values {
		return url.Values{"token": {token}, "client_id": {clientID}, "client_secret": {secret}}
	}
	for _, tc := range []struct {
		name                    string
		change                  func(form url.Values, access, refresh string)
		status                  int
		err                     string
		accessGood, refreshGood bool
	}{
		{"refresh_token_ends_the_family", func(f url.Values, _, r string) { f.Set("token", r) }, 200, "", false, false},
		{"refresh_token_with_the_wrong_hint", func(f url.Values, _, r string) {
			f.Set("token", r)
			f.Set("token_type_hint", "access_token")
		}, 200, "", false, false},
		{"access_token_alone", func(f url.Values, a, _ string) { f.Set("token", a) }, 200, "", false, true},
		{"unknown_token", func(f url.Values, _, _ string) { f.Set("token", "nobody") }, 200, "", true, true},
		{"no_token", func(f url.Values, _, _ string) { f.Del("token") }, 400, "invalid_request", true, true},
		{"token_twice", func(f url.Values, a, r string) { f["token"] = []string{a, r} }, 400, "invalid_request", true, true},
		{"wrong_secret", func(f url.Values, _, r string) {
			f.Set("token", r)
			f.Set("client_secret", "wrong")
		}, 401, "invalid_client", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret})
			_, tokens := w.exchange(w.login().Get("code"))
			access, refresh := fmt.Sprint(tokens["access_token"]), fmt.Sprint(tokens["refresh_token"])
			form := credentials("")
			tc.change(form, access, refresh)
			if status, err := w.revoke(form); status != tc.status || err != tc.err {
				t.Errorf("%d %s", status, err)
			}
			status, _, _ := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+access)
			if (status == http.StatusOK) != tc.accessGood {
				t.Errorf("userinfo: %d", status)
			}
			if status, _ := w.renew(refresh); (status == http.StatusOK) != tc.refreshGood {
				t.Errorf("refresh: %d", status)
			}
		})
	}
}

func TestRevocationByAnotherClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{})
	_, tokens := w.exchange(w.login().Get("code"))
	for _, name := range []string{"access_token", "refresh_token"} {
		form := url.Values{"token": {fmt.Sprint(tokens[name])}, "client_id": {"client-2"}, "client_secret": {"x"}}
		if status, err := w.revoke(form); status != http.StatusBadRequest || err != "unauthorized_client" {
			t.Errorf("%s: %d %s", name, status, err)
		}
	}
	if status, _ := w.renew(fmt.Sprint(tokens["refresh_token"])); status != http.StatusOK {
		t.Errorf("refresh: %d", status)
	}
	if status, err := w.revoke(url.Values{"token": {"x"}}, "Content-Type", "application/json"); status != http.StatusBadRequest || err != "invalid_request" {
		t.Errorf("JSON: %d %s", status, err)
	}
}
