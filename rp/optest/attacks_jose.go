package optest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// envelopeAttacks are group C of the catalogue: header, signature and encoding of the ID Token that the browser brings.
func envelopeAttacks() []Attack {
	asymmetric := func(a *Answer) bool { return kind(a.handler.config.Algorithm) != "" }
	elliptic := func(a *Answer) bool { return strings.HasPrefix(a.handler.config.Algorithm, "ES") }
	out := bind(false, isResponse, slices.Concat(algorithmRows, signatureRows, headerRows, jsonRows, encodingRows))
	out = append(out, bind(false, both(isResponse, asymmetric), confusionRows)...)
	return append(out, bind(false, both(isResponse, elliptic), ellipticRows)...)
}

var algorithmRows = []row{
	{"C01", "alg_none", RefuseUnspent, headed("alg", "none")},
	{"C01", "alg_None", RefuseUnspent, headed("alg", "None")},
	{"C01", "alg_nOnE", RefuseUnspent, headed("alg", "nOnE")},
	{"C01", "alg_none_over_a_good_signature", RefuseUnspent, signedWith(headed("alg", "none"), honestly)},
	{"C01", "alg_empty", RefuseUnspent, headed("alg", "")},
	{"C01", "alg_missing", RefuseUnspent, func(a *Answer) { delete(a.Header, "alg") }},
	{"C01", "alg_null", RefuseUnspent, headed("alg", nil)},
	{"C01", "alg_in_an_array", RefuseUnspent, func(a *Answer) { a.Header["alg"] = []any{a.Header["alg"]} }},
	{"C01", "alg_in_another_case", RefuseUnspent, func(a *Answer) { a.Header["alg"] = strings.ToLower(a.handler.config.Algorithm) }},
	{"C04", "algorithm_of_the_same_family", RefuseUnspent, otherAlgorithm(0)},
	{"C04", "algorithm_of_another_family", RefuseUnspent, otherAlgorithm(1)},
}

// confusionRows are about providers whose keys are asymmetric.
var confusionRows = []row{
	{"C02", "HS256_with_the_public_key_as_PEM", RefuseUnspent, confused(func(a *Answer) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(a)})
	})},
	{"C02", "HS256_with_the_public_key_as_DER", RefuseUnspent, confused(publicDER)},
	{"C02", "HS256_with_the_public_key_as_JWK", RefuseUnspent, confused(func(a *Answer) []byte {
		return mustEncode(jwk(jose.JSONWebKey{Key: publicKey(a), KeyID: a.honestKID, Algorithm: a.handler.config.Algorithm, Use: "sig"}))
	})},
	{"C02", "HS256_with_the_JWKS_text", RefuseUnspent, confused(func(a *Answer) []byte { return a.handler.JWKS() })},
	{"C02", "HS256_with_an_empty_key", RefuseUnspent, confused(func(*Answer) []byte { return []byte{} })},
	{"C03", "HS256_with_the_client_secret", RefuseUnspent, confused(func(a *Answer) []byte { return []byte(a.handler.config.ClientSecret) })},
	{"C11", "embedded_key", RefuseUnspent, func(a *Answer) {
		key := strangerKey(a)
		a.Header["jwk"] = jwk(jose.JSONWebKey{Key: key.Public(), Algorithm: a.handler.config.Algorithm, Use: "sig"})
		delete(a.Header, "kid")
		strangerSigns(a, key)
	}},
	{"C12", "key_set_of_a_stranger", RefuseUnspent, func(a *Answer) {
		a.Header["jku"], a.Header["kid"] = "http://169.254.169.254/jwks", "stranger"
		strangerSigns(a, strangerKey(a))
	}},
	{"C12", "certificate_in_a_file", RefuseUnspent, func(a *Answer) {
		a.Header["x5u"] = "file:///etc/passwd"
		strangerSigns(a, strangerKey(a))
	}},
	{"C13", "certificate_of_a_stranger", RefuseUnspent, func(a *Answer) {
		key := strangerKey(a)
		a.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(selfSigned(key))}
		strangerSigns(a, key)
	}},
	{"C14", "kid_unknown", RefuseUnspent, headed("kid", "unknown")},
	{"C15", "kid_missing_and_one_key_that_fits", Accept, func(a *Answer) { delete(a.Header, "kid") }},
	{"C17", "kid_in_another_case", RefuseUnspent, func(a *Answer) { a.Header["kid"] = swapCase(a.honestKID) }},
}

var signatureRows = []row{
	{"C06", "one_bit_flipped", RefuseUnspent, signed(Tamper)},
	{"C06", "no_signature", RefuseUnspent, signed(func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] })},
	{"C06", "half_a_signature", RefuseUnspent, resigned(func(sig []byte) []byte { return sig[:len(sig)/2] })},
	{"C06", "signature_and_one_byte", RefuseUnspent, resigned(func(sig []byte) []byte { return append(sig, 0) })},
	{"C06", "signature_of_zeros", RefuseUnspent, resigned(func(sig []byte) []byte { return make([]byte, len(sig)) })},
	{"C06", "signature_of_another_payload", RefuseUnspent, func(a *Answer) {
		a.Sign = func(header, claims []byte) string {
			part := strings.Split(a.JWS(header, claims), ".")
			part[1] = b64.EncodeToString(bytes.Replace(claims, []byte(`"sub":"`), []byte(`"sub":"m`), 1))
			return strings.Join(part, ".")
		}
	}},
	{"C06", "signature_of_another_header", RefuseUnspent, func(a *Answer) {
		a.Sign = func(header, claims []byte) string {
			part := strings.Split(a.JWS(header, claims), ".")
			part[0] = b64.EncodeToString(append(header, ' '))
			return strings.Join(part, ".")
		}
	}},
}

// ellipticRows are about ES256, ES384 and ES512.
var ellipticRows = []row{
	{"C07", "signature_in_DER", RefuseUnspent, resigned(func(sig []byte) []byte {
		half := len(sig) / 2
		der, _ := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
		return der
	})},
	{"C07", "signature_of_the_order", RefuseUnspent, func(a *Answer) {
		key, ok := publicKey(a).(*ecdsa.PublicKey)
		resigned(func(sig []byte) []byte {
			if ok {
				n := key.Curve.Params().N
				n.FillBytes(sig[:len(sig)/2])
				n.FillBytes(sig[len(sig)/2:])
			}
			return sig
		})(a)
	}},
}

var headerRows = []row{
	{"C14", "kid_of_a_file", RefuseUnspent, headed("kid", "../../../../../dev/null")},
	{"C14", "kid_with_SQL", RefuseUnspent, headed("kid", "x' OR '1'='1")},
	{"C14", "kid_of_an_address", RefuseUnspent, headed("kid", "http://169.254.169.254/")},
	{"C14", "kid_of_30_KB", RefuseUnspent, long(headed, "kid", 30<<10)},
	{"C14", "kid_number", RefuseUnspent, headed("kid", 1)},
	{"C14", "kid_null", RefuseUnspent, headed("kid", nil)},
	{"C20", "crit_unknown", RefuseUnspent, all(headed("crit", []string{"x"}), headed("x", 1))},
	{"C20", "crit_empty", RefuseUnspent, headed("crit", []string{})},
	{"C20", "crit_names_a_standard_header", RefuseUnspent, headed("crit", []string{"alg"})},
	{"C20", "crit_names_what_is_not_there", RefuseUnspent, headed("crit", []string{"x"})},
	{"C20", "crit_null", RefuseUnspent, headed("crit", nil)},
	{"C21", "b64_false", RefuseUnspent, headed("b64", false)},
	{"C21", "b64_false_and_critical", RefuseUnspent, all(headed("b64", false), headed("crit", []string{"b64"}))},
	{"C22", "alg_twice", RefuseUnspent, rawHeader(func(s string) string { return `{"alg":"none",` + s[1:] })},
	{"C22", "alg_twice_none_last", RefuseUnspent, rawHeader(func(s string) string { return s[:len(s)-1] + `,"\u0061lg":"none"}` })},
	{"C23", "Alg_in_place_of_alg", RefuseUnspent, rawHeader(func(s string) string { return strings.Replace(s, `"alg"`, `"Alg"`, 1) })},
	{"C26", "header_in_an_array", RefuseUnspent, rawHeader(func(s string) string { return "[" + s + "]" })},
	{"C26", "header_null", RefuseUnspent, rawHeader(func(string) string { return "null" })},
}

var jsonRows = []row{
	{"C22", "sub_twice", RefuseUnspent, rawClaims(func(s string) string { return s[:len(s)-1] + `,"sub":"mallory"}` })},
	{"C22", "sub_twice_by_an_escape", RefuseUnspent, rawClaims(func(s string) string { return `{"su\u0062":"mallory",` + s[1:] })},
	{"C22", "a_member_twice_at_depth", RefuseUnspent, rawClaims(func(s string) string { return s[:len(s)-1] + `,"x":[{"y":1,"y":2}]}` })},
	{"C23", "Sub_in_place_of_sub", RefuseUnspent, rawClaims(func(s string) string { return strings.Replace(s, `"sub"`, `"Sub"`, 1) })},
	{"C23", "long_s_in_place_of_s", RefuseUnspent, rawClaims(func(s string) string { return strings.Replace(s, `"sub"`, `"ſub"`, 1) })},
	{"C23", "NONCE_in_place_of_nonce", RefuseUnspent, rawClaims(func(s string) string { return strings.Replace(s, `"nonce"`, `"NONCE"`, 1) })},
	{"C23", "wrong_values_under_names_in_another_case", Accept, rawClaims(func(s string) string {
		return s[:len(s)-1] + `,"AUD":"x","Exp":1,"NONCE":"x","C_Hash":"x","IſS":"x"}`
	})},
	{"C24", "data_after_the_claims", RefuseUnspent, rawClaims(appended("{}"))},
	{"C24", "byte_order_mark", RefuseUnspent, rawClaims(func(s string) string { return "\ufeff" + s })},
	{"C24", "comment", RefuseUnspent, rawClaims(func(s string) string { return "/**/" + s })},
	{"C24", "NaN", RefuseUnspent, rawClaims(func(s string) string { return `{"x":NaN,` + s[1:] })},
	{"C24", "single_quotes", RefuseUnspent, rawClaims(func(s string) string { return `{'x':1,` + s[1:] })},
	{"C24", "invalid_UTF8", RefuseUnspent, rawClaims(func(s string) string { return "{\"x\":\"\xff\"," + s[1:] })},
	{"C24", "lone_surrogate", RefuseUnspent, rawClaims(func(s string) string { return `{"x":"\ud800",` + s[1:] })},
	{"C24", "NUL", RefuseUnspent, rawClaims(func(s string) string { return "{\"x\":\"\x00\"," + s[1:] })},
	{"C24", "white_space_around_the_claims", Accept, rawClaims(func(s string) string { return " \n" + s + "\n" })},
	{"C25", "deep_nesting", RefuseUnspent, rawClaims(func(s string) string {
		return `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "," + s[1:]
	})},
	{"C26", "claims_in_an_array", RefuseUnspent, rawClaims(func(s string) string { return "[" + s + "]" })},
	{"C26", "claims_null", RefuseUnspent, rawClaims(func(string) string { return "null" })},
	{"C26", "claims_a_string", RefuseUnspent, rawClaims(func(string) string { return `"alice"` })},
	{"C26", "claims_empty", RefuseUnspent, rawClaims(func(string) string { return "" })},
}

var encodingRows = []row{
	{"C27", "two_parts", RefuseUnspent, signed(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })},
	{"C27", "four_parts", RefuseUnspent, signed(appended("."))},
	{"C27", "six_parts", RefuseUnspent, signed(appended("..."))},
	{"C27", "fifty_thousand_dots", RefuseUnspent, signed(func(string) string { return strings.Repeat(".", 50_000) })},
	{"C28", "encrypted", RefuseUnspent, signed(func(string) string {
		return b64.EncodeToString([]byte(`{"alg":"RSA-OAEP","enc":"A128GCM"}`)) + ".AA.AA.AA.AA"
	})},
	{"C29", "padding", RefuseUnspent, signed(appended("=="))},
	{"C29", "line_break_in_the_signature", RefuseUnspent, signed(func(s string) string { return s[:len(s)-4] + "\n" + s[len(s)-4:] })},
	{"C29", "line_break_at_the_end", RefuseUnspent, signed(appended("\n"))},
	{"C29", "space_at_the_start", RefuseUnspent, signed(func(s string) string { return " " + s })},
	{"C29", "bits_left_over", RefuseUnspent, func(a *Answer) {
		a.Sign = func(header, claims []byte) string {
			for len(header)%3 == 0 { // the last character carries bits that mean nothing
				header = append(header, ' ')
			}
			spare := b64.EncodeToString(header)
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := strings.IndexByte(alphabet, spare[len(spare)-1])
			input := spare[:len(spare)-1] + alphabet[last+1:last+2] + "." + b64.EncodeToString(claims)
			return input + "." + a.signature(input)
		}
	}},
	{"C30", "of_200_KB", RefuseUnspent, long(claim, "x", 200<<10)},
	{"C31", "JSON_serialization", RefuseUnspent, signed(func(s string) string {
		part := strings.Split(s, ".")
		return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, part[1], part[0], part[2])
	})},
}

// signed changes the honest compact JWS.
func signed(f func(string) string) func(*Answer) {
	return func(a *Answer) {
		a.Sign = func(header, claims []byte) string { return f(a.JWS(header, claims)) }
	}
}

// resigned changes the bytes of the honest signature.
func resigned(f func([]byte) []byte) func(*Answer) {
	return signed(func(s string) string {
		dot := strings.LastIndexByte(s, '.')
		signature, _ := b64.DecodeString(s[dot+1:])
		return s[:dot+1] + b64.EncodeToString(f(signature))
	})
}

// rawHeader changes the JSON of the header before it is signed with the honest key.
func rawHeader(f func(string) string) func(*Answer) {
	return func(a *Answer) {
		a.Sign = func(header, claims []byte) string { return a.honest([]byte(f(string(header))), claims) }
	}
}

// rawClaims changes the JSON of the claims before it is signed.
func rawClaims(f func(string) string) func(*Answer) {
	return func(a *Answer) {
		a.Sign = func(header, claims []byte) string { return a.JWS(header, []byte(f(string(claims)))) }
	}
}

// honest signs anything with the key of the configured algorithm, whatever the header says.
func (a *Answer) honest(header, claims []byte) string {
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
	return input + "." + a.signature(input)
}

// signature of a signing input, by the configured algorithm.
func (a *Answer) signature(input string) string {
	alg := a.handler.config.Algorithm
	var key any = a.handler.Key(alg)
	if kind(alg) == "" {
		key = []byte(a.handler.config.ClientSecret)
	}
	sum, err := sign(alg, key, []byte(input))
	if err != nil {
		panic("optest: " + err.Error())
	}
	return b64.EncodeToString(sum)
}

// honestly signs with the honest key.
func honestly(a *Answer) func(header, claims []byte) string { return a.honest }

func signedWith(lie func(*Answer), by func(*Answer) func(header, claims []byte) string) func(*Answer) {
	return func(a *Answer) {
		lie(a)
		a.Sign = by(a)
	}
}

// otherAlgorithm signs with another algorithm of the provider: of the same family of keys, or of another.
func otherAlgorithm(family int) func(*Answer) {
	others := map[string][2]string{
		"RSA": {"PS256", "ES256"}, "P-256": {"ES384", "RS256"}, "P-384": {"ES256", "RS256"}, "P-521": {"ES256", "RS256"},
		"Ed25519": {"ES256", "RS256"}, "": {"HS512", "RS256"},
	}
	return func(a *Answer) {
		alg := others[kind(a.handler.config.Algorithm)][family]
		if alg == a.handler.config.Algorithm {
			alg = alg[:2] + "384"
		}
		a.Header["alg"] = alg
		a.Claims["c_hash"] = HalfHash(alg, a.Params.Get("code")) // the only thing that is wrong shall be the algorithm
		delete(a.Claims, "s_hash")
		if a.Params.Has("access_token") {
			a.Claims["at_hash"] = HalfHash(alg, a.Params.Get("access_token"))
		}
	}
}

// confused signs by HMAC with a key that is public, or is not meant for it.
func confused(key func(*Answer) []byte) func(*Answer) {
	return func(a *Answer) {
		a.Header["alg"] = "HS256"
		a.Sign = func(header, claims []byte) string { return JWS("HS256", key(a), header, claims) }
	}
}

// strangerSigns signs by the configured algorithm, with a key that is not the provider's.
func strangerSigns(a *Answer, key crypto.Signer) {
	a.Sign = func(header, claims []byte) string { return JWS(a.handler.config.Algorithm, key, header, claims) }
}

// strangerKey is a key of the right kind that is not the provider's. RSA keys come from a pool, where that one is too.
func strangerKey(a *Answer) crypto.Signer {
	own, ok := publicKey(a).(interface{ Equal(x crypto.PublicKey) bool })
	for {
		key := newKey(kind(a.handler.config.Algorithm))
		if !ok || !own.Equal(key.Public()) {
			return key
		}
	}
}

func publicKey(a *Answer) crypto.PublicKey { return a.handler.Key(a.handler.config.Algorithm).Public() }

func publicDER(a *Answer) []byte {
	der, err := x509.MarshalPKIXPublicKey(publicKey(a))
	if err != nil {
		panic("optest: " + err.Error())
	}
	return der
}

// selfSigned returns a certificate that nobody vouches for.
func selfSigned(key crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic("optest: " + err.Error())
	}
	return der
}
