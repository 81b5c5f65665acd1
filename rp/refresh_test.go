package rp_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// setClaims sets claims of the first and of the second ID Token, and of that of each refresh; nil deletes one.
func setClaims(op *optest.Server, first, second, refreshed map[string]any) {
	op.Fault(func(a *optest.Answer) {
		claims := first
		switch {
		case a.Endpoint == "/oauth/token" && a.Grant == "refresh_token":
			claims = refreshed
		case a.Endpoint == "/oauth/token":
			claims = second
		}
		if a.Claims == nil {
			return
		}
		for name, value := range claims {
			if value == nil {
				delete(a.Claims, name)
				continue
			}
			a.Claims[name] = value
		}
	})
}

func TestClaimsAreTheNewestAndWholeWithHowTheUserLoggedIn(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, nil)
	setClaims(op,
		map[string]any{"acr": "gold", "sid": "s1", "amr": []string{"otp"}, "only_first": "x", "email": "old@example.com"},
		map[string]any{"acr": nil, "sid": "s1", "amr": nil, "email": "new@example.com"},
		map[string]any{"acr": nil, "sid": nil, "amr": nil, "auth_time": nil, "nonce": nil, "email": "newest@example.com"})
	_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, tokens *rp.Tokens, email string) {
		claims := claimsOf(t, tokens)
		if claims["acr"] != "gold" || claims["sid"] != "s1" || claims["amr"] == nil || claims["email"] != email {
			t.Errorf("%s: %v", step, claims)
		}
		if claims["only_first"] != nil || claimsOf(t, tokens.First())["only_first"] != "x" {
			t.Errorf("%s: a claim of the first token wandered", step)
		}
	}
	check("login", tokens, "new@example.com")
	for range 2 {
		if tokens, err = client.Refresh(t.Context(), tokens, rp.Target{}); err != nil {
			t.Fatal(err)
		}
		check("refresh", tokens, "newest@example.com")
		if tokens, err = client.ParseTokens(tokens.Bytes()); err != nil {
			t.Fatal(err)
		}
		check("parse", tokens, "newest@example.com")
		if tokens.Diff() != nil {
			t.Error("a refreshed token is compared with the first of the login")
		}
	}
}

func TestE02_what_the_login_said_binds_every_later_refresh(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		claims map[string]any
		want   error
	}{
		"auth_time": {map[string]any{"auth_time": int64(1_500_000_000)}, verify.ErrAuthTime},
		"nonce":     {map[string]any{"nonce": "other"}, verify.ErrNonce},
		"azp":       {map[string]any{"azp": "other"}, verify.ErrAuthorizedParty},
		"sub":       {map[string]any{"sub": "mallory"}, verify.ErrSubject},
		"iss":       {map[string]any{"iss": "https://evil.example"}, verify.ErrIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := newOP(t, optest.Config{KeepRefreshTokens: true})
			client := newClient(t, op, nil)
			silent := map[string]any{"auth_time": nil, "nonce": nil, "azp": nil}
			both := map[string]any{"azp": "app", "auth_time": int64(1_600_000_000)}
			setClaims(op, both, both, silent)
			_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if tokens, err = client.Refresh(t.Context(), tokens, rp.Target{}); err != nil {
				t.Fatalf("a refreshed token that says nothing: %v", err)
			}
			lie := maps.Clone(both)
			maps.Copy(lie, tc.claims)
			setClaims(op, nil, nil, lie)
			if _, err := client.Refresh(t.Context(), tokens, rp.Target{}); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			setClaims(op, nil, nil, both)
			if _, err := client.Refresh(t.Context(), tokens, rp.Target{}); err != nil {
				t.Errorf("a refreshed token that says what the login said: %v", err)
			}
		})
	}
}

func TestRefreshForATarget(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, func(c *rp.Config) { c.Resources = []string{"https://api.example/", "https://b.example/"} })
	_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	to := rp.Target{Resource: "https://api.example/", Scopes: []string{"openid", "email"}}
	next, err := client.Refresh(t.Context(), tokens, to)
	if err != nil {
		t.Fatal(err)
	}
	requests := op.Requests("/oauth/token")
	form := requests[len(requests)-1].Form
	if form.Get("resource") != to.Resource || form.Get("scope") != "openid email" {
		t.Errorf("sent %v", members(map[string]any{"resource": form["resource"], "scope": form["scope"]}))
	}
	if scope := next.OAuth2().Extra("scope"); scope != "openid email" {
		t.Errorf("scope %v", scope)
	}
	for _, bad := range []rp.Target{{Resource: "/api"}, {Scopes: []string{"a b"}}} {
		if _, err := client.Refresh(t.Context(), next, bad); !errors.Is(err, rp.ErrOptions) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestRefreshWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	client := newClient(t, op, nil)
	op.Fault(func(a *optest.Answer) { delete(a.JSON, "refresh_token") })
	_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Refresh(t.Context(), tokens, rp.Target{})
	if !errors.Is(err, rp.ErrNoRefreshToken) || rp.ErrorCode(err) != "no_refresh_token" {
		t.Error(err)
	}
	if n := op.Calls("/oauth/token"); n != 1 {
		t.Errorf("token endpoint called %d times", n)
	}
}
