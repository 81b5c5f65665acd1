package verify_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// benchToken is a token of 1,458 bytes with the claims of a usual provider, as in the project's measurements.
func benchToken(alg string) (*token, string) {
	t := valid(alg)
	t.claims["picture"] = ""
	for k, v := range map[string]any{
		"given_name": "Alice", "family_name": "Adams", "email_verified": true, "locale": "en", "updated_at": 1_799_000_000,
		"preferred_username": "alice", "groups": []string{"admins", "staff", "users"},
		"address": map[string]any{"street_address": "1 Main Street", "locality": "Springfield", "country": "US"},
	} {
		t.claims[k] = v
	}
	for len(t.build()) < 1458 {
		t.claims["picture"] = t.claims["picture"].(string) + "p"
	}
	return t, t.raw()
}

// rawCheck is the floor: the signature over the bytes, and nothing else.
func rawCheck(t *token, raw string) func() bool {
	dot := strings.LastIndexByte(raw, '.')
	input, sig := []byte(raw[:dot]), sign(t.alg, t.key, raw[:dot])
	h := hashOf(t.alg)
	switch key := t.key.(type) {
	case *rsa.PrivateKey:
		if t.alg[0] == 'P' {
			o := rsa.PSSOptions{SaltLength: h.Size()}
			return func() bool { return rsa.VerifyPSS(&key.PublicKey, h, sumBytes(h, input), sig, &o) == nil }
		}
		return func() bool { return rsa.VerifyPKCS1v15(&key.PublicKey, h, sumBytes(h, input), sig) == nil }
	case *ecdsa.PrivateKey:
		n := len(sig) / 2
		r, s := new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])
		return func() bool { return ecdsa.Verify(&key.PublicKey, sumBytes(h, input), r, s) }
	case ed25519.PrivateKey:
		return func() bool { return ed25519.Verify(key.Public().(ed25519.PublicKey), input, sig) }
	}
	return func() bool {
		m := hmac.New(h.New, []byte(secret))
		m.Write(input)
		return hmac.Equal(m.Sum(nil), sig)
	}
}

// BenchmarkFrontChannel puts the whole verification beside the bare signature check of the same token: the ratio of
// the two lines is what counts.
func BenchmarkFrontChannel(b *testing.B) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA", "HS256"} {
		tok, raw := benchToken(alg)
		floor := rawCheck(tok, raw)
		b.Run(alg+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !floor() {
					b.Fatal("wrong signature")
				}
			}
		})
		b.Run(alg+"/verify", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tok.policy.FrontChannel(b.Context(), raw, tok.expect); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	tok, raw := benchToken("RS256")
	first, err := tok.policy.FrontChannel(b.Context(), raw, tok.expect)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify.Match(first, first, verify.MatchAuthentication); err != nil {
			b.Fatal(err)
		}
	}
}
