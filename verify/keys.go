package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"iter"
	"slices"
)

const (
	maxKeys    = 5    // signatures that are computed for one token
	minRSABits = 2048 // RFC 7518 3.3
	maxRSABits = 8192 // a larger modulus costs us CPU time and nobody uses it
)

// KeySet is where the issuer's public keys come from. It must be safe for concurrent use.
type KeySet interface {
	// Keys yields candidates for a signature: those in memory first, and only if the caller goes on iterating those
	// of a fresh fetch. kid is "" if the token names none. It need not filter: a key that does not fit alg and kid is
	// skipped, a key that was tried is not tried again, and at most five are tried. An error says that keys could not
	// be had and ends the iteration; a sequence that just ends says that there are no more.
	Keys(ctx context.Context, alg, kid string) iter.Seq2[Key, error]
}

// Key is one public key of an issuer.
type Key struct {
	ID        string           // kid, "" if none; a token that names a kid is checked with keys of exactly this ID
	Algorithm string           // alg of the JWK, "" if none; else used for this algorithm only
	Public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// StaticKeys is a KeySet of fixed keys. Keys that are weak or malformed are never used, as with every KeySet.
func StaticKeys(keys ...Key) KeySet { return staticKeys(slices.Clone(keys)) }

type staticKeys []Key

func (s staticKeys) Keys(context.Context, string, string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for _, k := range s {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// accepts reports whether a signature by a with this kid may be checked with k at all.
func (a *algorithm) accepts(k Key, kid string) bool {
	if kid != "" && k.ID != kid {
		return false
	}
	if k.Algorithm != "" && k.Algorithm != a.name && !(a.family == edwards && isEdwards(k.Algorithm)) {
		return false
	}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return (a.family == pkcs1 || a.family == pss) && soundRSA(public)
	case *ecdsa.PublicKey:
		return a.family == ecdsaFixed && public != nil && public.Curve == a.curve && onCurve(public)
	case ed25519.PublicKey:
		return a.family == edwards && len(public) == ed25519.PublicKeySize && !smallOrder(public)
	}
	return false // a shared secret is never a public key, whatever alg says (RFC 8725 2.1)
}

// isEdwards: a JWK may still say EdDSA where tokens say Ed25519, and the other way round.
func isEdwards(alg string) bool { return alg == "EdDSA" || alg == "Ed25519" }

func soundRSA(k *rsa.PublicKey) bool {
	if k == nil || k.N == nil || k.N.Sign() <= 0 || k.N.Bit(0) == 0 {
		return false
	}
	bits := k.N.BitLen()
	return bits >= minRSABits && bits <= maxRSABits && k.E >= 3 && k.E&1 == 1 && k.E <= 1<<31-1
}

func onCurve(k *ecdsa.PublicKey) bool {
	if k.X == nil || k.Y == nil { //nolint:staticcheck // deprecated for use, but a nil in them makes ECDH panic
		return false
	}
	_, err := k.ECDH() // fails for a point that is not on the curve, and for infinity
	return err == nil
}

// smallOrderPoints are the y coordinates of the points whose order divides eight, and what else decodes to them. With
// such a key one signature fits many messages.
var smallOrderPoints = [...][]byte{
	append([]byte{0x00}, make([]byte, 31)...),
	append([]byte{0x01}, make([]byte, 31)...),
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	append(append([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f), // p-1
	append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f), // p, that is 0
	append(append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f), // p+1, that is 1
}

func smallOrder(k ed25519.PublicKey) bool {
	var y [ed25519.PublicKeySize]byte
	copy(y[:], k)
	y[31] &= 0x7f // the sign of x
	for _, point := range smallOrderPoints {
		if bytes.Equal(y[:], point) {
			return true
		}
	}
	return false
}
