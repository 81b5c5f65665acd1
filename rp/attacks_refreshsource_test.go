package rp_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Tokens that an app keeps itself. All rows run in virtual time.

// table is where an app keeps the tokens of a user.
type table struct {
	mu    sync.Mutex // guards what follows
	row   []byte
	saves int
	fail  func() error
}

func (b *table) save(_ context.Context, t *rp.Tokens) error {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saves++
	b.row = t.Bytes()
	return nil
}

func (b *table) breaks(fail func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = fail
}

func (b *table) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.saves
}

// kept is a world whose app keeps its tokens.
type kept struct {
	*world
	table  table
	source *rp.RefreshSource
	first  string
}

// load makes a source of what is in the table, as a new process would.
func (k *kept) load() *rp.RefreshSource {
	k.Helper()
	k.table.mu.Lock()
	defer k.table.mu.Unlock()
	tokens, err := k.client.ParseTokens(bytes.Clone(k.table.row))
	k.must(err)
	return k.client.TokenSource(tokens, k.table.save)
}

func keeping(t *testing.T, name string, set func(*setting), run func(t *testing.T, k *kept)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		bubble.Test(t, func(t *testing.T) {
			k := &kept{world: newWorld(t, func(s *setting) {
				s.rp.Resources = []string{"https://a.example/", "https://b.example/"}
				if set != nil {
					set(s)
				}
			})}
			tokens := k.tokens(rp.AuthOptions{})
			k.first = tokens.OAuth2().AccessToken
			k.table.row = tokens.Bytes()
			k.source = k.load()
			run(t, k)
		})
	})
}

func TestRefreshSource(t *testing.T) {
	t.Parallel()
	anAPI := rp.Target{Resource: "https://a.example/"}
	keeping(t, "E05_100_parallel_callers_and_the_end_of_a_token", nil, func(t *testing.T, k *kept) {
		if k.get(k.source) != k.first {
			t.Error("not the token that was there")
		}
		k.calls(pathToken, 1)
		pass(hour)
		var running sync.WaitGroup
		var got sync.Map
		for range 100 {
			running.Go(func() {
				got.Store(k.get(k.source), true)
				if k.table.count() != 1 {
					t.Error("a token was handed out before the tokens were saved")
				}
			})
		}
		running.Wait()
		k.calls(pathToken, 2)
		n := 0
		got.Range(func(any, any) bool { n++; return true })
		if _, old := got.Load(k.first); n != 1 || old {
			t.Errorf("%d tokens", n)
		}
	})
	keeping(t, "E05_replaced_before_its_end_while_it_is_served", nil, func(t *testing.T, k *kept) {
		pass(hour - 29*time.Second)
		if k.get(k.source) != k.first {
			t.Error("somebody waited")
		}
		synctest.Wait()
		if k.get(k.source) == k.first || k.table.count() != 1 {
			t.Error("not replaced, or not saved")
		}
	})
	keeping(t, "E06_the_next_process_goes_on_where_the_last_one_ended", nil, func(t *testing.T, k *kept) {
		for range 5 {
			pass(2 * hour)
			token := k.get(k.source)
			k.source = k.load()
			if k.get(k.source) != token {
				t.Error("another token after it was loaded")
			}
		}
		if n := k.table.count(); n != 5 {
			t.Errorf("saved %d times", n)
		}
	})
	keeping(t, "E07_what_was_not_saved_is_offered_again", nil, func(t *testing.T, k *kept) {
		k.table.breaks(func() error { return errors.New("the table is away") })
		pass(hour)
		var offered sync.WaitGroup
		for range 50 {
			offered.Go(func() { k.refuses(k.source, rp.ErrNotSaved) })
		}
		offered.Wait()
		k.refuses(k.source, rp.ErrNotSaved)
		k.refuses(k.source.For(anAPI), rp.ErrNotSaved) // nothing is refreshed on top of it
		k.calls(pathToken, 2)
		rescued := k.source.Tokens()
		k.table.breaks(nil)
		token := k.get(k.source)
		if token == k.first || !bytes.Equal(k.table.row, rescued.Bytes()) || rescued.OAuth2().AccessToken != token {
			t.Error("not the tokens that were offered first")
		}
		k.calls(pathToken, 2)
		if k.get(k.load()) != token {
			t.Error("the saved row is not what is in use")
		}
		pass(hour)
		k.get(k.source)
	})
	keeping(t, "E07_a_caller_hears_of_it_also_while_his_token_is_good", nil, func(t *testing.T, k *kept) {
		k.table.breaks(func() error { return errors.New("the table is away") })
		pass(hour - 29*time.Second)
		k.get(k.source) // and the refresh behind it cannot be saved
		synctest.Wait()
		k.refuses(k.source, rp.ErrNotSaved)
		k.table.breaks(nil)
		if k.get(k.source) == k.first {
			t.Error("the old token")
		}
		k.calls(pathToken, 2)
	})
	keeping(t, "E07_a_callback_that_panics", nil, func(t *testing.T, k *kept) {
		k.table.breaks(func() error { panic("canary: " + string(k.source.Tokens().Bytes())) })
		pass(hour)
		k.refuses(k.source, rp.ErrNotSaved)
		k.table.breaks(nil)
		k.get(k.source)
	})
	keeping(t, "E07_a_callback_that_hangs", nil, func(t *testing.T, k *kept) {
		stuck := make(chan struct{})
		k.table.breaks(func() error { <-stuck; return nil })
		pass(hour)
		short, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		_, err := k.source.Token(short)
		k.want(err, rp.ErrUnavailable)
		close(stuck)
		synctest.Wait()
		k.get(k.source)
		k.calls(pathToken, 2)
	})
	keeping(t, "J12_the_caller_leaves_and_the_tokens_are_saved", nil, func(t *testing.T, k *kept) {
		k.lie(pathToken, func(a *optest.Answer) { a.Delay = 3 * time.Second })
		pass(hour)
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		_, err := k.source.Token(gone)
		k.want(err, rp.ErrUnavailable)
		pass(3 * time.Second)
		synctest.Wait()
		if k.table.count() != 1 {
			t.Error("lost")
		}
		k.get(k.source)
		k.calls(pathToken, 2)
	})
	keeping(t, "E16_ten_targets_at_once", nil, func(t *testing.T, k *kept) {
		var running sync.WaitGroup
		var tokens sync.Map
		for i := range 10 {
			to := rp.Target{Resource: "https://a.example/", Scopes: []string{"openid", "email", "offline_access"}[:1+i%3]}
			if i >= 5 {
				to.Resource = "https://b.example/"
			}
			running.Go(func() { tokens.Store(k.get(k.source.For(to)), to.Resource) })
		}
		running.Wait()
		n := 0
		tokens.Range(func(any, any) bool { n++; return true })
		if k.calls(pathToken, 7); n != 6 { // 3 scope sets of 2 APIs, each once
			t.Errorf("%d tokens", n)
		}
		if k.get(k.source) != k.first {
			t.Error("the main token was replaced")
		}
		if k.get(k.load()) != k.first {
			t.Error("the saved main token is another one")
		}
		pass(hour)
		k.get(k.source) // the refresh token went through all of them
	})
	keeping(t, "E16_the_token_of_one_API_is_not_that_of_another", nil, func(t *testing.T, k *kept) {
		for _, api := range []string{"https://a.example/", "https://b.example/"} {
			token := k.get(k.source.For(rp.Target{Resource: api}))
			if again := k.get(k.source.For(rp.Target{Resource: api})); again != token {
				t.Error("fetched again")
			}
			for _, at := range []string{"https://a.example/", "https://b.example/"} {
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, opIssuer+"/api?resource="+at, http.NoBody)
				r.Header.Set("Authorization", "Bearer "+token)
				resp, err := k.net.transport.RoundTrip(r)
				k.must(err)
				_ = resp.Body.Close()
				if (resp.StatusCode == http.StatusOK) != (at == api) {
					t.Errorf("the token for %s at %s: %s", api, at, resp.Status)
				}
			}
		}
		k.refuses(k.source.For(rp.Target{Resource: "https://c.example/"}), says("invalid_target", 400))
		k.get(k.source.For(anAPI)) // which concerns nobody else
		pass(hour)
		k.get(k.source.For(anAPI))
		k.get(k.source)
		if k.source.For(rp.Target{}) != rp.TokenSource(k.source) {
			t.Error("the zero target is another source")
		}
	})
	keeping(t, "E04_nothing_changed_and_nothing_is_saved", func(s *setting) { s.op.KeepRefreshTokens = true }, func(t *testing.T, k *kept) {
		k.lie(pathToken, member("id_token", nil))
		k.get(k.source.For(anAPI))
		if k.table.count() != 0 {
			t.Error("saved")
		}
		pass(hour)
		k.get(k.source)
		if k.table.count() != 1 {
			t.Error("the new access token was not saved")
		}
	})
	keeping(t, "E08_invalid_grant_is_for_good", nil, func(t *testing.T, k *kept) {
		pass(hour - 20*time.Second)
		k.lie(pathToken, oauthError("invalid_grant", 400))
		if k.get(k.source) != k.first {
			t.Error("a good token was withheld")
		}
		synctest.Wait()
		if k.get(k.source) != k.first {
			t.Error("a good token was withheld")
		}
		k.op.Fault(nil)
		for range 20 {
			pass(time.Minute)
			k.refuses(k.source, says("invalid_grant", 400))
			k.refuses(k.source.For(anAPI), says("invalid_grant", 400))
		}
		k.calls(pathToken, 2)
	})
	for _, why := range []string{"consent_required", "basic_action"} {
		keeping(t, "E08_more_is_needed_for_one_API_at_Entra_ID_"+why, func(s *setting) { s.op.KeepRefreshTokens = true }, func(t *testing.T, k *kept) {
			k.lie(pathToken, func(a *optest.Answer) {
				oauthError("invalid_grant", 400)(a)
				a.JSON["suberror"] = why
			})
			_, err := k.source.For(anAPI).Token(t.Context())
			k.want(err, says("invalid_grant", 400))
			if e, ok := errors.AsType[*rp.Error](err); !ok || e.Suberror != why || !strings.Contains(err.Error(), why) {
				t.Error(err)
			}
			k.op.Fault(nil)
			k.get(k.source.For(rp.Target{Resource: "https://b.example/"})) // the refresh token is as good as before
			pass(hour)
			k.get(k.source)
		})
	}
	keeping(t, "K01_the_suberror_repeats_the_refresh_token", nil, func(t *testing.T, k *kept) {
		k.lie(pathToken, func(a *optest.Answer) {
			oauthError("invalid_grant", 400)(a)
			a.JSON["suberror"] = a.Request.Form.Get("refresh_token")
		})
		k.refuses(k.source.For(anAPI), says("invalid_grant", 400))
	})
	keeping(t, "E01_an_ID_Token_of_another_user_ends_it", nil, func(t *testing.T, k *kept) {
		pass(hour - 20*time.Second)
		k.lie(pathToken, claim("sub", "mallory"))
		k.get(k.source)
		synctest.Wait()
		k.op.Fault(nil)
		pass(time.Second)
		k.refuses(k.source, verify.ErrSubject)
		k.refuses(k.source.For(anAPI), verify.ErrSubject)
		if _, err := k.source.Renew(t.Context(), &oauth2.Token{AccessToken: k.first}); !errors.Is(err, verify.ErrSubject) {
			t.Error(err)
		}
		k.calls(pathToken, 2)
		if k.table.count() != 0 || k.source.Tokens().OAuth2().AccessToken != k.first {
			t.Error("the refused tokens were kept")
		}
	})
	keeping(t, "E01_who_waits_for_its_turn_gets_nothing_more", func(s *setting) { s.op.KeepRefreshTokens = true }, func(t *testing.T, k *kept) {
		k.lie(pathToken, func(a *optest.Answer) {
			a.Delay = time.Second
			if a.Request.Form.Get("resource") == anAPI.Resource {
				a.Claims["sub"] = "mallory"
			}
		})
		var running sync.WaitGroup
		running.Go(func() { k.refuses(k.source.For(anAPI), verify.ErrSubject) })
		synctest.Wait() // it has the turn
		for _, scope := range []string{"openid", "email", "offline_access"} {
			running.Go(func() { k.refuses(k.source.For(rp.Target{Scopes: []string{scope}}), verify.ErrSubject) })
		}
		running.Wait()
		if k.calls(pathToken, 2); k.table.count() != 0 {
			t.Error("tokens were saved after others had been refused")
		}
	})
	keeping(t, "E08_who_waits_for_its_turn_does_not_ask_again", nil, func(t *testing.T, k *kept) {
		k.lie(pathToken, lies(oauthError("invalid_grant", 400), func(a *optest.Answer) { a.Delay = time.Second }))
		var running sync.WaitGroup
		for _, scope := range []string{"openid", "email", "offline_access"} {
			running.Go(func() { k.refuses(k.source.For(rp.Target{Scopes: []string{scope}}), says("invalid_grant", 400)) })
		}
		running.Wait()
		k.calls(pathToken, 2)
	})
	keeping(t, "E16_a_scope_of_any_name_is_not_the_original_grant", nil, func(t *testing.T, k *kept) {
		for _, name := range []string{"all", "granted", "asked:"} {
			k.refuses(k.source.For(rp.Target{Scopes: []string{name}}), says("invalid_scope", 400))
		}
		if k.get(k.source.For(rp.Target{})) != k.first {
			t.Error("the original grant has another token")
		}
	})
	keeping(t, "E09_an_outage", func(s *setting) { s.op.KeepRefreshTokens = true }, func(t *testing.T, k *kept) {
		k.lie(pathToken, status(503))
		pass(hour - 20*time.Second)
		for range 10 {
			if k.get(k.source) != k.first {
				t.Error("another token")
			}
			synctest.Wait()
		}
		pass(20 * time.Second)
		k.refuses(k.source, down(503))
		k.refuses(k.source, down(503))
		if n := k.op.Calls(pathToken); n > 3 {
			t.Errorf("asked %d times", n-1)
		}
		k.op.Fault(nil)
		pass(time.Minute)
		k.get(k.source)
	})
	keeping(t, "E14_a_rejected_token_is_renewed_once_and_saved", nil, func(t *testing.T, k *kept) {
		var rejected atomic.Int64
		api := &http.Client{Transport: rp.Transport(k.source, roundTripFunc(func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}
			if r.Header.Get("Authorization") == "Bearer "+k.first {
				rejected.Add(1)
				resp.StatusCode = http.StatusUnauthorized
				resp.Header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			}
			return resp, nil
		}), "https://api.example")}
		for range 10 {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", http.NoBody)
			resp, err := api.Do(r)
			k.must(err)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status)
			}
		}
		if k.calls(pathToken, 2); rejected.Load() != 1 || k.table.count() != 1 {
			t.Errorf("rejected %d times, saved %d times", rejected.Load(), k.table.count())
		}
	})
	keeping(t, "E04_no_refresh_token", func(s *setting) { s.rp.Scopes = []string{"openid"} }, func(t *testing.T, k *kept) {
		if k.get(k.source) != k.first {
			t.Error("another token")
		}
		pass(hour)
		k.refuses(k.source, rp.ErrNoRefreshToken)
		k.calls(pathToken, 1)
	})
	keeping(t, "E11_tokens_of_nobody_or_of_another_client", nil, func(t *testing.T, k *kept) {
		other := newWorld(t, func(s *setting) { s.rp.ClientID, s.op.ClientID = "other", "other" })
		foreign, mine := other.tokens(rp.AuthOptions{}), k.source.Tokens()
		for _, row := range []struct {
			tokens *rp.Tokens
			save   func(context.Context, *rp.Tokens) error
			want   error
		}{
			{nil, k.table.save, rp.ErrNotVerified},
			{&rp.Tokens{}, k.table.save, rp.ErrNotVerified},
			{foreign, k.table.save, rp.ErrOtherClient},
			{mine, nil, rp.ErrOptions},
		} {
			source := k.client.TokenSource(row.tokens, row.save)
			k.refuses(source, row.want)
			k.refuses(source.For(anAPI), row.want)
		}
		k.calls(pathToken, 1)
	})
	keeping(t, "E16_a_target_that_cannot_be_sent", nil, func(t *testing.T, k *kept) {
		k.refuses(k.source.For(rp.Target{Resource: "/a"}), rp.ErrOptions)
		k.calls(pathToken, 1)
		k.get(k.source.For(anAPI))
	})
	keeping(t, "J07_the_client_is_closed", nil, func(t *testing.T, k *kept) {
		pass(hour)
		k.must(k.client.Close())
		k.refuses(k.source, rp.ErrClosed)
		k.calls(pathToken, 1)
	})
	keeping(t, "J07_the_client_is_closed_under_a_refresh", nil, func(t *testing.T, k *kept) {
		pass(hour)
		k.table.breaks(func() error { return errors.New("the table is away") })
		k.refuses(k.source, rp.ErrNotSaved)
		k.must(k.client.Close())
		k.refuses(k.source, rp.ErrClosed)
		if k.source.Tokens().OAuth2().AccessToken == k.first {
			t.Error("there is nothing to rescue")
		}
	})
}
