package rp

import (
	"encoding/json"
	"fmt"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/restore"
	"github.com/twofold-auth/twofold/internal/strictjson"
	"github.com/twofold-auth/twofold/verify"
)

// Tokens are what the token endpoint gave: the second, the session's set. Only [Client.Exchange], [Client.Refresh] and
// [Client.ParseTokens] make them. They do not change and are safe for concurrent use.
type Tokens struct {
	redacted
	verified bool
	renewed  bool // the newest ID Token came with a refresh
	binding  [bindingSize]byte
	token    oauth2.Token
	scope    string
	idToken  heldToken // the newest
	first    heldToken
	login    loginClaims
	diff     verify.Diff
}

// OAuth2 returns a copy of the access token with its refresh token. Expiry is zero if the provider did not say when it
// ends. Extra("scope") is the granted scope, nil if the provider did not say: then it is the requested one (RFC 6749,
// section 5.1).
func (t *Tokens) OAuth2() *oauth2.Token {
	if t.scope == "" {
		token := t.token
		return &token
	}
	return t.token.WithExtra(map[string]any{"scope": t.scope})
}

// WithoutRefreshToken returns a copy that cannot be refreshed, and with which [Client.Revoke] ends the access token alone:
// for who hands the refresh token to somebody else.
func (t *Tokens) WithoutRefreshToken() *Tokens {
	next := t.copied()
	next.token.RefreshToken = ""
	return next
}

// WithAccessTokenOf returns a copy of t, with the access token of other, its end and its scope. It is for who refreshes for
// a [Target] and keeps the result apart: what Refresh returned, with the access token of the original grant, is what to
// refresh next time, because the refresh token may have been rotated. If both are not of one client, the copy is refused
// everywhere ([ErrNotVerified]).
func (t *Tokens) WithAccessTokenOf(other *Tokens) *Tokens {
	next := t.copied()
	next.verified = t.verified && other.verified && t.binding == other.binding
	next.token.AccessToken, next.token.Expiry, next.scope = other.token.AccessToken, other.token.Expiry, other.scope
	return next
}

// copied is a copy whose fields may be set.
func (t *Tokens) copied() *Tokens {
	next := &Tokens{
		verified: t.verified, renewed: t.renewed, binding: t.binding, token: t.token, scope: t.scope, login: t.login, diff: t.diff,
	}
	next.idToken.copyOf(&t.idToken)
	next.first.copyOf(&t.first)
	return next
}

// IDToken returns the newest ID Token: the second one, or that of the last refresh which brought one.
func (t *Tokens) IDToken() *IDToken { return t.idToken.get(unpackToken) }

// First returns the login's first ID Token; nil for [Code] and [CodeToken]. After Bytes and ParseTokens it is kept
// without its signature, and its Raw is "".
func (t *Tokens) First() *IDToken {
	return t.first.get(func(packed []byte) (string, error) { return unpackDelta(packed, t.IDToken()) })
}

// Diff returns how the first and the second ID Token differ; nil for [Code] and [CodeToken], and once a refresh has
// brought another ID Token.
func (t *Tokens) Diff() verify.Diff {
	first, newest := t.First(), t.newest()
	if t.diff != nil || t.renewed || first == nil || newest == nil {
		return t.diff
	}
	diff, _ := verify.Match(first, newest, verify.MatchReport) // refused or not was decided at the exchange
	return diff
}

// newest is IDToken of tokens that may be nil.
func (t *Tokens) newest() *verify.IDToken {
	if t == nil {
		return nil
	}
	return t.IDToken()
}

// Claims decodes the newest ID Token's claims into v, whole, as [verify.IDToken.Claims] does. Only auth_time, acr, amr
// and sid are taken from the login where the newest token lacks them.
func (t *Tokens) Claims(v any) error {
	newest := t.newest()
	if newest == nil {
		return fmt.Errorf("rp: claims: %w", ErrNotVerified)
	}
	if !t.login.shown() {
		return newest.Claims(v)
	}
	text, err := json.Marshal(claimsOf(newest, nil).over(t.login.only(carried)))
	if err != nil {
		return err
	}
	return strictjson.Unmarshal(string(text), v)
}

// heldToken is an ID Token that is parsed when it is asked for: most requests need the access token only.
type heldToken struct {
	parsed atomic.Pointer[verify.IDToken]
	packed []byte // nil if there is nothing to unpack
}

func (h *heldToken) set(t *verify.IDToken) { h.parsed.Store(t) }

func (h *heldToken) copyOf(other *heldToken) {
	h.packed = other.packed
	h.parsed.Store(other.parsed.Load())
}

// get returns the token, nil if there is none. What cannot be unpacked was not written by Bytes; ParseTokens says that
// its input is believed.
func (h *heldToken) get(unpack func([]byte) (string, error)) *verify.IDToken {
	if t := h.parsed.Load(); t != nil || h.packed == nil {
		return t
	}
	raw, err := unpack(h.packed)
	if err != nil {
		return nil
	}
	t, err := restoreToken(raw)
	if err != nil {
		return nil
	}
	h.parsed.Store(t)
	return t
}

func restoreToken(raw string) (*verify.IDToken, error) {
	restored, err := restore.IDToken(raw)
	if err != nil {
		return nil, fmt.Errorf("rp: %w: ID Token", ErrFormat)
	}
	t, ok := restored.(*verify.IDToken)
	if !ok {
		return nil, fmt.Errorf("rp: %w: ID Token", ErrFormat)
	}
	return t, nil
}

// tokens puts a token response into a value of c.
func (c *Client) tokens(r *tokenResponse) *Tokens {
	return &Tokens{
		verified: true, binding: c.binding, scope: r.scope,
		token: oauth2.Token{AccessToken: r.access, TokenType: "Bearer", RefreshToken: r.refresh, Expiry: r.expiry},
	}
}
