package optest

import (
	"slices"
	"strings"
	"time"
)

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

	typePrefix  = "urn:ietf:params:oauth:token-type:"
	typeAccess  = typePrefix + "access_token"
	typeIDToken = typePrefix + "id_token"
	typeJWT     = typePrefix + "jwt"
)

// clientCredentials is RFC 6749 section 4.4: a token for the client itself, without user and refresh token.
func (h *Handler) clientCredentials(a *Answer, r Request, clientID string) *Answer {
	if h.publicClient() {
		return refuseToken(a, &protocolError{"unauthorized_client", "a client without credentials has none"})
	}
	scopes := strings.Fields(r.Form.Get("scope"))
	for _, scope := range []string{"openid", "offline_access"} {
		if slices.Contains(scopes, scope) {
			return refuseToken(a, &protocolError{"invalid_scope", scope + " needs a user"})
		}
	}
	resources, err := h.resources(r.Form["resource"], r.Form["audience"])
	if err != nil {
		return refuseToken(a, err)
	}
	g := &grant{clientID: clientID, scopes: scopes, session: session{sub: clientID, authTime: h.now()}}
	h.putAccess(a, g, scopes, resources)
	return h.answerAccess(a, scopes)
}

// answerAccess answers with the access token alone.
func (h *Handler) answerAccess(a *Answer, scopes []string) *Answer {
	a.JSON = map[string]any{
		"access_token": a.honestAccess, "token_type": "Bearer",
		"expires_in": int64(h.config.AccessTokenLifetime / time.Second), "scope": strings.Join(scopes, " "),
	}
	return a
}

// exchangeToken is RFC 8693: an access token for what another token stands for, for any API that the provider knows. A
// token of any client will do as subject or actor, as it would if that client were an API.
func (h *Handler) exchangeToken(a *Answer, r Request, clientID string) *Answer {
	if h.publicClient() {
		return refuseToken(a, &protocolError{"unauthorized_client", "a client without credentials exchanges no tokens"})
	}
	subject, err := h.exchanged(r, "subject_token")
	if err != nil {
		return refuseToken(a, err)
	}
	if t := r.Form.Get("requested_token_type"); t != "" && t != typeAccess && t != typeJWT {
		return refuseToken(a, invalid("the requested_token_type is not supported"))
	}
	g := &grant{clientID: clientID, scopes: subject.scopes, session: subject.session}
	actor := ""
	if r.Form.Has("actor_token") || r.Form.Has("actor_token_type") {
		acting, err := h.exchanged(r, "actor_token")
		if err != nil {
			return refuseToken(a, err)
		}
		actor = acting.session.sub
	}
	scopes, ok := narrower(strings.Fields(r.Form.Get("scope")), subject.scopes)
	if !ok {
		return refuseToken(a, &protocolError{"invalid_scope", "the subject_token lacks the scope"})
	}
	resources, err := h.resources(r.Form["resource"], r.Form["audience"])
	if err != nil {
		return refuseToken(a, err)
	}
	h.putAccess(a, g, scopes, resources)
	h.act(a, actor)
	h.answerAccess(a, scopes)
	a.JSON["issued_token_type"] = typeAccess
	return a
}

// act says who acts for the subject (RFC 8693 section 4.1).
func (h *Handler) act(a *Answer, actor string) {
	if actor == "" {
		return
	}
	h.state.update(func() { h.state.access[a.honestAccess].actor = actor })
	if a.AccessClaims == nil {
		return
	}
	a.AccessClaims["act"] = map[string]any{"sub": actor}
	honest := a.honestAccess
	a.honestAccess = h.jws(h.accessAlgorithm(), mustEncode(a.AccessHeader), mustEncode(a.AccessClaims))
	h.state.alias(honest, a.honestAccess)
}

// exchanged reads the subject or the actor of an exchange. What is wrong with it is an invalid_request (RFC 8693 section
// 2.2.2).
func (h *Handler) exchanged(r Request, name string) (*grant, *protocolError) {
	raw, kind := r.Form.Get(name), r.Form.Get(name+"_type")
	switch {
	case raw == "":
		return nil, invalid(name + " is missing")
	case kind == "":
		return nil, invalid(name + "_type is missing")
	case kind != typeAccess && kind != typeIDToken && kind != typeJWT:
		return nil, invalid("the " + name + "_type is not supported")
	}
	if t := h.state.accessToken(raw, h.now()); t != nil && kind != typeIDToken {
		return &grant{scopes: t.scopes, session: t.grant.session}, nil
	}
	if kind == typeAccess {
		return nil, invalid("the " + name + " is unknown, expired or revoked")
	}
	known, err := h.readHint(raw)
	if err != nil {
		return nil, invalid("the " + name + " is none of ours")
	}
	return &grant{session: session{sub: known.Subject, authTime: h.now()}}, nil
}

// resources reads the APIs that are asked for (RFC 8707 section 2, RFC 8693 section 2.1).
func (h *Handler) resources(resources, audiences []string) ([]string, *protocolError) {
	var list []string
	for _, raw := range resources {
		if !absolute(raw) {
			return nil, &protocolError{"invalid_target", "the resource is no absolute URI without a fragment"}
		}
		list = append(list, raw)
	}
	for _, audience := range audiences {
		if audience != "" && !slices.Contains(list, audience) {
			list = append(list, audience)
		}
	}
	if h.config.Resources == nil {
		return list, nil
	}
	for _, wanted := range list {
		if !slices.Contains(h.config.Resources, wanted) {
			return nil, &protocolError{"invalid_target", "the resource is unknown"}
		}
	}
	return list, nil
}
