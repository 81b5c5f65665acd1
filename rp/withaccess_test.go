package rp_test

import (
	"testing"

	"github.com/twofold-auth/twofold/rp"
)

// TestWithAccessTokenOf puts back the main access token after a refresh for one API (E16).
func TestWithAccessTokenOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.Resources = []string{"https://one.example", "https://two.example"} })
	main := w.tokens(rp.AuthOptions{})
	one, err := w.client.Refresh(t.Context(), main, rp.Target{Resource: "https://one.example", Scopes: []string{"openid"}})
	w.must(err)
	kept := one.WithAccessTokenOf(main)
	t.Run("E16_what_is_kept", func(t *testing.T) {
		got, access, refresh := kept.OAuth2(), main.OAuth2(), one.OAuth2()
		if got.AccessToken != access.AccessToken || !got.Expiry.Equal(access.Expiry) || got.Extra("scope") != access.Extra("scope") {
			t.Error("not the main access token")
		}
		if got.RefreshToken != refresh.RefreshToken || got.RefreshToken == access.RefreshToken {
			t.Error("not the rotated refresh token")
		}
		if kept.IDToken() != one.IDToken() || kept.First() == nil || kept.First().Subject != main.First().Subject {
			t.Error("not the newest ID Token, or not the first")
		}
		if main.OAuth2().RefreshToken != access.RefreshToken || one.OAuth2().AccessToken != refresh.AccessToken {
			t.Error("an original has changed")
		}
	})
	t.Run("E16_it_can_be_kept_and_refreshed", func(t *testing.T) {
		again, err := w.client.ParseTokens(kept.Bytes())
		w.must(err)
		two, err := w.client.Refresh(t.Context(), again, rp.Target{Resource: "https://two.example"})
		w.must(err)
		if aud := audienceOf(t, two.OAuth2().AccessToken); aud != `"https://two.example"` {
			t.Errorf("for %s", aud)
		}
	})
	t.Run("E16_of_another_client", func(t *testing.T) {
		other := newWorld(t, func(s *setting) { s.rp.RedirectURL += "/other" })
		_, err := w.client.Refresh(t.Context(), kept.WithAccessTokenOf(other.tokens(rp.AuthOptions{})), rp.Target{})
		w.want(err, rp.ErrNotVerified)
	})
	t.Run("E16_of_nothing", func(t *testing.T) {
		_, err := w.client.Refresh(t.Context(), kept.WithAccessTokenOf(&rp.Tokens{}), rp.Target{})
		w.want(err, rp.ErrNotVerified)
	})
}

// TestWhatTheClientAsksFor returns copies.
func TestWhatTheClientAsksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.Resources = []string{"https://one.example"} })
	scopes, resources := w.client.Scopes(), w.client.Resources()
	if len(scopes) == 0 || scopes[0] != "openid" || len(resources) != 1 || resources[0] != "https://one.example" {
		t.Errorf("%q %q", scopes, resources)
	}
	scopes[0], resources[0] = "changed", "changed"
	if w.client.Scopes()[0] != "openid" || w.client.Resources()[0] != "https://one.example" {
		t.Error("who asked can change it")
	}
}
