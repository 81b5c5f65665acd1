package rp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

// The token types of RFC 8693, section 3.
const (
	TokenTypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"  //nolint:gosec // names, no credentials
	TokenTypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token" //nolint:gosec // the same
	TokenTypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"      //nolint:gosec // the same
	TokenTypeJWT          = "urn:ietf:params:oauth:token-type:jwt"           //nolint:gosec // the same
)

const grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // a name

// maxExtra bounds the further parameters of an exchange, names and values.
const maxExtra = 16 << 10

// TokenExchange says which token is exchanged for which. It redacts itself.
type TokenExchange struct {
	redacted
	// SubjectToken stands for whom the new token is for, usually the user. Required: the token alone, without the word
	// Bearer that stands before it in a header.
	SubjectToken string
	// SubjectTokenType is its type; "" is [TokenTypeAccessToken].
	SubjectTokenType string
	// ActorToken stands for who acts in the subject's name; "" for nobody.
	ActorToken string
	// ActorTokenType is its type: required with an ActorToken, refused without one.
	ActorTokenType string
	// RequestedTokenType is the type of the new token; "" leaves it to the provider, and must be an access token or a
	// JWT then.
	RequestedTokenType string
	// Target is the API that the new token is for.
	Target Target
	// Extra are further parameters that a provider wants, one value each. A parameter of the grant or of the client's
	// authentication is refused.
	Extra url.Values
}

// GobEncode refuses: unlike the other types with secrets, this one has exported fields that encoding/gob would write.
func (TokenExchange) GobEncode() ([]byte, error) {
	return nil, errors.New("rp: a TokenExchange holds secrets and is not encoded")
}

// TokenExchange exchanges a token for one of another audience, or of fewer rights, or of another type: what an API does
// that must call the next one in its user's name. The request is sent once and nothing is cached.
//
// The new token is in AccessToken, whatever its type is. Extra("issued_token_type") says which, Extra("scope") the
// granted scope if the provider said it. TokenType is Bearer, or N_A for a token that no API takes as it is, which only
// a RequestedTokenType can bring. A refresh token is dropped: exchange again.
//
// [ErrConfig] for a [Public] client, which anybody could be; [ErrOptions] if x cannot be sent, before anything is; an
// [*Error] if the provider refused; [ErrUnavailable]; [ErrTokenResponse], also for another type than the requested one.
//
// See RFC 8693, https://www.rfc-editor.org/rfc/rfc8693.
func (c *Client) TokenExchange(ctx context.Context, x TokenExchange) (*oauth2.Token, error) {
	start := c.cfg.Now()
	token, err := c.tokenExchange(ctx, &x)
	if err != nil {
		err = fmt.Errorf("rp: token exchange: %w", err)
	}
	c.observe(ctx, eventTokenExchange, start, nil, err)
	return token, err
}

func (c *Client) tokenExchange(ctx context.Context, x *TokenExchange) (*oauth2.Token, error) {
	if !c.cfg.ClientAuth.confidential() {
		return nil, fmt.Errorf("%w: ClientAuth: a public client exchanges no tokens", ErrConfig)
	}
	form, err := x.form()
	if err != nil {
		return nil, err
	}
	r, err := c.grant(ctx, form, func() error { return nil })
	if err != nil {
		return nil, err
	}
	if err := x.check(r); err != nil {
		return nil, err
	}
	token := r.accessToken()
	token.TokenType = "Bearer"
	if !isBearer(r.tokenType) {
		token.TokenType = notApplicable
	}
	extra := map[string]any{"issued_token_type": r.issuedType}
	if r.scope != "" {
		extra["scope"] = r.scope
	}
	return token.WithExtra(extra), nil
}

// form checks x and returns the request (section 2.1).
func (x *TokenExchange) form() (url.Values, error) {
	if err := checkExchanged("SubjectToken", x.SubjectToken); err != nil {
		return nil, err
	}
	subjectType := x.SubjectTokenType
	if subjectType == "" {
		subjectType = TokenTypeAccessToken
	}
	form := url.Values{"grant_type": {grantTokenExchange}, "subject_token": {x.SubjectToken}}
	switch {
	case x.ActorToken == "" && x.ActorTokenType != "":
		return nil, badOption("ActorTokenType: there is no ActorToken") // "MUST NOT be included otherwise"
	case x.ActorToken != "" && x.ActorTokenType == "":
		return nil, badOption("ActorTokenType: required with an ActorToken")
	case x.ActorToken != "":
		if err := checkExchanged("ActorToken", x.ActorToken); err != nil {
			return nil, err
		}
		form.Set("actor_token", x.ActorToken)
	}
	for _, t := range [...]struct{ field, name, value string }{
		{"SubjectTokenType", "subject_token_type", subjectType},
		{"ActorTokenType", "actor_token_type", x.ActorTokenType},
		{"RequestedTokenType", "requested_token_type", x.RequestedTokenType},
	} {
		if t.value == "" {
			continue
		}
		if u, err := url.Parse(t.value); err != nil || !u.IsAbs() || !isVisible(t.value, maxErrorURI) {
			return nil, badOption("%s: not a URI", t.field)
		}
		form.Set(t.name, t.value)
	}
	if err := x.Target.add(form); err != nil {
		return nil, err
	}
	return form, x.addExtra(form)
}

// checkExchanged checks a token that is exchanged, without repeating it.
func checkExchanged(field, token string) error {
	if token == "" {
		return badOption("%s: required", field)
	}
	if scheme, _, ok := strings.Cut(token, " "); ok && len(scheme) < 16 {
		return badOption("%s: give the token alone, without the scheme that stands before it in a header", field)
	}
	if !isVisible(token, maxTokens) {
		return badOption("%s: not a token", field)
	}
	return nil
}

// reserved are parameters of the token endpoint that no extra one may be: those of this grant, of each other one and of
// the client's authentication.
var reserved = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
	"resource", "audience", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "assertion",
	"code", "code_verifier", "redirect_uri", "refresh_token", "username", "password", "device_code", "auth_req_id", "token",
	"token_type_hint", "request", "request_uri",
}

func (x *TokenExchange) addExtra(form url.Values) error {
	size := 0
	for name, values := range x.Extra {
		switch {
		case !isVisible(name, maxErrorCode) || name == "":
			return badOption("Extra: not a name")
		case slices.Contains(reserved, strings.ToLower(name)):
			return badOption("Extra: %s is not a further parameter", name)
		case len(values) != 1:
			return badOption("Extra: %s needs one value", name)
		}
		if size += len(name) + len(values[0]); size > maxExtra {
			return badOption("Extra: too long")
		}
		form.Set(name, values[0])
	}
	return nil
}

// notApplicable is the token_type of what is no access token (section 2.2.1).
const notApplicable = "N_A"

// check compares the answer with what was asked for. A JWT may be an access token, and the other way round.
func (x *TokenExchange) check(r *tokenResponse) error {
	asked := x.RequestedTokenType
	if asked == "" {
		asked = TokenTypeAccessToken
	}
	switch {
	case r.issuedType != asked && !(mayBeAccess(r.issuedType) && mayBeAccess(asked)):
		return malformed("issued_token_type is missing or not what was asked for")
	case asked == TokenTypeAccessToken && !isBearer(r.tokenType):
		return malformed("token_type is not Bearer")
	}
	return nil
}

func mayBeAccess(tokenType string) bool {
	return tokenType == TokenTypeAccessToken || tokenType == TokenTypeJWT
}
