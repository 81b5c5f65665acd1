package optest

import (
	"net/http"
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

// refuseBearer is RFC 6750 section 3: without a token there is no error code.
func refuseBearer(a *Answer, status int, code, description string) {
	a.Status = status
	challenge := `Bearer realm="optest"`
	a.JSON = map[string]any{}
	if code != "" {
		challenge += `, error="` + code + `", error_description="` + description + `"`
		a.JSON["error"], a.JSON["error_description"] = code, description
	}
	a.HTTPHeader.Set("WWW-Authenticate", challenge)
	a.HTTPHeader.Set("Content-Type", "application/json")
}

// userInfo is the UserInfo endpoint (OpenID Connect Core 5.3).
func (h *Handler) userInfo(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Cache-Control", "no-store")
	t := h.bearer(a, r)
	if t == nil {
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

// api is a resource that needs an access token and says what it is good for.
func (h *Handler) api(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Cache-Control", "no-store")
	t := h.bearer(a, r)
	if t == nil {
		return a
	}
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.JSON = map[string]any{
		"sub": t.grant.session.sub, "scope": strings.Join(t.scopes, " "), "aud": append([]string{}, t.resources...),
		"client_id": t.grant.clientID, "issued_by": t.issuedBy, "method": r.Method,
	}
	return a
}
