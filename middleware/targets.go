package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/internal/urgency"
	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// Many APIs behind one provider: the session has one refresh token, and an access token for each API, which is a resource
// (RFC 8707), an audience, or a set of scopes.

// For returns the source of the session's access tokens for one API of several behind the provider. Each target has a token
// of its own, which is kept with the session, is refreshed before it ends, once for all who want it, and is never
// given out for another target. The main token of [Session.Token] is that of the zero [rp.Target].
//
// Errors of its Token are those of [Session.Token], and [ErrConsentRequired] if the provider wants to ask the user first:
// pass that error to [Auth.StepUp], or return it from a check. [ErrLoginRequired] if there is no refresh token: the scope
// offline_access brings one.
//
// A SessionStore keeps 32 targets. Sealed cookies keep as many as fit, the newest first: others are asked for again when
// they are wanted. A session of [NewSession] gives its one token to each target. Like the session, the source is for
// this request; for one client per process see [Auth.TransportFor].
func (s *Session) For(to rp.Target) rp.TokenSource {
	if t := newTarget(to); t.key != "" {
		return targetSource{s, t}
	}
	return sessionSource{s}
}

// TransportFor is [Auth.Transport] for an API that needs a token of its own: see [Session.For].
func (a *Auth) TransportFor(to rp.Target, base http.RoundTripper, origins ...string) http.RoundTripper {
	return a.transport(contextSource{a, newTarget(to).Target}, base, origins...)
}

// target is an rp.Target in one spelling.
type target struct {
	rp.Target
	key string // "" is the original grant
}

func newTarget(to rp.Target) target {
	to.Scopes = slices.Compact(slices.Sorted(slices.Values(to.Scopes)))
	if len(to.Scopes) == 0 {
		to.Scopes = nil
	}
	t := target{Target: to}
	if to.Resource != "" || to.Audience != "" || to.Scopes != nil {
		t.key = to.Resource + "\n" + to.Audience + "\n" + strings.Join(to.Scopes, " ")
	}
	return t
}

// targetSource takes the tokens of one session for one target.
type targetSource struct {
	s  *Session
	to target
}

var _ rp.TokenSource = targetSource{}

func (t targetSource) Token(ctx context.Context) (*oauth2.Token, error) {
	if t.s.state.test != nil {
		return t.s.state.test.live()
	}
	return t.s.state.tokenFor(ctx, t.to)
}

// Renew returns another token than the rejected one: see sessionSource.
func (t targetSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	if t.s.state.test != nil {
		return nil, ErrNoTokens
	}
	return t.s.state.renewFor(ctx, t.to, rejected)
}

// tokenFor returns a live access token for a target.
func (t *sessionState) tokenFor(ctx context.Context, to target) (*oauth2.Token, error) {
	part, err := t.redeemed(ctx)
	if err != nil {
		return nil, err
	}
	have, need := part.target(to.key), tokenOver
	if have != nil {
		need = urgency.Of(have.expiry, have.obtained, t.auth.config.Now())
	}
	if need == tokenLive || need == tokenEnding && t.tokenOf(part).RefreshToken == "" {
		return have.oauth2(), nil
	}
	got, err := t.fetch(ctx, part, to, have)
	if err != nil && need == tokenEnding && !errors.Is(err, ErrNoSession) && !errors.Is(err, ErrLoginRequired) {
		return have.oauth2(), nil // it still serves
	}
	return got, err
}

// renewFor returns another token for a target than the one that its API rejected.
func (t *sessionState) renewFor(ctx context.Context, to target, rejected *oauth2.Token) (*oauth2.Token, error) {
	part, err := t.usable()
	if err != nil {
		return nil, err
	}
	have := part.target(to.key)
	switch {
	case have != nil && have.access != rejected.AccessToken:
		return have.oauth2(), nil
	case have != nil && t.auth.config.Now().Sub(have.obtained) < renewEvery:
		return nil, ErrLoginRequired
	}
	return t.fetch(ctx, part, to, have)
}

var errNoRefreshToken = fmt.Errorf("%w: there is no refresh token to get one for a target; ask for offline_access", ErrLoginRequired)

// fetch gets a token for a target that part does not have, or has as have.
func (t *sessionState) fetch(ctx context.Context, part *tokenPart, to target, have *targetToken) (*oauth2.Token, error) {
	if t.tokenOf(part).RefreshToken == "" {
		return nil, errNoRefreshToken
	}
	part, err := t.renew(ctx, t.auth.fetchTarget(to, have))
	if err != nil {
		return nil, err
	}
	return part.target(to.key).oauth2(), nil // the one that came: of what the session has now others may have taken its place
}

// fetchTarget is the renewal that adds a target's access token, or replaces have.
func (a *Auth) fetchTarget(to target, have *targetToken) renewal {
	satisfied := func(now *tokenPart) bool {
		got := now.target(to.key)
		return got != nil && (have == nil || got.access != have.access || !sameSecond(got.expiry, have.expiry) || !sameSecond(got.obtained, have.obtained))
	}
	apply := func(ctx context.Context, rec *record) (*record, error) {
		if rec.part.parsed.OAuth2().RefreshToken == "" {
			return nil, errNoRefreshToken
		}
		tokens, err := a.client.Refresh(ctx, rec.part.parsed, to.Target)
		if wantsUser(err) {
			return nil, a.consentRequired(&rec.identity, to, err)
		}
		if err != nil {
			return a.refreshed(ctx, rec, tokens, err)
		}
		next, err := a.refreshed(ctx, rec, tokens.WithAccessTokenOf(rec.part.parsed), nil)
		if err == nil && next.part.kind == partTokens {
			now := a.config.Now()
			next.part.obtained, next.part.refreshed = rec.part.obtained, rec.part.refreshed // of the main token
			next.part.targets = withTarget(next.part.targets, to.token(tokens, now), now)
		}
		return next, err
	}
	return renewal{kind: renewTarget, key: to.key, event: eventRefreshed, satisfied: satisfied, apply: apply}
}

// wantsUser reports whether a provider refuses a target because it would have to ask the user (RFC 8707 section 2, RFC
// 6749 section 5.2, Core 3.1.2.6), while the grant lives on.
func wantsUser(err error) bool {
	var provider *rp.Error
	if !errors.As(err, &provider) || errors.Is(err, rp.ErrUnavailable) {
		return false
	}
	switch provider.Code {
	case "invalid_grant": // as Entra ID says it, of what the user can mend; else the grant is dead
		return provider.Suberror == "consent_required" || provider.Suberror == "basic_action"
	case "invalid_target", "invalid_scope", "consent_required", "interaction_required", "login_required",
		"account_selection_required", "mfa_required": // the last is Auth0's
		return true
	default:
		return false
	}
}

// consentRequired is the error that makes a login of it: one that asks for what the session has, and for the target.
func (a *Auth) consentRequired(i *identity, to target, err error) error {
	o := rp.AuthOptions{
		Resources: union(union(first(a.config.AuthOptions.Resources, a.client.Resources()), i.resources), one(to.Resource)),
		Scopes:    union(union(first(a.config.AuthOptions.Scopes, a.client.Scopes()), i.scopes), to.Scopes),
	}
	configured := a.config.AuthOptions.Extra["audience"]
	switch {
	case to.Audience == "" || slices.Contains(configured, to.Audience):
	case len(configured) > 0: // a login has one: for this one the main token would be another API's
		return fmt.Errorf("%w: a login asks for the audience of Config.AuthOptions and for no other: %w", ErrConsentRequired, err)
	default:
		o.Extra = map[string][]string{"audience": {to.Audience}}
	}
	return fmt.Errorf("%w: %w: %w", ErrConsentRequired, &Challenge{Options: o}, err)
}

// first returns the first list that is set.
func first(lists ...[]string) []string {
	for _, list := range lists {
		if list != nil {
			return list
		}
	}
	return nil
}

func one(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// targetToken is the access token of one target.
type targetToken struct {
	key      string
	access   string
	scope    string // as granted; "" if the provider did not say
	expiry   time.Time
	obtained time.Time
}

// maxTargets bounds what a session remembers.
const maxTargets = 32

// token takes the access token out of what was refreshed for a target.
func (t target) token(tokens *rp.Tokens, now time.Time) targetToken {
	got := tokens.OAuth2()
	scope, _ := got.Extra("scope").(string)
	return targetToken{key: t.key, access: got.AccessToken, scope: scope, expiry: got.Expiry, obtained: now}
}

func (t *targetToken) write(w *wire.Writer) {
	w.String(t.key)
	w.Text(t.access)
	w.String(t.scope)
	w.Time(t.expiry)
	w.Time(t.obtained)
}

func readTarget(r *wire.Reader) targetToken {
	return targetToken{key: r.String(), access: r.Text(), scope: r.String(), expiry: r.Time(), obtained: r.Time()}
}

func (t *targetToken) oauth2() *oauth2.Token {
	token := &oauth2.Token{AccessToken: t.access, TokenType: "Bearer", Expiry: t.expiry}
	if t.scope == "" {
		return token
	}
	return token.WithExtra(map[string]any{"scope": t.scope})
}

func (t *targetToken) over(now time.Time) bool { return !t.expiry.IsZero() && !now.Before(t.expiry) }

// target returns the token of a target; nil if there is none.
func (p *tokenPart) target(key string) *targetToken {
	for i := range p.targets {
		if p.targets[i].key == key {
			return &p.targets[i]
		}
	}
	return nil
}

// encodeWithin encodes the part, without the UserInfo response and then without its oldest targets if it does not fit
// otherwise; nil if it does not fit without any. What is left out serves who waits for it now. fits gets the size of the
// sealed text.
func (p *tokenPart) encodeWithin(fits func(text int) bool) []byte {
	if plain := p.encode(); fits(seal.TextSize(len(plain))) {
		return plain
	}
	for n := len(p.targets); n >= 0; n-- { // the newest come first
		if plain := p.encodeWith(p.targets[:n], nil); fits(seal.TextSize(len(plain))) {
			return plain
		}
	}
	return nil
}

// withTarget returns the targets that live at now, the newest first, with one more or in another's place.
func withTarget(targets []targetToken, newest targetToken, now time.Time) []targetToken {
	return mergeTargets([]targetToken{newest}, targets, now)
}

// mergeTargets lays targets over others: of two for one key the first stands.
func mergeTargets(over, under []targetToken, now time.Time) []targetToken {
	var all []targetToken
	for i, t := range slices.Concat(over, under) {
		known := slices.ContainsFunc(all, func(o targetToken) bool { return o.key == t.key })
		if !known && (i < len(over) || !t.over(now)) {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(x, y targetToken) int { return y.obtained.Compare(x.obtained) })
	return all[:min(len(all), maxTargets)]
}
