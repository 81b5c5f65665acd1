package rp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Groups E and D42 to D44. Not here: E05, E06, E10, E12, E18, E19 are about sessions, which package middleware has;
// E20 is in attacks_tokenexchange_test.go. E11 is X20 below as far as it is rp's.

// refreshRow is one refresh that is not what it should be. The tokens that were there stay as good as they were.
type refreshRow struct {
	name  string
	set   func(*setting)
	lie   func(*optest.Answer)
	want  error
	check func(t *testing.T, before, after *rp.Tokens)
}

func (row refreshRow) run(t *testing.T) {
	t.Parallel()
	w := newWorld(t, row.set)
	before := w.tokens(rp.AuthOptions{})
	held := string(before.Bytes())
	w.lie(pathToken, row.lie)
	after, err := w.client.Refresh(t.Context(), before, rp.Target{})
	w.want(err, row.want)
	w.said.value(after)
	if string(before.Bytes()) != held {
		t.Error("the tokens that were there have changed")
	}
	switch {
	case row.want != nil && after != nil:
		t.Error("refused tokens were handed out")
	case row.want == nil && row.check != nil:
		row.check(t, before, after)
	}
	w.calls(pathToken, 2)
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour).Unix()
	trusted := func(s *setting) {
		s.rp.Audiences, s.op.Claims = []string{"other"}, map[string]any{"x": "y"}
	}
	for _, row := range []refreshRow{
		{name: "E00_the_valid_refresh_that_all_rows_change", lie: func(*optest.Answer) {}, check: func(t *testing.T, before, after *rp.Tokens) {
			if after.OAuth2().RefreshToken == before.OAuth2().RefreshToken || after.First().Subject != before.First().Subject {
				t.Error("not the rotated token, or the first ID Token is lost")
			}
		}},
		{name: "E01_another_sub", lie: claim("sub", "bob"), want: verify.ErrSubject},
		{name: "E01_sub_missing", lie: claim("sub", nil), want: verify.ErrSubject},
		{name: "E01_another_iss", lie: claim("iss", "https://evil.example"), want: verify.ErrIssuer},
		{name: "E02_aud_without_the_client", lie: claim("aud", "other"), want: verify.ErrAudience},
		{name: "E02_aud_with_an_untrusted_one", lie: claim("aud", []string{"app", "other"}), want: verify.ErrAudience},
		{name: "E02_aud_with_a_trusted_one_more", set: trusted, lie: claim("aud", []string{"app", "other"})},
		{name: "E02_another_auth_time", lie: claim("auth_time", old), want: verify.ErrAuthTime},
		{name: "E02_auth_time_missing", lie: claim("auth_time", nil)},
		{name: "E02_another_nonce", lie: claim("nonce", "other"), want: verify.ErrNonce},
		{name: "E02_nonce_of_a_wrong_type", lie: claim("nonce", 7), want: verify.ErrNonce},
		{name: "E02_another_azp", lie: claim("azp", "other"), want: verify.ErrAuthorizedParty},
		{name: "E02_azp_missing", lie: claim("azp", nil)},
		{name: "E02_expired", lie: claim("exp", old), want: verify.ErrExpired},
		{name: "E02_old_iat_is_no_login", lie: claim("iat", old)},
		{name: "E03_bad_signature", lie: func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string { return optest.Tamper(a.JWS(h, c)) }
		}, want: verify.ErrSignature},
		{name: "E03_unsigned", lie: func(a *optest.Answer) { a.Header["alg"] = "none" }, want: verify.ErrAlgorithm},
		{name: "E03_HS256_with_the_client_secret", lie: func(a *optest.Answer) { a.Header["alg"] = "HS256" }, want: verify.ErrAlgorithm},
		{name: "E03_logout_token", lie: claim("events", map[string]any{}), want: verify.ErrType},
		{name: "E04_no_refresh_token", lie: member("refresh_token", nil), check: func(t *testing.T, before, after *rp.Tokens) {
			if after.OAuth2().RefreshToken != before.OAuth2().RefreshToken {
				t.Error("the old refresh token is lost")
			}
		}},
		{name: "E04_empty_refresh_token", lie: member("refresh_token", ""), check: func(t *testing.T, before, after *rp.Tokens) {
			if after.OAuth2().RefreshToken != before.OAuth2().RefreshToken {
				t.Error("the old refresh token is lost")
			}
		}},
		{name: "E04_no_ID_Token", lie: member("id_token", nil), check: func(t *testing.T, before, after *rp.Tokens) {
			if after.IDToken().Raw() != before.IDToken().Raw() || after.First() == nil {
				t.Error("the ID Token is lost")
			}
		}},
		{name: "E07_E08_invalid_grant", lie: oauthError("invalid_grant", 400), want: says("invalid_grant", 400)},
		{name: "E09_500", lie: status(500), want: down(500)},
		{name: "E09_503", lie: status(503), want: down(503)},
		{name: "E09_429", lie: status(429), want: down(429)},
		{name: "E09_connection_ends", lie: func(a *optest.Answer) { a.Reset = true }, want: rp.ErrUnavailable},
		{name: "E09_two_megabytes", lie: member("x", strings.Repeat("x", 2<<20)), want: rp.ErrTokenResponse},
		{name: "D04_redirect", lie: status(307), want: says("", 307)},
		{name: "D10_access_token_missing", lie: member("access_token", nil), want: rp.ErrTokenResponse},
		{name: "D11_token_type_DPoP", lie: member("token_type", "DPoP"), want: rp.ErrTokenResponse},
		{name: "L07_200_with_an_error_beside_tokens", lie: member("error", "invalid_grant"), want: says("invalid_grant", 200)},
		{name: "L08_description_repeats_the_refresh_token", lie: repeat("refresh_token"), want: says("invalid_grant", 400)},
		{name: "L01_access_token_of_somebody_else_in_place_of_the_ID_Token", lie: member("id_token", "opaque-access-token"), want: verify.ErrMalformed},
	} {
		t.Run(row.name, row.run)
	}
}

// E02 over several refreshes: what a login said binds each later ID Token, also when those between did not repeat it,
// and also when the session went through Bytes.
func TestLaterRefreshesAreComparedWithTheLogin(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour).Unix()
	silent := lies(claim("auth_time", nil), claim("nonce", nil), claim("azp", nil), claim("acr", nil), claim("sid", nil))
	for _, row := range []struct {
		name string
		lie  func(*optest.Answer)
		want error
	}{
		{"E02_the_same_again", func(*optest.Answer) {}, nil},
		{"E02_still_silent", silent, nil},
		{"E02_another_auth_time", claim("auth_time", old), verify.ErrAuthTime},
		{"E02_another_nonce", claim("nonce", "other"), verify.ErrNonce},
		{"E02_another_azp", claim("azp", "other"), verify.ErrAuthorizedParty},
		{"E01_another_sub", claim("sub", "bob"), verify.ErrSubject},
	} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s_sealed_%v", row.name, sealed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				tokens := w.tokens(rp.AuthOptions{})
				for _, lie := range []func(*optest.Answer){silent, silent, row.lie} {
					w.lie(pathToken, lie)
					next, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
					if err != nil {
						w.want(err, row.want)
						return
					}
					if tokens = next; sealed {
						tokens, err = w.client.ParseTokens(next.Bytes())
						w.must(err)
					}
				}
				w.want(nil, row.want)
				var claims map[string]any
				w.must(tokens.Claims(&claims))
				if claims["sid"] == nil || claims["auth_time"] == nil {
					t.Errorf("what the login said is lost: %v", members(claims))
				}
			})
		}
	}
}

// E07, E08: a refresh token that was rotated away is dead, and nothing tries it twice by itself.
func TestRotatedRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	first := w.tokens(rp.AuthOptions{})
	second, err := w.client.Refresh(t.Context(), first, rp.Target{})
	w.must(err)
	_, err = w.client.Refresh(t.Context(), first, rp.Target{}) // as if the second had been lost
	w.want(err, says("invalid_grant", 400))
	_, err = w.client.Refresh(t.Context(), second, rp.Target{}) // the family is revoked
	w.want(err, says("invalid_grant", 400))
	w.calls(pathToken, 4)
	none := newWorld(t, func(s *setting) { s.rp.Scopes = []string{"openid"} })
	_, err = none.client.Refresh(t.Context(), none.tokens(rp.AuthOptions{}), rp.Target{})
	none.want(err, rp.ErrNoRefreshToken)
	none.calls(pathToken, 1)
}

// E09: an outage costs one attempt each, in bounded time, and the same tokens work after it.
func TestRefreshThroughAnOutage(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, ours)
		tokens := w.tokens(rp.AuthOptions{})
		w.lie(pathToken, func(a *optest.Answer) { a.Delay = -1 })
		start := time.Now()
		_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
		w.want(err, rp.ErrUnavailable)
		if took := since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		w.lie(pathToken, func(a *optest.Answer) {
			a.Status, a.JSON = 503, map[string]any{}
		})
		w.calls(pathToken, 2)
		// optest rotates when it is asked, not when it answers: a new login stands for a provider that had not.
		w.op.Fault(nil)
		tokens = w.tokens(rp.AuthOptions{})
		_, err = w.client.Refresh(t.Context(), tokens, rp.Target{})
		w.must(err)
	})
}

// E16: each API gets a token of its own, and the request says for which.
func TestTokensForResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) {
		s.rp.Resources = []string{"https://one.example", "https://two.example"}
		s.op.KeepRefreshTokens = true
	})
	tokens := w.tokens(rp.AuthOptions{})
	for _, resource := range []string{"https://one.example", "https://two.example"} {
		next, err := w.client.Refresh(t.Context(), tokens, rp.Target{Resource: resource, Scopes: []string{"openid"}})
		w.must(err)
		requests := w.op.Requests(pathToken)
		form := requests[len(requests)-1].Form
		if form.Get("resource") != resource || form.Get("scope") != "openid" {
			t.Errorf("asked for %v", form["resource"])
		}
		if aud := audienceOf(t, next.OAuth2().AccessToken); aud != `"`+resource+`"` {
			t.Errorf("E16: the token for %s is for %s", resource, aud)
		}
	}
	for name, to := range map[string]rp.Target{
		"E16_relative": {Resource: "/api"}, "E16_fragment": {Resource: "https://one.example/#x"},
		"E16_scope_with_a_space": {Scopes: []string{"a b"}}, "E16_scope_twice": {Scopes: []string{"a", "a"}},
		"E16_scope_empty": {Scopes: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.client.Refresh(t.Context(), tokens, to)
			w.want(err, rp.ErrOptions)
		})
	}
	w.calls(pathToken, 3)
}

func audienceOf(t *testing.T, accessToken string) string {
	t.Helper()
	var claims struct{ Aud json.RawMessage }
	w := strings.Split(accessToken, ".")
	if len(w) != 3 {
		t.Fatal("the access token is opaque")
	}
	payload, err := base64url(w[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatal("the access token cannot be read")
	}
	return string(claims.Aud)
}

// E17: the expiry of tokens is wall-clock time, and a clock that jumps makes no storm at the provider.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{
		"E17_an_hour_back": -time.Hour, "E17_a_year_back": -365 * 24 * time.Hour, "E17_an_hour_on": time.Hour, "E17_a_year_on": 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moved := &clock{}
			w := newWorld(t, func(s *setting) { s.rp.Now, s.op.Now = moved.now, moved.now })
			_ = w.tokens(rp.AuthOptions{})
			moved.forward(jump)
			for range 20 {
				_ = w.tokens(rp.AuthOptions{})
			}
			if keys, meta := w.op.Calls(pathKeys), w.op.Calls(pathMeta); keys > 2 || meta > 2 {
				t.Errorf("%d fetches of keys, %d of metadata", keys, meta)
			}
			w.op.RotateKeys()
			_ = w.tokens(rp.AuthOptions{})
		})
	}
}

// X20 (E17): whoever measures events gets no negative duration from a clock that is put back in the middle of a step.
func TestClockGoesBackDuringAStep(t *testing.T) {
	t.Parallel()
	moved, took := &clock{}, map[string]time.Duration{}
	w := newWorld(t, func(s *setting) {
		s.rp.Now, s.op.Now = moved.now, moved.now
		s.rp.Observe = func(_ context.Context, e rp.Event) { took[e.Name] = e.Took }
	})
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == pathToken {
			moved.forward(-time.Second)
		}
	})
	_ = w.tokens(rp.AuthOptions{})
	if d, ok := took["exchange"]; d != 0 || !ok {
		t.Errorf("it took %v", d)
	}
}

// X20 (E11): many users at once through one client: nobody gets what belongs to another.
func TestUsersDoNotMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var running sync.WaitGroup
	for i := range 20 {
		user := fmt.Sprintf("user-%d", i)
		a := w.verified(rp.AuthOptions{LoginHint: user})
		running.Go(func() {
			tokens, err := w.client.Exchange(t.Context(), a)
			for range 3 {
				if err != nil {
					break
				}
				u, uErr := w.client.UserInfo(t.Context(), tokens)
				if uErr != nil || u.Subject != user || tokens.IDToken().Subject != user {
					t.Errorf("%s got what belongs to another: %v", user, uErr)
				}
				tokens, err = w.client.Refresh(t.Context(), tokens, rp.Target{})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

// X30: sealed tokens are opened when they are asked for; many ask at once. With -race this is a test of that.
func TestSealedTokensAreOpenedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens, err := w.client.ParseTokens(w.tokens(rp.AuthOptions{}).Bytes())
	w.must(err)
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			var claims map[string]any
			if err := tokens.Claims(&claims); err != nil || tokens.First().Subject != "alice" || tokens.IDToken().Subject != "alice" {
				t.Error(err)
			}
			_, _ = tokens.Diff(), tokens.Bytes()
		})
	}
	running.Wait()
}

// J12: callers that give up while metadata and keys are fetched do not spoil the fetch for others. (Refreshes of one
// session are merged in package middleware.)
func TestCancelStorm(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
		w.op.Fault(func(a *optest.Answer) { a.Delay = 2 * time.Second })
		var running sync.WaitGroup
		for i := range 1000 {
			running.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%100)*10*time.Millisecond)
				defer cancel()
				err := w.client.Ready(ctx)
				w.want(err, rp.ErrUnavailable)
			})
		}
		running.Go(func() { w.must(w.client.Ready(t.Context())) })
		running.Wait()
		w.calls(pathMeta, 1)
		w.calls(pathKeys, 1)
	})
}

// userInfoRow is one answer of the UserInfo endpoint that is not what it should be.
type userInfoRow struct {
	name string
	set  func(*setting)
	lie  func(*optest.Answer)
	want error
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	signed := func(s *setting) { s.rp.UserInfoAlgorithm, s.op.UserInfoAlgorithm = "ES256", "ES256" }
	refused := func(reason error) error { return joined(rp.ErrUserInfo, reason) }
	for _, row := range []userInfoRow{
		{name: "D42_the_valid_answer_that_all_rows_change"},
		{name: "D42_another_sub", lie: claim("sub", "bob"), want: rp.ErrUserInfo},
		{name: "D42_sub_in_another_case", lie: claim("sub", "Alice"), want: rp.ErrUserInfo},
		{name: "D42_sub_missing", lie: claim("sub", nil), want: rp.ErrUserInfo},
		{name: "D42_sub_a_list", lie: claim("sub", []string{"alice"}), want: rp.ErrUserInfo},
		{name: "D42_sub_twice", lie: body(`{"sub":"bob","sub":"alice"}`), want: rp.ErrUserInfo},
		{name: "D42_Sub_beside_it", lie: body(`{"sub":"alice","Sub":"bob","ſub":"bob"}`)},
		{name: "D43_text_plain", lie: contentType("text/plain"), want: rp.ErrUserInfo},
		{name: "D43_text_html", lie: contentType("text/html"), want: rp.ErrUserInfo},
		{name: "D43_JWT_where_JSON_was_agreed", lie: contentType("application/jwt"), want: rp.ErrUserInfo},
		{name: "D43_array", lie: body(`[]`), want: rp.ErrUserInfo},
		{name: "D43_null", lie: body(`null`), want: rp.ErrUserInfo},
		{name: "D43_empty", lie: body(``), want: rp.ErrUserInfo},
		{name: "D43_401", lie: challenge(401, `Bearer realm="x", error="invalid_token"`), want: says("invalid_token", 401)},
		{name: "D43_401_without_reason", lie: challenge(401, `Bearer`), want: says("", 401)},
		{name: "D43_403", lie: challenge(403, `Bearer error="insufficient_scope", scope="x"`), want: says("insufficient_scope", 403)},
		{name: "D43_401_with_a_tab_in_the_reason", lie: challenge(401, "Bearer error=\"a\tb\""), want: says("unreadable_error", 401)},
		{name: "D43_500", lie: status(500), want: down(500)},
		{name: "D43_redirect", lie: status(302), want: says("", 302)},
		{name: "D43_204", lie: func(a *optest.Answer) { a.Status, a.Body = 204, []byte{} }, want: says("", 204)},
		{name: "D43_two_megabytes", lie: claim("x", strings.Repeat("x", 2<<20)), want: rp.ErrUserInfo},
		{name: "B44_distributed_claims_are_not_fetched", lie: lies(
			claim("_claim_names", map[string]any{"address": "src"}),
			claim("_claim_sources", map[string]any{"src": map[string]any{"endpoint": "http://" + evilPlace + "/", "access_token": "x"}}),
		)},
		{name: "L08_challenge_repeats_the_access_token", lie: func(a *optest.Answer) {
			_, token, _ := strings.Cut(a.Request.Header.Get("Authorization"), " ")
			challenge(401, `Bearer error="`+token+`"`)(a)
		}, want: says("unreadable_error", 401)},

		{name: "D43_signed_the_valid_answer", set: signed},
		{name: "D43_signed_bad_signature", set: signed, lie: func(a *optest.Answer) {
			a.Sign = func(h, c []byte) string { return optest.Tamper(a.JWS(h, c)) }
		}, want: refused(verify.ErrSignature)},
		{name: "D43_signed_alg_none", set: signed, lie: func(a *optest.Answer) { a.Header["alg"] = "none" }, want: refused(verify.ErrAlgorithm)},
		{name: "D43_signed_with_the_ID_Tokens_algorithm", set: signed, lie: func(a *optest.Answer) { a.Header["alg"] = "RS256" }, want: refused(verify.ErrAlgorithm)},
		{name: "D43_signed_another_sub", set: signed, lie: claim("sub", "bob"), want: refused(verify.ErrSubject)},
		{name: "D43_signed_another_iss", set: signed, lie: claim("iss", "https://evil.example"), want: refused(verify.ErrIssuer)},
		{name: "D43_signed_another_aud", set: signed, lie: claim("aud", "other"), want: refused(verify.ErrAudience)},
		{name: "D43_signed_encrypted", set: signed, lie: body("a.b.c.d.e"), want: refused(verify.ErrMalformed)},
		{name: "D43_signed_JSON_where_a_JWT_was_agreed", set: signed, lie: lies(contentType("application/json"), body(`{"sub":"alice"}`)), want: rp.ErrUserInfo},
		{name: "D43_signed_JSON_under_the_JWT_type", set: signed, lie: body(`{"sub":"alice"}`), want: refused(verify.ErrMalformed)},
		{name: "L10_signed_a_logout_token", set: signed, lie: claim("events", map[string]any{}), want: refused(verify.ErrType)},
		{name: "L10_signed_an_access_token", set: signed, lie: func(a *optest.Answer) { a.Header["typ"] = "at+jwt" }, want: refused(verify.ErrType)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, row.set)
			tokens := w.tokens(rp.AuthOptions{})
			if row.lie != nil {
				w.lie("/userinfo", row.lie)
			}
			u, err := w.client.UserInfo(t.Context(), tokens)
			w.want(err, row.want)
			w.said.value(u)
			if row.want != nil && u != nil {
				t.Error("refused claims were handed out")
			}
			w.calls("/userinfo", 1)
			for _, r := range w.op.Requests("/userinfo") { // D44
				if r.URL.RawQuery != "" || r.Header.Get("Cookie") != "" {
					t.Errorf("D44: the query is %q", r.URL.RawQuery)
				}
			}
			if n := w.net.dials(evilPlace); n != 0 {
				t.Errorf("%d connections to a place that only an answer names", n)
			}
		})
	}
	t.Run("D43_signed_and_no_keys_to_be_had", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) {
			signed(s)
			s.rp.IDTokenAlgorithm, s.op.Algorithm = "HS256", "HS256"
		})
		tokens := w.tokens(rp.AuthOptions{})
		w.lie(pathKeys, status(503))
		_, err := w.client.UserInfo(t.Context(), tokens)
		w.want(err, joined(rp.ErrUnavailable, verify.ErrKeySet)) // not the answer's fault: try later
	})
	t.Run("D44_body", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) { s.rp.UserInfoBody = true })
		_, err := w.client.UserInfo(t.Context(), w.tokens(rp.AuthOptions{}))
		w.must(err)
		r := w.op.Requests("/userinfo")[0]
		if r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" || len(r.Form) != 1 || r.Form.Get("access_token") == "" {
			t.Errorf("D44: %s with a form of %v", r.URL.RawQuery, members(anyValues(r.Form)))
		}
	})
}

func challenge(code int, text string) func(*optest.Answer) {
	return func(a *optest.Answer) {
		status(code)(a)
		a.HTTPHeader["WWW-Authenticate"] = []string{text}
	}
}

// Time and size are bounded here too.
func TestUserInfoThatMisbehaves(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		lie  http.HandlerFunc
		want error
	}{
		"D43_drip": {drip, rp.ErrUnavailable}, "D43_stall": {stall, rp.ErrUnavailable}, "D43_breaks_off": {breakOff, rp.ErrUnavailable},
		"D43_endless": {endless, rp.ErrUserInfo}, "D43_bomb": {bomb, rp.ErrUserInfo},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				tokens := w.tokens(rp.AuthOptions{})
				w.lie("/userinfo", func(a *optest.Answer) { a.Respond = row.lie })
				_, err := w.client.UserInfo(t.Context(), tokens)
				w.want(err, row.want)
			})
		})
	}
}
