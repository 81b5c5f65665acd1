package optest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

func TestIssuersWithSlashAndPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/", "/tenant", "/tenant/"} {
		t.Run("issuer ends with "+path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Path: path})
			if !strings.HasSuffix(w.op.URL, path) {
				t.Fatalf("issuer %q", w.op.URL)
			}
			_, _, body := w.do(http.MethodGet, "/.well-known/openid-configuration", "")
			var m map[string]any
			if err := json.Unmarshal(body, &m); err != nil {
				t.Fatal(err)
			}
			if m["issuer"] != w.op.URL || m["token_endpoint"] != w.base()+"/oauth/token" || m["authorization_response_iss_parameter_supported"] != true {
				t.Errorf("%v", m)
			}
			if status, _ := w.exchange(w.login().Get("code")); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			if w.op.Calls("/oauth/token") != 1 || w.op.Calls("/authorize") != 1 {
				t.Errorf("calls: %d, %d", w.op.Calls("/oauth/token"), w.op.Calls("/authorize"))
			}
		})
	}
}

func TestOnlyLoopbackIssuers(t *testing.T) {
	t.Parallel()
	bad := []string{"https://login.example.com", "http://192.168.1.1:80", "https://localhost.example.com/", "", "localhost", "http://127.0.0.1?x=y"}
	for _, issuer := range bad {
		if message := panics(func() { optest.NewHandler(issuer, optest.Config{}) }); !strings.HasPrefix(message, "optest: ") {
			t.Errorf("%q: %q", issuer, message)
		}
	}
	for _, issuer := range []string{"http://localhost:1", "https://op.localhost/", "http://127.8.8.8", "http://[::1]:9/x"} {
		if message := panics(func() { optest.NewHandler(issuer, optest.Config{}) }); message != "" {
			t.Errorf("%q: %q", issuer, message)
		}
	}
}

func TestContradictionsPanic(t *testing.T) {
	t.Parallel()
	bad := map[string]optest.Config{
		"unknown algorithm":   {Algorithm: "RS1"},
		"HS without secret":   {Algorithm: "HS256"},
		"unknown client auth": {ClientAuth: "tls_client_auth"},
		"keys that are none":  {ClientKeys: []byte("{}")},
		"sub that is a list":  {Claims: map[string]any{"sub": []string{"a"}}},
	}
	for name, c := range bad {
		if message := panics(func() { optest.NewHandler("http://localhost", c) }); !strings.HasPrefix(message, "optest: ") {
			t.Errorf("%s: %q", name, message)
		}
	}
}

func panics(f func()) (message string) {
	defer func() {
		if v := recover(); v != nil {
			message = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

func TestHandlerIsEmbedded(t *testing.T) {
	t.Parallel()
	var h *optest.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	defer server.Close()
	h = optest.NewHandler(server.URL+"/op/", registered)
	h.Fault(func(a *optest.Answer) { a.JSON["x"] = "y" })
	mux := http.NewServeMux()
	mux.Handle("/op/", h)
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/op/.well-known/openid-configuration", nil))
	var m map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &m); err != nil || m["issuer"] != server.URL+"/op/" || m["x"] != "y" {
		t.Errorf("%v %v", err, m)
	}
	if h.Calls("/.well-known/openid-configuration") != 1 {
		t.Error("the call was not counted")
	}
}

func TestTLSServer(t *testing.T) {
	t.Parallel()
	op := optest.NewTLSServer(optest.Config{})
	defer op.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, op.URL+"/jwks", nil)
	response, err := op.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if !strings.HasPrefix(op.URL, "https://localhost:") || op.Certificate() == nil {
		t.Errorf("%s", op.URL)
	}
	if _, err := (&http.Client{Transport: &http.Transport{}}).Do(r); err == nil {
		t.Error("a client that does not know the certificate was served")
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	for path, method := range map[string]string{"/oauth/token": "GET", "/jwks": "POST", "/authorize": "PUT", "/logout": "DELETE"} {
		if status, header, _ := w.do(method, path, ""); status != http.StatusMethodNotAllowed || header.Get("Allow") == "" {
			t.Errorf("%s %s: %d", method, path, status)
		}
	}
	if status, _, _ := w.do(http.MethodGet, "/nothing", ""); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

func TestRotationAndOddKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, OddKeys: true})
	before := w.op.KeyID("RS256")
	w.verify(w.login().Get("id_token"))
	w.op.RotateKeys()
	header, _ := w.verify(w.login().Get("id_token"))
	if header.KeyID == before || header.KeyID != w.op.KeyID("RS256") {
		t.Errorf("kid %q before %q", header.KeyID, before)
	}
	if strings.Contains(string(w.op.JWKS()), before) {
		t.Error("the old key is still there")
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(w.op.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	kinds := map[any]bool{}
	for _, key := range set.Keys {
		kinds[key["kty"]] = true
		if _, private := key["d"]; private {
			t.Errorf("a private key: %v", key)
		}
	}
	if len(set.Keys) != 7 || !kinds["oct"] || !kinds["LMS"] || !kinds["EC"] {
		t.Errorf("%v", set.Keys)
	}
}
