package optest

// revoke is the revocation endpoint (RFC 7009). A refresh token ends with its whole grant, an access token by itself. The
// hint is not needed: both kinds are looked for.
func (h *Handler) revoke(a *Answer, r Request) *Answer {
	a.HTTPHeader.Set("Content-Type", "application/json")
	a.HTTPHeader.Set("Cache-Control", "no-store")
	if r.Form == nil {
		return refuseToken(a, invalid("the Content-Type must be application/x-www-form-urlencoded"))
	}
	for name, values := range r.Form {
		if len(values) > 1 {
			return refuseToken(a, invalid(name+" occurs twice"))
		}
	}
	clientID, err := h.authenticate(r)
	if err != nil {
		return refuseToken(a, err)
	}
	token := r.Form.Get("token")
	if token == "" {
		return refuseToken(a, invalid("token is missing"))
	}
	if !h.state.revoke(token, clientID) {
		return refuseToken(a, &protocolError{"unauthorized_client", "the token was given to another client"})
	}
	return a // "invalid tokens do not cause an error response" (section 2.2)
}

// revoke reports false for a token of another client.
func (s *state) revoke(value, clientID string) (ok bool) {
	s.update(func() {
		refresh, access := s.refresh[value], s.access[value]
		switch {
		case refresh != nil && refresh.grant.clientID == clientID:
			refresh.grant.revoked = true
		case access != nil && access.grant.clientID == clientID:
			access.revoked = true
		default:
			ok = refresh == nil && access == nil
			return
		}
		ok = true
	})
	return ok
}
