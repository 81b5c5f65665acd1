package rp_test

import (
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What tokens keep from one refresh to the next.

func TestScopeOfARefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.op.KeepRefreshTokens = true })
	tokens := w.tokens(rp.AuthOptions{})
	granted := tokens.OAuth2().Extra("scope")
	for name, row := range map[string]struct {
		to   rp.Target
		says any // what the provider says
		want any
	}{
		"E16_nothing_asked_and_nothing_said":   {rp.Target{}, nil, granted},
		"E16_nothing_asked_and_less_said":      {rp.Target{}, "openid", "openid"},
		"E16_less_asked_and_nothing_said":      {rp.Target{Scopes: []string{"openid"}}, nil, nil}, // then it is what was asked for
		"E16_less_asked_and_something_said":    {rp.Target{Scopes: []string{"openid"}}, "openid", "openid"},
		"E16_an_audience_is_no_other_scope":    {rp.Target{Audience: "https://api.example/"}, nil, granted},
		"E16_a_list_of_nothing_is_not_nothing": {rp.Target{Scopes: []string{}}, nil, nil},
	} {
		w.lie(pathToken, member("scope", row.says))
		if row.to.Audience != "" { // which the login did not ask for: any answer will do
			w.lie(pathToken, func(a *optest.Answer) {
				a.Status, a.JSON = 200, map[string]any{"access_token": "an-access-token", "token_type": "Bearer"}
			})
		}
		next, err := w.client.Refresh(t.Context(), tokens, row.to)
		w.must(err)
		if got := next.OAuth2().Extra("scope"); got != row.want {
			t.Errorf("%s: scope %v, want %v", name, got, row.want)
		}
		requests := w.op.Requests(pathToken)
		if sent := requests[len(requests)-1].Form.Get("audience"); sent != row.to.Audience {
			t.Errorf("%s: asked for the audience %q", name, sent)
		}
	}
}

// The second ID Token is compared with the first; a refreshed one was not, whatever a later refresh brings or does not.
func TestDiffEndsWithARefreshedIDToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.verified(rp.AuthOptions{})
	w.lie(pathToken, claim("email", "other@example.com"))
	tokens, err := w.client.Exchange(t.Context(), a)
	w.must(err)
	before := len(tokens.Diff())
	w.lie(pathToken, member("id_token", nil))
	same, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
	w.must(err)
	w.lie(pathToken, claim("email", "third@example.com"))
	next, err := w.client.Refresh(t.Context(), same, rp.Target{})
	w.must(err)
	w.lie(pathToken, member("id_token", nil))
	last, err := w.client.Refresh(t.Context(), next, rp.Target{})
	w.must(err)
	parsed, err := w.client.ParseTokens(last.Bytes())
	w.must(err)
	if before == 0 || len(same.Diff()) != before || next.Diff() != nil || last.Diff() != nil || parsed.Diff() != nil {
		t.Errorf("%d, then %d, %d, %d and %d differences", before, len(same.Diff()), len(next.Diff()), len(last.Diff()), len(parsed.Diff()))
	}
}
