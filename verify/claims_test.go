package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// claimRows hold on every channel: group B of the attack catalogue, as far as it is about one token by itself.
var claimRows = []row{
	{"B01_iss_missing", verify.ErrIssuer, without("iss")},
	{"B01_iss_null", verify.ErrIssuer, set("iss", nil)},
	{"B01_iss_number", verify.ErrIssuer, set("iss", 7)},
	{"B01_iss_array", verify.ErrIssuer, set("iss", []string{issuer})},
	{"B01_iss_empty", verify.ErrIssuer, set("iss", "")},
	{"B02_iss_wrong", verify.ErrIssuer, set("iss", "https://evil.example.com/")},
	{"B02_iss_prefix_of_the_expected", verify.ErrIssuer, set("iss", "https://login.example.co")},
	{"B02_iss_suffix_of_the_expected", verify.ErrIssuer, set("iss", "login.example.com/")},
	{"B02_iss_longer_than_the_expected", verify.ErrIssuer, set("iss", issuer+"a")},
	{"B02_iss_without_trailing_slash", verify.ErrIssuer, set("iss", "https://login.example.com")},
	{"B02_iss_case", verify.ErrIssuer, set("iss", "https://Login.example.com/")},
	{"B02_iss_default_port", verify.ErrIssuer, set("iss", "https://login.example.com:443/")},
	{"B02_iss_homograph", verify.ErrIssuer, set("iss", "https://lоgin.example.com/")},
	{"B02_iss_punycode", verify.ErrIssuer, set("iss", "https://xn--lgin-wqa.example.com/")},
	{"B03_sub_missing", verify.ErrSubject, without("sub")},
	{"B03_sub_empty", verify.ErrSubject, set("sub", "")},
	{"B03_sub_null", verify.ErrSubject, set("sub", nil)},
	{"B03_sub_number", verify.ErrSubject, set("sub", 7)},
	{"B03_sub_of_256_bytes", verify.ErrSubject, set("sub", strings.Repeat("a", 256))},
	{"B03_sub_not_ASCII", verify.ErrSubject, set("sub", "älice")},
	{"B03_sub_with_control_character", verify.ErrSubject, set("sub", "alice\n")},
	{"B03_sub_with_delete_character", verify.ErrSubject, set("sub", "alice\x7f")},
	{"B04_aud_missing", verify.ErrAudience, without("aud")},
	{"B05_aud_wrong", verify.ErrAudience, set("aud", "client-2")},
	{"B06_aud_empty_array", verify.ErrAudience, set("aud", []string{})},
	{"B06_aud_of_one_empty_string", verify.ErrAudience, set("aud", []string{""})},
	{"B06_aud_with_a_number", verify.ErrAudience, set("aud", []any{client, 7})},
	{"B06_aud_object", verify.ErrAudience, set("aud", map[string]string{"0": client})},
	{"B06_aud_null", verify.ErrAudience, set("aud", nil)},
	{"B06_aud_nested", verify.ErrAudience, set("aud", []any{[]string{client}})},
	{"B07_aud_array_of_the_client", nil, set("aud", []string{client})},
	{"B07_aud_array_with_the_client_twice", nil, set("aud", []string{client, client})},
	{"B08_aud_with_another_and_no_azp", verify.ErrAudience, set("aud", []string{client, "other"})},
	{"B08_aud_with_a_trusted_one_and_no_azp", verify.ErrAuthorizedParty, func(t *token) {
		t.policy.Audiences = []string{"api"}
		t.claims["aud"] = []string{client, "api"}
	}},
	{"B09_aud_with_an_untrusted_one_and_azp", verify.ErrAudience, func(t *token) {
		t.claims["aud"], t.claims["azp"] = []string{client, "other"}, client
	}},
	{"B09_aud_with_a_trusted_one_and_azp", nil, func(t *token) {
		t.policy.Audiences = []string{"api"}
		t.claims["aud"], t.claims["azp"] = []string{"api", client}, client
	}},
	{"B09_aud_of_a_trusted_one_without_the_client", verify.ErrAudience, func(t *token) {
		t.policy.Audiences = []string{"api"}
		t.claims["aud"], t.claims["azp"] = "api", client
	}},
	{"B10_azp_of_another_client", verify.ErrAuthorizedParty, set("azp", "client-2")},
	{"B10_azp_array", verify.ErrAuthorizedParty, set("azp", []string{client})},
	{"B10_azp_null", verify.ErrAuthorizedParty, set("azp", nil)},
	{"B10_azp_empty", verify.ErrAuthorizedParty, set("azp", "")},
	{"B11_aud_case", verify.ErrAudience, set("aud", "Client-1")},
	{"B11_aud_whitespace", verify.ErrAudience, set("aud", client+" ")},
	{"B11_aud_prefix", verify.ErrAudience, set("aud", client[:6])},
	{"B12_exp_missing", verify.ErrExpired, without("exp")},
	{"B12_exp_null", verify.ErrExpired, set("exp", nil)},
	{"B12_exp_string", verify.ErrExpired, set("exp", "1800003600")},
	{"B12_exp_bool", verify.ErrExpired, set("exp", true)},
	{"B13_exp_past_within_leeway", nil, func(t *token) {
		t.claims["iat"], t.claims["exp"] = now.Unix()-60, now.Unix()-29
	}},
	{"B13_exp_past_at_the_edge_of_leeway", verify.ErrExpired, func(t *token) {
		t.claims["iat"], t.claims["exp"] = now.Unix()-60, now.Unix()-30
	}},
	{"B14_exp_with_a_fraction", nil, claimText("exp", "1800000000.5")},
	{"B14_exp_1.8e9", nil, claimText("exp", "1.8000036e9")},
	{"B14_exp_1e300", verify.ErrExpired, claimText("exp", "1e300")},
	{"B14_exp_1E400", verify.ErrExpired, claimText("exp", "1E400")},
	{"B14_exp_minus_1", verify.ErrExpired, set("exp", -1)},
	{"B14_exp_0", verify.ErrExpired, set("exp", 0)},
	{"B14_exp_1.5", verify.ErrExpired, set("exp", 1.5)},
	{"B14_exp_2_to_the_63", verify.ErrExpired, claimText("exp", "9223372036854775808")},
	{"B14_exp_largest_int64", verify.ErrExpired, claimText("exp", "9223372036854775807")},
	{"B14_exp_numeric_string", verify.ErrExpired, set("exp", "1e9")},
	{"B14_exp_NaN", verify.ErrMalformed, func(t *token) { t.rawClaims = strings.Replace(t.json(), `"exp":1800003600`, `"exp":NaN`, 1) }},
	{"B14_exp_Infinity", verify.ErrMalformed, func(t *token) { t.rawClaims = strings.Replace(t.json(), `"exp":1800003600`, `"exp":Infinity`, 1) }},
	{"B15_exp_in_a_hundred_years", verify.ErrExpired, set("exp", now.Unix()+100*365*86400)},
	{"B16_iat_missing", verify.ErrIssuedAt, without("iat")},
	{"B16_iat_string", verify.ErrIssuedAt, set("iat", fmt.Sprint(now.Unix()))},
	{"B16_iat_null", verify.ErrIssuedAt, set("iat", nil)},
	{"B17_iat_in_the_future_beyond_leeway", verify.ErrIssuedAt, set("iat", now.Unix()+31)},
	{"B17_iat_in_the_future_within_leeway", nil, set("iat", now.Unix()+30)},
	{"B17_iat_a_year_ahead", verify.ErrIssuedAt, set("iat", now.Unix()+365*86400)},
	{"B19_iat_after_exp", verify.ErrIssuedAt, func(t *token) { t.claims["iat"], t.claims["exp"] = now.Unix(), now.Unix()-1 }},
	{"B20_nbf_in_the_future", verify.ErrNotBefore, set("nbf", now.Unix()+31)},
	{"B20_nbf_in_the_future_within_leeway", nil, set("nbf", now.Unix()+30)},
	{"B20_nbf_string", verify.ErrNotBefore, set("nbf", "0")},
	{"B20_nbf_zero_as_old_Keycloak_sends_it", nil, set("nbf", 0)},
	{"B35_auth_time_in_the_future", verify.ErrAuthTime, set("auth_time", now.Unix()+31)},
	{"B35_auth_time_negative", verify.ErrAuthTime, set("auth_time", -1)},
	{"B35_auth_time_negative_fraction", verify.ErrAuthTime, set("auth_time", -0.5)},
	{"B35_auth_time_largest_int64", verify.ErrAuthTime, claimText("auth_time", "9223372036854775807")},
	{"B35_auth_time_1e300", verify.ErrAuthTime, claimText("auth_time", "1e300")},
	{"B20_nbf_largest_int64", verify.ErrNotBefore, claimText("nbf", "9223372036854775807")},
	{"B20_nbf_1e300", verify.ErrNotBefore, claimText("nbf", "1e300")},
	{"B35_auth_time_string", verify.ErrAuthTime, set("auth_time", fmt.Sprint(now.Unix()))},
	{"B36_acr_number", verify.ErrACR, set("acr", 2)},
	{"B38_sid_number", verify.ErrMalformed, set("sid", 7)},
	{"B38_sid_empty", verify.ErrMalformed, set("sid", "")},
	{"B38_sid_of_256_bytes", verify.ErrMalformed, set("sid", strings.Repeat("s", 256))},
	{"B38_sid_of_a_megabyte", verify.ErrMalformed, set("sid", strings.Repeat("s", 1<<20))},
	{"B38_sid_with_line_break", verify.ErrMalformed, set("sid", "a\r\nb")},
	{"B38_amr_number", verify.ErrMalformed, set("amr", 7)},
	{"B38_amr_of_numbers", verify.ErrMalformed, set("amr", []int{1})},
	{"amr_string", nil, set("amr", "pwd")},
	{"amr_null", nil, set("amr", nil)},
	{"amr_empty", nil, set("amr", []string{})},
	{"B39_hostile_names_are_data", nil, moreClaims(`,"__proto__":{"admin":true},"OIDC_x":"1","X-User\r\nEvil":"1","":2`)},
	{"B42_access_token", verify.ErrType, header("typ", "at+jwt")},
	{"B42_access_token_with_media_type", verify.ErrType, header("typ", "application/at+jwt")},
	{"B42_access_token_in_another_case", verify.ErrType, header("typ", "AT+JWT")},
	{"B42_logout_token", verify.ErrType, header("typ", "logout+jwt")},
	{"B42_security_event_token", verify.ErrType, header("typ", "secevent+jwt")},
	{"B42_typ_number", verify.ErrType, header("typ", 1)},
	{"B42_typ_null", verify.ErrType, header("typ", nil)},
	{"B42_typ_absent", nil, withoutHeader("typ")},
	{"B42_typ_lower_case", nil, header("typ", "jwt")},
	{"B42_events_claim", verify.ErrType, set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})},
	{"B43_UserInfo_answer", verify.ErrExpired, func(t *token) {
		t.claims = map[string]any{"iss": issuer, "aud": client, "sub": "alice", "name": "Alice"}
	}},
	{"B43_request_object", verify.ErrIssuer, func(t *token) {
		t.claims = map[string]any{"iss": client, "aud": issuer, "client_id": client, "nonce": nonce, "exp": now.Unix() + 60, "iat": now.Unix()}
	}},
	{"B44_distributed_claims_are_data", nil, moreClaims(`,"_claim_names":{"a":"s"},"_claim_sources":{"s":{"endpoint":"http://169.254.169.254/"}}`)},
}

// loginRows hold for the ID Tokens of a login, on both channels.
var loginRows = []row{
	{"B03_sub_of_255_bytes", nil, set("sub", strings.Repeat("a", 255))},
	{"B03_sub_with_every_printable_character", nil, set("sub", " alice!~")},
	{"B35_auth_time_zero_as_old_Keycloak_sends_it", nil, set("auth_time", 0)},
	{"B35_auth_time_zero_with_a_point", nil, claimText("auth_time", "0.0")},
	{"B18_iat_a_week_old", verify.ErrIssuedAt, set("iat", now.Unix()-7*86400)},
	{"B18_iat_as_old_as_MaxIssued_and_leeway", nil, set("iat", now.Unix()-630)},
	{"B18_iat_older_than_MaxIssued_and_leeway", verify.ErrIssuedAt, set("iat", now.Unix()-631)},
	{"B18_iat_older_than_a_MaxIssued_of_its_own", verify.ErrIssuedAt, func(t *token) {
		t.policy.MaxIssued, t.claims["iat"] = time.Minute, now.Unix()-91
	}},
	{"B21_nonce_missing", verify.ErrNonce, without("nonce")},
	{"B21_nonce_not_expected_is_not_skipped", verify.ErrNonce, func(t *token) { t.expect.Nonce = "" }},
	{"B21_nonce_empty_on_both_sides", verify.ErrNonce, func(t *token) { t.expect.Nonce, t.claims["nonce"] = "", "" }},
	{"B22_nonce_wrong", verify.ErrNonce, set("nonce", "another")},
	{"B22_nonce_array", verify.ErrNonce, set("nonce", []string{nonce})},
	{"B22_nonce_number", verify.ErrNonce, set("nonce", 1)},
	{"B22_nonce_null", verify.ErrNonce, set("nonce", nil)},
	{"B22_nonce_prefix", verify.ErrNonce, set("nonce", nonce[:10])},
	{"B22_nonce_case", verify.ErrNonce, set("nonce", strings.ToUpper(nonce))},
	{"B22_nonce_trailing_space", verify.ErrNonce, set("nonce", nonce+" ")},
	{"B23_nonce_of_another_tab", verify.ErrNonce, func(t *token) { t.expect.Nonce = "nonce-of-the-other-tab" }},
	{"B35_auth_time_missing_although_max_age_was_sent", verify.ErrAuthTime, func(t *token) {
		delete(t.claims, "auth_time")
		t.expect.MaxAge = new(time.Hour)
	}},
	{"B35_auth_time_too_old", verify.ErrAuthTime, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge = now.Unix()-3631, new(time.Hour)
	}},
	{"B35_auth_time_as_old_as_max_age_and_leeway", nil, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge = now.Unix()-3630, new(time.Hour)
	}},
	{"B35_auth_time_after_the_request_however_long_the_user_takes", nil, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge, t.expect.RequestedAt = now.Unix()-500, new(time.Duration), now.Add(-520*time.Second)
	}},
	{"B35_auth_time_before_the_request", verify.ErrAuthTime, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge, t.expect.RequestedAt = now.Unix()-500, new(time.Duration), now.Add(-469*time.Second)
	}},
	{"B35_a_request_from_the_future_counts_from_now", verify.ErrAuthTime, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge, t.expect.RequestedAt = now.Unix()-31, new(time.Duration), now.Add(time.Hour)
	}},
	{"B35_max_age_0_is_a_limit", verify.ErrAuthTime, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge = now.Unix()-31, new(time.Duration)
	}},
	{"B36_acr_not_in_the_essential_list", verify.ErrACR, func(t *token) { t.expect.ACR = []string{"urn:example:platinum"} }},
	{"B36_acr_missing_although_essential", verify.ErrACR, func(t *token) {
		delete(t.claims, "acr")
		t.expect.ACR = []string{"urn:example:gold"}
	}},
	{"B36_acr_empty_list_accepts_nothing", verify.ErrACR, func(t *token) { t.expect.ACR = []string{} }},
	{"B36_acr_in_the_essential_list", nil, func(t *token) { t.expect.ACR = []string{"urn:example:silver", "urn:example:gold"} }},
	{"B37_max_age_is_enforced_here_as_rp_keeps_it_in_the_transaction", verify.ErrAuthTime, func(t *token) {
		t.claims["auth_time"], t.expect.MaxAge = now.Unix()-120, new(time.Minute)
	}},
	{"requested_sub_is_another_user", verify.ErrClaim, func(t *token) { t.expect.Claims = map[string]string{"sub": "bob"} }},
	{"requested_organization_missing", verify.ErrClaim, func(t *token) { t.expect.Claims = map[string]string{"org_id": "org-1"} }},
	{"requested_organization_wrong", verify.ErrClaim, func(t *token) {
		t.claims["org_id"] = "org-2"
		t.expect.Claims = map[string]string{"org_id": "org-1", "sub": "alice"}
	}},
	{"requested_organization_not_a_string", verify.ErrClaim, func(t *token) {
		t.claims["org_id"] = []string{"org-1"}
		t.expect.Claims = map[string]string{"org_id": "org-1"}
	}},
	{"requested_empty_value_is_not_met_by_absence", verify.ErrClaim, func(t *token) { t.expect.Claims = map[string]string{"hd": ""} }},
	{"requested_claims_as_requested", nil, func(t *token) {
		t.claims["org_id"] = "org-1"
		t.expect.Claims = map[string]string{"org_id": "org-1", "sub": "alice"}
	}},
	{"A56_s_hash_wrong", verify.ErrStateHash, set("s_hash", half("ES256", "another-state"))},
	{"A56_s_hash_missing_outside_FAPI", nil, without("s_hash")},
	{"A56_s_hash_number", verify.ErrStateHash, set("s_hash", 1)},
	{"A56_s_hash_with_no_state_to_compare", verify.ErrStateHash, func(t *token) { t.expect.State = "" }},
	{"A56_s_hash_of_nothing_with_no_state_to_compare", verify.ErrStateHash, func(t *token) {
		t.expect.State, t.claims["s_hash"] = "", half("ES256", "")
	}},
	{"B27_c_hash_of_another_code", verify.ErrCodeHash, set("c_hash", half("ES256", "another-code"))},
	{"B28_c_hash_whole_instead_of_half", verify.ErrCodeHash, set("c_hash", b64(sum(hashOf("ES256"), code)))},
	{"B29_c_hash_of_one_byte", verify.ErrCodeHash, set("c_hash", b64(sum(hashOf("ES256"), code)[:1]))},
	{"B29_c_hash_one_character_short", verify.ErrCodeHash, set("c_hash", half("ES256", code)[:21])},
	{"B29_c_hash_empty", verify.ErrCodeHash, set("c_hash", "")},
	{"B30_c_hash_padded", verify.ErrCodeHash, set("c_hash", half("ES256", code)+"==")},
	{"B30_c_hash_with_trailing_space", verify.ErrCodeHash, set("c_hash", half("ES256", code)+" ")},
	{"B30_c_hash_in_the_standard_alphabet", verify.ErrCodeHash, func(t *token) {
		t.expect.Code = "code-0" // its hash has both _ and -
		for !strings.ContainsAny(half("ES256", t.expect.Code), "-_") {
			t.expect.Code += "0"
		}
		t.claims["c_hash"] = strings.NewReplacer("-", "+", "_", "/").Replace(half("ES256", t.expect.Code))
	}},
	{"B31_c_hash_by_SHA-256_although_alg_is_RS512", verify.ErrCodeHash, wrongHash("RS512")},
	{"B31_c_hash_by_SHA-256_although_alg_is_ES384", verify.ErrCodeHash, wrongHash("ES384")},
	{"B31_c_hash_by_SHA-256_although_alg_is_PS512", verify.ErrCodeHash, wrongHash("PS512")},
	{"B31_c_hash_by_SHA-256_although_alg_is_EdDSA", verify.ErrCodeHash, wrongHash("EdDSA")},
	{"B31_c_hash_by_SHA-256_although_alg_is_HS384", verify.ErrCodeHash, wrongHash("HS384")},
	{"B33_c_hash_array", verify.ErrCodeHash, set("c_hash", []string{half("ES256", code)})},
	{"B33_c_hash_number", verify.ErrCodeHash, set("c_hash", 1)},
	{"B33_c_hash_null", verify.ErrCodeHash, set("c_hash", nil)},
	{"A20_at_hash_wrong", verify.ErrAccessTokenHash, set("at_hash", half("ES256", "another-token"))},
	{"A20_at_hash_number", verify.ErrAccessTokenHash, set("at_hash", 1)},
}

// frontRows hold in the browser's answer only.
var frontRows = []row{
	{"A20_at_hash_missing_beside_an_access_token", verify.ErrAccessTokenHash, without("at_hash")},
	{"B26_c_hash_missing", verify.ErrCodeHash, without("c_hash")},
	{"B34_at_hash_without_access_token", nil, func(t *token) { t.expect.AccessToken, t.claims["at_hash"] = "", 7 }},
	{"B34_c_hash_without_code", nil, func(t *token) { t.expect.Code, t.claims["c_hash"] = "", 7 }},
	{"B34_no_hash_and_nothing_to_hash", nil, func(t *token) {
		t.expect.Code, t.expect.AccessToken = "", ""
		delete(t.claims, "c_hash")
		delete(t.claims, "at_hash")
	}},
}

// B24, nonce replay, does not apply: this package keeps no nonces; the code's single use (rp) and the done marker
// (middleware) bound a replay.
// B25 does not apply: there is no replay cache, so there is no cache to be down.
// B32, a hash of an unknown alg, has no path: an unknown Algorithm is refused by Policy.Validate (TestValidate), and
// TestHashes runs every known one.
// B40 is a promise of the docs and a matter of rp and middleware: a user is (iss, sub); verify decides nothing by email.
// B41, two providers and one sub, is middleware's: Issuer stands beside Subject in every IDToken.

func TestFrontChannel(t *testing.T) {
	t.Parallel()
	runRows(t, claimRows, frontChannel)
	runRows(t, loginRows, frontChannel)
	runRows(t, frontRows, frontChannel)
}

func wrongHash(alg string) func(*token) {
	return func(t *token) {
		*t = *valid(alg)
		t.claims["c_hash"] = half("RS256", code)
	}
}

func TestAcceptedTokenIsReadWhole(t *testing.T) {
	t.Parallel()
	for _, alg := range everyAlgorithm {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			tok := valid(alg)
			raw := tok.raw()
			got, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
			if err != nil {
				t.Fatal(err)
			}
			if got.Issuer != issuer || got.Subject != "alice" || got.SessionID != "session-1" || got.ACR != "urn:example:gold" ||
				got.Audience[0] != client || strings.Join(got.AMR, " ") != "pwd otp" || got.AuthorizedParty != "" ||
				!got.IssuedAt.Equal(now) || !got.Expiry.Equal(now.Add(time.Hour)) || !got.AuthTime.Equal(now.Add(-10*time.Second)) {
				t.Errorf("the fields differ from the claims")
			}
			if got.Raw() != raw {
				t.Errorf("Raw is not the token")
			}
			if r := got.Receipt(); r.Algorithm != alg || r.KeyID != "key-1" {
				t.Errorf("receipt of %s with key %q", r.Algorithm, r.KeyID)
			}
		})
	}
}
