package optest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
)

// token is the token endpoint (RFC 6749 section 3.2, OpenID Connect Core 3.1.3).
func (h *Handler) token(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.HTTPHeader.Set("Cache-Control", "no-store")
	if r.Form == nil {
		return refuseToken(a, invalid("the Content-Type must be application/x-www-form-urlencoded"))
	}
	a.Grant = r.Form.Get("grant_type")
	for name, values := range r.Form {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return refuseToken(a, invalid(name+" occurs twice"))
		}
	}
	clientID, err := h.authenticate(r)
	if err != nil {
		return refuseToken(a, err)
	}
	switch a.Grant {
	case "authorization_code":
		return h.redeem(a, r, clientID)
	case "refresh_token":
		return h.renew(a, r, clientID)
	case "client_credentials":
		return h.clientCredentials(a, r, clientID)
	case grantExchange:
		return h.exchangeToken(a, r, clientID)
	case "":
		return refuseToken(a, invalid("grant_type is missing"))
	}
	return refuseToken(a, &protocolError{"unsupported_grant_type", "the grant type is not supported"})
}

// refuseToken is an error of the token endpoint (RFC 6749 section 5.2).
func refuseToken(a *Answer, err *protocolError) *Answer {
	a.Status = http.StatusBadRequest
	if err.code == "invalid_client" {
		a.Status = http.StatusUnauthorized
		a.HTTPHeader.Set("WWW-Authenticate", `Basic realm="optest", charset="UTF-8"`)
	}
	a.JSON = map[string]any{"error": err.code, "error_description": err.description}
	return a
}

// redeem exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
func (h *Handler) redeem(a *Answer, r Request, clientID string) *Answer {
	c := h.state.spend(r.Form.Get("code"), h.now())
	refused := func(text string) *Answer { return refuseToken(a, &protocolError{"invalid_grant", text}) }
	switch {
	case c == nil:
		return refused("the code is unknown, expired or spent")
	case c.grant.clientID != clientID:
		return refused("the code was given to another client")
	case c.redirectURI != r.Form.Get("redirect_uri"):
		return refused("the redirect_uri is not that of the authorization request")
	case c.challenge == "" && r.Form.Has("code_verifier"):
		return refused("a code_verifier came and no code_challenge had been sent") // RFC 9700 section 2.1.1
	case c.challenge != "" && !proves(r.Form.Get("code_verifier"), c.challenge):
		return refused("the code_verifier is missing or wrong")
	}
	refreshToken := ""
	if slices.Contains(c.grant.scopes, "offline_access") {
		refreshToken = h.state.addRefresh(c.grant)
	}
	return h.issue(a, r, c.grant, refreshToken)
}

// proves tells if a verifier is one (RFC 7636 section 4.1) and belongs to the challenge.
func proves(verifier, challenge string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	if len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "" {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(b64.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// renew refreshes (RFC 6749 section 6) and rotates the refresh token (RFC 9700 section 4.14.2).
func (h *Handler) renew(a *Answer, r Request, clientID string) *Answer {
	old := r.Form.Get("refresh_token")
	g := h.state.peekRefresh(old, clientID)
	if g == nil {
		return refuseToken(a, &protocolError{"invalid_grant", "the refresh token is unknown, replaced or revoked"})
	}
	if _, _, err := narrow(r, g); err != nil {
		return refuseToken(a, err)
	}
	if h.config.KeepRefreshTokens {
		return h.issue(a, r, g, "")
	}
	successor := h.state.rotateRefresh(old)
	if successor == "" {
		return refuseToken(a, &protocolError{"invalid_grant", "the refresh token was used twice"})
	}
	return h.issue(a, r, g, successor)
}

// narrow reads which part of the grant a token is wanted for (RFC 6749 section 6, RFC 8707 section 2.2).
func narrow(r Request, g *grant) (scopes, resources []string, err *protocolError) {
	scopes, ok := narrower(strings.Fields(r.Form.Get("scope")), g.scopes)
	if !ok {
		return nil, nil, &protocolError{"invalid_scope", "the scope was not granted"}
	}
	wanted := append(slices.Clone(r.Form["resource"]), r.Form["audience"]...)
	resources, ok = narrower(wanted, g.resources)
	if !ok {
		return nil, nil, &protocolError{"invalid_target", "the resource was not granted"}
	}
	return scopes, resources, nil
}

// issue answers with the second set of tokens, or with refreshed ones.
func (h *Handler) issue(a *Answer, r Request, g *grant, refreshToken string) *Answer {
	scopes, resources, err := narrow(r, g)
	if err != nil {
		return refuseToken(a, err)
	}
	h.putAccess(a, g, scopes, resources)
	h.answerAccess(a, scopes)
	if refreshToken != "" {
		a.JSON["refresh_token"] = refreshToken
	}
	header, claims := h.idToken(g, g.scopes)
	claims["at_hash"] = HalfHash(h.config.Algorithm, a.honestAccess)
	if g.nonce != "" && a.Grant == "authorization_code" { // a refreshed one should have none (OpenID Connect Core 12.2)
		claims["nonce"] = g.nonce
	}
	h.putID(a, header, claims)
	a.JSON["id_token"] = a.honestID
	return a
}
