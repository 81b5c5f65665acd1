package optest_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

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

func TestHalfHashAndJWSPanicOnNonsense(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"hash": func() { optest.HalfHash("X", "") }, "alg": func() { optest.JWS("XX999", nil, nil, nil) },
		"key": func() { optest.JWS("RS256", []byte("secret"), nil, nil) }, "nothing": func() { optest.JWS("HS256", nil, nil, nil) },
		"hash of an HMAC": func() { optest.JWS("HS999", []byte("k"), nil, nil) },
		"curve":           func() { optest.JWS("ES256", ed25519.NewKeyFromSeed(make([]byte, 32)), nil, nil) },
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
