package optest

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// metadataAttacks are group F of the catalogue, and what group C says about the keys of a provider.
func metadataAttacks() []Attack {
	metadata := func(a *Answer) bool { return a.Endpoint == pathDiscovery }
	keySet := func(a *Answer) bool { return a.Endpoint == pathKeys }
	asymmetric := func(a *Answer) bool { return kind(a.handler.config.Algorithm) != "" }
	usesRSA := func(a *Answer) bool { return kind(a.handler.config.Algorithm) == "RSA" }
	keysOrResponse := func(a *Answer) bool { return keySet(a) || isResponse(a) }
	out := bind(true, metadata, metadataRows)
	out = append(out, bind(true, both(keySet, asymmetric), keySetRows)...)
	out = append(out, bind(true, both(keysOrResponse, usesRSA), weakKeyRows)...)
	return append(out, bind(true, both(isResponse, asymmetric), rotationRows)...)
}

var metadataRows = []row{
	{"F01", "another_issuer", RefuseUnspent, member("issuer", "https://evil.example")},
	{"F01", "issuer_with_another_slash", RefuseUnspent, func(a *Answer) { a.JSON["issuer"] = a.handler.issuer + "/" }},
	{"F01", "issuer_missing", RefuseUnspent, member("issuer", nil)},
	{"F01", "issuer_in_an_array", RefuseUnspent, func(a *Answer) { a.JSON["issuer"] = []string{a.handler.issuer} }},
	{"F01", "issuer_twice", RefuseUnspent, text(func(s string) string { return `{"issuer":"https://evil.example",` + s[1:] })},
	{"F04", "500", RefuseUnspent, webPage(http.StatusInternalServerError)},
	{"F04", "404", RefuseUnspent, webPage(http.StatusNotFound)},
	{"F04", "empty", RefuseUnspent, body("")},
	{"F04", "array", RefuseUnspent, body("[]")},
	{"F04", "null", RefuseUnspent, body("null")},
	{"F04", "a_page", RefuseUnspent, webPage(http.StatusOK)},
	{"F04", "of_8_MB", RefuseUnspent, long(member, "x", 8<<20)},
	{"F05", "jwks_uri_of_a_file", RefuseUnspent, member("jwks_uri", "file:///etc/passwd")},
	{"F05", "jwks_uri_with_data", RefuseUnspent, member("jwks_uri", "data:application/json,{}")},
	{"F05", "token_endpoint_without_TLS", RefuseUnspent, member("token_endpoint", "http://evil.example/token")},
	{"F05", "token_endpoint_gopher", RefuseUnspent, member("token_endpoint", "gopher://127.0.0.1/")},
	{"F05", "token_endpoint_with_a_user", RefuseUnspent, func(a *Answer) {
		a.JSON["token_endpoint"] = strings.Replace(a.handler.base, "://", "://user:password@", 1) + pathToken
	}},
	{"F05", "authorization_endpoint_with_a_script", RefuseUnspent, member("authorization_endpoint", "javascript:optest()")},
	{"F06", "jwks_uri_missing", RefuseUnspent, member("jwks_uri", nil)},
	{"F06", "authorization_endpoint_missing", RefuseUnspent, member("authorization_endpoint", nil)},
	{"F06", "token_endpoint_missing", RefuseUnspent, member("token_endpoint", nil)},
	{"F07", "response_types_not_listed", Accept, all(member("response_types_supported", []string{"code"}), member("response_modes_supported", nil))},
}

var keySetRows = []row{
	{"C05", "key_of_another_type_under_the_kid", RefuseUnspent, eachKey(func(a *Answer, key map[string]any) {
		other := "P-256"
		if kind(a.handler.config.Algorithm) == other {
			other = "Ed25519"
		}
		replaceKey(key, jose.JSONWebKey{Key: newKey(other).Public()})
	})},
	{"C06", "key_of_a_stranger_under_the_kid", RefuseUnspent, eachKey(func(a *Answer, key map[string]any) {
		replaceKey(key, jose.JSONWebKey{Key: strangerKey(a).Public()})
	})},
	{"C18", "key_for_encryption", RefuseUnspent, eachKey(func(_ *Answer, key map[string]any) { key["use"] = "enc" })},
	{"C18", "key_for_other_operations", RefuseUnspent, eachKey(func(_ *Answer, key map[string]any) { key["key_ops"] = []string{"encrypt"} })},
	{"C18", "key_for_another_algorithm", RefuseUnspent, eachKey(func(_ *Answer, key map[string]any) { key["alg"] = "HS256" })},
	{"F04", "key_set_500", RefuseUnspent, webPage(http.StatusInternalServerError)},
	{"F04", "key_set_a_page", RefuseUnspent, webPage(http.StatusOK)},
	{"F04", "key_set_null", RefuseUnspent, body("null")},
	{"F14", "no_keys", RefuseUnspent, func(a *Answer) { a.JSON["keys"] = []any{} }},
	{"F14", "only_garbage", RefuseUnspent, func(a *Answer) { a.JSON["keys"] = garbage() }},
	{"F14", "garbage_around_the_key", Accept, func(a *Answer) {
		honest, _ := a.JSON["keys"].([]any)
		a.JSON["keys"] = slices.Concat(garbage(), oddKeys(), honest, garbage())
	}},
	{"F15", "a_thousand_other_keys", Accept, func(a *Answer) {
		honest, _ := a.JSON["keys"].([]any)
		other := jwk(jose.JSONWebKey{Key: newKey("P-384").Public(), Algorithm: "ES384", Use: "sig"})
		for i := range 1000 {
			key := maps.Clone(other)
			key["kid"] = fmt.Sprint("other-", i)
			honest = append(honest, key)
		}
		a.JSON["keys"] = honest
	}},
	{"F17", "not_to_be_kept", Accept, func(a *Answer) { a.HTTPHeader.Set("Cache-Control", "no-store, max-age=0") }},
}

// weakKeyRows give the provider a key that anybody can break.
var weakKeyRows = []row{
	{"C08", "RSA_of_1024_bits", RefuseUnspent, func(a *Answer) {
		key := weakRSA()
		if a.Endpoint == pathKeys {
			eachKey(func(_ *Answer, members map[string]any) { replaceKey(members, jose.JSONWebKey{Key: &key.PublicKey}) })(a)
			return
		}
		strangerSigns(a, key)
	}},
}

// rotationRows are cold since an app may refuse to fetch keys again for a while, once it has met many unknown ones.
var rotationRows = []row{
	{"F10", "new_keys_just_before_the_answer", Accept, func(a *Answer) { a.handler.RotateKeys() }},
}

var weakRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // that is the point
	if err != nil {
		panic("optest: " + err.Error())
	}
	return key
})

// eachKey changes every key of the JWK Set.
func eachKey(f func(*Answer, map[string]any)) func(*Answer) {
	return func(a *Answer) {
		list, _ := a.JSON["keys"].([]any)
		for _, k := range list {
			if key, ok := k.(map[string]any); ok {
				f(a, key)
			}
		}
	}
}

// replaceKey puts another key under the same kid.
func replaceKey(members map[string]any, key jose.JSONWebKey) {
	kid := members["kid"]
	clear(members)
	maps.Copy(members, jwk(key))
	members["kid"], members["use"] = kid, "sig"
}

// garbage is what a JWK Set may hold and no client may trip over.
func garbage() []any {
	return []any{
		nil, 7, "key",
		[]any{},
		map[string]any{},
		map[string]any{"kty": "RSA"},
		map[string]any{"kty": 7},
		map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"},
		map[string]any{"kty": "RSA", "n": 7, "e": map[string]any{}},
		map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
		map[string]any{"kty": "OKP", "crv": "Ed25519", "x": ""},
	}
}
