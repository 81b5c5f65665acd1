package rp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Tokens for the client itself: the rows of group E that are about any token that is shared and refreshed. All run in
// virtual time.

// hour's token: it is ending at 59:30.
const hour = time.Hour

// credentials starts a world in a bubble.
func credentials(t *testing.T, name string, set func(*setting), run func(t *testing.T, w *world, source rp.TokenSource)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, set)
			run(t, w, w.client.ClientCredentials(rp.Target{Resource: nextAPI}))
		})
	})
}

// get returns a token that must be there.
func (w *world) get(source rp.TokenSource) string {
	w.Helper()
	token, err := source.Token(w.Context())
	w.must(err)
	w.said.secret(token.AccessToken)
	w.said.value(source)
	if token.RefreshToken != "" {
		w.Error("a caller was given a refresh token")
	}
	return token.AccessToken
}

// refuses compares the error of a source.
func (w *world) refuses(source rp.TokenSource, want error) {
	w.Helper()
	token, err := source.Token(w.Context())
	w.want(err, want)
	if token != nil {
		w.Error("a token beside an error")
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	credentials(t, "E05_100_parallel_callers", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() { w.get(source) })
		}
		running.Wait()
		w.calls(pathToken, 1)
		form := w.op.Requests(pathToken)[0].Form
		if form.Get("grant_type") != "client_credentials" || form.Get("resource") != nextAPI || form.Has("scope") {
			t.Error("another request")
		}
	})
	credentials(t, "E05_a_token_is_kept_and_replaced_before_its_end", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		first := w.get(source)
		pass(hour - 31*time.Second)
		if w.get(source) != first {
			t.Error("replaced too early")
		}
		w.calls(pathToken, 1)
		pass(2 * time.Second)
		if w.get(source) != first {
			t.Error("somebody waited, although the token is good")
		}
		synctest.Wait()
		w.calls(pathToken, 2)
		if w.get(source) == first {
			t.Error("the old one, although there is a new one")
		}
		pass(2 * hour)
		w.get(source)
		w.calls(pathToken, 3)
	})
	credentials(t, "E09_a_good_token_is_served_through_an_outage", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		first := w.get(source)
		w.lie(pathToken, status(503))
		pass(hour - 20*time.Second)
		for range 100 {
			if w.get(source) != first {
				t.Error("another token")
			}
			synctest.Wait()
		}
		w.calls(pathToken, 2) // one try, and then a pause
		pass(30 * time.Second)
		w.refuses(source, down(503))
	})
	credentials(t, "E09_a_provider_that_fails_is_left_alone", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, status(503))
		for range 100 {
			w.refuses(source, down(503))
		}
		w.calls(pathToken, 1)
		for range 600 { // ten minutes: 2 s, 4 s, … to a minute, less up to half
			pass(time.Second)
			w.refuses(source, down(503))
		}
		if n := w.op.Calls(pathToken); n < 12 || n > 30 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		w.op.Fault(nil)
		pass(time.Minute)
		w.get(source)
		pass(2 * hour)
		w.lie(pathToken, status(503))
		w.refuses(source, down(503))
		calls := w.op.Calls(pathToken)
		pass(2 * time.Second) // the first pause again
		w.refuses(source, down(503))
		w.calls(pathToken, calls+1)
	})
	credentials(t, "E09_a_refusal_too", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, oauthError("invalid_target", 400))
		for range 100 {
			w.refuses(source, says("invalid_target", 400))
		}
		w.calls(pathToken, 1)
	})
	credentials(t, "E09_no_connection", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, func(a *optest.Answer) { a.Reset = true })
		w.refuses(source, rp.ErrUnavailable)
		w.op.Fault(nil)
		pass(3 * time.Second)
		w.get(source)
	})
	credentials(t, "J12_who_came_first_leaves", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, func(a *optest.Answer) { a.Delay = 5 * time.Second })
		impatient, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		var running sync.WaitGroup
		running.Go(func() {
			_, err := source.Token(impatient)
			w.want(err, rp.ErrUnavailable)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 10 {
			running.Go(func() { w.get(source) })
		}
		running.Wait()
		w.calls(pathToken, 1)
	})
	credentials(t, "E16_each_target_has_its_own_token", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		seen := map[string]rp.Target{}
		for _, to := range []rp.Target{
			{},
			{Resource: "https://a.example/"},
			{Resource: "https://b.example/"},
			{Audience: "https://a.example/"},
			{Resource: "https://a.example/", Scopes: []string{"read"}},
			{Resource: "https://a.example/", Scopes: []string{"read", "write"}},
			{Scopes: []string{"read"}},
			{Scopes: []string{"all"}}, // scopes of any name, none of which is "none given"
			{Scopes: []string{"granted"}},
			{Scopes: []string{"asked:"}},
			{Audience: `"" granted`}, // cannot be sent
		} {
			if strings.Contains(to.Audience, " ") {
				w.refuses(w.client.ClientCredentials(to), rp.ErrOptions)
				continue
			}
			token := w.get(w.client.ClientCredentials(to))
			if other, ok := seen[token]; ok {
				t.Errorf("%v and %v share a token", to, other)
			}
			seen[token] = to
			if again := w.get(w.client.ClientCredentials(to)); again != token {
				t.Errorf("%v: another token", to)
			}
		}
		turned := w.get(w.client.ClientCredentials(rp.Target{Resource: "https://a.example/", Scopes: []string{"write", "read", "read"}}))
		if _, ok := seen[turned]; !ok {
			t.Error("the order of scopes means something")
		}
		w.calls(pathToken, len(seen))
	})
	credentials(t, "E11_two_clients_share_nothing", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		other := newWorld(t, nil)
		if w.get(source) == other.get(other.client.ClientCredentials(rp.Target{Resource: nextAPI})) {
			t.Error("a token went from one client to another")
		}
	})
	credentials(t, "E11_callers_cannot_change_what_others_get", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		token, err := source.Token(t.Context())
		w.must(err)
		honest := token.AccessToken
		token.AccessToken, token.Expiry = "evil", time.Time{}
		if w.get(source) != honest {
			t.Error("a caller has changed the token")
		}
	})
	credentials(t, "E11_a_target_that_its_maker_changes_later", nil, func(t *testing.T, w *world, _ rp.TokenSource) {
		scopes := []string{"read"}
		source := w.client.ClientCredentials(rp.Target{Scopes: scopes})
		scopes[0] = "admin"
		w.get(source)
		if sent := w.op.Requests(pathToken)[0].Form.Get("scope"); sent != "read" {
			t.Errorf("asked for %s", sent)
		}
	})
	credentials(t, "D13_a_token_without_an_end_is_kept", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, member("expires_in", nil))
		first := w.get(source)
		pass(1000 * hour)
		if w.get(source) != first {
			t.Error("replaced")
		}
	})
	credentials(t, "E17_the_clock_goes_forth_and_back", func(s *setting) {
		s.rp.Now = wrong.now
	}, func(t *testing.T, w *world, source rp.TokenSource) {
		first := w.get(source)
		wrong.forward(48 * hour)
		second := w.get(source)
		for range 10 {
			w.get(source)
		}
		w.calls(pathToken, 2)
		wrong.forward(-96 * hour)
		for range 10 {
			w.get(source)
		}
		if first == second || w.get(source) != second {
			t.Error("not the second token")
		}
		w.calls(pathToken, 2)
		w.lie(pathToken, status(503))
		wrong.forward(500 * hour)
		w.refuses(source, down(503))
		w.op.Fault(nil)
		wrong.forward(-200 * hour) // the pause would last for days
		w.get(source)
	})
	credentials(t, "J07_the_client_is_closed", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, func(a *optest.Answer) { a.Delay = -1 })
		var running sync.WaitGroup
		running.Go(func() {
			_, err := source.Token(t.Context())
			if !errors.Is(err, rp.ErrClosed) {
				t.Error(err)
			}
		})
		synctest.Wait()
		w.must(w.client.Close())
		running.Wait()
		other := w.client.ClientCredentials(rp.Target{})
		w.refuses(other, rp.ErrClosed)
	})
	credentials(t, "E14_a_rejected_token_is_renewed", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		old, err := source.Token(t.Context())
		w.must(err)
		renewing := source.(interface {
			Renew(context.Context, *oauth2.Token) (*oauth2.Token, error)
		})
		if _, err := renewing.Renew(t.Context(), old); err == nil {
			t.Error("a token that has just come was renewed")
		}
		pass(time.Minute)
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				token, err := renewing.Renew(t.Context(), old)
				if err != nil || token.AccessToken == old.AccessToken {
					t.Error("not renewed", err)
				}
			})
		}
		running.Wait()
		w.calls(pathToken, 2)
		for _, late := range []*oauth2.Token{old, nil} { // who comes late gets what is there
			if token, err := renewing.Renew(t.Context(), late); err != nil || token.AccessToken == old.AccessToken {
				t.Error(err)
			}
		}
		pass(time.Minute)
		if token, err := renewing.Renew(t.Context(), old); err != nil || token.AccessToken == old.AccessToken {
			t.Error(err)
		}
		w.calls(pathToken, 2)
		fresh := w.client.ClientCredentials(rp.Target{}).(interface {
			Renew(context.Context, *oauth2.Token) (*oauth2.Token, error)
		})
		if token, err := fresh.Renew(t.Context(), old); err != nil || token.AccessToken == old.AccessToken {
			t.Error(err)
		}
		w.calls(pathToken, 3)
	})
	credentials(t, "E14_an_API_that_rejects_everything", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		api := &http.Client{Transport: rp.Transport(source, w.net.transport, opIssuer)}
		for range 300 { // five minutes
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, opIssuer+"/api?resource=https://another.example/", http.NoBody)
			w.must(err)
			resp, err := api.Do(r)
			w.must(err)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Fatal(resp.Status)
			}
			pass(time.Second)
		}
		if n := w.op.Calls(pathToken); n > 11 {
			t.Errorf("%d tokens in five minutes", n)
		}
	})
	credentials(t, "E20_a_public_client", func(s *setting) { s.rp.ClientAuth, s.op.ClientSecret = rp.Public(), "" }, func(t *testing.T, w *world, source rp.TokenSource) {
		w.refuses(source, rp.ErrConfig)
		w.calls(pathToken, 0)
	})
	credentials(t, "E16_a_target_that_cannot_be_sent", nil, func(t *testing.T, w *world, _ rp.TokenSource) {
		for _, to := range []rp.Target{{Resource: "/a"}, {Resource: "https://a.example/#b"}, {Audience: "a b"}, {Scopes: []string{""}}, {Scopes: []string{`a"b`}}} {
			w.refuses(w.client.ClientCredentials(to), rp.ErrOptions)
		}
		w.calls(pathToken, 0)
	})
	credentials(t, "E16_a_target_that_cannot_be_sent_is_no_other_one", nil, func(t *testing.T, w *world, _ rp.TokenSource) {
		for wrong, right := range map[string][]string{"read write": {"read", "write"}, `a" "b`: {"a", "b"}, "": {}} {
			w.refuses(w.client.ClientCredentials(rp.Target{Scopes: []string{wrong}}), rp.ErrOptions)
			w.refuses(w.client.ClientCredentials(rp.Target{Resource: "https://a.example/", Scopes: []string{wrong}}), rp.ErrOptions)
			if len(right) > 0 {
				w.get(w.client.ClientCredentials(rp.Target{Scopes: right}))
				w.get(w.client.ClientCredentials(rp.Target{Resource: "https://a.example/", Scopes: right}))
			}
		}
		w.calls(pathToken, 4)
	})
	credentials(t, "J10_very_many_targets", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		for i := range 2000 {
			w.client.ClientCredentials(rp.Target{Audience: string(rune('a'+i%26)) + time.Duration(i).String()})
		}
		if n := rp.Sources(w.client); n > 1024 {
			t.Errorf("%d are remembered", n)
		}
		w.get(w.client.ClientCredentials(rp.Target{Audience: "one-more"}))
	})
	credentials(t, "D14_a_refresh_token_is_dropped", nil, func(t *testing.T, w *world, source rp.TokenSource) {
		w.lie(pathToken, member("refresh_token", "a-refresh-token-to-be-dropped"))
		w.get(source)
	})
}

// wrong is the clock of one row.
var wrong clock
