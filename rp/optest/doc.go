// Package optest is an OpenID Provider for tests: faithful until it is told to lie.
//
// One line starts it, as with net/http/httptest:
//
//	op := optest.NewServer(optest.Config{})
//	defer op.Close()
//
// op.URL is the issuer. It speaks the Hybrid Flow and the Authorization Code Flow, with each response mode and client
// authentication of OpenID Connect Core 1.0, and logs in "alice" unless it is asked to show a login page.
// [Handler.Fault] changes any claim, header, parameter, status or delay of its answers. [Browser] plays the user's
// browser against it and against the app, and keeps cookies as Chromium does.
//
// A server listens on the host name localhost, while net/http/httptest uses 127.0.0.1: a browser sees two sites, so the
// cookies of such a test behave as in production. A client of package rp needs Insecure.PlainHTTP for it; or take
// [NewTLSServer], and its [Server.Client] as Config.HTTPClient.
//
// # Logout
//
// A login at the provider has a sid, the same one in every ID Token that comes of it, however many clients it serves.
// /logout (RP-Initiated Logout), [Handler.LogoutSession] and [Handler.LogoutUser] end such logins and post logout tokens to
// Config.BackchannelLogoutURL; with Config.FrontchannelLogoutURL the browser gets a page with an iframe, which goes on to
// the client by a Refresh. [Handler.LogoutToken] makes any logout token, to be sent by the test itself.
//
// # Attacks
//
// [Attacks] is a catalogue of some 350 things that a hostile provider, or somebody in the middle of the browser, can
// do in a login; [Attack.Try] does one of them to your app and says whether it held.
//
// # Tokens for APIs
//
// resource (RFC 8707) or audience, at /authorize and /oauth/token, name the APIs that an access token is for; it is a
// signed JWT then. At the token endpoint a client also gets tokens for itself (client_credentials) and for what another
// token stands for (token exchange, RFC 8693). /api says in JSON what the access token it got is good for. Its query
// makes demands: /api?resource=https://orders.example&scope=read refuses a token for another API, or without the scope;
// /api?acr_values=gold&max_age=60 asks for a better login, with the challenge of RFC 9470. acr_values, an essential acr
// and max_age at /authorize bring one.
//
// # Not for production
//
// This provider keeps everything in memory, accepts any user name without a password and signs whatever a test wants.
// It refuses issuers that are not on a loopback host. Never put it in front of anything that is worth protecting.
//
// # Paths
//
// Below the issuer: /.well-known/openid-configuration, /jwks, /authorize, /login, /oauth/token, /revoke, /userinfo,
// /logout, and /api.
package optest
