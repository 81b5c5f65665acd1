// Package restore is the back door of package verify, open to this module only: rp keeps tokens that were verified
// before under authenticated encryption, and rebuilds them here. It exists so that nothing exported in verify makes
// an ID Token from unverified input.
package restore

// IDToken rebuilds a *verify.IDToken and checks nothing but the form. raw is a compact JWS, or the claims alone (a
// JSON object) of a token that was kept without its signature; Raw of such a token is "". verify sets it at init, so
// it is there in every program that imports verify; nobody else sets it.
//
// The caller must have authenticated raw: whoever chooses raw chooses who is logged in.
var IDToken func(raw string) (any, error)
