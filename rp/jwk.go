package rp

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/internal/strictjson"
	"github.com/twofold-auth/twofold/verify"
)

// maxRSABits bounds the work of one verification.
const maxRSABits = 8192

// maxKid bounds a key ID, ours to keep and to compare.
const maxKid = 1024

// privateMembers make a JWK private or symmetric; such a key has no place in a public set (RFC 7517, section 9.2).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseKeys reads a JWK Set. "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" values that are not
// understood by them, that are missing required members, or for which values are out of the supported ranges" (RFC
// 7517, section 5): odd keys are skipped, each with a reason. Only a text that is no key set at all is an error.
func parseKeys(text string) (keys []verify.Key, skipped []error, err error) {
	doc, err := strictjson.Parse(text)
	if err != nil {
		doc, err = strictjson.Parse(withoutOddKeys(text))
	}
	if err != nil {
		return nil, nil, err
	}
	list, ok := doc.Get("keys").Array()
	if !ok {
		return nil, nil, errors.New("no array of keys")
	}
	for i, value := range list {
		key, err := parseKey(value)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d: %w", i, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, skipped, nil
}

func parseKey(value strictjson.Value) (verify.Key, error) {
	jwk, ok := value.Object()
	if !ok {
		return verify.Key{}, errors.New("not an object")
	}
	for _, name := range privateMembers {
		if jwk.Get(name).Raw() != "" {
			return verify.Key{}, errors.New("private or symmetric")
		}
	}
	if err := checkPurpose(jwk); err != nil {
		return verify.Key{}, err
	}
	kid, ok := optionalText(jwk.Get("kid"))
	if !ok || len(kid) > maxKid {
		return verify.Key{}, errors.New("unusable kid")
	}
	alg, ok := optionalText(jwk.Get("alg"))
	if !ok {
		return verify.Key{}, errors.New("unusable alg")
	}
	public, err := publicKey(jwk)
	if err != nil {
		return verify.Key{}, err
	}
	return verify.Key{ID: kid, Algorithm: alg, Public: public}, nil
}

// checkPurpose skips what is not for signatures (RFC 7517, sections 4.2 and 4.3).
func checkPurpose(jwk strictjson.Object) error {
	if use, ok := optionalText(jwk.Get("use")); !ok || (use != "" && use != "sig") {
		return errors.New("not for signatures")
	}
	if jwk.Get("key_ops").Raw() == "" {
		return nil
	}
	if ops, ok := jwk.Get("key_ops").Texts(); !ok || !slices.Contains(ops, "verify") {
		return errors.New("not for verifying")
	}
	return nil
}

func optionalText(v strictjson.Value) (string, bool) {
	if v.Raw() == "" {
		return "", true
	}
	return v.Text()
}

// publicKey lets go-jose build the key from the members that make it. Certificates beside them (x5c, x5u) are never
// looked at: an odd one would cost us a good key.
func publicKey(jwk strictjson.Object) (any, error) {
	members := map[string]string{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if text, ok := jwk.Get(name).Text(); ok {
			members[name] = text
		}
	}
	if len(members["e"]) > 6 { // four bytes: more than any exponent in use, less than overflows
		return nil, errors.New("RSA exponent out of range")
	}
	minimal, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(minimal); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
	}
	return key.Key, checkStrength(key.Key)
}

func checkStrength(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < minRSABits || bits > maxRSABits || k.N.Bit(0) == 0 || k.E < 3 || k.E%2 == 0 {
			return fmt.Errorf("RSA key of %d bits, exponent %d", bits, k.E)
		}
	case *ecdsa.PublicKey:
		if _, err := k.ECDH(); err != nil {
			return errors.New("point is not on its curve")
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return errors.New("wrong length")
		}
	default:
		return fmt.Errorf("key of type %T", key)
	}
	return nil
}
