package verify_test

import (
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// exchangeRows: group D of the attack catalogue, as far as it is about the second ID Token by itself. D15, D16, D19 and
// D20 compare both tokens: TestMatch.
var exchangeRows = []row{
	{"D17_aud_lacks_the_client", verify.ErrAudience, set("aud", []string{"api"})},
	{"D17_aud_with_an_untrusted_audience", verify.ErrAudience, set("aud", []string{client, "api"})},
	{"D17_azp_wrong", verify.ErrAuthorizedParty, set("azp", "client-2")},
	{"D17_aud_array", nil, set("aud", []string{client})},
	{"D18_nonce_missing", verify.ErrNonce, without("nonce")},
	{"D18_nonce_different", verify.ErrNonce, set("nonce", "another")},
	{"D21_at_hash_wrong", verify.ErrAccessTokenHash, set("at_hash", half("ES256", "another"))},
	{"D21_at_hash_null", verify.ErrAccessTokenHash, set("at_hash", nil)},
	{"D21_at_hash_of_an_access_token_that_nobody_gave", verify.ErrAccessTokenHash, func(t *token) { t.expect.AccessToken = "" }},
	{"D22_at_hash_absent", nil, without("at_hash")},
	{"D22_c_hash_absent", nil, without("c_hash")},
	{"D23_c_hash_wrong", verify.ErrCodeHash, set("c_hash", half("ES256", "another"))},
	{"D23_c_hash_of_a_code_that_nobody_gave", verify.ErrCodeHash, func(t *token) { t.expect.Code = "" }},
	{"D23_c_hash_of_nothing_and_no_code", verify.ErrCodeHash, func(t *token) { t.expect.Code, t.claims["c_hash"] = "", half("ES256", "") }},
	{"D24_unsigned", verify.ErrAlgorithm, func(t *token) { t.header["alg"], t.key = "none", nil }},
	{"D25_another_algorithm", verify.ErrAlgorithm, func(t *token) {
		*t = *valid("RS256")
		t.policy.Algorithm = "PS256"
	}},
	{"D25_bad_signature", verify.ErrSignature, func(t *token) { t.compact = flipSignature }},
	{"D26_the_same_bytes_as_the_first", nil, func(*token) {}},
	{"D27_expired", verify.ErrExpired, func(t *token) { t.claims["iat"], t.claims["exp"] = now.Unix()-300, now.Unix()-100 }},
	{"D27_iat_older_than_MaxIssued", verify.ErrIssuedAt, set("iat", now.Unix()-1000)},
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	runRows(t, claimRows, tokenEndpoint)
	runRows(t, loginRows, tokenEndpoint)
	runRows(t, exchangeRows, tokenEndpoint)
}

// refreshRows: Core 12.2. The previous token is the valid one.
var refreshRows = []row{
	{"E01_sub_differs", verify.ErrSubject, set("sub", "bob")},
	{"E01_iss_differs", verify.ErrIssuer, set("iss", "https://other.example.com/")},
	{"E02_aud_lacks_a_value_of_the_original", verify.ErrAudience, func(t *token) {
		t.policy.Audiences = []string{"api"}
		t.claims["aud"], t.claims["azp"] = []string{client}, client
	}},
	{"E02_auth_time_different", verify.ErrAuthTime, set("auth_time", now.Unix()-9)},
	{"E02_auth_time_absent", nil, without("auth_time")},
	{"E02_nonce_different", verify.ErrNonce, set("nonce", "another")},
	{"E02_nonce_null", verify.ErrNonce, set("nonce", nil)},
	{"E02_nonce_absent", nil, without("nonce")},
	{"E02_nonce_the_same", nil, set("nonce", nonce)},
	{"E02_azp_different", verify.ErrAuthorizedParty, set("azp", "client-2")},
	{"E02_azp_absent", nil, without("azp")},
	{"E03_bad_signature", verify.ErrSignature, func(t *token) { t.compact = flipSignature }},
	{"E03_unsigned", verify.ErrAlgorithm, func(t *token) { t.header["alg"], t.key = "none", nil }},
	{"B18_iat_is_not_bound_by_MaxIssued", nil, set("iat", now.Unix()-86400)},
	{"stale_hashes_are_ignored", nil, func(t *token) {
		t.claims["at_hash"], t.claims["c_hash"], t.claims["s_hash"] = "stale", "stale", "stale"
	}},
}

// refreshed verifies the token as the refreshed one of a login with two audiences, if the row trusts the second.
func refreshed(t *testing.T, tok *token) (*verify.IDToken, error) {
	first := valid("ES256")
	first.policy.Audiences = tok.policy.Audiences
	if tok.policy.Audiences != nil {
		first.claims["aud"], first.claims["azp"] = []string{client, "api"}, client
	} else if _, ok := tok.claims["azp"]; ok {
		first.claims["azp"] = client
	}
	previous, err := first.policy.TokenEndpoint(t.Context(), first.raw(), first.expect)
	if err != nil {
		t.Fatalf("the login: %v", err)
	}
	return tok.policy.Refreshed(t.Context(), tok.raw(), previous)
}

func TestRefreshed(t *testing.T) {
	t.Parallel()
	runRows(t, claimRows, refreshed)
	runRows(t, refreshRows, refreshed)

	t.Run("E02_azp_that_the_original_lacks", func(t *testing.T) {
		t.Parallel()
		first, tok := valid("ES256"), valid("ES256")
		previous, err := first.policy.TokenEndpoint(t.Context(), first.raw(), first.expect)
		if err != nil {
			t.Fatal(err)
		}
		tok.claims["azp"] = client
		raw := tok.raw()
		_, err = tok.policy.Refreshed(t.Context(), raw, previous)
		wantRefusal(t, err, verify.ErrAuthorizedParty, raw)
	})
	t.Run("E01_no_previous_token_is_no_reason_to_skip", func(t *testing.T) {
		t.Parallel()
		tok := valid("ES256")
		raw := tok.raw()
		for _, previous := range []*verify.IDToken{nil, {}} {
			_, err := tok.policy.Refreshed(t.Context(), raw, previous)
			wantRefusal(t, err, verify.ErrIssuer, raw)
		}
	})
	t.Run("E01_previous_token_of_another_issuer", func(t *testing.T) {
		t.Parallel()
		first, tok := valid("ES256"), valid("ES256")
		first.claims["iss"], first.policy.Issuer = "https://other.example.com/", "https://other.example.com/"
		previous := must(first.policy.TokenEndpoint(t.Context(), first.raw(), first.expect))
		_, err := tok.policy.Refreshed(t.Context(), tok.raw(), previous)
		wantRefusal(t, err, verify.ErrIssuer, tok.raw())
	})
	t.Run("nonce_after_a_refresh_that_had_none", func(t *testing.T) {
		t.Parallel()
		first, tok := valid("ES256"), valid("ES256")
		delete(first.claims, "nonce")
		login, err := tok.policy.TokenEndpoint(t.Context(), tok.raw(), tok.expect)
		if err != nil {
			t.Fatal(err)
		}
		previous, err := first.policy.Refreshed(t.Context(), first.raw(), login)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.policy.Refreshed(t.Context(), tok.raw(), previous); err != nil {
			t.Error(err)
		}
	})
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	base := func() *token {
		tok := valid("ES256")
		tok.claims = map[string]any{"sub": "alice", "iss": issuer, "aud": client, "email": "alice@example.com"}
		return tok
	}
	for _, r := range []row{
		{"as_the_specification_says", nil, func(*token) {}},
		{"without_iss_and_aud", nil, func(t *token) { delete(t.claims, "iss"); delete(t.claims, "aud") }},
		{"D42_sub_of_somebody_else", verify.ErrSubject, set("sub", "bob")},
		{"D42_sub_missing", verify.ErrSubject, without("sub")},
		{"D43_bad_signature", verify.ErrSignature, func(t *token) { t.compact = flipSignature }},
		{"D43_unsigned", verify.ErrAlgorithm, func(t *token) { t.header["alg"], t.key = "none", nil }},
		{"D43_encrypted", verify.ErrMalformed, func(t *token) { t.compact = func(string) string { return "a.b.c.d.e" } }},
		{"D43_plain_JSON", verify.ErrMalformed, func(t *token) { t.compact = func(string) string { return t.json() } }},
		{"wrong_iss", verify.ErrIssuer, set("iss", "https://evil.example.com/")},
		{"iss_null", verify.ErrIssuer, set("iss", nil)},
		{"wrong_aud", verify.ErrAudience, set("aud", "client-2")},
		{"expired", verify.ErrExpired, set("exp", now.Unix()-31)},
		{"logout_token", verify.ErrType, set("events", map[string]any{})},
		{"duplicate_sub", verify.ErrMalformed, moreClaims(`,"sub":"alice"`)},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			tok := base()
			r.change(tok)
			raw := tok.raw()
			claims, err := tok.policy.UserInfo(t.Context(), raw, "alice")
			if r.want == nil {
				if err != nil || string(claims) != tok.json() {
					t.Errorf("got %s, %v", claims, err)
				}
				return
			}
			if claims != nil {
				t.Error("claims beside an error")
			}
			wantRefusal(t, err, r.want, raw)
		})
	}
	t.Run("an_empty_subject_is_no_reason_to_skip", func(t *testing.T) {
		t.Parallel()
		tok := base()
		raw := tok.raw()
		_, err := tok.policy.UserInfo(t.Context(), raw, "")
		wantRefusal(t, err, verify.ErrSubject, raw)
	})
}
