package rp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256, 384 and 512 for crypto.Hash.New
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The algorithms of RFC 7518, section 3.1, by family. go-jose's wrapper of a crypto.Signer is not used: it signs PS*
// with the longest salt that fits, where section 3.5 wants one as long as the hash.
var (
	hmacAlgorithms = map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512}
	rsaAlgorithms  = map[string]crypto.Hash{
		"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
		"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	}
	ecAlgorithms = map[string]struct {
		hash  crypto.Hash
		curve elliptic.Curve
	}{
		"ES256": {crypto.SHA256, elliptic.P256()},
		"ES384": {crypto.SHA384, elliptic.P384()},
		"ES512": {crypto.SHA512, elliptic.P521()},
	}
)

// minRSABits is RFC 7518, section 3.3: "A key of size 2048 bits or larger MUST be used".
const minRSABits = 2048

// assertionAlgorithm is the configured algorithm, or the natural one of the key.
func (a ClientAuth) assertionAlgorithm() string {
	if a.algorithm != "" {
		return a.algorithm
	}
	if a.method != authPrivateJWT {
		return "HS256"
	}
	switch pub := a.key.Public().(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		for alg, fit := range ecAlgorithms {
			if fit.curve == pub.Curve {
				return alg
			}
		}
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}

// checkSigner says whether key can sign with alg.
func checkSigner(key crypto.Signer, alg string) error {
	fits := false
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < minRSABits {
			return fmt.Errorf("RSA key of %d bits; %d at least", pub.N.BitLen(), minRSABits)
		}
		_, fits = rsaAlgorithms[alg]
	case *ecdsa.PublicKey:
		fits = alg != "" && ecAlgorithms[alg].curve == pub.Curve
	case ed25519.PublicKey:
		fits = alg == "EdDSA" || alg == "Ed25519"
	default:
		return fmt.Errorf("key of type %T cannot sign", pub)
	}
	if !fits {
		return fmt.Errorf("key of type %T does not sign %q", key.Public(), alg)
	}
	return nil
}

// sign returns the JWS signature of input. New has checked that algorithm and key fit.
func (a ClientAuth) sign(alg string, input []byte) ([]byte, error) {
	if a.method == authSecretJWT {
		mac := hmac.New(hmacAlgorithms[alg].New, []byte(a.secret))
		mac.Write(input)
		return mac.Sum(nil), nil
	}
	if hash, ok := rsaAlgorithms[alg]; ok {
		return a.key.Sign(rand.Reader, digest(hash, input), rsaOptions(alg, hash))
	}
	if fit, ok := ecAlgorithms[alg]; ok {
		der, err := a.key.Sign(rand.Reader, digest(fit.hash, input), fit.hash)
		if err != nil {
			return nil, err
		}
		return rawECDSA(der, (fit.curve.Params().BitSize+7)/8)
	}
	return a.key.Sign(rand.Reader, input, crypto.Hash(0))
}

func digest(hash crypto.Hash, input []byte) []byte {
	h := hash.New()
	h.Write(input)
	return h.Sum(nil)
}

func rsaOptions(alg string, hash crypto.Hash) crypto.SignerOpts {
	if strings.HasPrefix(alg, "PS") {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	return hash
}

// rawECDSA turns the ASN.1 form of crypto.Signer into the two numbers of RFC 7518, section 3.4.
func rawECDSA(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	if sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 8*size || sig.S.BitLen() > 8*size {
		return nil, errors.New("signer returned a signature out of range")
	}
	raw := make([]byte, 2*size)
	sig.R.FillBytes(raw[:size])
	sig.S.FillBytes(raw[size:])
	return raw, nil
}
