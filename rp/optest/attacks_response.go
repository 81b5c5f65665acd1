package optest

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// responseAttacks are group A of the catalogue: the parameters of the authorization response.
func responseAttacks() []Attack {
	beside := func(a *Answer) bool { return a.Params.Has("access_token") }
	alone := func(a *Answer) bool { return !beside(a) }
	posted := func(a *Answer) bool { return a.Mode == modeFormPost }
	stateHash := func(a *Answer) bool { return a.Claims["s_hash"] != nil }
	out := bind(false, isResponse, slices.Concat(stateRows, parameterRows, errorRows, issuerRows, injectionRows))
	out = append(out, bind(false, both(isResponse, alone), loneRows)...)
	out = append(out, bind(false, both(isResponse, beside), accessRows)...)
	out = append(out, bind(false, both(isResponse, posted), wayRows)...)
	return append(out, bind(false, both(isResponse, stateHash), stateHashRows)...)
}

var stateRows = []row{
	{"A01", "state_missing", RefuseUnspent, drop("state")},
	{"A01", "state_empty", RefuseUnspent, param("state", "")},
	{"A01", "state_under_another_name", RefuseUnspent, func(a *Answer) {
		a.Params["State"] = a.Params["state"]
		a.Params.Del("state")
	}},
	{"A02", "state_unknown", RefuseUnspent, param("state", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")},
	{"A02", "state_one_character_short", RefuseUnspent, edit("state", func(s string) string { return s[:len(s)-1] })},
	{"A02", "state_one_character_long", RefuseUnspent, edit("state", appended("A"))},
	{"A02", "state_with_a_space", RefuseUnspent, edit("state", appended(" "))},
	{"A02", "state_with_NUL", RefuseUnspent, edit("state", appended("\x00"))},
	{"A02", "state_in_another_case", RefuseUnspent, edit("state", swapCase)},
	{"A10", "state_twice_the_same", RefuseUnspent, twice("state")},
	{"A10", "state_twice_another_last", RefuseUnspent, add("state", "other")},
	{"A10", "state_twice_another_first", RefuseUnspent, func(a *Answer) {
		a.Params["state"] = append([]string{"other"}, a.Params["state"]...)
	}},
}

var parameterRows = []row{
	{"A11", "code_twice_the_same", RefuseUnspent, twice("code")},
	{"A11", "code_twice", RefuseUnspent, add("code", "other")},
	{"A11", "id_token_twice_the_same", RefuseUnspent, twice("id_token")},
	{"A11", "id_token_twice", RefuseUnspent, add("id_token", "e30.e30.AA")},
	{"A11", "iss_twice", RefuseUnspent, add("iss", "https://evil.example")},
	{"A11", "iss_twice_the_same", RefuseUnspent, twice("iss")},
	{"A16", "id_token_missing", RefuseUnspent, drop("id_token")},
	{"A16", "id_token_empty", RefuseUnspent, param("id_token", "")},
	{"A17", "code_missing", RefuseUnspent, drop("code")},
	{"A17", "code_empty", RefuseUnspent, param("code", "")},
	{"A19", "refresh_token", RefuseUnspent, param("refresh_token", "a")},
	{"A19", "client_secret", RefuseUnspent, param("client_secret", "a")},
	{"A42", "signed_response_beside_it", RefuseUnspent, param("response", "e30.e30.AA")},
	{"A43", "parameters_that_nobody_knows", Accept, func(a *Answer) {
		a.Params.Set("session_state", "x")
		a.Params["x_twice"] = []string{"1", "2"}
	}},
}

var errorRows = []row{
	{"A11", "error_twice", RefuseUnspent, func(a *Answer) { a.Params["error"] = []string{"access_denied", "login_required"} }},
	{"A21", "error_beside_valid_tokens", RefuseUnspent, param("error", "access_denied")},
	{"A22", "error_without_state", RefuseUnspent, all(refused("access_denied"), drop("state"))},
	{"A23", "error_with_foreign_state", RefuseUnspent, all(refused("login_required"), param("state", "other"))},
	{"A24", "error_with_markup", RefuseUnspent, all(refused(markup), param("error_description", markup))},
	{"A24", "description_with_markup", RefuseUnspent, all(refused("access_denied"), param("error_description", `"'>`+markup))},
	{"A24", "description_with_line_breaks", RefuseUnspent, all(refused("access_denied"), param("error_description", "a\r\nSet-Cookie: optest=1\r\n\r\n"+markup))},
	{"A24", "description_from_right_to_left", RefuseUnspent, all(refused("access_denied"), param("error_description", "\u202e\u2066\u200f\x1b[2J"))},
	{"A24", "description_of_a_megabyte", RefuseUnspent, all(refused("access_denied"), longParam("error_description", 1<<20))},
	{"A25", "error_uri_with_a_script", RefuseUnspent, all(refused("access_denied"), param("error_uri", "javascript:optest()"))},
	{"A26", "access_denied", RefuseUnspent, refused("access_denied")},
	{"A27", "login_required", RefuseUnspent, refused("login_required")},
}

var issuerRows = []row{
	{"A28", "iss_wrong", RefuseUnspent, param("iss", "https://evil.example")},
	{"A28", "iss_wrong_beside_an_error", RefuseUnspent, all(refused("access_denied"), param("iss", "https://evil.example"))},
	{"A28", "iss_of_a_megabyte", RefuseUnspent, longParam("iss", 1<<20)},
	{"A30", "iss_with_another_slash", RefuseUnspent, edit("iss", appended("/"))},
	{"A30", "iss_in_another_case", RefuseUnspent, edit("iss", strings.ToUpper)},
	{"A30", "iss_with_a_space", RefuseUnspent, edit("iss", appended(" "))},
	{"A30", "iss_with_a_query", RefuseUnspent, edit("iss", appended("?"))},
	{"A30", "iss_percent_encoded", RefuseUnspent, edit("iss", func(s string) string { return strings.Replace(s, "l", "%6c", 1) })},
}

var injectionRows = []row{
	{"A54", "code_of_another_login", RefuseUnspent, param("code", "SplxlOBeZQQYbYS6WxSbIA")},
	{"A54", "code_in_another_case", RefuseUnspent, edit("code", swapCase)},
	{"A54", "ID_Token_as_code", RefuseUnspent, func(a *Answer) { a.Params.Set("code", a.Params.Get("id_token")) }},
	{"A54", "code_as_ID_Token", RefuseUnspent, func(a *Answer) { a.Params.Set("id_token", a.Params.Get("code")) }},
	{"A54", "code_with_a_line_break", RefuseUnspent, param("code", "a\r\nX-Optest: 1")},
	{"A54", "code_of_a_megabyte", RefuseUnspent, longParam("code", 1<<20)},
	{"A55", "whole_answer_of_another_login", RefuseUnspent, func(a *Answer) {
		a.Params.Set("code", "SplxlOBeZQQYbYS6WxSbIA")
		a.Claims["c_hash"] = HalfHash(a.handler.config.Algorithm, "SplxlOBeZQQYbYS6WxSbIA")
		a.Claims["nonce"] = "n-0S6_WzA2Mj"
		delete(a.Claims, "s_hash") // bound to our state, which other logins do not have
	}},
	{"A55", "state_as_nonce", RefuseUnspent, func(a *Answer) { a.Claims["nonce"] = a.Params.Get("state") }},
}

// loneRows are about answers without an access token.
var loneRows = []row{
	{"A18", "access_token_that_was_not_asked_for", RefuseUnspent, all(param("access_token", "a"), param("token_type", "Bearer"))},
	{"A18", "access_token_without_token_type", RefuseUnspent, param("access_token", "a")},
	{"B34", "at_hash_without_access_token", Accept, claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
}

// accessRows are about the access token of "code id_token token".
var accessRows = []row{
	{"A20", "access_token_missing", RefuseUnspent, drop("access_token")},
	{"A20", "access_token_swapped", RefuseUnspent, param("access_token", "another-access-token")},
	{"A20", "token_type_missing", RefuseUnspent, drop("token_type")},
	{"A20", "token_type_mac", RefuseUnspent, param("token_type", "mac")},
	{"A20", "token_type_in_lower_case", Accept, param("token_type", "bearer")},
	{"A20", "at_hash_missing", RefuseUnspent, noClaim("at_hash")},
	{"A20", "at_hash_wrong", RefuseUnspent, claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
	{"A20", "at_hash_not_a_string", RefuseUnspent, claim("at_hash", []string{"AAAAAAAAAAAAAAAAAAAAAA"})},
	{"A20", "at_hash_whole_instead_of_half", RefuseUnspent, func(a *Answer) {
		a.Claims["at_hash"] = wholeHash(a.handler.config.Algorithm, a.Params.Get("access_token"))
	}},
	{"A11", "access_token_twice", RefuseUnspent, add("access_token", "a")},
}

// wayRows bring a form_post answer another way.
var wayRows = []row{
	{"A12", "code_in_the_query", RefuseUnspent, inQuery("code")},
	{"A12", "state_in_the_query", RefuseUnspent, inQuery("state")},
	{"A12", "id_token_in_the_query", RefuseUnspent, inQuery("id_token")},
	{"A13", "everything_in_the_query", RefuseUnspent, func(a *Answer) { a.Mode = modeQuery }},
	{"A14", "only_the_code_and_in_the_query", RefuseUnspent, func(a *Answer) {
		a.Params.Del("id_token")
		a.Mode = modeQuery
	}},
	{"A15", "everything_in_the_fragment", RefuseUnspent, func(a *Answer) { a.Mode = modeFragment }},
}

var stateHashRows = []row{
	{"A56", "s_hash_wrong", RefuseUnspent, claim("s_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
	{"A56", "s_hash_empty", RefuseUnspent, claim("s_hash", "")},
	{"A56", "s_hash_not_a_string", RefuseUnspent, claim("s_hash", 1)},
	{"A56", "s_hash_missing", Accept, noClaim("s_hash")},
}

// twice repeats a parameter.
func twice(name string) func(*Answer) {
	return func(a *Answer) { a.Params.Add(name, a.Params.Get(name)) }
}

// inQuery moves a parameter from the form into the query of its address.
func inQuery(name string) func(*Answer) {
	return func(a *Answer) {
		a.RedirectURI = appendQuery(a.RedirectURI, url.Values{name: a.Params[name]})
		a.Params.Del(name)
	}
}

// refused makes an error of the answer, without tokens.
func refused(code string) func(*Answer) {
	return func(a *Answer) {
		drop("code", "id_token", "access_token", "token_type", "expires_in")(a)
		a.Params.Set("error", code)
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func wholeHash(alg, value string) string {
	return b64.EncodeToString(digest(hashOf(alg), []byte(value)))
}
