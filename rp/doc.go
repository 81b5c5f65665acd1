// Package rp is an OpenID Connect relying party for the Hybrid Flow (OpenID Connect Core 1.0, section 3.3): the provider
// answers on two channels, the browser and the token endpoint, and this package proves that both answers belong
// together. It speaks to the provider and knows no handler, cookie or session; package middleware has those.
//
// A login is four steps, each of which takes the value of the step before:
//
//	q, err := client.NewAuthRequest(ctx, rp.AuthOptions{})   // keep q.Bytes() with this browser, send it to q.Redirect()
//	a, err := client.VerifyResponse(ctx, q, r.PostForm)      // the browser's answer: every front-channel check
//	t, err := client.Exchange(ctx, a)                        // the code, spent at most once; both ID Tokens match
//	t, err = client.Refresh(ctx, t, rp.Target{})             // later
//
// The wrong order does not work: only these functions make the values, and the zero values are refused. What leaves the
// process does so as Bytes, sealed by the caller, and comes back by a Parse method that refuses what belongs to another
// issuer, client or redirect URI.
//
// # Logout
//
// [Client.EndSession] sends the browser to the provider (RP-Initiated Logout), [Client.Revoke] makes the provider forget
// the tokens (RFC 7009), and [Client.VerifyLogoutToken] reads what the provider posts when a session has ended elsewhere
// (Back-Channel Logout). Which sessions end with it is the caller's to know; package middleware does.
//
// # Events
//
// Config.Observe sees each step as an [Event]. The names are a closed list:
//
//   - discovery: the provider's metadata was fetched
//   - keys: the provider's key set was fetched
//   - auth_request: a request was made
//   - auth_response: an answer was checked; the receipt is that of the first ID Token
//   - error_without_issuer: an error answer lacked the iss that it should have; it was taken as an error even so
//   - exchange: a code was exchanged; the receipt is that of the second ID Token
//   - refresh: tokens were refreshed; the receipt is that of the new ID Token, if one came
//   - userinfo: the UserInfo endpoint was asked
//   - end_session: a logout request was made
//   - logout_token: a logout token of a back-channel logout was checked; the receipt is the token's
//   - revoke: tokens were revoked
//   - client_credentials: a token for the client itself was asked for
//   - token_exchange: a token was exchanged for another
//   - save: the app's callback was given tokens to save
//
// Event.Code is "" for a step that succeeded, else the [ErrorCode] of its error, again a closed list.
package rp
