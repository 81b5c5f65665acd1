package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

func bytesOf(s string) []byte { return must(base64.RawURLEncoding.DecodeString(s)) }
func intOf(s string) *big.Int { return new(big.Int).SetBytes(bytesOf(s)) }

func point(curve elliptic.Curve, x, y string) *ecdsa.PublicKey {
	return must(ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, bytesOf(x)...), bytesOf(y)...)))
}

// The examples of the JOSE specifications are no ID Tokens: a right signature shows in the rule that refuses next.
var jwsVectors = []struct {
	name, alg, token string
	key              crypto.PublicKey
	secret           []byte
	want             error // with the signature of the specification
}{
	{
		name: "RFC_7515_A.1_HS256", alg: "HS256",
		token: "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
			".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
			".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		secret: bytesOf("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
		want:   verify.ErrSubject,
	},
	{
		name: "RFC_7515_A.2_RS256", alg: "RS256",
		token: "eyJhbGciOiJSUzI1NiJ9" +
			".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
			".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
		key:  &rsa.PublicKey{E: 65537, N: intOf("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")},
		want: verify.ErrSubject,
	},
	{
		name: "RFC_7515_A.3_ES256", alg: "ES256",
		token: "eyJhbGciOiJFUzI1NiJ9" +
			".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
			".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		key:  point(elliptic.P256(), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
		want: verify.ErrSubject,
	},
	{
		name: "RFC_7515_A.4_ES512_whose_payload_is_no_JSON", alg: "ES512",
		token: "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA." +
			"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
		key: point(elliptic.P521(),
			"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
			"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"),
		want: verify.ErrMalformed,
	},
	{
		name: "RFC_8037_A.4_EdDSA_whose_payload_is_no_JSON", alg: "EdDSA",
		token: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
		key:  ed25519.PublicKey(bytesOf("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
		want: verify.ErrMalformed,
	},
}

func TestJWSVectors(t *testing.T) {
	t.Parallel()
	for _, vec := range jwsVectors {
		t.Run(vec.name, func(t *testing.T) {
			t.Parallel()
			p := verify.Policy{Issuer: "joe", ClientID: "c", Algorithm: vec.alg, Secret: vec.secret, Now: func() time.Time { return time.Unix(1300819000, 0) }}
			if vec.key != nil {
				p.Keys = verify.StaticKeys(verify.Key{Public: vec.key})
			}
			_, err := p.FrontChannel(t.Context(), vec.token, verify.Expect{Nonce: "n"})
			var e *verify.Error
			if !errors.Is(err, vec.want) || !errors.As(err, &e) || e.Rule.Name == "signature" || e.Rule.Name == "compact" || e.Rule.Name == "base64url" {
				t.Errorf("got %v, want a right signature and then %v", err, vec.want)
			}
			_, err = p.FrontChannel(t.Context(), flipSignature(vec.token), verify.Expect{Nonce: "n"})
			wantRefusal(t, err, verify.ErrSignature, vec.token)
		})
	}
}

// TestRFC7519UnsecuredJWT: section 6.1 is the example of what nobody may accept.
func TestRFC7519UnsecuredJWT(t *testing.T) {
	t.Parallel()
	const unsecured = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
	tok := valid("RS256")
	_, err := tok.policy.TokenEndpoint(t.Context(), unsecured, tok.expect)
	wantRefusal(t, err, verify.ErrAlgorithm, unsecured)
}

// TestCoreHashVectors: OpenID Connect Core A.3, A.4 and A.6 print these hashes for their code and access token, RS256.
func TestCoreHashVectors(t *testing.T) {
	t.Parallel()
	const (
		coreCode, coreCodeHash   = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk", "LDktKdoQak3Pk0cnXxCltA"
		coreToken, coreTokenHash = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"
	)
	for _, e := range []verify.Expect{
		{Nonce: nonce, Code: coreCode, AccessToken: coreToken},
		{Nonce: nonce, Code: coreCode},
		{Nonce: nonce, AccessToken: coreToken},
	} {
		tok := valid("RS256")
		tok.claims["c_hash"], tok.claims["at_hash"] = coreCodeHash, coreTokenHash
		delete(tok.claims, "s_hash")
		if _, err := tok.policy.FrontChannel(t.Context(), tok.raw(), e); err != nil {
			t.Error(err)
		}
	}
}

// TestHashes: B31, every algorithm takes its own hash, and no other.
func TestHashes(t *testing.T) {
	t.Parallel()
	for _, alg := range everyAlgorithm {
		for _, by := range []string{"RS256", "RS384", "RS512"} {
			tok := valid(alg)
			tok.claims["c_hash"] = half(by, code)
			raw := tok.raw()
			_, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
			if hashOf(by) == hashOf(alg) {
				if err != nil {
					t.Errorf("%s: %v", alg, err)
				}
				continue
			}
			wantRefusal(t, err, verify.ErrCodeHash, raw)
		}
	}
}

// TestCoreTokens: the ID Tokens that OpenID Connect Core prints in appendix A for response types with id_token, with the
// key of A.7, whole. The last one is of an earlier edition, which signed a token with both hashes with another key.
func TestCoreTokens(t *testing.T) {
	t.Parallel()
	const (
		payload = "ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIiwKICJzdWIiOiAiMjQ4Mjg5NzYxMDAxIiwKICJhdWQiOiAiczZCaGRSa3F0MyIsCiAibm9uY2UiOiAibi0wUzZfV3pBMk1qIiwKICJleHAiOiAxMzExMjgxOTcwLAogImlhdCI6IDEzMTEyODA5NzAsCi"
		n       = "w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4VhfJAjEsOcwYzay7XGN0b-X84BfC8hmCTOj2b2eHT7NsZegFPKRUQzJ9wW8ipn_aDJWMGDuB1XyqT1E7DYqjUCEOD1b4FLpy_xPn6oV_TYOfQ9fZdbE5HGxJUzekuGcOKqOQ8M7wfYHhHHLxGpQVgL0apWuP2gDDOdTtpuld4D2LK1MZK99s9gaSjRHE8JDb1Z4IGhEcEyzkxswVdPndUWzfvWBBWXWxtSUvQGBRkuy1BHOa4sP6FKjWEeeF7gm7UMs2Nm2QUgNZw6xvEDGaLk4KASdIxRQ"
		oldN    = "zhEWTBJVTfcUeqnMzOQFMCEVQWOyOUZwP8LrBWh88tKrZyPGCvBkTDp-E2BzyHMQV4pK51Uys2YOwzL9se5THDWMda9rtsCJVcj1V7WaE7wPgl-kIIdWWf4o2g6ZszOy_Fp4q0nG3OTtDRCkBu2iEP21j82pRSRrkCBxnzaChflA7KZbI1n_yhKtxyA7FdA480LaSVZyKApvrKiYhocACSwf0y6CQ-wkEi6mVXRJt1aBSywlLYA08ojp5hkZQ39eCM2k1EdXdhbar998Q9PZTwXA1cfvuGTZbDWxEKLjMKVuKrT1Yvs-2NTXhZAW1KjFS_3UwLkDk-w4dVN-x5tDnw"
	)
	for _, vec := range []struct {
		name, n, kid, token string
		hashes              string
	}{
		{"at_hash", n, "1e9gdk7", "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ." + payload + "AiYXRfaGFzaCI6ICI3N1FtVVB0alBmeld0RjJBbnBLOVJRIgp9" +
			".F9gRev0Dt2tKcrBkHy72cmRqnLdzw9FLCCSebV7mWs7o_sv2O5s6zMky2kmhHTVx9HmdvNnx9GaZ8XMYRFeYk8L5NZ7aYlA5W56nsG1iWOou_-gji0ibWIuuf4Owaho3YSoi7EvsTuLFz6tq-dLyz0dKABMDsiCmJ5wqkPUDTE3QTXjzbUmOzUDli-gCh5QPuZAq0cNW3pf_2n4zpvTYtbmj12cVcxGIMZby7TMWESRjQ9_o3jvhVNcCGcE0KAQXejhA1ocJhNEvQNqMFGlBb6_0RxxKjDZ-Oa329eGDidOvvp0h5hoES4a8IuGKS7NOcpp-aFwp0qVMDLI-Xnm-Pg", "a"},
		{"c_hash", n, "1e9gdk7", "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ." + payload + "AiY19oYXNoIjogIkxEa3RLZG9RYWszUGswY25YeENsdEEiCn0" +
			".XW6uhdrkBgcGx6zVIrCiROpWURs-4goO1sKA4m9jhJIImiGg5muPUcNegx6sSv43c5DSn37sxCRrDZZm4ZPBKKgtYASMcE20SDgvYJdJS0cyuFw7Ijp_7WnIjcrl6B5cmoM6ylCvsLMwkoQAxVublMwH10oAxjzD6NEFsu9nipkszWhsPePf_rM4eMpkmCbTzume-fzZIi5VjdWGGEmzTg32h3jiex-r5WTHbj-u5HL7u_KP3rmbdYNzlzd1xWRYTUs4E8nOTgzAUwvwXkIQhOh5TPcSMBYy6X3E7-_gr9Ue6n4ND7hTFhtjYs3cjNKIA08qm5cpVYFMFMG6PkhzLQ", "c"},
		{"both", oldN, "", "eyJhbGciOiJSUzI1NiJ9.ew0KICJpc3MiOiAiaHR0cDovL3NlcnZlci5leGFtcGxlLmNvbSIsDQogInN1YiI6ICIyNDgyODk3NjEwMDEiLA0KICJhdWQiOiAiczZCaGRSa3F0MyIsDQogIm5vbmNlIjogIm4tMFM2X1d6QTJNaiIsDQogImV4cCI6IDEzMTEyODE5NzAsDQogImlhdCI6IDEzMTEyODA5NzAsDQogImF0X2hhc2giOiAiNzdRbVVQdGpQZnpXdEYyQW5wSzlSUSIsDQogImNfaGFzaCI6ICJMRGt0S2RvUWFrM1BrMGNuWHhDbHRBIg0KfQ" +
			".JQthrBsOirujair9aD5gj1Yd5qEv0j4fhLgl8h3RaH3soYhwPOiN2Iy_yb7wMCO6I3bPoGJc3zCkpjgUtdB4O2eEhFqXHdwnE4c0oVTaTHJi_PdV2ox9g-1ikDB0ckWk0f0SzBd7yM2RoYYxJCiGBQlsSSRQz6ehykonI3hLAhXFdpfbK-3_a3HBNKOv_9Mr_JJrz2pqSygk5IBNvwzf1ouVeM91KKvr7EdriKN8ysk68fctbFAga1p8rE3cfBOX7Acn4p9QSNpUx0i_x4WHktyKDvH_hLdUw91Fql_UOgMP_9h8TYdkAjcq8n1tFzaO7kVaazlZ5SM32J7OSDgNSA", "ac"},
	} {
		t.Run(vec.name, func(t *testing.T) {
			t.Parallel()
			p := verify.Policy{
				Issuer: "http://server.example.com", ClientID: "s6BhdRkqt3", Now: func() time.Time { return time.Unix(1311280980, 0) },
				Keys: verify.StaticKeys(verify.Key{ID: vec.kid, Public: &rsa.PublicKey{N: intOf(vec.n), E: 65537}}),
			}
			e := verify.Expect{Nonce: "n-0S6_WzA2Mj"}
			if strings.Contains(vec.hashes, "a") {
				e.AccessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
			}
			if strings.Contains(vec.hashes, "c") {
				e.Code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"
			}
			got, err := p.FrontChannel(t.Context(), vec.token, e)
			if err != nil || got.Subject != "248289761001" {
				t.Errorf("got %v", err)
			}
		})
	}
}
