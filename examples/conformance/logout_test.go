package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/twofold-auth/twofold/rp/optest"
)

// sid is the provider's session of the login that /me shows.
func (w *world) sid() string {
	w.t.Helper()
	claims, _ := member(w.t, w.status("/me", http.StatusOK), "claims").(map[string]any)
	sid, _ := claims["sid"].(string)
	if sid == "" {
		w.t.Fatalf("no sid in %v", claims)
	}
	return sid
}

// stores are the kinds of session whose logouts a provider may ask for.
func stores(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"cookies": "", "redis": "redis://" + miniredis.RunT(t).Addr()}
}

func TestBackchannelLogout(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, optest.Config{}, map[string]string{"RP_STORE": store})
			w.op.SetLogoutURLs(w.base+"/backchannel-logout", "")
			w.status("/protected", http.StatusOK)
			for _, body := range []url.Values{
				{},
				{"logout_token": {"x.y.z"}},
				{"logout_token": {optest.Tamper(w.op.LogoutToken(map[string]any{"sid": w.sid()}))}},
				{"logout_token": {w.op.LogoutToken(map[string]any{"sid": w.sid(), "iat": time.Now().Add(-time.Hour).Unix()})}},
				{"logout_token": {w.op.LogoutToken(map[string]any{"sid": w.sid(), "nonce": "n"})}},
			} {
				w.tell(body, http.StatusBadRequest)
			}
			w.status("/me", http.StatusOK)
			w.delivered(w.op.LogoutSession(t.Context(), w.sid()))
			w.status("/me", http.StatusUnauthorized)
			w.tell(url.Values{"logout_token": {w.op.LogoutToken(map[string]any{"sid": "nobody's"})}}, http.StatusOK)
			w.quiet()
		})
	}
}

func TestBackchannelLogout_of_a_user(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, optest.Config{}, map[string]string{"RP_STORE": store})
			w.op.SetLogoutURLs(w.base+"/backchannel-logout", "")
			w.status("/protected", http.StatusOK)
			w.tell(url.Values{"logout_token": {w.op.LogoutToken(map[string]any{"sub": "bob"})}}, http.StatusOK)
			w.status("/me", http.StatusOK)
			w.delivered(w.op.LogoutUser(t.Context(), "alice"))
			w.status("/me", http.StatusUnauthorized)
		})
	}
}

// tell posts what a provider would.
func (w *world) tell(body url.Values, want int) {
	w.t.Helper()
	response, err := http.PostForm(w.base+"/backchannel-logout", body)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != want || response.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("status %d, want %d; Cache-Control %q", response.StatusCode, want, response.Header.Get("Cache-Control"))
	}
}

// delivered fails the test unless the provider got the one answer that it wants.
func (w *world) delivered(all []optest.Delivery) {
	w.t.Helper()
	if len(all) != 1 {
		w.t.Fatalf("%d deliveries", len(all))
	}
	if d := all[0]; d.Err != nil || d.Status != http.StatusOK || d.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("status %d, Cache-Control %q, %v", d.Status, d.Header.Get("Cache-Control"), d.Err)
	}
}

func TestFrontchannelLogout(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, optest.Config{}, map[string]string{"RP_STORE": store})
			w.status("/protected", http.StatusOK)
			frame := func(query url.Values) {
				t.Helper()
				response, err := script.Get(w.base + "/frontchannel-logout?" + query.Encode()) // without a cookie, as in a frame
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				h := response.Header
				if response.StatusCode != http.StatusOK || h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "" {
					t.Errorf("status %d, %v", response.StatusCode, h)
				}
				if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors "+strings.TrimSuffix(w.op.URL, "/")) {
					t.Errorf("the provider may not frame it: %q", policy)
				}
			}
			sid := w.sid()
			frame(url.Values{"iss": {"https://evil.example"}, "sid": {sid}})
			frame(url.Values{"iss": {w.op.URL}, "sid": {"another"}})
			frame(url.Values{})
			w.status("/me", http.StatusOK)
			frame(url.Values{"iss": {w.op.URL}, "sid": {sid}})
			w.status("/me", http.StatusUnauthorized)
		})
	}
}

func TestLogout_brings_state_and_hint_and_ends_on_the_landing_page(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, nil)
	w.status("/protected", http.StatusOK)
	p := w.post("/logout")
	asked := w.op.Requests("/logout")
	if len(asked) != 1 {
		t.Fatalf("%d logout requests", len(asked))
	}
	q := asked[0].URL.Query()
	if q.Get("id_token_hint") == "" || q.Get("state") == "" || q.Get("post_logout_redirect_uri") != w.base+"/logged-out" {
		t.Errorf("parameters %v", q)
	}
	if p.Status != http.StatusOK || !strings.HasSuffix(p.Header.Get("Refresh"), ";url=/") {
		t.Errorf("landing page: %d, Refresh %q", p.Status, p.Header.Get("Refresh"))
	}
	if p := w.open("/logged-out?state=another"); p.Status != http.StatusOK || p.Header.Get("Refresh") != "" {
		t.Errorf("landing page of nobody's logout: %d, Refresh %q", p.Status, p.Header.Get("Refresh"))
	}
	w.quiet()
}
