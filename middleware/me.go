package middleware

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// withMe checks Config.MeClaims, which switch the route on.
func (s site) withMe(c *Config) (site, error) {
	if c.MeClaims == nil {
		return s, nil
	}
	for _, name := range c.MeClaims {
		if name != "sub" && !slices.Contains(c.SessionClaims, name) {
			return site{}, fmt.Errorf("Config.MeClaims: %q is neither sub nor one of SessionClaims", name)
		}
	}
	if s.last == routeMe {
		return site{}, fmt.Errorf("RedirectURL %s: its last segment is the name of the route that Config.MeClaims switches on", s.base)
	}
	s.me = true
	return s, nil
}

// me is what a page in the browser may know of its user.
type me struct {
	Claims  map[string]json.RawMessage `json:"claims"`
	Tokens  string                     `json:"tokens"`     // TokenState
	Expires int64                      `json:"expires_at"` // when the session ends, if nothing happens till then
}

// meRoute tells a script of this app who its user is. It changes nothing: a page that asks again and again does not
// keep a session alive. Another site cannot read it: there is no CORS header, what says that it comes from elsewhere is
// refused, and the answer is an object of a type that no browser takes for a script or a page.
func (a *Auth) meRoute(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Add("Vary", "Cookie, Origin, Sec-Fetch-Site")
	if !sameOrigin(r.Header, a.site.origin) {
		a.refuseScript(w, r, fail(codeCrossOrigin, nil))
		return
	}
	f, err := a.look(r.Context(), a.names.read(r.Header))
	switch {
	case errors.Is(err, ErrNoSession):
		e := fail(codeLoginRequired, err)
		e.RetryURL = a.LoginURL(a.site.absolute(r.Header.Get("Referer")))
		a.refuseScript(w, r, e)
	case err != nil:
		a.refuseScript(w, r, fail(codeSessionStore, err))
	default:
		a.writeMe(w, r, &f.rec.identity)
	}
}

// refuseScript answers with problem+json, whatever the request accepts and the app does for its pages.
func (a *Auth) refuseScript(w http.ResponseWriter, r *http.Request, e *Error) {
	a.announce(w, r, e)
	writeProblem(w, e)
}

func (a *Auth) writeMe(w http.ResponseWriter, r *http.Request, i *identity) {
	state := TokensReady
	if e := a.tokensOf(i); e != nil {
		state = e.State
	}
	body, err := json.Marshal(me{a.chosen(i), state.String(), earlier(i.expires, i.used.Add(a.config.Idle)).Unix()})
	if err != nil {
		a.refuseScript(w, r, fail(codeInternal, err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// chosen are the claims that the page may know.
func (a *Auth) chosen(i *identity) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	claims, _ := strictjson.Parse(string(i.claims)) // our own
	for _, name := range a.config.MeClaims {
		if v := claims.Get(name); v.Exists() {
			out[name] = json.RawMessage(v.Raw())
		}
	}
	if slices.Contains(a.config.MeClaims, "sub") {
		out["sub"], _ = json.Marshal(i.subject) // a string: cannot fail
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
