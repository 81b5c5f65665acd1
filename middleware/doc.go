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
//   - GET /auth/login?return_to=/page starts a login.
//   - POST /auth/callback takes the provider's answer. GET serves the fragment's relay page, and takes answers of the
//     mode query and errors.
//   - POST /auth/logout ends the session here and at the provider; its form may have return_to, and csrf with
//     [Session.LogoutToken]. GET asks first.
//   - GET /auth/logged-out is where a logout ends; register it at the provider as post-logout redirect URI.
//   - GET, POST /auth/initiate is a login that a third party starts (Core 4).
//   - GET /auth/jwks publishes the client's own keys.
//
// The callback is a cross-site POST whose Origin is often null: state and cookie protect it. [http.CrossOriginProtection]
// in front of it needs AddInsecureBypassPattern("POST /auth/callback").
//
// # Sessions
//
// A session lives in sealed cookies, or in any gorilla sessions.Store. Identity and tokens are kept apart: a page that
// asks who the user is opens no token. A copied cookie stays valid after a logout until the session's limits, but for
// this process, which remembers; that is what session stores are for. The session cookies last as long as the session
// may, so they outlive a browser restart.
//
// A nonce is checked against the request that it was made for. There is no list of nonces that were seen: an answer
// counts once because its code is spent once and its transaction ends with it.
//
// # Errors
//
// A browser gets a page with a text of ours and a reference, a script gets problem+json, the log gets the reason. The
// codes of [Error] are those of [rp.ErrorCode] and:
//
//	method not_navigation content_type body body_too_large response_mode no_response transaction_missing
//	transaction_invalid transaction_expired transaction_spent login_loop login_required forbidden refused
//	challenge_unmet hook panic exchange_mode values session_too_large session_store no_tokens cross_origin initiate
//	internal
//
// # Events
//
// Config.Observe gets, beside what the client's own Observe gets:
//
//   - login_started, login (with the ID Token's receipt), login_repeated (a reload of the callback)
//   - refused: a request was answered with an [Error], whose Code and Reference it has
//   - refreshed, userinfo: the provider was asked; Err if in vain
//   - logout, session_ended: by the user; by a new login, or because a refreshed ID Token was not believed
//   - not_renewed: the store could not put off a session's idle limit; the request was served
//   - memory_full: an attempt was forgotten before its time; somebody floods the callback
package middleware
