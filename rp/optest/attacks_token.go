package optest

import (
	"net/http"
	"slices"
	"strings"
)

// tokenAttacks are group D of the catalogue: what the token endpoint answers to the code.
func tokenAttacks() []Attack {
	return bind(false, isTokens, slices.Concat(failureRows, documentRows, memberRows, secondRows))
}

// failureRows are answers that are no tokens.
var failureRows = []row{
	{"D02", "connection_reset", Refuse, func(a *Answer) { a.Reset = true }},
	{"D03", "500", Refuse, webPage(http.StatusInternalServerError)},
	{"D03", "503", Refuse, webPage(http.StatusServiceUnavailable)},
	{"D03", "400_and_a_page", Refuse, webPage(http.StatusBadRequest)},
	{"D03", "400_and_tokens", Refuse, func(a *Answer) { a.Status = http.StatusBadRequest }},
	{"D03", "201_and_tokens", Refuse, func(a *Answer) { a.Status = http.StatusCreated }},
	{"D04", "302", Refuse, webPage(http.StatusFound)},
	{"D04", "307", Refuse, webPage(http.StatusTemporaryRedirect)},
	{"D04", "308", Refuse, webPage(http.StatusPermanentRedirect)},
	{"D07", "invalid_grant", Refuse, tokenError("invalid_grant", http.StatusBadRequest)},
	{"D07", "invalid_grant_with_markup", Refuse, all(tokenError("invalid_grant", http.StatusBadRequest), member("error_description", markup))},
	{"D07", "invalid_grant_under_200", Refuse, tokenError("invalid_grant", http.StatusOK)},
	{"D07", "invalid_grant_beside_tokens", Refuse, member("error", "invalid_grant")},
	{"D08", "invalid_client", Refuse, tokenError("invalid_client", http.StatusUnauthorized)},
}

// documentRows are answers that are not the JSON that they should be.
var documentRows = []row{
	{"D05", "text_html", Refuse, func(a *Answer) { a.HTTPHeader.Set("Content-Type", "text/html") }},
	{"D05", "no_media_type", Refuse, func(a *Answer) { a.HTTPHeader.Set("Content-Type", "") }},
	{"D05", "media_type_with_a_charset", Accept, func(a *Answer) { a.HTTPHeader.Set("Content-Type", "Application/JSON; charset=UTF-8") }},
	{"D05", "empty", Refuse, body("")},
	{"D05", "array", Refuse, body("[]")},
	{"D05", "null", Refuse, body("null")},
	{"D05", "empty_object", Refuse, body("{}")},
	{"D05", "member_twice", Refuse, text(func(s string) string { return `{"access_token":"other",` + s[1:] })},
	{"D05", "byte_order_mark", Refuse, text(func(s string) string { return "\ufeff" + s })},
	{"D05", "data_after_it", Refuse, text(appended("{}"))},
	{"D05", "invalid_UTF8", Refuse, text(func(s string) string { return "{\"x\":\"\xff\"," + s[1:] })},
	{"D05", "deep_nesting", Refuse, text(func(s string) string {
		return `{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "," + s[1:]
	})},
	{"D06", "of_8_MB", Refuse, long(member, "x", 8<<20)},
}

// memberRows are about access_token, token_type, expires_in, refresh_token and scope.
var memberRows = []row{
	{"D09", "id_token_missing", Refuse, member("id_token", nil)},
	{"D09", "id_token_empty", Refuse, member("id_token", "")},
	{"D10", "access_token_missing", Refuse, member("access_token", nil)},
	{"D10", "access_token_empty", Refuse, all(member("access_token", ""), noClaim("at_hash"))},
	{"D10", "access_token_number", Refuse, all(member("access_token", 7), noClaim("at_hash"))},
	{"D10", "access_token_with_a_line_break", Refuse, all(member("access_token", "a\r\nX-Optest: 1"), noClaim("at_hash"))},
	{"D11", "token_type_missing", Refuse, member("token_type", nil)},
	{"D11", "token_type_mac", Refuse, member("token_type", "mac")},
	{"D11", "token_type_DPoP", Refuse, member("token_type", "DPoP")},
	{"D11", "token_type_in_lower_case", Accept, member("token_type", "bearer")},
	{"D11", "token_type_in_upper_case", Accept, member("token_type", "BEARER")},
	{"D13", "expires_in_string", Accept, member("expires_in", "3600")},
	{"D13", "expires_in_missing", Accept, member("expires_in", nil)},
	{"D14", "refresh_token_number", Refuse, member("refresh_token", 7)},
	{"D14", "refresh_token_missing", Accept, member("refresh_token", nil)},
	{"D28", "scope_missing", Accept, member("scope", nil)},
	{"D28", "scope_reduced", Accept, member("scope", "openid")},
}

// secondRows are about the ID Token of the token endpoint, and how it fits the first.
var secondRows = []row{
	{"D15", "another_sub", Refuse, claim("sub", "mallory")},
	{"D15", "sub_in_another_case", Refuse, editClaim("sub", func(s string) any { return swapCase(s) })},
	{"D15", "sub_missing", Refuse, noClaim("sub")},
	{"D16", "another_iss", Refuse, claim("iss", "https://evil.example")},
	{"D16", "iss_with_another_slash", Refuse, issuer(appended("/"))},
	{"D17", "aud_of_another_client", Refuse, claim("aud", "another-client")},
	{"D17", "aud_with_another", Refuse, clientClaim(func(id string) any { return []string{id, "other"} })},
	{"D17", "azp_of_another_client", Refuse, claim("azp", "another-client")},
	{"D17", "aud_array_of_the_client", Accept, clientClaim(func(id string) any { return []string{id} })},
	{"D18", "nonce_missing", Refuse, noClaim("nonce")},
	{"D18", "another_nonce", Refuse, claim("nonce", "other")},
	{"D19", "another_auth_time", Refuse, fromNow("auth_time", -7200)},
	{"D19", "another_sid", Refuse, claim("sid", "other")},
	{"D20", "another_name", Accept, claim("name", "Somebody Else")},
	{"D21", "at_hash_wrong", Refuse, claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
	{"D21", "access_token_swapped", Refuse, member("access_token", "another-access-token")},
	{"D22", "at_hash_missing", Accept, noClaim("at_hash")},
	{"D23", "c_hash_wrong", Refuse, claim("c_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
	{"D24", "alg_none", Refuse, headed("alg", "none")},
	{"D24", "no_signature", Refuse, signed(func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] })},
	{"D25", "bad_signature", Refuse, signed(Tamper)},
	{"D25", "another_algorithm", Refuse, func(a *Answer) {
		a.Header["alg"] = "ES256"
		if a.handler.config.Algorithm == "ES256" {
			a.Header["alg"] = "RS256"
		}
	}},
	{"D27", "expired", Refuse, all(fromNow("iat", -600), fromNow("exp", -301))},
	{"D27", "iat_in_the_future", Refuse, fromNow("iat", 600)},
	{"D27", "iat_missing", Refuse, noClaim("iat")},
}

// webPage answers with a web page that no user should see, and an address that nobody should follow.
func webPage(status int) func(*Answer) {
	return func(a *Answer) {
		a.Status, a.Body = status, []byte(markup)
		a.HTTPHeader.Set("Content-Type", "text/html")
		a.HTTPHeader.Set("Location", a.handler.base+pathToken) // who follows sends the code twice
	}
}

func tokenError(code string, status int) func(*Answer) {
	return func(a *Answer) {
		refuseToken(a, &protocolError{code, "because"})
		a.Status = status
	}
}

func body(s string) func(*Answer) { return func(a *Answer) { a.Body = []byte(s) } }

// text changes the text of an honest token response.
func text(f func(string) string) func(*Answer) {
	return func(a *Answer) { a.Body = []byte(f(string(mustEncode(a.JSON)))) }
}
