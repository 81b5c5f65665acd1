package canary_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/canary"
)

const value = "canary-value-0123456789"

// Every secret that comes by is known, and is found wherever it is said.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, `{"refresh_token":"%s-refresh","id_token":"header.%s-payload.%s-signature"}`, value, value, value)
	}))
	t.Cleanup(provider.Close)
	for name, say := range map[string]func(r *canary.Recorder, secret string, w http.ResponseWriter){
		"nothing": nil,
		"log":     func(r *canary.Recorder, secret string, _ http.ResponseWriter) { r.Logger().Debug("x", "y", secret) },
		"event":   func(r *canary.Recorder, secret string, _ http.ResponseWriter) { r.Value(fmt.Errorf("x %s y", secret)) },
		"body":    func(_ *canary.Recorder, secret string, w http.ResponseWriter) { _, _ = io.WriteString(w, "x"+secret) },
		"header": func(_ *canary.Recorder, secret string, w http.ResponseWriter) {
			w.Header().Set("Location", "/?x="+secret)
		},
		"cookie": func(_ *canary.Recorder, secret string, w http.ResponseWriter) {
			w.Header().Set("Set-Cookie", "a="+secret)
		},
	} {
		for _, secret := range []string{
			"-code", "-state", "-verifier", "-refresh", "-payload", "-signature", "-basic", "-nonce", "-cookie", "-set",
		} {
			t.Run(name+secret, func(t *testing.T) {
				t.Parallel()
				r := canary.New()
				client := &http.Client{Transport: r.Transport(nil)}
				app := r.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					switch req.URL.Path {
					case "/login":
						w.Header().Set("Location", "https://op.example/authorize?nonce="+value+"-nonce")
						w.Header().Set("Set-Cookie", "b="+value+"-set; Path=/")
						w.WriteHeader(http.StatusFound)
					case "/auth/callback":
						_, _ = io.Copy(io.Discard, req.Body)
						redeem(t, client, provider.URL)
						if say != nil {
							say(r, value+secret, w)
						}
					}
				}))
				app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/login", nil))
				post := httptest.NewRequest(http.MethodPost, "/auth/callback", strings.NewReader("code="+value+"-code&state="+value+"-state"))
				post.Header.Set("Cookie", "b="+value+"-cookie")
				app.ServeHTTP(httptest.NewRecorder(), post)
				isCookie := secret == "-cookie" || secret == "-set"
				if leaks := r.Leaks(); (len(leaks) > 0) != (say != nil && !(name == "cookie" && isCookie)) {
					t.Errorf("found %q", leaks)
				}
			})
		}
	}
}

func redeem(t *testing.T, client *http.Client, address string) {
	t.Helper()
	body := url.Values{"code_verifier": {value + "-verifier"}}.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic "+value+"-basic")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}
