package verify

import "errors"

// rule is one line of the table below: a name, the section that asks for it, where it applies, the claim or header
// member that it is about, and the function that decides.
type rule struct {
	Rule
	on    channel
	about string
	check func(*verification) error
}

// channel is how a token came.
type channel uint8

const (
	front    channel = 1 << iota // through the browser
	exchange                     // from the token endpoint, for a code
	refresh                      // from the token endpoint, for a refresh token
	userInfo                     // from the UserInfo endpoint; no ID Token, but signed like one
	logout                       // a logout token, from the provider itself

	login   = front | exchange
	idToken = login | refresh
	user    = idToken | userInfo // says who somebody is
	all     = user | logout
)

// errNotApplicable is what a rule returns when there is nothing for it to look at: it passes but is not in the receipt.
var errNotApplicable = errors.New("verify: rule does not apply")

// rules is what this package does, in this order: form before cryptography, cryptography before claims. No claim is
// read before the signature is right. A verification stops at the first rule that refuses.
var rules = [...]rule{
	// The form of the token.
	{Rule{"size", "RFC 8259 9"}, all, "", (*verification).size},
	{Rule{"compact", "RFC 7515 7.1"}, all, "", (*verification).compact},
	{Rule{"base64url", "RFC 7515 2"}, all, "", (*verification).base64url},
	{Rule{"header", "RFC 7515 4"}, all, "", (*verification).readHeader},
	{Rule{"typ", "RFC 8725 3.11"}, user, "typ", (*verification).typ},
	{Rule{"typ", "OIDC Back-Channel Logout 2.4"}, logout, "typ", (*verification).logoutTyp},
	{Rule{"crit", "RFC 7515 4.1.11"}, all, "crit", (*verification).crit},
	{Rule{"b64", "RFC 7797 3"}, all, "b64", (*verification).b64},
	{Rule{"alg", "OIDC Core 3.1.3.7 (7)"}, all, "alg", (*verification).alg},
	{Rule{"kid", "RFC 7515 4.1.4"}, all, "kid", (*verification).kid},

	// Who made it. 3.1.3.7 (6) lets TLS stand for the signature of a token endpoint's ID Token; we do not.
	{Rule{"signature", "OIDC Core 3.1.3.7 (6)"}, all, "", (*verification).signature},

	// Who it is about, and for.
	{Rule{"claims", "RFC 7519 7.2"}, all, "", (*verification).readClaims},
	{Rule{"events", "RFC 8725 3.12"}, user, "events", (*verification).events},
	{Rule{"iss", "OIDC Core 3.1.3.7 (2)"}, idToken, "iss", (*verification).iss},
	{Rule{"sub", "OIDC Core 2"}, user, "sub", (*verification).sub},
	{Rule{"aud", "OIDC Core 3.1.3.7 (3)"}, idToken, "aud", (*verification).aud},
	{Rule{"azp", "OIDC Core 3.1.3.7 (4, 5)"}, idToken, "azp", (*verification).azp},

	// When.
	{Rule{"exp", "OIDC Core 3.1.3.7 (9)"}, idToken, "exp", (*verification).exp},
	{Rule{"iat", "OIDC Core 2"}, idToken, "iat", (*verification).iat},
	{Rule{"iat_age", "OIDC Core 3.1.3.7 (10)"}, login, "iat", (*verification).iatAge},
	{Rule{"nbf", "RFC 7519 4.1.5"}, all, "nbf", (*verification).nbf},

	// That it answers our request.
	{Rule{"nonce", "OIDC Core 3.2.2.11 (1)"}, front, "nonce", (*verification).nonce},
	{Rule{"nonce", "OIDC Core 3.1.3.7 (11)"}, exchange, "nonce", (*verification).nonce},
	{Rule{"c_hash", "OIDC Core 3.3.2.10"}, front, "c_hash", (*verification).codeHash},
	{Rule{"at_hash", "OIDC Core 3.3.2.9"}, front, "at_hash", (*verification).accessTokenHash},
	{Rule{"c_hash", "OIDC Core 3.3.3.6"}, exchange, "c_hash", (*verification).laterCodeHash},
	{Rule{"at_hash", "OIDC Core 3.3.3.9"}, exchange, "at_hash", (*verification).laterAccessTokenHash},
	{Rule{"s_hash", "FAPI 1.0 Advanced 5.2.3.1"}, login, "s_hash", (*verification).stateHash},
	{Rule{"auth_time", "OIDC Core 3.1.3.7 (13)"}, idToken, "auth_time", (*verification).authTime},
	{Rule{"max_age", "OIDC Core 3.1.2.1"}, login, "auth_time", (*verification).maxAge},
	{Rule{"acr", "OIDC Core 3.1.3.7 (12)"}, idToken, "acr", (*verification).acr},
	{Rule{"amr", "OIDC Core 2"}, idToken, "amr", (*verification).amr},
	{Rule{"sid", "OIDC Front-Channel Logout 3"}, idToken, "sid", (*verification).sid},
	{Rule{"requested_claims", "OIDC Core 5.5.1"}, login, "", (*verification).requestedClaims},

	// That a UserInfo answer is this user's. Many providers leave iss, aud and exp out.
	{Rule{"userinfo_iss", "OIDC Core 5.3.2"}, userInfo, "iss", (*verification).issIfAny},
	{Rule{"userinfo_aud", "OIDC Core 5.3.2"}, userInfo, "aud", (*verification).audIfAny},
	{Rule{"userinfo_exp", "RFC 7519 4.1.4"}, userInfo, "exp", (*verification).expIfAny},
	{Rule{"userinfo_sub", "OIDC Core 5.3.2"}, userInfo, "sub", (*verification).subjectIsExpected},

	// That it is a logout token, and ours. What an ID Token must have it must not, so that neither passes for the other.
	{Rule{"events", "OIDC Back-Channel Logout 2.6 (6)"}, logout, "events", (*verification).logoutEvent},
	{Rule{"nonce", "OIDC Back-Channel Logout 2.6 (7)"}, logout, "nonce", (*verification).noNonce},
	{Rule{"iss", "OIDC Back-Channel Logout 2.6 (4)"}, logout, "iss", (*verification).iss},
	{Rule{"aud", "OIDC Back-Channel Logout 2.6 (4)"}, logout, "aud", (*verification).aud},
	{Rule{"azp", "OIDC Core 3.1.3.7 (5)"}, logout, "azp", (*verification).azpIfAny},
	{Rule{"exp", "OIDC Back-Channel Logout 2.6 (4)"}, logout, "exp", (*verification).exp},
	{Rule{"iat", "OIDC Back-Channel Logout 2.6 (4)"}, logout, "iat", (*verification).iat},
	{Rule{"iat_age", "OIDC Core 3.1.3.7 (10)"}, logout, "iat", (*verification).iatAge},
	{Rule{"jti", "OIDC Back-Channel Logout 2.4"}, logout, "jti", (*verification).jti},
	{Rule{"sub", "OIDC Back-Channel Logout 2.4"}, logout, "sub", (*verification).subIfAny},
	{Rule{"sid", "OIDC Back-Channel Logout 2.4"}, logout, "sid", (*verification).sid},
	{Rule{"sub_or_sid", "OIDC Back-Channel Logout 2.6 (5)"}, logout, "sub", (*verification).subOrSid},

	// That it continues the same login.
	{Rule{"iss_unchanged", "OIDC Core 12.2"}, refresh, "iss", (*verification).issUnchanged},
	{Rule{"sub_unchanged", "OIDC Core 12.2"}, refresh, "sub", (*verification).subUnchanged},
	{Rule{"aud_unchanged", "OIDC Core 12.2"}, refresh, "aud", (*verification).audUnchanged},
	{Rule{"auth_time_unchanged", "OIDC Core 12.2"}, refresh, "auth_time", (*verification).authTimeUnchanged},
	{Rule{"nonce_unchanged", "OIDC Core 12.2"}, refresh, "nonce", (*verification).nonceUnchanged},
	{Rule{"azp_unchanged", "OIDC Core 12.2"}, refresh, "azp", (*verification).azpUnchanged},
}

// A bit of tokenState.passed stands for each rule.
const _ = uint(64 - len(rules))
