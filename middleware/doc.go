// Package middleware logs users of a web app in by an OpenID Provider and keeps their sessions: handlers, cookies,
// redirects. Package rp speaks the protocol; this package has no protocol rule of its own.
//
//	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{key}})
//	auth.Register(mux)
//	mux.Handle("GET /account", auth.RequireLogin(account))
//	mux.Handle("GET /orders", auth.RequireTokens(orders))
//
// # Routes
//
// [Auth.Register] adds them beside the path of the client's RedirectURL. With https://app.example.com/auth/callback:
//
//   - GET /auth/login?return_to=/page starts a login. With switch=1 the provider asks which account it shall be
//     (prompt=select_account); one that does not know this logs the same user in again.
//   - POST /auth/callback takes the provider's answer. GET serves the fragment's relay page, and takes answers of the
//     mode query and errors.
//   - POST /auth/logout ends the session here and at the provider; its form may have return_to, and csrf with
//     [Session.LogoutToken]. GET asks first.
//   - GET /auth/logged-out is where a logout ends; register it at the provider as post-logout redirect URI.
//   - GET, POST /auth/initiate is a login that a third party starts (Core 4).
//   - POST /auth/backchannel-logout takes logout tokens from the provider, GET /auth/frontchannel-logout is what it shows
//     in a frame of its logout page. Register them there.
//   - GET /auth/login-continue is where a login goes on that was begun for a session in sealed cookies, which the callback's
//     cross-site POST does not bring: see "Another login for a session".
//   - GET /auth/me tells pages in the browser who is logged in, if Config.MeClaims is set.
//   - GET /auth/jwks publishes the client's own keys.
//
// The callback is a cross-site POST whose Origin is often null: state and cookie protect it. [http.CrossOriginProtection]
// in front of it needs AddInsecureBypassPattern("POST /auth/callback"), and the same for "POST /auth/initiate" if another
// site starts logins with a form.
//
// # Sessions
//
// A session lives in sealed cookies, or in any gorilla sessions.Store. Identity and tokens are kept apart: a page that
// asks who the user is opens no token. A copied cookie stays valid after a logout until the session's limits, but for
// this process, which remembers, or for all that share Config.Logouts; that is what session stores are for. The session
// cookies last as long as the session may, so they outlive a browser restart.
//
// A nonce is checked against the request that it was made for. There is no list of nonces that were seen: an answer
// counts once because its code is spent once and its transaction ends with it.
//
// # Sessions for many instances
//
// With a [SessionStore] as Config.Store (packages redisstore, sqlstore) any instance serves any request. The cookie holds
// a sealed random ID, the store a hash of it and sealed contents: a dump of the store opens nothing. A request takes one
// round trip. Writes compare versions; nothing is written when nothing has changed, and the idle limit is put off when a
// tenth of it has passed. Tokens are refreshed by one instance at a time, and an answer to a login is redeemed once, if
// the store is a [Locker] too. An instance that dies in the middle of a refresh may take the provider's new tokens with
// it: the next one tries the old refresh token once, and if the provider does not allow that the user logs in again.
//
// A store that is down is no reason to log anybody out or to let anybody in: every wrapper, [Auth.LoadSession] too,
// answers 503 with Retry-After until it is back. What the provider has given in that moment is offered to the store
// again.
//
// [Session.Grant] moves the refresh token into a record of its own for workers, which [Auth.Offline] reads and refreshes:
// the session's logout does not end it, [Auth.EndGrant] does.
//
// Sealed cookies and plain gorilla stores refresh once in a process, hand the result for a minute to requests that still
// bring the old cookies, and know nothing of other processes: two instances may spend the same refresh token, which
// providers that rotate them strictly answer by ending the session. Route a user to one instance, or use a SessionStore.
//
// # When the code is spent
//
// The Hybrid Flow's first ID Token is a login, verified and complete, before the token endpoint has been asked. With
// [ExchangeNow] the callback redeems the code all the same, and the session starts with tokens. With [ExchangeOnDemand] it
// starts at once, and the code waits in it, sealed, until [Auth.RequireTokens] or a call of the session needs a token; with a
// [SessionStore] the first request of any wrapper after half of Config.CodeLifetime redeems it too, and does not wait. The
// code is sent once. The second ID Token is checked against the first as ever, and one that does not match ends the
// session. [TokenState] lists the states; [Session.Tokens] and /auth/me tell which it is, and why.
//
// A token endpoint that is down stops no login then, and nobody is logged out by it: RequireTokens answers 503, and pages
// behind [Auth.RequireLogin] go on. A code that may have arrived is not sent again: the next navigation to a page behind
// RequireTokens fetches another one, by a login that does not bother the user (prompt=none), and comes back.
//
// # Another login for a session
//
// [Auth.Require] asks before the handler: a claim, a scope, a stronger or younger login. An API may ask, too: for a stronger
// login (RFC 9470), or by refusing a token for one more target ([ErrConsentRequired]). The error of the call wraps a
// [*Challenge] then; [Auth.StepUp] makes a login of it that asks for what the session has and for what it lacks, and comes
// back to the same page. What is no navigation gets 401 with a retry_url. Whoever answers such a login in vain is told so
// (challenge_unmet) and not sent again for a minute.
//
// The session after it has a new ID, as after each login. It keeps the values of Login.Values that the hooks do not
// replace, and after a login for more consent alone the tokens for other targets, if the provider says the same (acr, amr,
// auth_time). If another user comes back it is a new session, which has nothing of the old one.
//
// # Pages that run in the browser
//
// No token belongs there. GET /auth/me answers scripts of this origin, and none of another site, with
//
//	{"claims": {"sub": "…", "name": "…"}, "tokens": "ready", "expires_at": 1780000000}
//
// which are Config.MeClaims, the [TokenState], and when the session ends if nothing happens before, in seconds since 1970.
// Without a session it answers 401. An API is called through a proxy that adds the token: a
// [net/http/httputil.ReverseProxy] behind RequireTokens with [StripRequest], [Auth.Transport], [StripResponse] and StepUp,
// and [http.CrossOriginProtection] before it, for the session's cookie comes with what pages of other origins of the same
// site send, too. examples/spa is all of it.
//
// # Logout
//
// The logout route ends the session here, revokes its tokens (RFC 7009) where the provider can, in the background, and
// sends the browser to the provider. The provider's own logouts come by the two routes above; [Auth.EndSessions] is
// "log out everywhere", [Auth.Sessions] and [Auth.EndSession] are for a page "your devices".
//
// Sessions of other instances end by a tombstone: a time, by the provider's clock, under a keyed hash of sid or subject.
// A session whose login is not later is dead at its next request, and is not written again by a request under way.
// Tombstones are in the Store, or in Config.Logouts, which sealed cookies may share too, for one round trip a request;
// else this process alone knows them. In the second of a logout a new login is refused with the code logged_out.
//
// A claim session_expiry of the ID Token, in seconds since 1970, ends the session at that time at the latest.
//
// # Errors
//
// A browser gets a page with a text of ours and a reference, a script gets problem+json, the log gets the reason. The
// members of the problem are title, status, code, reference and retry_url: the path to open in the browser, which with
// status 401 is a login that comes back, else mostly the home page or the same page; it is missing where nothing helps.
// docs/errors.md says of each code what it means and what to do. Those of [Error] are those of [rp.ErrorCode] and:
//
//	method not_navigation content_type body body_too_large response_mode no_response transaction_missing
//	transaction_invalid transaction_expired transaction_spent login_loop login_required forbidden refused
//	challenge_unmet hook panic exchange_mode values session_too_large session_store no_tokens tokens_pending
//	code_expired interrupted cross_origin initiate logged_out internal
//
// # Events
//
// Config.Observe gets, beside what the client's own Observe gets:
//
//   - login_started, login (with the ID Token's receipt), login_repeated (a reload of the callback)
//   - login_suspended: an answer was verified (with the first ID Token's receipt), and the login goes on in a request that
//     brings the session
//   - refused: a request was answered with an [Error], whose Code and Reference it has
//   - refreshed, userinfo: the provider was asked; Err if in vain
//   - redeemed: a code was spent on demand; Err if it brought no tokens, or was not sent because it was too late
//   - granted: a session's refresh token became a grant for workers
//   - logout, session_ended: by the user; by a new login, or because a refreshed ID Token was not believed
//   - backchannel_logout, frontchannel_logout: the provider ended sessions; Err if a request of its was refused
//   - revoked: the provider was asked to revoke a session's tokens; Err if in vain
//   - not_renewed: the store could not put off a session's idle limit; the request was served
//   - memory_full: an attempt or a logout was forgotten before its time; somebody floods the routes
package middleware
