package middleware

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"

	"github.com/twofold-auth/twofold/rp"
)

// frontchannelRoute ends a session when the provider shows this route in a frame of its logout page (Front-Channel
// Logout 1.0). A frame of another site brings no cookie: the session is the one of sid, which nobody guesses, beside
// the right iss or alone (Entra ID sends no iss). Without both it is the browser's, if a cookie came after all. The
// answer is always 200 and the same, so that it tells nothing; nothing is revoked at the provider on the word of a URL.
func (a *Auth) frontchannelRoute(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Del("X-Frame-Options") // it cannot name one site
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors "+a.providerOrigin())
	h.Set("Content-Type", "text/html; charset=utf-8")
	if r.Method == http.MethodGet && isFrame(r.Header) {
		a.endByFrame(w, r)
	}
	_, _ = w.Write([]byte("<!doctype html><title>Logged out</title>\n"))
}

// isFrame refuses what says that it is no frame: a link to this route must log nobody out.
func isFrame(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "", "iframe", "frame":
		return !isPrefetch(h)
	default:
		return false
	}
}

func (a *Auth) endByFrame(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return
	}
	iss, sid := q["iss"], q["sid"]
	c := a.names.read(r.Header)
	rec, _ := a.store.load(r.Context(), c)
	switch {
	case len(iss) > 1 || len(sid) > 1 || len(iss) == 1 && iss[0] != a.client.Issuer():
		return
	case len(sid) == 1 && sid[0] != "" && len(sid[0]) <= maxSID:
		err = a.endSID(r.Context(), sid[0])
		if rec != nil && subtle.ConstantTimeCompare([]byte(rec.identity.sid), []byte(sid[0])) != 1 {
			rec = nil // another session of this browser
		}
	case len(sid) == 1 || len(iss) == 1:
		return
	}
	if rec != nil {
		err = joinFirst(err, a.end(r.Context(), rec.handle, eventLogout))
		addCookies(w.Header(), a.names.dropSession())
	}
	if rec != nil || len(sid) == 1 {
		a.observe(r.Context(), rp.Event{Name: eventFrame, Code: errorCode(err), Err: err})
	}
}

// maxSID is longer than any provider's sid.
const maxSID = 256

func joinFirst(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// endSID ends the sessions of a sid that a stranger may have made up: where the store lists sessions, the tombstone of
// one that has none stays only as long as a login may be under way, so that nobody fills the store with them.
func (a *Auth) endSID(ctx context.Context, sid string) error {
	e := ending{at: a.skew.provider(a.config.Now()), life: a.graveLife()}
	if _, err := a.lister(a.client.Issuer()); err == nil {
		e.life = tombSlack // what is stored is removed, and nothing makes it again
	}
	return a.endAll(ctx, tombSID+sid, e)
}

// providerOrigin is the site that may frame us. Where the logout page is on another one its browsers show nothing, but
// have asked.
func (a *Auth) providerOrigin() string {
	u, err := url.Parse(a.client.Issuer())
	if err != nil {
		return "'none'"
	}
	return originOf(u)
}
