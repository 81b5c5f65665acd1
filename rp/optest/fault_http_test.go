package optest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestTokenEndpointFaults: what a client of the token endpoint gets.
func TestTokenEndpointFaults(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		fault  func(*optest.Answer)
		status int
		body   string // a part of it
	}{
		{"D03_500_html", func(a *optest.Answer) {
			a.Status, a.Body = http.StatusInternalServerError, []byte("<h1>oops</h1>")
			a.HTTPHeader.Set("Content-Type", "text/html")
		}, 500, "<h1>oops</h1>"},
		{"D04_redirect", func(a *optest.Answer) {
			a.Status = http.StatusTemporaryRedirect
			a.HTTPHeader.Set("Location", "http://127.0.0.1:1/")
		}, 307, ""},
		{"D05_duplicate_keys", func(a *optest.Answer) { a.Body = []byte(`{"access_token":"a","access_token":"b"}`) }, 200, `"b"`},
		{"D05_empty", func(a *optest.Answer) { a.Body = []byte{} }, 200, ""},
		{"D07_invalid_grant", func(a *optest.Answer) { a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"} }, 400, `{"error":"invalid_grant"}`},
		{"D10_access_token_is_a_number", func(a *optest.Answer) { a.JSON["access_token"] = 7 }, 200, `"access_token":7`},
		{"D11_token_type_mac", func(a *optest.Answer) { a.JSON["token_type"] = "mac" }, 200, `"token_type":"mac"`},
		{"D13_expires_in_1e30", func(a *optest.Answer) { a.JSON["expires_in"] = json.RawMessage("1e30") }, 200, `"expires_in":1e30`},
		{"D01_slowly", func(a *optest.Answer) {
			a.Respond = func(w http.ResponseWriter, _ *http.Request) {
				for _, c := range []byte(`{"error":"slow"}`) {
					_, _ = w.Write([]byte{c})
					_ = http.NewResponseController(w).Flush()
				}
			}
		}, 200, "slow"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			form := url.Values{
				"grant_type": {"authorization_code"}, "code": {w.login().Get("code")}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
				"client_id": {clientID}, "client_secret": {secret},
			}
			w.op.Fault(row.fault)
			status, _, body := w.do(http.MethodPost, "/oauth/token", form.Encode())
			if status != row.status || !strings.Contains(string(body), row.body) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	get := func(ctx context.Context, t *testing.T, w *world) error {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.op.URL+"/jwks", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := w.op.Client().Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		return err
	}
	t.Run("the connection is reset", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, registered)
		w.op.Fault(func(a *optest.Answer) { a.Reset = true })
		if err := get(t.Context(), t, w); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
	})
	t.Run("it hangs until the client gives up", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, registered)
		w.op.Fault(func(a *optest.Answer) { a.Delay = -1 })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := get(ctx, t, w); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	t.Run("it hangs until the server closes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, registered)
		asked := make(chan struct{})
		w.op.Fault(func(a *optest.Answer) { a.Delay = -1; close(asked) })
		failed := make(chan error, 1)
		go func() { failed <- get(context.WithoutCancel(t.Context()), t, w) }()
		<-asked
		w.op.Close()
		if err := <-failed; err == nil {
			t.Error("there was an answer")
		}
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		h := optest.NewHandler("http://localhost", optest.Config{Algorithm: "EdDSA"})
		h.Fault(func(a *optest.Answer) { a.Delay = time.Minute })
		recorder, start := httptest.NewRecorder(), time.Now()
		h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/jwks", nil))
		end := time.Now()
		if took := end.Sub(start); recorder.Code != http.StatusOK || took != time.Minute {
			t.Errorf("%d after %v", recorder.Code, took)
		}
	})
}

// D26: what the hook sees is what is sent if it changes nothing, also where signatures are random.
func TestHonestTokensKeepTheirBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Algorithm: "ES256"})
	first := ""
	w.op.Fault(func(a *optest.Answer) {
		switch a.Endpoint {
		case "/authorize":
			first = a.Params.Get("id_token")
		case "/oauth/token":
			a.JSON["id_token"] = first
		}
	})
	got := w.login()
	_, answer := w.exchange(got.Get("code"))
	if got.Get("id_token") != first || answer["id_token"] != first {
		t.Error("the tokens are not the same")
	}
}

// F12: the key set holds new key material under the kid of the old one.
func TestKeyIDReused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	w.op.Fault(func(a *optest.Answer) {
		if a.Header != nil {
			a.Header["kid"] = "always"
		}
		if a.Endpoint == "/jwks" {
			a.JSON["keys"].([]any)[0].(map[string]any)["kid"] = "always"
		}
	})
	old := w.login().Get("id_token")
	w.verify(old)
	w.op.RotateKeys()
	w.verify(w.login().Get("id_token"))
	header, _ := open(t, old)
	if header["kid"] != "always" {
		t.Errorf("%v", header)
	}
}

func TestMetadataFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	w.op.Fault(func(a *optest.Answer) {
		switch a.Endpoint {
		case "/.well-known/openid-configuration":
			a.JSON["issuer"] = "https://evil.example.com"
			delete(a.JSON, "jwks_uri")
			a.HTTPHeader.Set("Cache-Control", "max-age=0")
		case "/jwks":
			keys := a.JSON["keys"].([]any)
			delete(keys[0].(map[string]any), "kid")
			a.JSON["keys"] = append(keys, map[string]any{"kty": "oct", "k": "AAAA"})
		}
	})
	_, header, body := w.do(http.MethodGet, "/.well-known/openid-configuration", "")
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil || m["issuer"] != "https://evil.example.com" || m["jwks_uri"] != nil ||
		header.Get("Cache-Control") != "max-age=0" {
		t.Errorf("%v %v", err, m)
	}
	_, _, body = w.do(http.MethodGet, "/jwks", "")
	if !bytes.Contains(body, []byte(`"oct"`)) || bytes.Contains(body, []byte(`"kid"`)) {
		t.Errorf("%s", body)
	}
	if bytes.Contains(w.op.JWKS(), []byte(`"oct"`)) {
		t.Error("the fault stayed in the keys")
	}
}

func TestUserInfoFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	_, answer := w.exchange(w.login().Get("code"))
	ask := func(f func(*optest.Answer)) (http.Header, string) {
		w.op.Fault(f)
		_, header, body := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+answer["access_token"].(string))
		return header, string(body)
	}
	header, body := ask(func(a *optest.Answer) {
		a.Header = map[string]any{"alg": "none"}
		a.HTTPHeader.Set("Content-Type", "application/jwt")
	})
	if header.Get("Content-Type") != "application/jwt" || !strings.HasSuffix(body, ".") {
		t.Errorf("%v %s", header, body)
	}
	if _, body = ask(func(a *optest.Answer) { delete(a.Claims, "sub") }); strings.Contains(body, `"sub"`) {
		t.Errorf("%s", body)
	}
}
