package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// joseRows are group C of the attack catalogue: the envelope. They hold on every channel, whose table begins with the
// same rules (TestEveryChannelChecksTheEnvelope).
var joseRows = []row{
	{"C01_alg_none", verify.ErrAlgorithm, header("alg", "none")},
	{"C01_alg_none_and_no_signature", verify.ErrAlgorithm, func(t *token) { t.header["alg"], t.key = "none", nil }},
	{"C01_alg_None", verify.ErrAlgorithm, header("alg", "None")},
	{"C01_alg_nOnE", verify.ErrAlgorithm, header("alg", "nOnE")},
	{"C01_alg_empty", verify.ErrAlgorithm, header("alg", "")},
	{"C01_alg_missing", verify.ErrAlgorithm, withoutHeader("alg")},
	{"C01_alg_null", verify.ErrAlgorithm, header("alg", nil)},
	{"C01_alg_array", verify.ErrAlgorithm, header("alg", []string{"ES256"})},
	{"C01_alg_in_another_case", verify.ErrAlgorithm, header("alg", "es256")},
	{"C02_HS256_with_the_public_key_as_PEM", verify.ErrAlgorithm, confuse(func(k *rsa.PublicKey) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k))})
	})},
	{"C02_HS256_with_the_public_key_as_DER", verify.ErrAlgorithm, confuse(func(k *rsa.PublicKey) []byte {
		return must(x509.MarshalPKIXPublicKey(k))
	})},
	{"C02_HS256_with_the_public_key_as_JWK", verify.ErrAlgorithm, confuse(func(k *rsa.PublicKey) []byte {
		return []byte(jwk(k))
	})},
	{"C02_HS256_with_the_JWKS_text", verify.ErrAlgorithm, confuse(func(k *rsa.PublicKey) []byte {
		return []byte(`{"keys":[` + jwk(k) + `]}`)
	})},
	{"C03_HS256_with_the_client_secret", verify.ErrAlgorithm, func(t *token) {
		t.alg, t.header["alg"], t.key = "HS256", "HS256", []byte(secret)
	}},
	{"C04_PS256_where_RS256_is_pinned", verify.ErrAlgorithm, pinned("PS256", "RS256")},
	{"C04_RS512_where_RS256_is_pinned", verify.ErrAlgorithm, pinned("RS512", "RS256")},
	{"C04_RS256_where_nothing_is_configured", nil, pinned("RS256", "")},
	{"C04_ES256_where_nothing_is_configured", verify.ErrAlgorithm, pinned("ES256", "")},
	{"C04_Ed25519_where_EdDSA_is_pinned", verify.ErrAlgorithm, pinned("Ed25519", "EdDSA")},
	{"C04_header_says_PS256_over_an_RS256_signature", verify.ErrSignature, func(t *token) {
		*t = *valid("RS256")
		t.header["alg"], t.policy.Algorithm = "PS256", "PS256"
		t.claims["c_hash"] = half("PS256", code)
	}},
	{"C05_RSA_key_with_the_same_kid", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: &rsaKey().PublicKey})},
	{"C05_Ed25519_key_with_the_same_kid", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: edKey().Public()})},
	{"C05_P-384_key_with_the_same_kid", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: ecKeys["ES384"]().Public()})},
	{"C05_no_key_at_all", verify.ErrKey, keys()},
	{"C05_nil_key", verify.ErrKey, keys(verify.Key{ID: "key-1"})},
	{"C05_typed_nil_keys", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: (*ecdsa.PublicKey)(nil)}, verify.Key{ID: "key-1", Public: (*rsa.PublicKey)(nil)})},
	{"C06_flipped_bit", verify.ErrSignature, func(t *token) { t.compact = flipSignature }},
	{"C06_empty_signature", verify.ErrSignature, func(t *token) { t.compact = func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] } }},
	{"C06_signature_of_another_payload", verify.ErrSignature, func(t *token) {
		t.compact = func(s string) string {
			p := strings.Split(s, ".")
			return p[0] + "." + b64(strings.Replace(t.json(), "alice", "mallory", 1)) + "." + p[2]
		}
	}},
	{"C06_signature_of_another_header", verify.ErrSignature, func(t *token) {
		t.compact = func(s string) string {
			p := strings.Split(s, ".")
			return b64(`{"alg":"ES256","kid":"key-1"}`) + "." + p[1] + "." + p[2]
		}
	}},
	{"C06_signature_truncated", verify.ErrSignature, func(t *token) {
		t.compact = resign(func(input string) []byte { return sign("ES256", t.key, input)[:32] })
	}},
	{"C06_RSA_flipped_bit", verify.ErrSignature, other("RS256", func(t *token) { t.compact = flipSignature })},
	{"C06_PSS_flipped_bit", verify.ErrSignature, other("PS384", func(t *token) { t.compact = flipSignature })},
	{"C06_Ed25519_flipped_bit", verify.ErrSignature, other("EdDSA", func(t *token) { t.compact = flipSignature })},
	{"C06_HMAC_flipped_bit", verify.ErrSignature, other("HS256", func(t *token) { t.compact = flipSignature })},
	{"C06_HMAC_truncated", verify.ErrSignature, other("HS256", func(t *token) {
		t.compact = resign(func(input string) []byte { return sign("HS256", []byte(secret), input)[:16] })
	})},
	{"C06_HMAC_with_another_secret", verify.ErrSignature, other("HS256", func(t *token) { t.key = []byte(secret[1:] + "0") })},
	{"C06_PSS_with_another_salt_length", verify.ErrSignature, other("PS256", func(t *token) {
		t.compact = resign(func(input string) []byte {
			h := hashOf("PS256")
			return must(rsa.SignPSS(rand.Reader, rsaKey(), h, sum(h, input), &rsa.PSSOptions{SaltLength: 20}))
		})
	})},
	{"C07_ES256_in_DER", verify.ErrSignature, func(t *token) {
		t.compact = resign(func(input string) []byte {
			return must(ecdsa.SignASN1(rand.Reader, ecKeys["ES256"](), sum(hashOf("ES256"), input)))
		})
	}},
	{"C07_ES256_of_zeros", verify.ErrSignature, func(t *token) { t.compact = resign(func(string) []byte { return make([]byte, 64) }) }},
	{"C07_ES256_with_r_and_s_of_the_order", verify.ErrSignature, func(t *token) {
		n := elliptic.P256().Params().N.Bytes()
		t.compact = resign(func(string) []byte { return append(bytes.Clone(n), n...) })
	}},
	{"C07_ES256_of_63_bytes", verify.ErrSignature, func(t *token) {
		t.compact = resign(func(input string) []byte { return sign("ES256", t.key, input)[:63] })
	}},
	{"C07_ES256_of_65_bytes", verify.ErrSignature, func(t *token) {
		t.compact = resign(func(input string) []byte { return append(sign("ES256", t.key, input), 0) })
	}},
	{"C07_ES256_with_padded_halves", verify.ErrSignature, func(t *token) {
		t.compact = resign(func(input string) []byte {
			s := sign("ES256", t.key, input)
			return append(append(append([]byte{0}, s[:32]...), 0), s[32:]...)
		})
	}},
	{"C07_ES384_key_and_signature_under_ES256", verify.ErrKey, func(t *token) {
		t.key = ecKeys["ES384"]()
		keys(verify.Key{ID: "key-1", Public: ecKeys["ES384"]().Public()})(t)
	}},
	{"C10_Ed25519_with_a_larger_S", verify.ErrSignature, other("EdDSA", func(t *token) {
		t.compact = resign(func(input string) []byte { return addOrder(sign("EdDSA", t.key, input)) })
	})},
	{"C11_embedded_jwk", verify.ErrSignature, func(t *token) {
		attacker := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		t.key = attacker
		public := must(attacker.PublicKey.Bytes())
		t.header["jwk"] = map[string]string{"kty": "EC", "crv": "P-256", "x": b64(public[1:33]), "y": b64(public[33:])}
	}},
	{"C12_jku_is_not_fetched", nil, header("jku", "http://169.254.169.254/jwks")},
	{"C12_x5u_is_not_fetched", nil, header("x5u", "file:///etc/passwd")},
	{"C13_x5c_is_ignored", nil, header("x5c", []string{"MIIB"})},
	{"C14_kid_traversal", verify.ErrKey, header("kid", "../../../../dev/null")},
	{"C14_kid_SQL", verify.ErrKey, header("kid", "key-1' OR '1'='1")},
	{"C14_kid_URL", verify.ErrKey, header("kid", "http://169.254.169.254/")},
	{"C14_kid_of_255_bytes", nil, func(t *token) {
		kid := strings.Repeat("k", 255)
		t.header["kid"] = kid
		keys(verify.Key{ID: kid, Public: ecKeys["ES256"]().Public()})(t)
	}},
	{"C14_kid_of_256_bytes", verify.ErrMalformed, header("kid", strings.Repeat("k", 256))},
	{"C14_kid_of_a_megabyte", verify.ErrMalformed, header("kid", strings.Repeat("k", 1<<20))},
	{"C14_kid_number", verify.ErrMalformed, header("kid", 1)},
	{"C14_kid_null", verify.ErrMalformed, header("kid", nil)},
	{"C14_kid_empty", verify.ErrMalformed, header("kid", "")},
	{"C15_no_kid_and_one_key", nil, withoutHeader("kid")},
	{"C16_no_kid_and_the_fifth_key_fits", nil, func(t *token) { delete(t.header, "kid"); t.policy.Keys = verify.StaticKeys(crowd(4)...) }},
	{"C16_no_kid_and_the_sixth_key_would_fit", verify.ErrSignature, func(t *token) { delete(t.header, "kid"); t.policy.Keys = verify.StaticKeys(crowd(5)...) }},
	{"C16_no_kid_and_unfit_keys_do_not_count", nil, func(t *token) {
		delete(t.header, "kid")
		all := []verify.Key{}
		for range 20 {
			all = append(all, verify.Key{Public: &rsaKey().PublicKey}, verify.Key{Public: ecKeys["ES512"]().Public()})
		}
		t.policy.Keys = verify.StaticKeys(append(all, crowd(2)...)...)
	}},
	{"C17_kid_in_another_case", verify.ErrKey, header("kid", "KEY-1")},
	{"C17_two_keys_with_one_kid", nil, func(t *token) {
		all := crowd(1)
		all[0].ID = "key-1"
		t.policy.Keys = verify.StaticKeys(all...)
	}},
	{"C17_key_without_kid_does_not_serve_a_token_with_one", verify.ErrKey, keys(verify.Key{Public: ecKeys["ES256"]().Public()})},
	{"C18_key_for_another_algorithm", verify.ErrKey, keys(verify.Key{ID: "key-1", Algorithm: "ES384", Public: ecKeys["ES256"]().Public()})},
	{"C18_RSA_key_for_PS256_under_RS256", verify.ErrKey, other("RS256", keys(verify.Key{ID: "key-1", Algorithm: "PS256", Public: &rsaKey().PublicKey}))},
	{"C18_Ed25519_key_for_ES256_under_EdDSA", verify.ErrKey, other("EdDSA", keys(verify.Key{ID: "key-1", Algorithm: "ES256", Public: edKey().Public()}))},
	{"C18_P-256_key_for_EdDSA_under_ES256", verify.ErrKey, keys(verify.Key{ID: "key-1", Algorithm: "EdDSA", Public: ecKeys["ES256"]().Public()})},
	{"C18_key_for_this_algorithm", nil, keys(verify.Key{ID: "key-1", Algorithm: "ES256", Public: ecKeys["ES256"]().Public()})},
	{"C18_key_for_EdDSA_serves_Ed25519", nil, other("Ed25519", keys(verify.Key{ID: "key-1", Algorithm: "EdDSA", Public: edKey().Public()}))},
	{"C19_symmetric_key_in_the_key_set", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: []byte(secret)})},
	{"C19_private_key_in_the_key_set", verify.ErrKey, keys(verify.Key{ID: "key-1", Public: ecKeys["ES256"]()})},
	{"C20_crit_unknown", verify.ErrMalformed, func(t *token) { t.header["crit"], t.header["x"] = []string{"x"}, 1 }},
	{"C20_crit_empty", verify.ErrMalformed, header("crit", []string{})},
	{"C20_crit_with_duplicates", verify.ErrMalformed, func(t *token) { t.header["crit"], t.header["x"] = []string{"x", "x"}, 1 }},
	{"C20_crit_names_a_standard_header", verify.ErrMalformed, header("crit", []string{"alg"})},
	{"C20_crit_names_what_is_not_there", verify.ErrMalformed, header("crit", []string{"exp"})},
	{"C20_crit_null", verify.ErrMalformed, header("crit", nil)},
	{"C21_b64_false", verify.ErrMalformed, header("b64", false)},
	{"C21_b64_true", verify.ErrMalformed, header("b64", true)},
	{"C22_alg_twice", verify.ErrMalformed, rawHeader(`{"alg":"ES256","kid":"key-1","alg":"ES256"}`)},
	{"C22_alg_twice_by_escape", verify.ErrMalformed, rawHeader(`{"alg":"ES256","kid":"key-1","\u0061lg":"none"}`)},
	{"C22_sub_twice", verify.ErrMalformed, moreClaims(`,"sub":"mallory"`)},
	{"C22_sub_twice_by_escape", verify.ErrMalformed, moreClaims(`,"su\u0062":"mallory"`)},
	{"C22_twice_at_depth", verify.ErrMalformed, moreClaims(`,"address":{"country":"US","country":"DE"}`)},
	{"C23_Sub_beside_sub", nil, moreClaims(`,"Sub":"mallory","AUD":"x","Exp":1,"\u017fub":"mallory","NONCE":"x"`)},
	{"C23_Sub_in_place_of_sub", verify.ErrSubject, func(t *token) { t.rawClaims = strings.Replace(t.json(), `"sub"`, `"Sub"`, 1) }},
	{"C23_long_s_in_place_of_s", verify.ErrSubject, func(t *token) { t.rawClaims = strings.Replace(t.json(), `"sub"`, `"ſub"`, 1) }},
	{"C23_Alg_in_place_of_alg", verify.ErrAlgorithm, rawHeader(`{"Alg":"ES256","kid":"key-1"}`)},
	{"C24_data_after_the_claims", verify.ErrMalformed, payload(func(s string) string { return s + "{}" })},
	{"C24_white_space_after_the_claims", nil, payload(func(s string) string { return s + "\n" })},
	{"C24_byte_order_mark", verify.ErrMalformed, payload(func(s string) string { return "\ufeff" + s })},
	{"C24_comment", verify.ErrMalformed, payload(func(s string) string { return "/**/" + s })},
	{"C24_NaN", verify.ErrMalformed, moreClaims(`,"x":NaN`)},
	{"C24_single_quotes", verify.ErrMalformed, moreClaims(`,'x':1`)},
	{"C24_invalid_UTF-8", verify.ErrMalformed, moreClaims(",\"x\":\"\xff\"")},
	{"C24_overlong_UTF-8", verify.ErrMalformed, moreClaims(",\"x\":\"\xc0\xaf\"")},
	{"C24_surrogate_in_UTF-8", verify.ErrMalformed, moreClaims(",\"x\":\"\xed\xa0\x80\"")},
	{"C24_lone_surrogate", verify.ErrMalformed, moreClaims(`,"x":"\ud800"`)},
	{"C24_lone_low_surrogate", verify.ErrMalformed, moreClaims(`,"x":"\udc00"`)},
	{"C24_U+0000", verify.ErrMalformed, moreClaims(`,"x":"\u0000"`)},
	{"C24_raw_NUL", verify.ErrMalformed, moreClaims(",\"x\":\"\x00\"")},
	{"C24_invalid_UTF-8_in_the_header", verify.ErrMalformed, rawHeader("{\"alg\":\"ES256\",\"kid\":\"key-1\",\"x\":\"\xff\"}")},
	{"C25_deep_nesting", verify.ErrMalformed, payload(func(string) string { return `{"a":` + strings.Repeat("[", 40_000) })},
	{"C25_deep_nesting_in_the_header", verify.ErrMalformed, rawHeader(`{"a":` + strings.Repeat("[", 40_000))},
	{"C25_nesting_of_32", nil, moreClaims(`,"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31))},
	{"C25_nesting_of_33", verify.ErrMalformed, moreClaims(`,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32))},
	{"C26_payload_array", verify.ErrMalformed, payload(func(s string) string { return "[" + s + "]" })},
	{"C26_payload_string", verify.ErrMalformed, payload(func(string) string { return `"alice"` })},
	{"C26_payload_null", verify.ErrMalformed, payload(func(string) string { return "null" })},
	{"C26_payload_empty", verify.ErrMalformed, func(t *token) { t.compact = signedParts(func(h, _ string) (string, string) { return h, "" }) }},
	{"C26_header_array", verify.ErrMalformed, rawHeader(`["ES256"]`)},
	{"C26_header_null", verify.ErrMalformed, rawHeader(`null`)},
	{"C27_two_parts", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s[:strings.LastIndexByte(s, '.')] } }},
	{"C27_four_parts", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s + "." } }},
	{"C27_six_parts", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s + "..." } }},
	{"C27_sixty_thousand_dots", verify.ErrMalformed, func(t *token) { t.compact = func(string) string { return strings.Repeat(".", 60_000) } }},
	{"C27_a_million_dots", verify.ErrMalformed, func(t *token) { t.compact = func(string) string { return strings.Repeat(".", 1_000_000) } }},
	{"C27_empty", verify.ErrMalformed, func(t *token) { t.compact = func(string) string { return "" } }},
	{"C28_encrypted_token", verify.ErrMalformed, func(t *token) {
		t.compact = func(string) string { return b64(`{"alg":"RSA-OAEP","enc":"A128GCM"}`) + ".AA.AA.AA.AA" }
	}},
	{"C29_padding", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s + "==" } }},
	{"C29_standard_alphabet", verify.ErrMalformed, func(t *token) {
		t.compact = func(s string) string {
			dot := strings.LastIndexByte(s, '.')
			sig := must(base64.RawURLEncoding.DecodeString(s[dot+1:]))
			sig[0] = 0xfb // begins with - or +
			return s[:dot+1] + base64.RawStdEncoding.EncodeToString(sig)
		}
	}},
	{"C29_newline_in_the_signature", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s[:len(s)-4] + "\n" + s[len(s)-4:] } }},
	{"C29_carriage_return_in_the_payload", verify.ErrMalformed, func(t *token) {
		t.compact = signedParts(func(h, p string) (string, string) { return h, p[:8] + "\r" + p[8:] })
	}},
	{"C29_newline_in_the_header", verify.ErrMalformed, func(t *token) { t.compact = signedParts(func(h, p string) (string, string) { return h + "\n", p }) }},
	{"C29_newline_at_the_end", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return s + "\n" } }},
	{"C29_newline_at_the_start", verify.ErrMalformed, func(t *token) { t.compact = signedParts(func(h, p string) (string, string) { return "\n" + h, p }) }},
	{"C29_carriage_return_at_the_start", verify.ErrMalformed, func(t *token) { t.compact = signedParts(func(h, p string) (string, string) { return "\r" + h, p }) }},
	{"C29_space_at_the_start", verify.ErrMalformed, func(t *token) { t.compact = signedParts(func(h, p string) (string, string) { return " " + h, p }) }},
	{"C29_bits_left_over_in_the_signature", verify.ErrMalformed, func(t *token) { t.compact = func(s string) string { return spareBits(s) } }},
	{"C29_bits_left_over_in_the_payload", verify.ErrMalformed, func(t *token) {
		t.rawClaims = t.json()
		for len(t.rawClaims)%3 != 1 {
			t.rawClaims += " "
		}
		t.compact = signedParts(func(h, p string) (string, string) { return h, spareBits(p) })
	}},
	{"C29_bits_left_over_in_the_header", verify.ErrMalformed, func(t *token) {
		t.rawHeader = `{"alg":"ES256","kid":"key-1"}`
		for len(t.rawHeader)%3 != 1 {
			t.rawHeader += " "
		}
		t.compact = signedParts(func(h, p string) (string, string) { return spareBits(h), p })
	}},
	{"C30_of_a_megabyte", verify.ErrMalformed, set("x", strings.Repeat("x", 1<<20))},
	{"C30_one_byte_over_64_KiB", verify.ErrMalformed, func(t *token) {
		t.compact = func(s string) string { return s + strings.Repeat("A", 64<<10+1-len(s)) }
	}},
	{"C30_of_64_KiB", nil, func(t *token) {
		for x := 47_000; len(t.build()) != 64<<10; x++ {
			t.claims["x"], t.header["x"] = strings.Repeat("x", x), strings.Repeat("x", x%5)
		}
	}},
	{"C31_JSON_serialization", verify.ErrMalformed, func(t *token) {
		t.compact = func(s string) string {
			p := strings.Split(s, ".")
			return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p[1], p[0], p[2])
		}
	}},
	{"C31_JSON_serialization_with_two_signatures", verify.ErrMalformed, func(t *token) {
		t.compact = func(s string) string {
			p := strings.Split(s, ".")
			return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q},{"protected":"e30","signature":"."}]}`, p[1], p[0], p[2])
		}
	}},
	{"C45_claims_are_not_read_before_the_signature", verify.ErrSignature, func(t *token) {
		t.rawClaims = "not even JSON"
		t.compact = flipSignature
	}},
	{"C45_expiry_is_not_looked_at_before_the_signature", verify.ErrSignature, func(t *token) {
		t.claims["exp"] = 1
		t.compact = flipSignature
	}},
}

// C08 and C09 are TestWeakKeys. The key set's own part of C14, C18 (use, key_ops), C19 and C08/C09 (refused at load) is
// rp's, which reads the JWKS.
// C32 to C43 are about encrypted tokens, which this version does not open: C28 stands for all of them. Five parts are
// refused by their number before anything in them is read.
// C44: hashes, nonces and MACs are compared by crypto/subtle and crypto/hmac; a test of timing would be noise.
// C46 is FuzzFrontChannel.

func TestFrontChannelEnvelope(t *testing.T) {
	t.Parallel()
	runRows(t, joseRows, frontChannel)
}

// TestEveryChannelChecksTheEnvelope runs one refused and one accepted row of each rule on the other channels too.
func TestEveryChannelChecksTheEnvelope(t *testing.T) {
	t.Parallel()
	runRows(t, joseRows, tokenEndpoint)
	runRows(t, joseRows, func(t *testing.T, tok *token) (*verify.IDToken, error) {
		login := valid("ES256")
		previous := must(login.policy.TokenEndpoint(t.Context(), login.raw(), login.expect))
		return tok.policy.Refreshed(t.Context(), tok.raw(), previous)
	})
}

// TestWeakKeys: C08, C09 and C10. Each token's signature is good for its key, or the key makes any signature good.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	almost := must(rsa.GenerateKey(rand.Reader, 2046))
	n, tooLarge := rsaKey().N, int64(1)<<31+1 // negative in 32 bits
	identity := ed25519.PublicKey(append([]byte{1}, make([]byte, 31)...))
	for _, r := range []row{
		{"C08_RSA_of_1024_bits", verify.ErrKey, weak("RS256", small, &small.PublicKey)},
		{"C08_RSA_of_2046_bits", verify.ErrKey, weak("PS256", almost, &almost.PublicKey)},
		{"C08_RSA_with_exponent_1", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: 1})},
		{"C08_RSA_with_exponent_2", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: 2})},
		{"C08_RSA_with_exponent_4", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: 4})},
		{"C08_RSA_that_is_nil", verify.ErrKey, weak("RS256", rsaKey(), (*rsa.PublicKey)(nil))},
		{"C09_EC_that_is_nil", verify.ErrKey, weak("ES256", ecKeys["ES256"](), (*ecdsa.PublicKey)(nil))},
		{"C08_RSA_with_negative_exponent", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: -65537})},
		{"C08_RSA_with_even_modulus", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int).Lsh(n, 1), E: 65537})},
		{"C08_RSA_of_16384_bits", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int).SetBit(n, 16383, 1), E: 65537})},
		{"C08_RSA_of_8193_bits", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int).SetBit(n, 8192, 1), E: 65537})},
		{"C08_RSA_without_modulus", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{E: 65537})},
		{"C08_RSA_with_negative_modulus", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int).Neg(n), E: 65537})},
		{"C08_RSA_of_8192_bits_is_tried", verify.ErrSignature, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int).SetBit(n, 8191, 1), E: 65537})},
		{"C08_RSA_with_exponent_3_is_tried", verify.ErrSignature, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: 3})},
		{"C08_RSA_with_the_largest_exponent_is_tried", verify.ErrSignature, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: 1<<31 - 1})},
		{"C08_RSA_with_modulus_0", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: new(big.Int), E: 65537})},
		{"C08_RSA_with_an_exponent_of_32_bits", verify.ErrKey, weak("RS256", rsaKey(), &rsa.PublicKey{N: n, E: int(tooLarge)})},
		{"C09_point_without_x", verify.ErrKey, func(t *token) {
			half := badPoint(1)
			half.X = nil //nolint:staticcheck // the proper constructors refuse such a point
			weak("ES256", ecKeys["ES256"](), half)(t)
		}},
		{"C09_point_without_y", verify.ErrKey, func(t *token) {
			half := badPoint(1)
			half.Y = nil //nolint:staticcheck // the proper constructors refuse such a point
			weak("ES256", ecKeys["ES256"](), half)(t)
		}},
		{"C09_point_not_on_the_curve", verify.ErrKey, weak("ES256", ecKeys["ES256"](), badPoint(1))},
		{"C09_point_at_infinity", verify.ErrKey, weak("ES256", ecKeys["ES256"](), badPoint(0))},
		{"C09_point_without_coordinates", verify.ErrKey, weak("ES256", ecKeys["ES256"](), &ecdsa.PublicKey{Curve: elliptic.P256()})},
		{"C09_Ed25519_of_31_bytes", verify.ErrKey, weak("EdDSA", edKey(), edKey().Public().(ed25519.PublicKey)[:31])},
		{"C09_Ed25519_of_0_bytes", verify.ErrKey, weak("EdDSA", edKey(), ed25519.PublicKey{})},
		{"C10_Ed25519_of_small_order", verify.ErrKey, func(t *token) {
			weak("EdDSA", edKey(), identity)(t)
			t.compact = resign(func(input string) []byte {
				forged := append(bytes.Clone(identity), make([]byte, 32)...)
				if !ed25519.Verify(identity, []byte(input), forged) {
					panic("the forgery is none: the row proves nothing")
				}
				return forged
			})
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			tok := valid("ES256")
			r.change(tok)
			raw := tok.raw()
			_, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
			wantRefusal(t, err, r.want, raw)
		})
	}
}

// weak makes a token of alg that key signed, in a world where public is the issuer's key.
func weak(alg string, key crypto.PrivateKey, public crypto.PublicKey) func(*token) {
	return other(alg, func(t *token) {
		t.key = key
		keys(verify.Key{ID: "key-1", Public: public})(t)
	})
}

// badPoint is (n, n), which is not on the curve; (0, 0) stands for infinity.
func badPoint(n int64) *ecdsa.PublicKey {
	//nolint:staticcheck // the proper constructors refuse such a point
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(n), Y: big.NewInt(n)}
}

// other begins with a valid token of another algorithm.
func other(alg string, change func(*token)) func(*token) {
	return func(t *token) {
		*t = *valid(alg)
		change(t)
	}
}

// pinned makes a valid token of alg in the eyes of a policy that wants another one.
func pinned(alg, policy string) func(*token) {
	return other(alg, func(t *token) { t.policy.Algorithm = policy })
}

func keys(list ...verify.Key) func(*token) {
	return func(t *token) { t.policy.Keys = verify.StaticKeys(list...) }
}

// crowd is n foreign keys without kid and then the right one.
func crowd(n int) (list []verify.Key) {
	for range n {
		list = append(list, verify.Key{Public: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()})
	}
	return append(list, verify.Key{ID: "key-1", Public: ecKeys["ES256"]().Public()})
}

// confuse signs with HMAC and a text of the public key, in a world where RS256 is pinned.
func confuse(text func(*rsa.PublicKey) []byte) func(*token) {
	return other("RS256", func(t *token) {
		t.alg, t.header["alg"], t.key = "HS256", "HS256", text(&rsaKey().PublicKey)
	})
}

func jwk(k *rsa.PublicKey) string {
	return `{"kty":"RSA","kid":"key-1","n":"` + b64(k.N.Bytes()) + `","e":"AQAB"}`
}

func rawHeader(text string) func(*token) { return func(t *token) { t.rawHeader = text } }

// payload changes the text of the claims before they are signed.
func payload(f func(string) string) func(*token) {
	return func(t *token) { t.rawClaims = f(t.json()) }
}

// resign replaces the signature.
func resign(f func(input string) []byte) func(string) string {
	return func(raw string) string {
		dot := strings.LastIndexByte(raw, '.')
		return raw[:dot+1] + b64(f(raw[:dot]))
	}
}

// signedParts changes header and payload in their encoded form and signs the result with the ES256 key.
func signedParts(f func(header, payload string) (string, string)) func(string) string {
	return func(raw string) string {
		p := strings.Split(raw, ".")
		h, c := f(p[0], p[1])
		return h + "." + c + "." + b64(sign("ES256", ecKeys["ES256"](), h+"."+c))
	}
}

// spareBits sets one of the bits that the last character of a base64 text has and the bytes do not need.
func spareBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[last|1:last|1+1]
}

// addOrder returns the Ed25519 signature with S+L in place of S.
func addOrder(sig []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := bytes.Clone(sig[32:])
	reverse(s)
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	reverse(sum)
	return append(bytes.Clone(sig[:32]), sum...)
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// askedKeys records what it was asked and how far the caller went.
type askedKeys struct {
	keys     []verify.Key
	err      error
	asked    []string
	yielded  int
	finished bool
}

func (k *askedKeys) Keys(_ context.Context, alg, kid string) iter.Seq2[verify.Key, error] {
	k.asked = append(k.asked, alg+" "+kid)
	return func(yield func(verify.Key, error) bool) {
		for _, key := range k.keys {
			k.yielded++
			if !yield(key, nil) {
				return
			}
		}
		k.finished = true
		if k.err != nil {
			yield(verify.Key{}, k.err)
		}
	}
}

func TestKeySet(t *testing.T) {
	t.Parallel()
	right := verify.Key{ID: "key-1", Public: ecKeys["ES256"]().Public()}
	wrong := verify.Key{ID: "key-1", Public: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()}
	down := fmt.Errorf("connection refused")
	for _, c := range []struct {
		name    string
		set     askedKeys
		want    error
		yielded int
	}{
		{"a_right_key_in_memory_ends_the_iteration_before_a_fetch", askedKeys{keys: []verify.Key{right}, err: down}, nil, 1},
		{"a_rotated_key_is_found_by_going_on", askedKeys{keys: []verify.Key{wrong, wrong, wrong, wrong, wrong, wrong, wrong, right}}, nil, 8},
		{"F_no_key_and_the_provider_is_down", askedKeys{err: down}, verify.ErrKeySet, 0},
		{"F_no_right_key_and_the_provider_is_down", askedKeys{keys: []verify.Key{wrong}, err: down}, verify.ErrKeySet, 1},
		{"no_right_key_and_no_more", askedKeys{keys: []verify.Key{wrong}}, verify.ErrSignature, 1},
		{"no_key_and_no_more", askedKeys{}, verify.ErrKey, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tok := valid("ES256")
			tok.policy.Keys = &c.set
			raw := tok.raw()
			_, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
			if c.want == nil && err != nil {
				t.Error(err)
			} else if c.want != nil {
				wantRefusal(t, err, c.want, raw)
			}
			if c.set.yielded != c.yielded {
				t.Errorf("%d keys were looked at, want %d", c.set.yielded, c.yielded)
			}
			if len(c.set.asked) != 1 || c.set.asked[0] != "ES256 key-1" {
				t.Errorf("asked for %q", c.set.asked)
			}
		})
	}
}

// TestCheapBeforeDear: what is refused by its form never reaches the key set.
func TestCheapBeforeDear(t *testing.T) {
	t.Parallel()
	for _, r := range joseRows {
		if !errors.Is(r.want, verify.ErrMalformed) && !errors.Is(r.want, verify.ErrAlgorithm) {
			continue
		}
		tok := valid("ES256")
		r.change(tok)
		set := &askedKeys{keys: []verify.Key{{ID: "key-1", Public: privateKeyOf(tok.policy.Algorithm)}}}
		tok.policy.Keys = set
		_, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
		var refusal *verify.Error
		if errors.As(err, &refusal) && refusal.Rule.Name != "claims" && len(set.asked) > 0 {
			t.Errorf("%s: rule %s refused after the key set was asked", r.name, refusal.Rule.Name)
		}
	}
}

func privateKeyOf(alg string) crypto.PublicKey {
	if alg == "" {
		alg = "RS256"
	}
	return privateKey(alg).Public()
}

func TestKeyMaterialIsNotShared(t *testing.T) {
	t.Parallel()
	list := []verify.Key{{ID: "key-1", Public: ecKeys["ES256"]().Public()}}
	set := verify.StaticKeys(list...)
	list[0] = verify.Key{}
	tok := valid("ES256")
	tok.policy.Keys = set
	if _, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect); err != nil {
		t.Error(err)
	}
}

func TestSmallOrderPointsAreWhatTheySeem(t *testing.T) {
	t.Parallel()
	// crypto/ed25519 takes one signature by such a key for many messages.
	points := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}
	for _, p := range points {
		key := make(ed25519.PublicKey, 32)
		if _, err := fmt.Sscanf(p, "%x", (*[]byte)(&key)); err != nil {
			t.Fatal(err)
		}
		forged := append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...)
		accepted := 0
		for i := range 200 {
			if ed25519.Verify(key, []byte{byte(i)}, forged) {
				accepted++
			}
		}
		if accepted == 0 {
			t.Errorf("%s: not of small order", p)
		}
		tok := valid("EdDSA")
		keys(verify.Key{ID: "key-1", Public: key})(tok)
		raw := tok.raw()
		_, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
		wantRefusal(t, err, verify.ErrKey, raw)
	}
}
