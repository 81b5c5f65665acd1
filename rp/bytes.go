package rp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/wire"
)

// The first byte of each format: its kind and its version. Bytes of another kind or version are [ErrFormat].
const (
	formatRequest  = 0x11
	formatResponse = 0x21
	formatTokens   = 0x31
	formatUserInfo = 0x41
)

// The numbers of response types and modes in the formats: their places here. New ones go to the end.
var (
	typeNumbers = []ResponseType{CodeIDToken, CodeToken, CodeIDTokenToken, Code, ImplicitIDToken}
	modeNumbers = []ResponseMode{FormPost, Fragment, Query}
)

// Bytes returns q for [Client.ParseAuthRequest]. It holds the nonce and the PKCE verifier: encrypt and authenticate it.
func (q *AuthRequest) Bytes() []byte {
	w := wire.NewWriter(formatRequest, 160)
	w.Bytes(q.binding[:])
	writeRequest(&w, &q.requestState)
	return w.Done()
}

// ParseAuthRequest reverses [AuthRequest.Bytes], except for the redirect. It believes b: authenticate it first.
// [ErrFormat] if b is damaged or of an unknown version; [ErrOtherClient] if it belongs to another issuer, client ID or
// redirect URI.
func (c *Client) ParseAuthRequest(b []byte) (*AuthRequest, error) {
	r, err := c.open(b, formatRequest)
	if err != nil {
		return nil, err
	}
	q := &AuthRequest{}
	q.requestState, err = readRequest(&r)
	q.binding = c.binding
	if err != nil || r.Close() != nil || q.state == "" || q.nonce == "" {
		return nil, errFormat
	}
	return q, nil
}

// Bytes returns a for [Client.ParseAuthResponse]. It holds the code and the PKCE verifier: encrypt and authenticate it.
func (a *AuthResponse) Bytes() []byte {
	w := wire.NewWriter(formatResponse, 2048)
	w.Bytes(a.request.binding[:])
	writeRequest(&w, &a.request)
	w.Text(a.code)
	w.Bool(a.idToken != nil)
	if a.idToken != nil {
		w.Text(a.idToken.Raw())
	}
	w.Bool(a.access != nil)
	if a.access != nil {
		scope, _ := a.access.Extra("scope").(string)
		writeAccess(&w, a.access, scope)
	}
	return w.Done()
}

// ParseAuthResponse reverses [AuthResponse.Bytes]. It believes b, as [Client.ParseAuthRequest] does, with the same
// errors: whoever chooses b chooses who is logged in.
func (c *Client) ParseAuthResponse(b []byte) (*AuthResponse, error) {
	r, err := c.open(b, formatResponse)
	if err != nil {
		return nil, err
	}
	a := &AuthResponse{verified: true}
	if a.request, err = readRequest(&r); err != nil {
		return nil, errFormat
	}
	a.request.binding = c.binding
	a.code = r.Text()
	raw := ""
	if r.Bool() {
		raw = r.Text()
	}
	if r.Bool() {
		token, scope := readAccess(&r)
		if scope != "" {
			token = *token.WithExtra(map[string]any{"scope": scope})
		}
		a.access = &token
	}
	if r.Close() != nil || a.request.nonce == "" {
		return nil, errFormat
	}
	if raw == "" {
		return a, nil
	}
	a.idToken, err = restoreToken(raw)
	return a, err
}

func writeAccess(w *wire.Writer, t *oauth2.Token, scope string) {
	w.Text(t.AccessToken)
	w.Text(t.RefreshToken)
	w.Time(t.Expiry)
	w.String(scope)
}

func readAccess(r *wire.Reader) (oauth2.Token, string) {
	t := oauth2.Token{TokenType: "Bearer", AccessToken: r.Text(), RefreshToken: r.Text(), Expiry: r.Time()}
	return t, r.String()
}

// Bytes returns t for [Client.ParseTokens]. It holds every token of the session: encrypt and authenticate it. The first
// ID Token is kept without its signature, and only as far as it differs from the newest.
func (t *Tokens) Bytes() []byte {
	w := wire.NewWriter(formatTokens, 3072)
	w.Bytes(t.binding[:])
	writeAccess(&w, &t.token, t.scope)
	w.Bool(t.renewed)
	w.Bytes(packToken(t.IDToken()))
	w.Bytes(packDelta(t.First(), t.IDToken()))
	if len(t.login) == 0 {
		w.Bytes(nil)
		return w.Done()
	}
	login, _ := json.Marshal(t.login) // raw JSON values of a checked token
	w.Bytes(login)
	return w.Done()
}

// ParseTokens reverses [Tokens.Bytes]. It believes b, as [Client.ParseAuthRequest] does, with the same errors, and keeps
// it: b must not be changed after. The ID Tokens in it are parsed when they are asked for.
func (c *Client) ParseTokens(b []byte) (*Tokens, error) {
	r, err := c.open(b, formatTokens)
	if err != nil {
		return nil, err
	}
	t := &Tokens{verified: true, binding: c.binding}
	t.token, t.scope = readAccess(&r)
	t.renewed = r.Bool()
	t.idToken.packed, t.first.packed = r.Bytes(), r.Bytes()
	login := r.Bytes()
	if r.Close() != nil || t.token.AccessToken == "" || t.idToken.packed == nil {
		return nil, errFormat
	}
	if login != nil && json.Unmarshal(login, &t.login) != nil {
		return nil, errFormat
	}
	return t, nil
}

func writeRequest(w *wire.Writer, q *requestState) {
	w.Text(q.state)
	w.Text(q.nonce)
	w.Text(q.verifier)
	w.Int(int64(slices.Index(typeNumbers, q.responseType)))
	w.Int(int64(slices.Index(modeNumbers, q.mode)))
	w.Bool(q.maxAge != nil)
	if q.maxAge != nil {
		w.Int(int64(*q.maxAge / time.Second))
		w.Time(q.requestedAt)
	}
	w.Strings(q.acr)
	w.Int(int64(len(q.expect)))
	if len(q.expect) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(q.expect)) {
		w.String(name)
		w.String(q.expect[name])
	}
}

func readRequest(r *wire.Reader) (requestState, error) {
	q := requestState{state: r.Text(), nonce: r.Text(), verifier: r.Text()}
	t, mode := r.Int(), r.Int()
	if t < 0 || t >= int64(len(typeNumbers)) || mode < 0 || mode >= int64(len(modeNumbers)) {
		return q, wire.ErrFormat
	}
	q.responseType, q.mode = typeNumbers[t], modeNumbers[mode]
	if r.Bool() {
		age := time.Duration(r.Int()) * time.Second
		q.maxAge, q.requestedAt = &age, r.Time()
	}
	q.acr = r.Strings()
	for n := r.Int(); n > 0 && q.state != ""; n-- {
		name, value := r.String(), r.String()
		if name == "" {
			return q, wire.ErrFormat
		}
		if q.expect == nil {
			q.expect = map[string]string{}
		}
		q.expect[name] = value
	}
	return q, nil
}

// open starts to read bytes of one kind and checks whose they are.
func (c *Client) open(b []byte, format byte) (wire.Reader, error) {
	r := wire.NewReader(b, format)
	binding := r.Bytes()
	if len(binding) != bindingSize {
		return r, errFormat
	}
	if !bytes.Equal(binding, c.binding[:]) {
		return r, fmt.Errorf("rp: %w", ErrOtherClient)
	}
	return r, nil
}

var errFormat = fmt.Errorf("rp: %w", ErrFormat)
