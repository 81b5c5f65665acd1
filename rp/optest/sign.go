package optest

import "crypto"

// JWS signs header and claims, both as they are, with the provider's key for the header's alg (the configured algorithm
// if that is no algorithm). A key made for this is in the JWK Set from then on.
func (a *Answer) JWS(header, claims []byte) string { return "" }

// Key returns the provider's private key for an algorithm, made at first use; nil for HS*.
func (h *Handler) Key(alg string) crypto.Signer { return nil }

// JWS signs header and claims, both as they are, with any key: a crypto.Signer, or a []byte for HS*. The header's own alg
// is not looked at. It panics if the key does not fit alg; alg "none" gives an empty signature.
func JWS(alg string, key any, header, claims []byte) string { return "" }

// Tamper returns a compact JWS with one bit of its signature changed.
func Tamper(jws string) string { return "" }

// HalfHash returns the c_hash, at_hash or s_hash of a value under a JWS algorithm (OpenID Connect Core 3.3.2.11).
func HalfHash(alg, value string) string { return "" }
