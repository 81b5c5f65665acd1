package optest

import (
	"encoding/json"
	"slices"
	"strings"
)

// claimAttacks are group B of the catalogue: the claims of the ID Token that the browser brings, under a good signature.
func claimAttacks() []Attack {
	return bind(false, isResponse, slices.Concat(partyRows, timeRows, nonceRows, codeHashRows, kindRows))
}

// partyRows are about iss, sub, aud and azp.
var partyRows = []row{
	{"B01", "iss_missing", RefuseUnspent, noClaim("iss")},
	{"B01", "iss_null", RefuseUnspent, claim("iss", nil)},
	{"B01", "iss_number", RefuseUnspent, claim("iss", 7)},
	{"B01", "iss_in_an_array", RefuseUnspent, func(a *Answer) { a.Claims["iss"] = []string{a.handler.issuer} }},
	{"B01", "iss_empty", RefuseUnspent, claim("iss", "")},
	{"B02", "iss_wrong", RefuseUnspent, claim("iss", "https://evil.example")},
	{"B02", "iss_prefix_of_ours", RefuseUnspent, issuer(func(s string) string { return s[:len(s)-1] })},
	{"B02", "iss_suffix_of_ours", RefuseUnspent, issuer(func(s string) string { return s[strings.Index(s, "//")+2:] })},
	{"B02", "iss_longer_than_ours", RefuseUnspent, issuer(appended(".evil.example"))},
	{"B02", "iss_with_another_slash", RefuseUnspent, issuer(appended("/"))},
	{"B02", "iss_in_another_case", RefuseUnspent, issuer(strings.ToUpper)},
	{"B02", "iss_homograph", RefuseUnspent, issuer(func(s string) string { return strings.Replace(s, "o", "о", 1) })},
	{"B03", "sub_missing", RefuseUnspent, noClaim("sub")},
	{"B03", "sub_empty", RefuseUnspent, claim("sub", "")},
	{"B03", "sub_null", RefuseUnspent, claim("sub", nil)},
	{"B03", "sub_number", RefuseUnspent, claim("sub", 7)},
	{"B03", "sub_of_256_bytes", RefuseUnspent, long(claim, "sub", 256)},
	{"B03", "sub_not_ASCII", RefuseUnspent, claim("sub", "älice")},
	{"B03", "sub_with_a_line_break", RefuseUnspent, claim("sub", "alice\r\nX-Optest: 1")},
	{"B04", "aud_missing", RefuseUnspent, noClaim("aud")},
	{"B05", "aud_wrong", RefuseUnspent, claim("aud", "another-client")},
	{"B06", "aud_empty_array", RefuseUnspent, claim("aud", []string{})},
	{"B06", "aud_of_an_empty_string", RefuseUnspent, claim("aud", []string{""})},
	{"B06", "aud_null", RefuseUnspent, claim("aud", nil)},
	{"B06", "aud_with_a_number", RefuseUnspent, clientClaim(func(id string) any { return []any{id, 7} })},
	{"B06", "aud_object", RefuseUnspent, clientClaim(func(id string) any { return map[string]string{"0": id} })},
	{"B06", "aud_nested", RefuseUnspent, clientClaim(func(id string) any { return []any{[]string{id}} })},
	{"B07", "aud_array_of_the_client", Accept, clientClaim(func(id string) any { return []string{id} })},
	{"B08", "aud_with_another_and_no_azp", RefuseUnspent, all(noClaim("azp"), clientClaim(func(id string) any { return []string{id, "other"} }))},
	{"B09", "aud_with_another_and_azp", RefuseUnspent, clientClaim(func(id string) any { return []string{id, "other"} })},
	{"B10", "azp_of_another_client", RefuseUnspent, claim("azp", "another-client")},
	{"B10", "azp_not_a_string", RefuseUnspent, editClaim("azp", func(id string) any { return []string{id} })},
	{"B10", "azp_missing", Accept, noClaim("azp")},
	{"B11", "aud_in_another_case", RefuseUnspent, clientClaim(func(id string) any { return swapCase(id) })},
	{"B11", "aud_with_a_space", RefuseUnspent, clientClaim(func(id string) any { return id + " " })},
	{"B11", "aud_prefix", RefuseUnspent, clientClaim(func(id string) any { return id[:len(id)-1] })},
}

// timeRows are about exp, iat, nbf and auth_time.
var timeRows = []row{
	{"B12", "exp_missing", RefuseUnspent, noClaim("exp")},
	{"B12", "exp_null", RefuseUnspent, claim("exp", nil)},
	{"B12", "exp_string", RefuseUnspent, claim("exp", "9999999999")},
	{"B12", "exp_bool", RefuseUnspent, claim("exp", true)},
	{"B13", "exp_past_within_the_skew", Accept, all(fromNow("iat", -60), fromNow("exp", -5))},
	{"B13", "exp_past", RefuseUnspent, all(fromNow("iat", -600), fromNow("exp", -301))},
	{"B14", "exp_with_a_fraction", Accept, func(a *Answer) { a.Claims["exp"] = float64(a.handler.now().Unix()) + 600.5 }},
	{"B14", "exp_1e300", RefuseUnspent, claim("exp", json.RawMessage("1e300"))},
	{"B14", "exp_1E400", RefuseUnspent, claim("exp", json.RawMessage("1E400"))},
	{"B14", "exp_negative", RefuseUnspent, claim("exp", -1)},
	{"B14", "exp_zero", RefuseUnspent, claim("exp", 0)},
	{"B14", "exp_2_to_the_63", RefuseUnspent, claim("exp", json.RawMessage("9223372036854775808"))},
	{"B14", "exp_2_to_the_63_less_one", RefuseUnspent, claim("exp", json.RawMessage("9223372036854775807"))},
	{"B15", "exp_in_a_hundred_years", RefuseUnspent, fromNow("exp", 100*365*86400)},
	{"B16", "iat_missing", RefuseUnspent, noClaim("iat")},
	{"B16", "iat_string", RefuseUnspent, claim("iat", "1")},
	{"B17", "iat_in_the_future", RefuseUnspent, fromNow("iat", 600)},
	{"B18", "iat_a_week_old", RefuseUnspent, fromNow("iat", -7*86400)},
	{"B19", "iat_after_exp", RefuseUnspent, all(fromNow("iat", 2), fromNow("exp", 1))},
	{"B20", "nbf_in_the_future", RefuseUnspent, fromNow("nbf", 600)},
	{"B20", "nbf_not_a_number", RefuseUnspent, claim("nbf", "0")},
	{"B35", "auth_time_in_the_future", RefuseUnspent, fromNow("auth_time", 600)},
	{"B35", "auth_time_not_a_number", RefuseUnspent, claim("auth_time", "1")},
	{"B36", "acr_not_a_string", RefuseUnspent, claim("acr", 2)},
	{"B38", "sid_not_a_string", RefuseUnspent, claim("sid", 7)},
	{"B38", "sid_of_30_KB", RefuseUnspent, long(claim, "sid", 30<<10)},
}

var nonceRows = []row{
	{"B21", "nonce_missing", RefuseUnspent, noClaim("nonce")},
	{"B21", "nonce_empty", RefuseUnspent, claim("nonce", "")},
	{"B22", "nonce_wrong", RefuseUnspent, claim("nonce", "other")},
	{"B22", "nonce_null", RefuseUnspent, claim("nonce", nil)},
	{"B22", "nonce_number", RefuseUnspent, claim("nonce", 1)},
	{"B22", "nonce_in_an_array", RefuseUnspent, editClaim("nonce", func(s string) any { return []string{s} })},
	{"B22", "nonce_prefix", RefuseUnspent, editClaim("nonce", func(s string) any { return s[:len(s)-1] })},
	{"B22", "nonce_in_another_case", RefuseUnspent, editClaim("nonce", func(s string) any { return swapCase(s) })},
	{"B22", "nonce_with_a_space", RefuseUnspent, editClaim("nonce", func(s string) any { return s + " " })},
}

var codeHashRows = []row{
	{"B26", "c_hash_missing", RefuseUnspent, noClaim("c_hash")},
	{"B27", "c_hash_of_another_code", RefuseUnspent, func(a *Answer) { a.Claims["c_hash"] = HalfHash(a.handler.config.Algorithm, "other") }},
	{"B28", "c_hash_whole_instead_of_half", RefuseUnspent, func(a *Answer) {
		a.Claims["c_hash"] = wholeHash(a.handler.config.Algorithm, a.Params.Get("code"))
	}},
	{"B29", "c_hash_empty", RefuseUnspent, claim("c_hash", "")},
	{"B29", "c_hash_of_one_byte", RefuseUnspent, editClaim("c_hash", func(s string) any {
		sum, _ := b64.DecodeString(s)
		return b64.EncodeToString(sum[:1])
	})},
	{"B29", "c_hash_one_character_short", RefuseUnspent, editClaim("c_hash", func(s string) any { return s[:len(s)-1] })},
	{"B30", "c_hash_padded", RefuseUnspent, editClaim("c_hash", func(s string) any { return s + "==" })},
	{"B30", "c_hash_with_a_space", RefuseUnspent, editClaim("c_hash", func(s string) any { return s + " " })},
	{"B31", "c_hash_by_another_hash", RefuseUnspent, func(a *Answer) {
		other := "RS512"
		if hashOf(a.handler.config.Algorithm) == hashOf(other) {
			other = "RS256"
		}
		a.Claims["c_hash"] = HalfHash(other, a.Params.Get("code"))
	}},
	{"B33", "c_hash_null", RefuseUnspent, claim("c_hash", nil)},
	{"B33", "c_hash_number", RefuseUnspent, claim("c_hash", 1)},
	{"B33", "c_hash_in_an_array", RefuseUnspent, editClaim("c_hash", func(s string) any { return []string{s} })},
}

// kindRows are tokens of another kind, and claims that mean nothing to a login.
var kindRows = []row{
	{"B39", "claims_with_hostile_names", Accept, all(claim("__proto__", map[string]any{"admin": true}), claim("X-User\r\nX-Optest", "1"))},
	{"B42", "access_token", RefuseUnspent, headed("typ", "at+jwt")},
	{"B42", "access_token_by_its_media_type", RefuseUnspent, headed("typ", "application/at+jwt")},
	{"B42", "logout_token", RefuseUnspent, headed("typ", "logout+jwt")},
	{"B42", "logout_token_by_its_events", RefuseUnspent, claim("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})},
	{"B42", "typ_not_a_string", RefuseUnspent, headed("typ", 1)},
	{"B42", "typ_missing", Accept, func(a *Answer) { delete(a.Header, "typ") }},
	{"B43", "UserInfo_answer", RefuseUnspent, noClaim("nonce", "exp", "iat", "c_hash", "at_hash", "s_hash", "auth_time", "azp", "sid", "amr")},
	{"B43", "request_object", RefuseUnspent, func(a *Answer) {
		a.Claims["iss"], a.Claims["aud"] = a.Claims["aud"], a.handler.issuer
		noClaim("sub", "c_hash", "at_hash", "s_hash", "auth_time", "azp", "sid", "amr")(a)
	}},
	{"B44", "distributed_claims", Accept, all(
		claim("_claim_names", map[string]any{"groups": "far"}),
		claim("_claim_sources", map[string]any{"far": map[string]any{"endpoint": "http://169.254.169.254/"}}),
	)},
}

// issuer changes the claim iss.
func issuer(f func(string) string) func(*Answer) {
	return func(a *Answer) { a.Claims["iss"] = f(a.handler.issuer) }
}

// editClaim changes a claim that is a string.
func editClaim(name string, f func(string) any) func(*Answer) {
	return func(a *Answer) {
		text, _ := a.Claims[name].(string)
		a.Claims[name] = f(text)
	}
}

// clientClaim changes the claim aud, which is a string in honest tokens.
func clientClaim(f func(id string) any) func(*Answer) { return editClaim("aud", f) }
