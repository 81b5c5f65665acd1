package optest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// header and claims of a token, unverified.
func open(t *testing.T, raw string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no compact JWS", raw)
	}
	if err := errors.Join(json.Unmarshal(decode(t, parts[0]), &header), json.Unmarshal(decode(t, parts[1]), &claims)); err != nil {
		t.Fatal(err)
	}
	return header, claims
}

func TestFaultsTellTheChannelsApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	w.op.Fault(func(a *optest.Answer) {
		switch {
		case a.Endpoint == "/authorize":
			a.Claims["sub"] = "front"
		case a.Grant == "authorization_code":
			a.Claims["sub"] = "second"
		case a.Grant == "refresh_token":
			a.Claims["sub"] = "refreshed"
		case a.Endpoint == "/userinfo":
			a.Claims["sub"] = "info"
		}
	})
	got := w.login()
	_, front := w.verify(got.Get("id_token"))
	_, answer := w.exchange(got.Get("code"))
	_, second := w.verify(answer["id_token"])
	_, renewed := w.renew(answer["refresh_token"].(string))
	_, refreshed := w.verify(renewed["id_token"])
	_, _, info := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+renewed["access_token"].(string))
	if front["sub"] != "front" || second["sub"] != "second" || refreshed["sub"] != "refreshed" || !bytes.Contains(info, []byte(`"sub":"info"`)) {
		t.Errorf("%v %v %v %s", front["sub"], second["sub"], refreshed["sub"], info)
	}
	if front["c_hash"] != half("RS256", got.Get("code")) {
		t.Error("the c_hash changed with the sub")
	}
	w.op.Fault(nil)
	if _, honest := w.verify(w.login("prompt", "login").Get("id_token")); honest["sub"] != "alice" {
		t.Errorf("%v after the fault ended", honest)
	}
}

// TestFrontChannelFaults: each row is one mutation and what becomes of it.
func TestFrontChannelFaults(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		fault func(*optest.Answer)
		check func(*testing.T, *world, url.Values) bool
	}{
		{
			"A11_code_twice", func(a *optest.Answer) { a.Params.Add("code", "x") },
			func(_ *testing.T, _ *world, got url.Values) bool { return len(got["code"]) == 2 },
		},
		{"A11_id_token_twice_both_signed_again", func(a *optest.Answer) {
			a.Params.Add("id_token", a.Params.Get("id_token"))
			a.Claims["x"] = "y"
		}, func(t *testing.T, w *world, got url.Values) bool {
			_, one := w.verify(got["id_token"][0])
			_, two := w.verify(got["id_token"][1])
			return one["x"] == "y" && two["x"] == "y"
		}},
		{
			"A14_other_mode", func(a *optest.Answer) { a.Mode = "query" },
			func(_ *testing.T, w *world, got url.Values) bool {
				return w.got[0].Method == http.MethodGet && got.Has("code")
			},
		},
		{
			"A12_parameter_in_the_query_too", func(a *optest.Answer) { a.RedirectURI += "?state=other" },
			func(_ *testing.T, _ *world, got url.Values) bool { return len(got["state"]) == 2 },
		},
		{
			"A16_id_token_missing", func(a *optest.Answer) { a.Params.Del("id_token") },
			func(_ *testing.T, _ *world, got url.Values) bool { return !got.Has("id_token") && got.Has("code") },
		},
		{
			"A29_iss_missing", func(a *optest.Answer) { a.Params.Del("iss") },
			func(_ *testing.T, _ *world, got url.Values) bool { return !got.Has("iss") },
		},
		{
			"A54_code_swapped_under_its_c_hash", func(a *optest.Answer) { a.Params.Set("code", "stolen") },
			func(_ *testing.T, w *world, got url.Values) bool {
				_, c := w.verify(got.Get("id_token"))
				return got.Get("code") == "stolen" && c["c_hash"] != half("RS256", "stolen")
			},
		},
		{"A54_code_swapped_with_its_c_hash", func(a *optest.Answer) {
			a.Params.Set("code", "stolen")
			a.Claims["c_hash"] = optest.HalfHash("RS256", "stolen")
		}, func(_ *testing.T, w *world, got url.Values) bool {
			_, c := w.verify(got.Get("id_token"))
			return c["c_hash"] == half("RS256", "stolen")
		}},
		{
			"B12_exp_is_a_string", func(a *optest.Answer) { a.Claims["exp"] = "1" },
			func(_ *testing.T, w *world, got url.Values) bool {
				_, c := w.verify(got.Get("id_token"))
				return c["exp"] == "1"
			},
		},
		{
			"B13_exp_is_past", func(a *optest.Answer) { a.Claims["exp"] = a.Claims["iat"].(int64) - 60 },
			func(_ *testing.T, w *world, got url.Values) bool {
				_, c := w.verify(got.Get("id_token"))
				return c["exp"].(float64) < c["iat"].(float64)
			},
		},
		{
			"B14_exp_is_1E400", func(a *optest.Answer) { a.Claims["exp"] = json.Number("1E400") },
			func(t *testing.T, _ *world, got url.Values) bool {
				return bytes.Contains(decode(t, strings.Split(got.Get("id_token"), ".")[1]), []byte(`"exp":1E400`))
			},
		},
		{
			"B26_c_hash_missing", func(a *optest.Answer) { delete(a.Claims, "c_hash") },
			func(_ *testing.T, w *world, got url.Values) bool {
				_, c := w.verify(got.Get("id_token"))
				return c["c_hash"] == nil
			},
		},
		{
			"C01_alg_None", func(a *optest.Answer) { a.Header["alg"] = "None" },
			func(_ *testing.T, _ *world, got url.Values) bool { return strings.HasSuffix(got.Get("id_token"), ".") },
		},
		{
			"C01_alg_missing", func(a *optest.Answer) { delete(a.Header, "alg") },
			func(t *testing.T, _ *world, got url.Values) bool {
				h, _ := open(t, got.Get("id_token"))
				return h["alg"] == nil && len(got.Get("id_token")) > 600
			},
		},
		{"C02_public_key_as_secret", func(a *optest.Answer) {
			a.Header["alg"] = "HS256"
			a.Sign = func(h, c []byte) string { return optest.JWS("HS256", publicPEM(), h, c) }
		}, func(t *testing.T, _ *world, got url.Values) bool {
			h, _ := open(t, got.Get("id_token"))
			return h["alg"] == "HS256"
		}},
		{
			"C03_HS256_with_the_secret", func(a *optest.Answer) { a.Header["alg"] = "HS256" },
			func(t *testing.T, _ *world, got url.Values) bool {
				parts := strings.Split(got.Get("id_token"), ".")
				return optest.JWS("HS256", []byte(secret), decode(t, parts[0]), decode(t, parts[1])) == got.Get("id_token")
			},
		},
		{
			"C04_another_algorithm_with_its_key", func(a *optest.Answer) { a.Header["alg"] = "ES256" },
			func(_ *testing.T, w *world, got url.Values) bool {
				h, _ := w.verify(got.Get("id_token"))
				return h.Algorithm == "ES256"
			},
		},
		{"C06_flipped_bit", func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string { return optest.Tamper(a.JWS(h, c)) }
		}, func(t *testing.T, w *world, got url.Values) bool {
			h, _ := open(t, got.Get("id_token"))
			return h["kid"] == w.op.KeyID("RS256")
		}},
		{
			"C14_kid_is_a_number", func(a *optest.Answer) { a.Header["kid"] = 7 },
			func(t *testing.T, _ *world, got url.Values) bool {
				h, _ := open(t, got.Get("id_token"))
				return h["kid"] == 7.0
			},
		},
		{"C22_sub_twice", func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string {
				return a.JWS(h, bytes.Replace(c, []byte("{"), []byte(`{"sub":"mallory",`), 1))
			}
		}, func(t *testing.T, _ *world, got url.Values) bool {
			return bytes.Count(decode(t, strings.Split(got.Get("id_token"), ".")[1]), []byte(`"sub":`)) == 2
		}},
		{
			"C27_two_segments", func(a *optest.Answer) { a.Sign = func(_, _ []byte) string { return "a.b" } },
			func(_ *testing.T, _ *world, got url.Values) bool { return got.Get("id_token") == "a.b" },
		},
		{
			"F10_keys_rotate_just_before_signing", func(a *optest.Answer) { /* the world's own: see below */ },
			func(_ *testing.T, w *world, got url.Values) bool {
				h, _ := w.verify(got.Get("id_token"))
				return h.KeyID == w.op.KeyID("RS256")
			},
		},
		{"A24_error_instead", func(a *optest.Answer) {
			a.Params = url.Values{"error": {"server_error"}, "error_description": {"<script>"}, "state": a.Params["state"]}
		}, func(_ *testing.T, _ *world, got url.Values) bool { return got.Get("error_description") == "<script>" }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, registered)
			w.op.Fault(func(a *optest.Answer) {
				if a.Endpoint != "/authorize" {
					return
				}
				if strings.HasPrefix(row.name, "F10") {
					w.op.RotateKeys()
				}
				row.fault(a)
			})
			got := w.login()
			w.op.Fault(nil)
			if !row.check(t, w, got) {
				t.Errorf("%v", got)
			}
		})
	}
}

func publicPEM() []byte {
	h := optest.NewHandler("http://localhost", optest.Config{})
	der, err := x509.MarshalPKIXPublicKey(h.Key("RS256").Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestAccessTokenFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	w.op.Fault(func(a *optest.Answer) {
		if a.AccessClaims != nil {
			a.AccessClaims["aud"] = "https://other.example.com"
		}
	})
	got := w.login("response_type", "code id_token token", "audience", "https://api.example.com")
	_, access := w.verify(got.Get("access_token"))
	_, claims := w.verify(got.Get("id_token"))
	if access["aud"] != "https://other.example.com" || claims["at_hash"] != half("RS256", got.Get("access_token")) {
		t.Errorf("%v, at_hash %v", access, claims["at_hash"])
	}
	if status, _, _ := w.do(http.MethodGet, "/api", "", "Authorization", "Bearer "+got.Get("access_token")); status != http.StatusOK {
		t.Errorf("the changed token is not known: %d", status)
	}
}

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
	synctest.Test(t, func(t *testing.T) {
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

func TestHalfHashAndJWSPanicOnNonsense(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"hash": func() { optest.HalfHash("X", "") }, "alg": func() { optest.JWS("XX999", nil, nil, nil) },
		"key": func() { optest.JWS("RS256", []byte("secret"), nil, nil) }, "nothing": func() { optest.JWS("HS256", nil, nil, nil) },
	} {
		if message := panics(f); !strings.HasPrefix(message, "optest: ") {
			t.Errorf("%s: %q", name, message)
		}
	}
	if got := optest.Tamper("a.b."); got == "a.b." {
		t.Error("an empty signature was not changed")
	}
	raw := optest.JWS("HS256", []byte("k"), []byte("{}"), []byte("{}"))
	if reflect.DeepEqual(optest.Tamper(raw), raw) {
		t.Error("the signature was not changed")
	}
}
