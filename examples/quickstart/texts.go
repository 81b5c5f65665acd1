package main

// The words of the page. They say what a thing is for, in one breath.

var requestTexts = []row{
	{Name: "response_type", Why: "the Hybrid Flow: a code and an ID Token at once"},
	{Name: "response_mode", Why: "the answer comes as a form, not in a URL that ends up in logs"},
	{Name: "client_id", Why: "this app"},
	{Name: "redirect_uri", Why: "where the answer goes; it comes from the configuration, never from a request"},
	{Name: "scope", Why: "what the app would like to know and do"},
	{Name: "state", Why: "ties the answer to this browser"},
	{Name: "nonce", Why: "comes back inside both ID Tokens"},
	{Name: "code_challenge", Why: "PKCE: only who knows the verifier behind it can redeem the code"},
	{Name: "code_challenge_method", Why: "the verifier is hashed"},
	{Name: "resource", Why: "the API that the access token shall be for"},
}

var answerTexts = []row{
	{Name: "code", Why: "good for one time only, and spent by now"},
	{Name: "id_token", Why: "the first ID Token; step 5 shows what is in it"},
	{Name: "access_token", Why: "a lesser one: shown to the app, never used for its API calls"},
	{Name: "state", Why: "the one from step 1"},
	{Name: "iss", Why: "who answers, before anything is decoded"},
}

// answerTextsChecked are in the order in which the checks are made.
var answerTextsChecked = []passed{
	{Name: "duplicates", Section: "RFC 6749 3.1", Why: "no parameter twice"},
	{Name: "state", Section: "RFC 6749 10.12", Why: "the one in this browser's sealed cookie"},
	{Name: "iss", Section: "RFC 9207 2.4", Why: "the provider that was asked"},
	{Name: "parameters", Section: "OIDC Core 3.3.2.5", Why: "a code and an ID Token, nothing missing or added"},
}

// ruleTexts are by the names that verify gives its rules. A test knows each rule that a login can show.
var ruleTexts = map[string]string{
	"size":             "no larger than a token can be",
	"compact":          "three parts, no more and no less",
	"base64url":        "encoded in the one strict way",
	"header":           "strict JSON: no member twice",
	"typ":              "not an access token in disguise",
	"crit":             "no extension that must be understood",
	"b64":              "the payload is what was signed",
	"alg":              "the one configured algorithm",
	"kid":              "names a key, nothing else",
	"signature":        "a key of this provider made it",
	"claims":           "strict JSON: no claim twice",
	"events":           "not a logout token in disguise",
	"iss":              "this provider, to the last byte",
	"sub":              "somebody",
	"aud":              "for this app, and for nobody unknown",
	"azp":              "issued to this app",
	"exp":              "not over yet",
	"iat":              "not from the future",
	"iat_age":          "made just now",
	"nbf":              "valid already",
	"nonce":            "made for this very login",
	"c_hash":           "made for the code beside it",
	"at_hash":          "made for the access token beside it",
	"s_hash":           "made for the state beside it",
	"auth_time":        "a time that can be",
	"max_age":          "the user proved themselves recently enough",
	"acr":              "proved as strongly as was asked",
	"amr":              "says how the user proved themselves",
	"sid":              "names the provider's session",
	"requested_claims": "shows what the request asked to see again",
}

var claimTexts = map[string]string{
	"iss": "must agree", "sub": "must agree", "nonce": "must agree",
	"auth_time": "must agree where both have it", "acr": "must agree where both have it",
	"amr": "must agree where both have it", "sid": "must agree where both have it",
	"c_hash": "hash of the code", "at_hash": "hash of the access token", "s_hash": "hash of the state",
	"exp": "each its own", "iat": "each its own", "nbf": "each its own", "jti": "each its own",
}

var claimOrder = []string{
	"iss", "sub", "aud", "azp", "nonce", "iat", "exp", "nbf", "jti", "auth_time", "acr", "amr", "sid",
	"c_hash", "at_hash", "s_hash",
}

var claimTimes = []string{"iat", "exp", "nbf", "auth_time", "updated_at"}
