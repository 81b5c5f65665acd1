package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

// TestSessionIsThatOfThePeers: tokens as long as theirs, JWS to the last character, and floors with cookies as long as ours.
func TestSessionIsThatOfThePeers(t *testing.T) {
	t.Parallel()
	w, err := newWorld(t.Context(), setup{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	cookies, err := w.login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want int) {
		if got < want-3 || got > want+3 {
			t.Errorf("%s: %d bytes, want %d", what, got, want)
		}
	}
	peer := typicalSession()
	look := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := middleware.FromContext(r.Context())
		id, err := s.IDToken()
		if err != nil {
			t.Error(err)
			return
		}
		token, err := s.Token(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		near("ID Token", len(id.Raw()), len(peer.IDToken))
		near("access token", len(token.AccessToken), len(peer.AccessToken))
		for part := range strings.SplitSeq(token.AccessToken, ".") {
			if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
				t.Errorf("access token: %v", err)
			}
		}
	})
	serve(w.auth.RequireTokens(look), navigation(t.Context(), "/", cookies), http.StatusOK)()
	near("the floor's cookies", len(floorCookies(cookies)), len(cookies))
	near("the floor's identity part", strings.IndexByte(floorCookies(cookies), ';'), identitySize(cookies))
}

// TestQuickEnds: on a machine that is busy with other things too.
func TestQuickEnds(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-time.Minute)
	if !(options{quick: true}).enough(9, long) || (options{quick: true}).enough(8, long) || (options{quick: true}).enough(9, time.Now()) {
		t.Error("-quick does not end after nine rounds and some seconds")
	}
	if (options{}).enough(100, long) {
		t.Error("a full run ends early")
	}
}
