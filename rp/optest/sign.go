package optest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	// The hashes of the JWS algorithms.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

var b64 = base64.RawURLEncoding

// hashes of the JWS algorithms, by the last three digits; EdDSA is Ed25519, which is SHA-512 inside.
var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512, "DSA": crypto.SHA512}

// algorithms that this provider signs with (RFC 7518 section 3.1, RFC 8037).
var algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
}

func hashOf(alg string) crypto.Hash {
	if len(alg) < 3 {
		return 0
	}
	return hashes[alg[len(alg)-3:]]
}

// HalfHash returns the c_hash, at_hash or s_hash of a value under a JWS algorithm: the left half of its hash, in base64url
// (OpenID Connect Core 3.3.2.11). It panics for an algorithm that it does not know.
func HalfHash(alg, value string) string {
	hash := hashOf(alg)
	if hash == 0 {
		panic("optest: HalfHash: unknown algorithm " + alg)
	}
	sum := digest(hash, []byte(value))
	return b64.EncodeToString(sum[:len(sum)/2])
}

func digest(hash crypto.Hash, data []byte) []byte {
	d := hash.New()
	d.Write(data)
	return d.Sum(nil)
}

// JWS signs header and claims, both as they are, with any key: a crypto.Signer, or a []byte for HS*. The header's own alg
// is not looked at. It panics if the key does not fit alg; alg "none" gives an empty signature.
func JWS(alg string, key any, header, claims []byte) string {
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
	signature, err := sign(alg, key, []byte(input))
	if err != nil {
		panic(fmt.Sprintf("optest: JWS with %s: %v", alg, err))
	}
	return input + "." + b64.EncodeToString(signature)
}

func sign(alg string, key any, input []byte) ([]byte, error) {
	if alg == "none" {
		return nil, nil
	}
	hash := hashOf(alg)
	if hash == 0 {
		return nil, errors.New("unknown algorithm")
	}
	if secret, ok := key.([]byte); ok && strings.HasPrefix(alg, "HS") {
		mac := hmac.New(hash.New, secret)
		mac.Write(input)
		return mac.Sum(nil), nil
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not fit", key)
	}
	switch alg[:2] {
	case "RS":
		return signer.Sign(rand.Reader, digest(hash, input), hash)
	case "PS":
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		return signer.Sign(rand.Reader, digest(hash, input), options)
	case "ES":
		return signECDSA(signer, digest(hash, input))
	case "Ed":
		return signer.Sign(rand.Reader, input, crypto.Hash(0))
	}
	return nil, fmt.Errorf("a key of type %T does not fit", key)
}

// signECDSA returns r and s with the length of the curve, as RFC 7518 section 3.4 has it, and not ASN.1.
func signECDSA(signer crypto.Signer, sum []byte) ([]byte, error) {
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not fit", signer)
	}
	der, err := signer.Sign(rand.Reader, sum, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	size := (public.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	pair.R.FillBytes(signature[:size])
	pair.S.FillBytes(signature[size:])
	return signature, nil
}

// JWS signs header and claims, both as they are, with the provider's key for the header's alg: the client secret for HS*,
// no signature for "none" in any case, and the key of the configured algorithm if alg is missing or unknown. A key made
// for this is in the JWK Set from then on.
func (a *Answer) JWS(header, claims []byte) string {
	return a.handler.jws(algOf(header), header, claims)
}

func algOf(header []byte) string {
	var h map[string]any
	if json.Unmarshal(header, &h) != nil {
		return ""
	}
	alg, _ := h["alg"].(string)
	return alg
}

func (h *Handler) jws(alg string, header, claims []byte) string {
	switch {
	case strings.EqualFold(alg, "none"):
		return JWS("none", nil, header, claims)
	case !known(alg):
		alg = h.config.Algorithm
	}
	if strings.HasPrefix(alg, "HS") {
		return JWS(alg, []byte(h.config.ClientSecret), header, claims)
	}
	return JWS(alg, h.Key(alg), header, claims)
}

// Tamper returns a compact JWS with one bit of its signature changed.
func Tamper(jws string) string {
	dot := strings.LastIndexByte(jws, '.')
	signature, err := b64.DecodeString(jws[dot+1:])
	if err != nil || len(signature) == 0 {
		return jws[:dot+1] + "AAAA"
	}
	signature[len(signature)/2] ^= 1
	return jws[:dot+1] + b64.EncodeToString(signature)
}

// encode is JSON as a provider writes it: no HTML escapes, no line end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// mustEncode is encode for values that a hook has made: a mistake there is a mistake in the test.
func mustEncode(v any) []byte {
	b, err := encode(v)
	if err != nil {
		panic("optest: " + err.Error())
	}
	return b
}
