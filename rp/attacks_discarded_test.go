package rp_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// What becomes of tokens that came with an ID Token which is not believed: nobody gets them, so they are revoked.

// cameWith lets the token endpoint lie, and notes which tokens came with the lie.
func (w *world) cameWith(lie func(*optest.Answer)) (came func() []string) {
	var access, refresh string
	w.lie(pathToken, func(a *optest.Answer) {
		lie(a)
		access, _ = a.JSON["access_token"].(string)
		refresh, _ = a.JSON["refresh_token"].(string)
	})
	return func() []string {
		list := []string{"access_token " + access}
		if refresh != "" {
			list = append([]string{"refresh_token " + refresh}, list...)
		}
		return list
	}
}

// wantRevoked waits for what is done in the background.
func (w *world) wantRevoked(want ...string) {
	w.Helper()
	synctest.Wait()
	got := w.revocations()
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			w.Errorf("%d tokens were revoked, want %d, or others", len(got), len(want))
			return
		}
	}
	if len(got) != len(want) {
		w.Errorf("%d tokens were revoked, want %d", len(got), len(want))
	}
}

func TestTokensThatNobodyGets(t *testing.T) {
	t.Parallel()
	tampered := func(a *optest.Answer) {
		a.Sign = func(h, c []byte) string { return optest.Tamper(a.JWS(h, c)) }
	}
	for _, row := range []struct {
		name string
		lie  func(*optest.Answer)
		want error
	}{
		{"D15_another_sub", claim("sub", "bob"), verify.ErrMismatch},
		{"D16_another_iss", claim("iss", "https://evil.example"), verify.ErrIssuer},
		{"D18_another_nonce", claim("nonce", "other"), verify.ErrNonce},
		{"D25_bad_signature", tampered, verify.ErrSignature},
		{"D09_id_token_missing", member("id_token", nil), rp.ErrTokenResponse},
		{"D15_and_no_refresh_token", func(a *optest.Answer) {
			claim("sub", "bob")(a)
			member("refresh_token", nil)(a)
		}, verify.ErrMismatch},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				answer := w.verified(rp.AuthOptions{})
				came := w.cameWith(row.lie)
				_, err := w.client.Exchange(t.Context(), answer)
				w.want(err, row.want)
				w.wantRevoked(came()...)
			})
		})
	}
	for _, row := range []struct {
		name string
		lie  func(*optest.Answer)
		want error
	}{
		{"E01_another_sub", claim("sub", "bob"), verify.ErrSubject},
		{"E03_bad_signature", tampered, verify.ErrSignature},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				tokens := w.tokens(rp.AuthOptions{})
				came := w.cameWith(row.lie)
				_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
				w.want(err, row.want)
				w.wantRevoked(came()...)
			})
		})
	}
	t.Run("E01_but_not_the_refresh_token_of_before", func(t *testing.T) {
		for _, echoes := range []bool{false, true} {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s *setting) { s.op.KeepRefreshTokens = true })
				tokens := w.tokens(rp.AuthOptions{})
				came := w.cameWith(func(a *optest.Answer) {
					claim("sub", "bob")(a)
					if member("refresh_token", nil)(a); echoes {
						member("refresh_token", tokens.OAuth2().RefreshToken)(a)
					}
				})
				_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
				w.want(err, verify.ErrSubject)
				list := came()
				w.wantRevoked(list[len(list)-1])
			})
		}
	})
	t.Run("D15_whose_keys_are_away", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			answer := w.verified(rp.AuthOptions{})
			w.rotatesUnseen()
			_, err := w.client.Exchange(t.Context(), answer)
			w.want(err, keysAway)
			synctest.Wait()
			w.calls(pathRevoke, 2) // the code is spent, and nobody can have what it brought
		})
	})
	t.Run("E09_but_none_that_are_kept", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			for _, keeps := range []bool{false, true} {
				w := newWorld(t, func(s *setting) { s.op.KeepRefreshTokens = keeps })
				tokens := w.tokens(rp.AuthOptions{})
				w.rotatesUnseen()
				_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
				w.want(err, keysAway)
				w.wantRevoked()
			}
		})
	})
	t.Run("D00_nor_any_that_are_good", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			_, err := w.client.Refresh(t.Context(), w.tokens(rp.AuthOptions{}), rp.Target{})
			w.must(err)
			w.wantRevoked()
		})
	})
	t.Run("D07_nor_where_none_came", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			answer := w.verified(rp.AuthOptions{})
			w.lie(pathToken, oauthError("invalid_grant", 400))
			_, err := w.client.Exchange(t.Context(), answer)
			w.want(err, says("invalid_grant", 400))
			w.wantRevoked()
		})
	})
	t.Run("D15_a_provider_without_revocation", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			told := 0
			w := newWorld(t, func(s *setting) {
				s.rp.Endpoints = &rp.Endpoints{Authorization: opIssuer + "/authorize", Token: opIssuer + pathToken, JWKS: opIssuer + pathKeys}
				s.rp.Observe = func(_ context.Context, e rp.Event) {
					if e.Name == "revoke" {
						told++
					}
				}
			})
			answer := w.verified(rp.AuthOptions{})
			w.lie(pathToken, claim("sub", "bob"))
			_, err := w.client.Exchange(t.Context(), answer)
			w.want(err, verify.ErrMismatch)
			w.wantRevoked()
			if told != 0 {
				t.Error("it is told as if somebody had asked for it")
			}
		})
	})
	t.Run("I23_nobody_waits_for_it", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			told := 0
			w := newWorld(t, func(s *setting) {
				s.rp.Observe = func(_ context.Context, e rp.Event) {
					if e.Name == "revoke" && e.Code == "unavailable" {
						told++
					}
				}
			})
			answer := w.verified(rp.AuthOptions{})
			w.op.Fault(func(a *optest.Answer) {
				switch a.Endpoint {
				case pathRevoke:
					a.Delay = -1
				case pathToken:
					a.Claims["sub"] = "bob"
				}
			})
			start := time.Now()
			_, err := w.client.Exchange(t.Context(), answer)
			w.want(err, verify.ErrMismatch)
			if took := since(start); took != 0 {
				t.Errorf("took %v", took)
			}
			pass(5 * time.Second)
			synctest.Wait()
			w.calls(pathRevoke, 1)
			if told != 1 {
				t.Error("nobody hears when it has failed")
			}
		})
	})
	t.Run("I23_nor_does_Close", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			answer := w.verified(rp.AuthOptions{})
			w.op.Fault(func(a *optest.Answer) {
				switch a.Endpoint {
				case pathRevoke:
					a.Delay = -1
				case pathToken:
					a.Claims["sub"] = "bob"
				}
			})
			start := time.Now()
			_, err := w.client.Exchange(t.Context(), answer)
			w.want(err, verify.ErrMismatch)
			w.must(w.client.Close()) // which ends it
			if took := since(start); took != 0 {
				t.Errorf("Close took %v", took)
			}
		})
	})
}
