package middleware

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/twofold-auth/twofold/rp"
)

var errLogoutTokens = errors.New("not exactly one logout_token")

// backchannelRoute ends the sessions that the provider names in a logout token (Back-Channel Logout 1.0, sections 2.5 to
// 2.8). The request comes from the provider itself: no browser, no cookie, no Origin to look at; the token's signature
// is what counts. 200 once the sessions are over, whether there were any or not; 400 for what is not believed, and for
// a store or provider that does not answer, so that the provider sends it again.
func (a *Auth) backchannelRoute(w http.ResponseWriter, r *http.Request) {
	began := a.config.Now()
	form, e := readForm(w, r)
	if e == nil && len(form["logout_token"]) != 1 {
		e = failProtocol(errors.Join(rp.ErrLogoutToken, errLogoutTokens))
	}
	if e == nil {
		e = a.endByToken(r, form.Get("logout_token"))
	}
	event := rp.Event{Name: eventLogoutToken, Took: a.config.Now().Sub(began)}
	if e != nil {
		event.Code, event.Reference, event.Err = e.Code, e.Reference, e
	}
	a.observe(r.Context(), event)
	if e != nil {
		writeLogoutProblem(w, e)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// endByToken buries by sid if the token has one, else by sub. The same token again finds nothing left to end. What it
// names by both (section 2.7: "the iss, sub, and sid") may be a session that never heard of a sid: of this user that
// ends too.
func (a *Auth) endByToken(r *http.Request, raw string) *Error {
	t, err := a.client.VerifyLogoutToken(r.Context(), raw)
	if err != nil {
		return failProtocol(err)
	}
	texts := []string{tombText(t.Subject, t.SessionID)}
	if t.Subject != "" && t.SessionID != "" {
		texts = append(texts, tombNoSID+t.Subject)
	}
	err = a.endAll(r.Context(), ending{at: t.IssuedAt, life: a.graveLife()}, texts...)
	if err != nil {
		return fail(codeSessionStore, err)
	}
	return nil
}

// writeLogoutProblem adds what section 2.8 knows: "the response body MAY be a JSON object with error and
// error_description". What failed is 400 there, whosever fault it is.
func writeLogoutProblem(w http.ResponseWriter, e *Error) {
	status := e.Status
	if status != http.StatusRequestEntityTooLarge && status != http.StatusUnsupportedMediaType {
		status = http.StatusBadRequest
	}
	body, _ := json.Marshal(map[string]any{ // strings and a number: cannot fail
		"error": "invalid_request", "error_description": "the logout was not carried out: " + e.Code,
		"title": http.StatusText(status), "status": status, "code": e.Code, "reference": e.Reference,
	})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
