package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512" // for crypto.Hash.New
	"math/big"
)

// algorithm is one JWS alg (RFC 7518 3.1, RFC 8037 3.1, RFC 9864 2.2). There is no "none".
type algorithm struct {
	name   string
	family family
	hash   crypto.Hash    // also the hash of c_hash, at_hash and s_hash: "the hash algorithm used in the alg"
	curve  elliptic.Curve // ES* only
}

type family uint8

const (
	pkcs1 family = iota
	pss
	ecdsaFixed
	edwards // Ed25519; its own hash is SHA-512
	mac
)

var algorithms = [...]algorithm{
	{"RS256", pkcs1, crypto.SHA256, nil},
	{"RS384", pkcs1, crypto.SHA384, nil},
	{"RS512", pkcs1, crypto.SHA512, nil},
	{"PS256", pss, crypto.SHA256, nil},
	{"PS384", pss, crypto.SHA384, nil},
	{"PS512", pss, crypto.SHA512, nil},
	{"ES256", ecdsaFixed, crypto.SHA256, elliptic.P256()},
	{"ES384", ecdsaFixed, crypto.SHA384, elliptic.P384()},
	{"ES512", ecdsaFixed, crypto.SHA512, elliptic.P521()},
	{"EdDSA", edwards, crypto.SHA512, nil},
	{"Ed25519", edwards, crypto.SHA512, nil},
	{"HS256", mac, crypto.SHA256, nil},
	{"HS384", mac, crypto.SHA384, nil},
	{"HS512", mac, crypto.SHA512, nil},
}

// algorithmNamed returns nil for a name that is unknown. "" is RS256, the default of Core's
// id_token_signed_response_alg.
func algorithmNamed(name string) *algorithm {
	if name == "" {
		name = "RS256"
	}
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

// verifies reports whether key, which fits a, made the signature of the digest, or of the message for Ed25519.
func (a *algorithm) verifies(key crypto.PublicKey, signed, signature []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if a.family == pss {
			// RFC 7518 3.5: "The size of the salt value is the same size as the hash function output."
			o := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash}
			return rsa.VerifyPSS(key, a.hash, signed, signature, &o) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, signed, signature) == nil
	case *ecdsa.PublicKey:
		// RFC 7518 3.4: R and S as octet strings of the curve's size, one behind the other; no DER.
		size := (key.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(key, signed, r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	}
	return false
}
