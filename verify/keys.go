package verify

import (
	"context"
	"crypto"
	"iter"
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

// StaticKeys is a KeySet of fixed keys. Keys that are too weak are never used, as with every KeySet.
func StaticKeys(keys ...Key) KeySet { return nil }
