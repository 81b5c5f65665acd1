package rp_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// E20: what a token exchange may send, and what it takes for an answer.

const nextAPI = "https://next.example/"

// valid is the exchange that all rows change: the user's access token for one of the next API.
func valid(t *rp.Tokens) rp.TokenExchange {
	return rp.TokenExchange{SubjectToken: t.OAuth2().AccessToken, Target: rp.Target{Resource: nextAPI}}
}

func TestTokenExchangeThatIsNotSent(t *testing.T) {
	t.Parallel()
	extra := func(name string, values ...string) func(*rp.TokenExchange) {
		return func(x *rp.TokenExchange) { x.Extra = url.Values{name: values} }
	}
	subject := func(token string) func(*rp.TokenExchange) {
		return func(x *rp.TokenExchange) { x.SubjectToken = token }
	}
	type row struct {
		name   string
		change func(*rp.TokenExchange)
		says   string // the field that the error names
	}
	rows := []row{
		{"E20_no_subject", subject(""), "SubjectToken"},
		{"E20_subject_with_Bearer", func(x *rp.TokenExchange) { x.SubjectToken = "Bearer " + x.SubjectToken }, "SubjectToken: give the token alone"},
		{"E20_subject_with_bearer_in_lower_case", func(x *rp.TokenExchange) { x.SubjectToken = "bearer " + x.SubjectToken }, "SubjectToken: give the token alone"},
		{"E20_subject_with_DPoP", func(x *rp.TokenExchange) { x.SubjectToken = "DPoP " + x.SubjectToken }, "SubjectToken: give the token alone"},
		{"E20_subject_with_a_blank_before_it", func(x *rp.TokenExchange) { x.SubjectToken = " " + x.SubjectToken }, "SubjectToken"},
		{"E20_subject_with_a_line_break", func(x *rp.TokenExchange) { x.SubjectToken += "\n" }, "SubjectToken"},
		{"E20_subject_with_a_NUL", func(x *rp.TokenExchange) { x.SubjectToken += "\x00" }, "SubjectToken"},
		{"E20_subject_of_two_megabytes", subject(strings.Repeat("a", 2<<20)), "SubjectToken"},
		{"E20_actor_without_type", func(x *rp.TokenExchange) { x.ActorToken = x.SubjectToken }, "ActorTokenType"},
		{"E20_actor_type_without_actor", func(x *rp.TokenExchange) { x.ActorTokenType = rp.TokenTypeJWT }, "ActorTokenType"},
		{"E20_actor_with_Bearer", func(x *rp.TokenExchange) {
			x.ActorToken, x.ActorTokenType = "Bearer "+x.SubjectToken, rp.TokenTypeAccessToken
		}, "ActorToken: give the token alone"},
		{"E20_subject_type_is_no_URI", func(x *rp.TokenExchange) { x.SubjectTokenType = "access_token" }, "SubjectTokenType"},
		{"E20_subject_type_with_a_blank", func(x *rp.TokenExchange) { x.SubjectTokenType = rp.TokenTypeJWT + " x" }, "SubjectTokenType"},
		{"E20_actor_type_is_no_URI", func(x *rp.TokenExchange) { x.ActorToken, x.ActorTokenType = x.SubjectToken, "jwt" }, "ActorTokenType"},
		{"E20_requested_type_is_no_URI", func(x *rp.TokenExchange) { x.RequestedTokenType = "jwt" }, "RequestedTokenType"},
		{"E20_requested_type_is_a_broken_URI", func(x *rp.TokenExchange) { x.RequestedTokenType = "http://[::1" }, "RequestedTokenType"},
		{"E20_relative_resource", func(x *rp.TokenExchange) { x.Target.Resource = "/next" }, "Target.Resource"},
		{"E20_audience_with_a_line_break", func(x *rp.TokenExchange) { x.Target.Audience = "a\nb" }, "Target.Audience"},
		{"E20_scope_with_a_blank", func(x *rp.TokenExchange) { x.Target.Scopes = []string{"a b"} }, "Target.Scopes"},
		{"E20_extra_twice", extra("connection", "a", "b"), "Extra"},
		{"E20_extra_without_value", extra("connection"), "Extra"},
		{"E20_extra_without_name", extra("", "a"), "Extra"},
		{"E20_extra_with_a_blank_name", extra("a b", "a"), "Extra"},
		{"E20_extra_too_long", extra("a", strings.Repeat("a", 17<<10)), "Extra"},
	}
	for _, name := range []string{
		"grant_type", "Grant_Type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
		"resource", "audience", "scope", "client_id", "CLIENT_SECRET", "client_assertion", "client_assertion_type", "code",
		"code_verifier", "redirect_uri", "refresh_token", "assertion", "username", "password", "request_uri",
	} {
		rows = append(rows, row{"E20_extra_" + name, extra(name, "evil"), "Extra"})
	}
	w := newWorld(t, nil)
	tokens := w.tokens(rp.AuthOptions{})
	for _, row := range rows {
		x := valid(tokens)
		row.change(&x)
		w.said.value(x)
		token, err := w.client.TokenExchange(t.Context(), x)
		w.want(err, rp.ErrOptions)
		if token != nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v; want one that names %s", row.name, err, row.says)
		}
	}
	w.calls(pathToken, 1)
	t.Run("E20_a_public_client", func(t *testing.T) {
		t.Parallel()
		public := newWorld(t, func(s *setting) { s.rp.ClientAuth, s.op.ClientSecret = rp.Public(), "" })
		_, err := public.client.TokenExchange(t.Context(), rp.TokenExchange{SubjectToken: "a-token"})
		public.want(err, rp.ErrConfig)
		public.calls(pathToken, 0)
	})
}

// exchangeRow is one answer to a valid exchange.
type exchangeRow struct {
	name   string
	change func(*rp.TokenExchange)
	lie    func(*optest.Answer)
	want   error
	check  func(*testing.T, *oauth2.Token)
}

func (row exchangeRow) run(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	x := valid(w.tokens(rp.AuthOptions{}))
	if row.change != nil {
		row.change(&x)
	}
	if row.lie != nil {
		w.lie(pathToken, row.lie)
	}
	token, err := w.client.TokenExchange(t.Context(), x)
	w.want(err, row.want)
	switch {
	case row.want != nil && token != nil:
		t.Error("a refused token was handed out")
	case row.want == nil && row.check != nil:
		row.check(t, token)
	}
	if token != nil && token.RefreshToken != "" {
		t.Error("a refresh token was handed out")
	}
	w.calls(pathToken, 2)
}

func TestTokenExchange(t *testing.T) {
	t.Parallel()
	requested := func(kind string) func(*rp.TokenExchange) {
		return func(x *rp.TokenExchange) { x.RequestedTokenType = kind }
	}
	for _, row := range []exchangeRow{
		{name: "E20_the_valid_exchange_that_all_rows_change", check: func(t *testing.T, token *oauth2.Token) {
			if token.Type() != "Bearer" || token.Expiry.IsZero() || token.Extra("issued_token_type") != rp.TokenTypeAccessToken ||
				token.Extra("scope") != "openid email offline_access" {
				t.Errorf("%s %v", token.Type(), token.Extra("scope"))
			}
		}},
		{name: "E20_fewer_scopes", change: func(x *rp.TokenExchange) { x.Target.Scopes = []string{"email"} }, check: func(t *testing.T, token *oauth2.Token) {
			if token.Extra("scope") != "email" {
				t.Error(token.Extra("scope"))
			}
		}},
		{name: "E20_an_actor", change: func(x *rp.TokenExchange) {
			x.ActorToken, x.ActorTokenType = x.SubjectToken, rp.TokenTypeAccessToken
		}},
		{name: "E20_an_audience_and_an_extra", change: func(x *rp.TokenExchange) {
			x.Target, x.Extra = rp.Target{Audience: "next"}, url.Values{"connection": {"c"}}
		}},
		{name: "E20_more_scopes", change: func(x *rp.TokenExchange) { x.Target.Scopes = []string{"admin"} }, want: says("invalid_scope", 400)},
		{name: "E20_a_subject_that_the_provider_does_not_know", change: func(x *rp.TokenExchange) { x.SubjectToken = "unknown-token" }, want: says("invalid_request", 400)},
		{name: "E20_a_type_that_it_does_not_know", change: requested("urn:x:y"), want: says("invalid_request", 400)},
		{name: "E20_no_issued_token_type", lie: member("issued_token_type", nil), want: rp.ErrTokenResponse},
		{name: "E20_issued_token_type_of_a_wrong_type", lie: member("issued_token_type", 7), want: rp.ErrTokenResponse},
		{name: "E20_an_ID_Token_that_nobody_asked_for", lie: member("issued_token_type", rp.TokenTypeIDToken), want: rp.ErrTokenResponse},
		{name: "E20_a_refresh_token_that_nobody_asked_for", lie: member("issued_token_type", rp.TokenTypeRefreshToken), want: rp.ErrTokenResponse},
		{name: "E20_another_type_than_asked_for", change: requested(rp.TokenTypeJWT), lie: member("issued_token_type", rp.TokenTypeIDToken), want: rp.ErrTokenResponse},
		{name: "E20_a_JWT_is_an_access_token", lie: member("issued_token_type", rp.TokenTypeJWT)},
		{name: "E20_an_access_token_is_a_JWT", change: requested(rp.TokenTypeJWT)},
		{name: "E20_N_A_for_an_access_token", lie: member("token_type", "N_A"), want: rp.ErrTokenResponse},
		{name: "E20_N_A_for_an_access_token_that_was_asked_for", change: requested(rp.TokenTypeAccessToken), lie: member("token_type", "N_A"), want: rp.ErrTokenResponse},
		{name: "E20_N_A_for_a_JWT", change: requested(rp.TokenTypeJWT), lie: member("token_type", "N_A"), check: func(t *testing.T, token *oauth2.Token) {
			if token.TokenType != "N_A" {
				t.Errorf("a token that no API takes is called %s", token.TokenType)
			}
		}},
		{name: "E20_an_ID_Token_that_was_asked_for", change: requested(rp.TokenTypeIDToken), lie: func(a *optest.Answer) {
			a.Status, a.JSON = 200, map[string]any{"access_token": "a.b.c", "issued_token_type": rp.TokenTypeIDToken, "token_type": "N_A"}
		}, check: func(t *testing.T, token *oauth2.Token) {
			if token.AccessToken != "a.b.c" || token.TokenType != "N_A" || token.Extra("issued_token_type") != rp.TokenTypeIDToken {
				t.Errorf("%s", token.TokenType)
			}
		}},
		{name: "D11_token_type_missing", change: requested(rp.TokenTypeJWT), lie: member("token_type", nil), want: rp.ErrTokenResponse},
		{name: "D11_token_type_mac", change: requested(rp.TokenTypeJWT), lie: member("token_type", "mac"), want: rp.ErrTokenResponse},
		{name: "E20_a_refresh_token_beside_it_is_dropped", lie: member("refresh_token", "a-refresh-token-to-be-dropped")},
		{name: "D05_member_twice", lie: body(`{"access_token":"a","access_token":"b","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`), want: rp.ErrTokenResponse},
		{name: "D10_access_token_missing", lie: member("access_token", nil), want: rp.ErrTokenResponse},
		{name: "E20_invalid_target", lie: oauthError("invalid_target", 400), want: says("invalid_target", 400)},
		{name: "D03_503", lie: status(503), want: down(503)},
		{name: "D04_redirect", lie: status(307), want: says("", 307)},
		{name: "D02_connection_ends", lie: func(a *optest.Answer) { a.Reset = true }, want: rp.ErrUnavailable},
		{name: "K01_the_error_repeats_the_subject", lie: repeat("subject_token"), want: says("invalid_grant", 400)},
	} {
		t.Run(row.name, row.run)
	}
}

// What is sent, to the letter, and that N_A is nothing for other grants.
func TestTokenExchangeOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.tokens(rp.AuthOptions{})
	x := valid(tokens)
	x.ActorToken, x.ActorTokenType = tokens.IDToken().Raw(), rp.TokenTypeIDToken
	x.RequestedTokenType, x.Extra = rp.TokenTypeAccessToken, url.Values{"connection": {"c"}}
	x.Target.Scopes = []string{"email", "openid"}
	_, err := w.client.TokenExchange(t.Context(), x)
	w.must(err)
	sent := w.op.Requests(pathToken)
	form := sent[len(sent)-1].Form
	want := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "resource": {nextAPI}, "scope": {"email openid"},
		"subject_token": {x.SubjectToken}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"actor_token": {x.ActorToken}, "actor_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "connection": {"c"},
	}
	for name := range form {
		if !slices.Equal(form[name], want[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if len(form) != len(want) {
		t.Errorf("%d parameters, want %d", len(form), len(want))
	}
	w.lie(pathToken, member("token_type", "N_A"))
	_, err = w.client.Refresh(t.Context(), tokens, rp.Target{})
	w.want(err, rp.ErrTokenResponse)
	_, err = w.client.ClientCredentials(rp.Target{}).Token(t.Context())
	w.want(err, rp.ErrTokenResponse)
}
