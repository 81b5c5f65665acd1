// Package verify decides whether a token of an OpenID Provider may be believed: the ID Token that came through the
// browser, the one that came from the token endpoint, a refreshed one; a logout token. It is pure: bytes and values in,
// a verdict out; only a [KeySet] may use the network. Most programs meet it through package rp, which calls it in the
// right order.
//
// A [Policy] says what one client accepts of one issuer, an [Expect] what one authorization request promised. A
// verification runs an ordered table of rules, one function each, with the section of the specification beside it:
// read rules.go next to OpenID Connect Core 3.1.3.7 and 3.3.2. Form comes before cryptography and cryptography before
// claims: what is refused by its form costs nothing, and no claim is read before the signature is right. Nothing is
// skipped because an expectation is empty. [IDToken.Receipt] lists what was checked.
//
// [Match] compares the ID Tokens of the two channels (Core 3.3.3.6).
//
// Every refusal is an [*Error] that names its rule and wraps exactly one of the sentinels ([ErrNonce], [ErrCodeHash]
// and so on); it holds no part of the token. [ErrKeySet] alone says nothing about the token: its keys could not be had.
//
// A user is the pair of issuer and subject. No other claim identifies anybody: an email address is not unique, may
// change hands, and may be what a stranger typed in at the provider.
//
// The package keeps no nonces and cannot see a replay: the single use of the code, and the transaction that is consumed
// with it, bound one. A [LogoutToken] that comes twice ends the same sessions twice.
package verify
