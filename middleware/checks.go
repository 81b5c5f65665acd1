package middleware

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
	"github.com/twofold-auth/twofold/rp"
)

// Check decides for [Auth.Require] whether a logged-in user may go on. nil is yes; a [*Challenge] is yes after another
// login, a [*Refusal] is no with a text for the user, and any other error is no. It runs before the handler, for each
// request, twice if the session has changed meanwhile, and must be safe for concurrent use.
type Check func(*http.Request, *Session) error

// HasClaim passes if the claim is one of the values, or an array that has one of them. A missing claim denies, and so
// does one of another type: the number 1 is not "1", "true" is not true, "admin user" is not "admin", and an object or
// an array in an array equals nothing. Only integers can be asked for, and only one that is written as such is one: 1,
// but not 1.0. Names match exactly and lead to no member of a claim: for a claim that is an object write a Check with
// [Session.Claims].
//
// The name must be in [Config.SessionClaims], or one of sub, iss, sid, acr and amr, which every session has. Any other
// name is a mistake of the program: each request is answered with 500, and the log says why.
func HasClaim[T string | bool | int](name string, value T, more ...T) Check {
	values := append([]T{value}, more...)
	return func(_ *http.Request, s *Session) error {
		claim, err := s.claim(name)
		if err != nil {
			return err
		}
		if list, ok := claim.Array(); ok {
			if slices.ContainsFunc(list, func(v strictjson.Value) bool { return isOneOf(v, values) }) {
				return nil
			}
		} else if isOneOf(claim, values) {
			return nil
		}
		return denied("claim %q: %s", name, kindOf(claim))
	}
}

// isOneOf compares a JSON value with Go values, without any conversion between types.
func isOneOf[T string | bool | int](v strictjson.Value, values []T) bool {
	for _, want := range values {
		switch want := any(want).(type) {
		case string:
			if text, ok := v.Text(); ok && text == want {
				return true
			}
		case bool:
			if b, ok := v.Bool(); ok && b == want {
				return true
			}
		case int:
			if i, ok := v.Int64(); ok && i == int64(want) {
				return true
			}
		}
	}
	return false
}

// kindOf says in the log what stood in the way, and not what the claim is.
func kindOf(v strictjson.Value) string {
	if !v.Exists() {
		return "not in the session: the ID Token lacks it, or it is beyond the 1 KB that a session keeps"
	}
	return "its value is none of those that are asked for, or of another type"
}

// HasACR passes if the login's authentication context class is one of these; if not, a [*Challenge] asks the provider
// for them, best first (acr_values, Core 3.1.2.1). A session without an acr never passes.
//
// It asks so that a provider which cannot comply logs the user in all the same: then the page says that this was not
// enough. It panics on values that cannot be sent: empty ones, and those with a space in them.
func HasACR(acr string, more ...string) Check {
	challenge := rp.AuthOptions{ACRValues: append([]string{acr}, more...)}
	mustBeValid("HasACR", challenge)
	return func(_ *http.Request, s *Session) error {
		if slices.Contains(challenge.ACRValues, s.ACR) { // none of them is empty
			return nil
		}
		return &Challenge{Options: rp.AuthOptions{ACRValues: slices.Clone(challenge.ACRValues)}}
	}
}

// minMaxAge leaves time to come back from the provider, and for clocks that differ.
const minMaxAge = time.Minute

// MaxAge passes if the user authenticated at the provider no longer than d ago; if not, or if the provider does not say
// when, a [*Challenge] asks for a new authentication (max_age, Core 3.1.2.1). d is at least a minute, in whole seconds,
// else MaxAge panics: a younger login would be too old when it is back.
func MaxAge(d time.Duration) Check {
	if d < minMaxAge {
		panic(fmt.Sprintf("middleware: MaxAge(%v): at least %v", d, minMaxAge))
	}
	mustBeValid("MaxAge", rp.AuthOptions{MaxAge: &d})
	return func(_ *http.Request, s *Session) error {
		age := s.now().Sub(s.AuthTime)
		if age <= d && age >= -minMaxAge { // a missing auth_time is two thousand years old
			return nil
		}
		asked := d
		return &Challenge{Options: rp.AuthOptions{MaxAge: &asked}}
	}
}

// HasScopes passes if the access token of the session was granted all of these scopes; if not, a [*Challenge] asks for
// them, together with those that the session's login asked for. Like [Auth.RequireTokens] it needs tokens: it exchanges or refreshes
// them first, and where there can be none the request is answered as RequireTokens would.
//
// What a scope allows is for the API to decide; use this to ask before a page that cannot do without. It panics on
// values that are no scope.
func HasScopes(scope string, more ...string) Check {
	want := append([]string{scope}, more...)
	mustBeValid("HasScopes", rp.AuthOptions{Scopes: union([]string{"openid"}, want)})
	return func(r *http.Request, s *Session) error {
		token, err := s.Token(r.Context())
		if err != nil {
			return tokenError{err}
		}
		asked := s.askedScopes()
		granted := asked // unless the provider says otherwise (RFC 6749, section 5.1)
		if text, ok := token.Extra("scope").(string); ok {
			granted = strings.Fields(text)
		}
		if !slices.ContainsFunc(want, func(v string) bool { return !slices.Contains(granted, v) }) {
			return nil
		}
		return &Challenge{Options: rp.AuthOptions{Scopes: union(asked, want)}}
	}
}

// askedScopes are those that the session's login asked for.
func (s *Session) askedScopes() []string {
	if s.state.test != nil {
		return []string{"openid"}
	}
	return s.state.auth.askedScopes(&s.state.record().identity)
}

// askedScopes are those of the configuration, and what step-ups have added.
func (a *Auth) askedScopes(i *identity) []string {
	return union(first(a.config.AuthOptions.Scopes, a.client.Scopes()), i.scopes)
}

// All passes if every check does. One that denies decides, whatever stands before it: nobody is sent to the provider
// who may not go on afterwards. If several want another login it is one login, which asks for all of it; of an option
// that can have one value only, such as LoginHint, the last wins. It panics without a check and on a nil one.
func All(checks ...Check) Check {
	checks = slices.Clone(checks)
	if len(checks) == 0 || slices.ContainsFunc(checks, func(c Check) bool { return c == nil }) {
		panic("middleware: All: no check, or a nil one")
	}
	return func(r *http.Request, s *Session) error {
		var sum *Challenge
		for _, check := range checks {
			err := check(r, s)
			challenge := challengeOf(err)
			switch {
			case err == nil:
			case challenge == nil:
				return err
			case sum == nil:
				sum = &Challenge{Options: challenge.Options}
			default:
				if err := sum.add(challenge.Options); err != nil {
					return err
				}
			}
		}
		if sum == nil {
			return nil
		}
		return sum
	}
}

// add makes c ask for more.
func (c *Challenge) add(o rp.AuthOptions) error {
	sum := merge(c.Options, o)
	sum.Scopes = union(c.Options.Scopes, o.Scopes)
	sum.Resources = union(c.Options.Resources, o.Resources)
	sum.Prompt = strings.Join(union(strings.Fields(c.Options.Prompt), strings.Fields(o.Prompt)), " ")
	if c.Options.MaxAge != nil && (o.MaxAge == nil || *c.Options.MaxAge < *o.MaxAge) {
		sum.MaxAge = c.Options.MaxAge
	}
	var ok, essential bool
	sum.ACRValues, ok = common(c.Options.ACRValues, o.ACRValues)
	sum.EssentialACR, essential = common(c.Options.EssentialACR, o.EssentialACR)
	if !ok || !essential {
		return mistakeError{errors.New("All: two checks want an acr, and none satisfies both")}
	}
	c.Options = sum
	return nil
}

// common is what satisfies both lists, where nil is satisfied by anything; false if nothing does.
func common(a, b []string) (both []string, ok bool) {
	switch {
	case a == nil:
		return b, true
	case b == nil:
		return a, true
	}
	for _, v := range a {
		if slices.Contains(b, v) {
			both = append(both, v)
		}
	}
	return both, both != nil
}

// union appends to a what b has more. nil is the default of somebody else, and nil and nil stay so.
func union(a, b []string) []string {
	out := slices.Clip(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// mustBeValid panics on what no login could ask for: while the program starts, and not at the first user.
func mustBeValid(name string, o rp.AuthOptions) {
	if err := o.Validate(); err != nil {
		panic("middleware: " + name + ": " + err.Error())
	}
}

// challengeOf returns the challenge that err wraps; nil if there is none.
func challengeOf(err error) *Challenge {
	var c *Challenge
	if !errors.As(err, &c) {
		return nil
	}
	return c
}

// denied is why a check says no, for the log.
func denied(format string, a ...any) error { return fmt.Errorf(format, a...) }

// tokenError marks what kept a check from a token: its request is answered as by RequireTokens.
type tokenError struct{ error }

func (e tokenError) Unwrap() error { return e.error }

// mistakeError marks what only a change of the program can mend.
type mistakeError struct{ error }

// saysNothing reports whether a check could not decide.
func saysNothing(err error) bool {
	var token tokenError
	var mistake mistakeError
	return errors.As(err, &token) || errors.As(err, &mistake)
}

// claim returns a claim of the session as it is; the zero value if it has none of that name.
func (s *Session) claim(name string) (strictjson.Value, error) {
	if v, ok := s.field(name); ok {
		return v, nil
	}
	t := s.state
	text := ""
	switch {
	case t.test != nil:
		text = string(t.test.claims)
	case !slices.Contains(t.auth.config.SessionClaims, name):
		return strictjson.Value{}, mistakeError{fmt.Errorf("HasClaim(%q): no session keeps it: add it to Config.SessionClaims", name)}
	default:
		text = string(t.record().identity.claims)
	}
	claims, err := strictjson.Parse(text)
	if err != nil {
		return strictjson.Value{}, err
	}
	return claims.Get(name), nil
}

// field returns what every session has. acr, amr and sid may come from the first ID Token, where the newest lacks them.
func (s *Session) field(name string) (v strictjson.Value, ok bool) {
	var value any
	switch name {
	case "sub":
		value = s.Subject
	case "iss":
		value = s.Issuer
	case "sid":
		value = s.SessionID
	case "acr":
		value = s.ACR
	case "amr":
		value = s.AMR
	default:
		return v, false
	}
	if value == "" {
		return v, true
	}
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return v, true
	}
	o, err := strictjson.Parse(string(text))
	if err != nil {
		return v, true
	}
	return o.Get(name), true
}

// now is the clock of the session's Auth; a session of a test has none.
func (s *Session) now() time.Time {
	if s.state.test != nil {
		return time.Now() //nolint:forbidigo // there is no Config
	}
	return s.state.auth.config.Now()
}
