package rp_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Several who want tokens of one source at a time, and what each of them hears. All rows run in virtual time.

func TestRefreshSourceTurns(t *testing.T) {
	t.Parallel()
	anAPI := rp.Target{Resource: "https://a.example/"}
	slow := func(a *optest.Answer) { a.Delay = 3 * time.Second }
	keeping(t, "E07_a_callback_that_hangs_longer_than_anybody_waits", nil, func(t *testing.T, k *kept) {
		stuck := make(chan struct{})
		k.table.breaks(func() error { <-stuck; return nil })
		k.lie(pathToken, slow)
		pass(hour)
		var running sync.WaitGroup
		running.Go(func() { k.get(k.source) }) // saves from the third second on
		pass(time.Second)
		running.Go(func() { k.refuses(k.source.For(anAPI), rp.ErrUnavailable) }) // waits for its turn to refresh
		pass(4 * time.Second)
		k.refuses(k.source, rp.ErrUnavailable) // waits for its turn to save
		close(stuck)
		running.Wait()
		k.table.breaks(nil)
		k.get(k.source)
		k.calls(pathToken, 2)
		pass(time.Minute)
		k.get(k.source.For(anAPI))
	})
	keeping(t, "E07_who_waits_for_its_turn_refreshes_nothing_on_top_of_what_was_not_saved", nil, func(t *testing.T, k *kept) {
		k.table.breaks(func() error { return errors.New("the table is away") })
		k.lie(pathToken, slow)
		pass(hour)
		var running sync.WaitGroup
		running.Go(func() { k.refuses(k.source, rp.ErrNotSaved) })
		pass(time.Second)
		running.Go(func() { k.refuses(k.source.For(anAPI), rp.ErrNotSaved) })
		running.Wait()
		k.calls(pathToken, 2)
	})
	keeping(t, "E07_all_who_ask_share_one_offer", nil, func(t *testing.T, k *kept) {
		k.table.breaks(func() error { return errors.New("the table is away") })
		pass(hour)
		k.refuses(k.source, rp.ErrNotSaved)
		var offers atomic.Int64
		k.table.breaks(func() error {
			offers.Add(1)
			pass(time.Second)
			return errors.New("the table is away")
		})
		var running sync.WaitGroup
		for range 50 {
			running.Go(func() { k.refuses(k.source, rp.ErrNotSaved) })
		}
		running.Wait()
		if offers.Load() != 1 {
			t.Errorf("offered %d times", offers.Load())
		}
	})
	keeping(t, "E09_invalid_grant_beside_a_503_is_an_outage", nil, func(t *testing.T, k *kept) {
		pass(hour)
		k.lie(pathToken, func(a *optest.Answer) { // before the provider has replaced the refresh token
			a.Status, a.JSON = 503, map[string]any{"error": "invalid_grant"}
		})
		k.refuses(k.source, errors.Join(rp.ErrUnavailable, says("invalid_grant", 503)))
		k.refuses(k.source, errors.Join(rp.ErrUnavailable, says("invalid_grant", 503)))
		k.calls(pathToken, 2)
		pass(time.Minute)
		k.refuses(k.source, errors.Join(rp.ErrUnavailable, says("invalid_grant", 503)))
		k.calls(pathToken, 3) // asked again: nothing is over
	})
	keeping(t, "E11_a_target_that_its_maker_changes_later", nil, func(t *testing.T, k *kept) {
		scopes := []string{"openid"}
		source := k.source.For(rp.Target{Resource: anAPI.Resource, Scopes: scopes})
		scopes[0] = "email"
		k.get(source)
		if sent := k.op.Requests(pathToken); sent[len(sent)-1].Form.Get("scope") != "openid" {
			t.Error("asked for what its maker wrote later")
		}
	})
}

func TestRenewOfASharedToken(t *testing.T) {
	t.Parallel()
	renew := func(w *world, source rp.TokenSource, rejected *oauth2.Token) (*oauth2.Token, error) {
		return source.(interface {
			Renew(context.Context, *oauth2.Token) (*oauth2.Token, error)
		}).Renew(w.Context(), rejected)
	}
	credentials(t, "E14_a_rejected_token_whose_successor_is_on_its_way", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, member("expires_in", 20))
		old, err := source.Token(t.Context())
		w.must(err)
		pass(16 * time.Second)
		w.lie(pathToken, func(a *optest.Answer) { a.Delay = 2 * time.Second })
		w.get(source) // the old one, and the next is fetched meanwhile
		synctest.Wait()
		token, err := renew(w, source, old)
		if w.must(err); token.AccessToken == old.AccessToken {
			t.Error("not renewed")
		}
		w.calls(pathToken, 2)
	})
	back := &clock{}
	credentials(t, "E17_a_rejected_token_and_a_clock_that_was_put_back", func(s *setting) { s.rp.Now = back.now }, func(t *testing.T, w *world, source rp.TokenSource) {
		old, err := source.Token(t.Context())
		w.must(err)
		back.forward(-hour)
		token, err := renew(w, source, old)
		if w.must(err); token.AccessToken == old.AccessToken {
			t.Error("not renewed")
		}
	})
}
