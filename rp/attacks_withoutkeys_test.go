package rp_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

// A provider that has rotated its keys, and whose keys are away for a moment: nothing is believed, and nothing is lost.

// keysAway is what a check gets whose keys cannot be had.
var keysAway = joined(rp.ErrUnavailable, verify.ErrKeySet)

// rotatesUnseen makes the provider sign with a key that nobody can fetch.
func (w *world) rotatesUnseen() {
	w.op.RotateKeys()
	w.lie(pathKeys, status(503))
}

func TestKeysThatAreAway(t *testing.T) {
	t.Parallel()
	t.Run("F09_a_kid_of_which_nobody_knows_is_not_refused_for_good", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			w.rotatesUnseen()
			for range 3 {
				w.want(w.verifies(), keysAway)
				pass(2 * time.Second)
			}
			w.op.Fault(nil)
			w.must(w.verifies())
		})
	})
	t.Run("F11_however_often_it_is_asked_for", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			w.rotatesUnseen()
			for range 100 {
				w.want(w.verifies(), keysAway)
			}
			w.calls(pathKeys, 1+4)
		})
	})
	t.Run("F09_whom_nobody_asked_for_since_it_failed", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			w.rotatesUnseen()
			for range 5 {
				w.want(w.verifies(), keysAway)
			}
			w.op.Fault(nil)
			w.want(w.verifies(), keysAway) // nothing is left to ask with
			pass(30 * time.Second)
			w.must(w.verifies())
		})
	})
}

func TestRefreshWithoutKeys(t *testing.T) {
	t.Parallel()
	t.Run("E09_the_refresh_token_that_came_is_kept", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			before := w.tokens(rp.AuthOptions{})
			w.rotatesUnseen()
			kept, err := w.client.Refresh(t.Context(), before, rp.Target{})
			w.want(err, keysAway)
			w.said.value(kept)
			wantOnlyRotated(t, before, kept)
			for range 3 { // and each time the next one
				pass(2 * time.Second)
				again, err := w.client.ParseTokens(kept.Bytes())
				w.must(err)
				kept, err = w.client.Refresh(t.Context(), again, rp.Target{})
				w.want(err, keysAway)
				wantOnlyRotated(t, again, kept)
			}
			w.op.Fault(nil)
			pass(30 * time.Second)
			after, err := w.client.Refresh(t.Context(), kept, rp.Target{})
			w.must(err)
			if after.OAuth2().AccessToken == before.OAuth2().AccessToken || after.IDToken() == before.IDToken() {
				t.Error("not refreshed")
			}
		})
	})
	t.Run("E09_for_one_API", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) { s.rp.Resources = []string{"https://one.example"} })
		before := w.tokens(rp.AuthOptions{})
		w.rotatesUnseen()
		kept, err := w.client.Refresh(t.Context(), before, rp.Target{Resource: "https://one.example"})
		w.want(err, keysAway)
		wantOnlyRotated(t, before, kept)
	})
	t.Run("E09_a_provider_that_does_not_rotate", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) { s.op.KeepRefreshTokens = true })
		before := w.tokens(rp.AuthOptions{})
		w.rotatesUnseen()
		kept, err := w.client.Refresh(t.Context(), before, rp.Target{})
		w.want(err, keysAway)
		if kept != nil {
			t.Error("there is nothing to keep")
		}
	})
	t.Run("E01_the_user_is_looked_at_when_the_keys_are_back", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			before := w.tokens(rp.AuthOptions{})
			w.rotatesUnseen()
			kept, err := w.client.Refresh(t.Context(), before, rp.Target{})
			w.want(err, keysAway)
			w.lie(pathToken, claim("sub", "mallory"))
			pass(30 * time.Second)
			after, err := w.client.Refresh(t.Context(), kept, rp.Target{})
			w.want(err, verify.ErrSubject)
			if after != nil {
				t.Error("refused tokens were handed out")
			}
		})
	})
}

// wantOnlyRotated: kept is before, with another refresh token.
func wantOnlyRotated(t *testing.T, before, kept *rp.Tokens) {
	t.Helper()
	if kept == nil {
		t.Fatal("lost")
	}
	old, got := before.OAuth2(), kept.OAuth2()
	if got.RefreshToken == old.RefreshToken || got.RefreshToken == "" {
		t.Error("not the refresh token that came")
	}
	if got.AccessToken != old.AccessToken || !got.Expiry.Equal(old.Expiry) || got.Extra("scope") != old.Extra("scope") {
		t.Error("an access token that nobody vouched for")
	}
	if kept.IDToken().Raw() != before.IDToken().Raw() || kept.First().Subject != before.First().Subject {
		t.Error("another ID Token")
	}
	if !bytes.Equal(kept.WithAccessTokenOf(before).WithoutRefreshToken().Bytes(), before.WithoutRefreshToken().Bytes()) {
		t.Error("something else has changed")
	}
}

func TestSourceWithoutKeys(t *testing.T) {
	t.Parallel()
	keeping(t, "E09_the_refresh_token_is_saved_before_anything_else", nil, func(t *testing.T, k *kept) {
		pass(time.Hour)
		k.rotatesUnseen()
		k.refuses(k.source, keysAway)
		if n := k.table.count(); n != 1 {
			t.Errorf("saved %d times", n)
		}
		k.source = k.load() // another process
		k.op.Fault(nil)
		pass(30 * time.Second)
		if k.get(k.source) == k.first {
			t.Error("the old token")
		}
	})
	keeping(t, "E09_a_token_that_is_good_is_served_meanwhile", nil, func(t *testing.T, k *kept) {
		pass(time.Hour - 29*time.Second)
		k.rotatesUnseen()
		for range 3 {
			if k.get(k.source) != k.first {
				t.Error("another token")
			}
			synctest.Wait()
			pass(3 * time.Second)
		}
		k.op.Fault(nil)
		pass(30 * time.Second)
		if k.get(k.source) == k.first {
			t.Error("the old token")
		}
	})
	keeping(t, "E07_and_cannot_be_saved_either", nil, func(t *testing.T, k *kept) {
		pass(time.Hour)
		k.rotatesUnseen()
		k.table.breaks(func() error { return errors.New("the table is away") })
		_, err := k.source.Token(t.Context())
		if !errors.Is(err, verify.ErrKeySet) || !errors.Is(err, rp.ErrNotSaved) {
			t.Errorf("%v: want both reasons", err)
		}
		k.calls(pathToken, 2)
		k.refuses(k.source, rp.ErrNotSaved)
		k.calls(pathToken, 2)
		k.table.breaks(nil)
		k.op.Fault(nil)
		pass(30 * time.Second)
		if k.get(k.source) == k.first {
			t.Error("the old token")
		}
	})
}
