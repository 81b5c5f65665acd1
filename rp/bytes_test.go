package rp_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// otherClients are clients that must not read what client has written.
func otherClients(t *testing.T, op *optest.Server) map[string]*rp.Client {
	t.Helper()
	return map[string]*rp.Client{
		"another client ID":    newClient(t, op, func(c *rp.Config) { c.ClientID = "other" }),
		"another redirect URI": newClient(t, op, func(c *rp.Config) { c.RedirectURL = "http://127.0.0.1:9/other" }),
		"another issuer":       newClient(t, newOP(t, optest.Config{}), nil),
	}
}

func TestEveryValueSurvivesItsBytes(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{Claims: map[string]any{"acr": "gold", "org_id": "org_a"}})
	client := newClient(t, op, func(c *rp.Config) { c.ResponseType = rp.CodeIDTokenToken })
	again := newClient(t, op, func(c *rp.Config) { c.ResponseType = rp.CodeIDTokenToken }) // the process after a restart
	age := time.Hour
	q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{
		MaxAge: &age, EssentialACR: []string{"gold"}, Expect: map[string]string{"org_id": "org_a", "sub": "alice"},
	})
	if err != nil {
		t.Fatal(err)
	}
	params := answer(t, q)
	parsed, err := again.ParseAuthRequest(q.Bytes())
	if err != nil || parsed.State() != q.State() || parsed.ResponseMode() != q.ResponseMode() || parsed.Redirect().URL != "" {
		t.Fatalf("AuthRequest: %v", err)
	}
	a, err := again.VerifyResponse(t.Context(), parsed, params)
	if err != nil {
		t.Fatal(err)
	}
	a2, err := client.ParseAuthResponse(a.Bytes())
	if err != nil || a2.IDToken().Raw() != a.IDToken().Raw() || a2.AccessToken().AccessToken != a.AccessToken().AccessToken {
		t.Fatalf("AuthResponse: %v", err)
	}
	tokens, err := client.Exchange(t.Context(), a2)
	if err != nil {
		t.Fatal(err)
	}
	t2, err := again.ParseTokens(tokens.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	sameTokens(t, tokens, t2)
	if t2.First().Raw() != "" {
		t.Error("the first ID Token is kept with its signature")
	}
	t3, err := again.Refresh(t.Context(), t2, rp.Target{})
	if err != nil {
		t.Fatal(err)
	}
	t4, err := again.ParseTokens(t3.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	sameTokens(t, t3, t4)
	u, err := client.UserInfo(t.Context(), t4)
	if err != nil {
		t.Fatal(err)
	}
	if u2, err := again.ParseUserInfo(u.Bytes()); err != nil || u2.Subject != u.Subject || claimsOf(t, u2) == nil {
		t.Errorf("UserInfo: %v", err)
	}
}

type claimer interface{ Claims(v any) error }

func claimsOf(t *testing.T, c claimer) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := c.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func sameTokens(t *testing.T, a, b *rp.Tokens) {
	t.Helper()
	x, y := a.OAuth2(), b.OAuth2()
	if x.AccessToken != y.AccessToken || x.RefreshToken != y.RefreshToken || x.Type() != y.Type() ||
		x.Expiry.Unix() != y.Expiry.Unix() || x.Extra("scope") != y.Extra("scope") {
		t.Error("the OAuth 2.0 tokens differ")
	}
	if a.IDToken().Raw() != b.IDToken().Raw() {
		t.Error("the newest ID Token differs")
	}
	if !reflect.DeepEqual(claimsOf(t, a), claimsOf(t, b)) {
		t.Errorf("claims differ:\n%v\n%v", claimsOf(t, a), claimsOf(t, b))
	}
	if !reflect.DeepEqual(claimsOf(t, a.First()), claimsOf(t, b.First())) {
		t.Errorf("the first ID Token differs:\n%v\n%v", claimsOf(t, a.First()), claimsOf(t, b.First()))
	}
	if !reflect.DeepEqual(a.Diff(), b.Diff()) {
		t.Errorf("the difference differs:\n%v\n%v", a.Diff(), b.Diff())
	}
}

func TestBytesAreBoundToClientAndFormat(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, nil)
	q, params := pending(t, client)
	a, err := client.VerifyResponse(t.Context(), q, params)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := client.Exchange(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	u, err := client.UserInfo(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]struct {
		bytes []byte
		parse func(*rp.Client, []byte) error
	}{
		"AuthRequest":  {q.Bytes(), func(c *rp.Client, b []byte) error { _, err := c.ParseAuthRequest(b); return err }},
		"AuthResponse": {a.Bytes(), func(c *rp.Client, b []byte) error { _, err := c.ParseAuthResponse(b); return err }},
		"Tokens":       {tokens.Bytes(), func(c *rp.Client, b []byte) error { _, err := c.ParseTokens(b); return err }},
		"UserInfo":     {u.Bytes(), func(c *rp.Client, b []byte) error { _, err := c.ParseUserInfo(b); return err }},
	} {
		if err := kind.parse(client, kind.bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for other, c := range otherClients(t, op) {
			if err := kind.parse(c, kind.bytes); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("%s of %s: %v", name, other, err)
			}
		}
		for i := range kind.bytes {
			if err := kind.parse(client, kind.bytes[:i]); !errors.Is(err, rp.ErrFormat) {
				t.Errorf("%s cut after %d bytes: %v", name, i, err)
			}
		}
		for _, b := range [][]byte{q.Bytes(), a.Bytes(), tokens.Bytes(), u.Bytes()} {
			if err := kind.parse(client, b); b[0] != kind.bytes[0] && !errors.Is(err, rp.ErrFormat) {
				t.Errorf("%s from another kind of bytes: %v", name, err)
			}
		}
		next := append([]byte{kind.bytes[0] + 1}, kind.bytes[1:]...)
		if err := kind.parse(client, next); !errors.Is(err, rp.ErrFormat) {
			t.Errorf("G07: %s of the next version: %v", name, err)
		}
	}
}

func TestOneClientRefusesWhatAnotherMade(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, nil)
	q, params := pending(t, client)
	a, err := client.VerifyResponse(t.Context(), q, params)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := client.Exchange(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range otherClients(t, op) {
		if _, err := other.VerifyResponse(t.Context(), q, params); !errors.Is(err, rp.ErrOtherClient) {
			t.Errorf("A31: VerifyResponse by %s: %v", name, err)
		}
		if _, err := other.Exchange(t.Context(), a); !errors.Is(err, rp.ErrOtherClient) {
			t.Errorf("A31: Exchange by %s: %v", name, err)
		}
		if _, err := other.Refresh(t.Context(), tokens, rp.Target{}); !errors.Is(err, rp.ErrOtherClient) {
			t.Errorf("Refresh by %s: %v", name, err)
		}
		if _, err := other.UserInfo(t.Context(), tokens); !errors.Is(err, rp.ErrOtherClient) {
			t.Errorf("UserInfo by %s: %v", name, err)
		}
	}
	if n := op.Calls("/oauth/token"); n != 1 {
		t.Errorf("token endpoint called %d times", n)
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	t.Parallel()
	client := lazyClient(t, nil)
	_, err1 := client.VerifyResponse(t.Context(), &rp.AuthRequest{}, url.Values{"state": {""}})
	_, err2 := client.VerifyResponse(t.Context(), nil, nil)
	_, err3 := client.Exchange(t.Context(), &rp.AuthResponse{})
	_, err4 := client.Exchange(t.Context(), nil)
	_, err5 := client.Refresh(t.Context(), &rp.Tokens{}, rp.Target{})
	_, err6 := client.UserInfo(t.Context(), nil)
	for i, err := range []error{err1, err2, err3, err4, err5, err6, (&rp.Tokens{}).Claims(nil)} {
		if !errors.Is(err, rp.ErrNotVerified) {
			t.Errorf("%d: %v", i+1, err)
		}
	}
}

// The bytes of a session must fit into cookies (performance.md, section 3).
func TestTokensAreSmall(t *testing.T) {
	t.Parallel()
	pad := map[string]any{"picture": "https://cdn.example/" + json.Number("1234567890").String(), "x": make([]int, 180)}
	op := newOP(t, optest.Config{Claims: pad})
	client := newClient(t, op, nil)
	_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw := len(tokens.IDToken().Raw()) + len(tokens.OAuth2().AccessToken) + len(tokens.OAuth2().RefreshToken)
	if got := len(tokens.Bytes()); got > raw*85/100+200 {
		t.Errorf("%d bytes for %d characters of tokens and a first ID Token", got, raw)
	}
}
