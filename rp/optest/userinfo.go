package optest

import (
	"net/http"
	"slices"
	"strings"
)

// bearer finds the access token of a request (RFC 6750 section 2); never in the query.
func (h *Handler) bearer(a *Answer, r Request) *accessToken {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	body := r.Form.Get("access_token")
	switch {
	case value != "" && body != "":
		refuseBearer(a, http.StatusBadRequest, "invalid_request", "the token was sent twice")
		return nil
	case value == "" && body == "":
		refuseBearer(a, http.StatusUnauthorized, "", "")
		return nil
	case value != "" && !strings.EqualFold(scheme, "Bearer"):
		refuseBearer(a, http.StatusUnauthorized, "invalid_request", "the scheme is not Bearer")
		return nil
	}
	t := h.state.accessToken(value+body, h.now())
	if t == nil {
		refuseBearer(a, http.StatusUnauthorized, "invalid_token", "the access token is unknown, expired or revoked")
	}
	return t
}

// attribute is a parameter of a challenge.
type attribute struct{ name, value string }

// refuseBearer is RFC 6750 section 3: without a token there is no error code. more are further parameters of the challenge.
func refuseBearer(a *Answer, status int, code, description string, more ...attribute) {
	a.Status = status
	challenge := `Bearer realm="optest"`
	a.JSON = map[string]any{}
	if code != "" {
		challenge += `, error="` + code + `", error_description="` + description + `"`
		a.JSON["error"], a.JSON["error_description"] = code, description
	}
	for _, m := range more {
		challenge += ", " + m.name + `="` + quotable(m.value) + `"`
	}
	a.HTTPHeader.Set("WWW-Authenticate", challenge)
	a.HTTPHeader.Set("Content-Type", "application/json")
}

// quotable is a text that can stand in a quoted-string as it is.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}

// userInfo is the UserInfo endpoint (OpenID Connect Core 5.3).
func (h *Handler) userInfo(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Cache-Control", "no-store")
	t := h.bearer(a, r)
	if t == nil {
		return a
	}
	if !slices.Contains(t.scopes, "openid") {
		refuseBearer(a, http.StatusForbidden, "insufficient_scope", "the access token is not for UserInfo", attribute{"scope", "openid"})
		return a
	}
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.Claims = h.about(t.grant, t.scopes, t.grant.claims.UserInfo)
	if h.config.UserInfoAlgorithm == "" {
		return a
	}
	a.HTTPHeader.Set("Content-Type", "application/jwt")
	a.Claims["iss"], a.Claims["aud"] = h.issuer, t.grant.clientID
	a.Header = h.joseHeader(h.config.UserInfoAlgorithm, "JWT")
	a.honestKID, _ = a.Header["kid"].(string)
	return a
}
