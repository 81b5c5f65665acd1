package optest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// api is a resource that needs an access token and says what it is good for. Its query says what it demands of the
// token: resource, scope, acr_values and max_age.
func (h *Handler) api(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Cache-Control", "no-store")
	t := h.bearer(a, r)
	if t == nil || !h.meets(a, r, t) {
		return a
	}
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.JSON = map[string]any{
		"sub": t.grant.session.sub, "scope": strings.Join(t.scopes, " "), "aud": append([]string{}, t.resources...),
		"client_id": t.grant.clientID, "issued_by": t.issuedBy, "method": r.Method,
	}
	if s := t.grant.session; s.acr != "" {
		a.JSON["acr"] = s.acr
	}
	if t.actor != "" {
		a.JSON["actor"] = t.actor
	}
	return a
}

// meets refuses a token that is not what the query demands (RFC 6750 section 3.1, RFC 9470 section 3).
func (h *Handler) meets(a *Answer, r Request, t *accessToken) bool {
	q := r.URL.Query()
	if api := q.Get("resource"); api != "" && !slices.Contains(t.resources, api) {
		refuseBearer(a, http.StatusUnauthorized, "invalid_token", "the access token is for another API")
		return false
	}
	if _, ok := narrower(strings.Fields(q.Get("scope")), t.scopes); !ok {
		refuseBearer(a, http.StatusForbidden, "insufficient_scope", "the access token lacks a scope", attribute{"scope", q.Get("scope")})
		return false
	}
	var more []attribute
	if acr := q.Get("acr_values"); acr != "" && !slices.Contains(strings.Fields(acr), t.grant.session.acr) {
		more = append(more, attribute{"acr_values", acr})
	}
	age, err := strconv.Atoi(q.Get("max_age"))
	if err == nil && h.now().Sub(t.grant.session.authTime) > time.Duration(age)*time.Second {
		more = append(more, attribute{"max_age", strconv.Itoa(age)})
	}
	if more == nil {
		return true
	}
	refuseBearer(a, http.StatusUnauthorized, "insufficient_user_authentication", "another login is needed", more...)
	return false
}
