package middleware

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

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
	ctx := context.WithoutCancel(r.Context()) // the provider's page goes on and takes its frames with it
	c := a.names.read(r.Header)
	rec, _ := a.store.load(ctx, c)
	switch {
	case len(iss) > 1 || len(sid) > 1 || len(iss) == 1 && iss[0] != a.client.Issuer():
		return
	case len(sid) == 1 && sid[0] != "" && len(sid[0]) <= maxSID:
		err = a.endSID(ctx, sid[0])
		if rec != nil && subtle.ConstantTimeCompare([]byte(rec.identity.sid), []byte(sid[0])) != 1 {
			rec = nil // another session of this browser
		}
	case len(sid) == 1 || len(iss) == 1:
		return
	}
	if rec != nil {
		err = joinFirst(err, a.end(ctx, rec.handle, eventLogout))
		addCookies(w.Header(), a.names.dropSession())
	}
	switch {
	case errors.Is(err, errFrames):
		a.observe(ctx, rp.Event{Name: eventMemoryFull})
	case rec != nil || len(sid) == 1:
		a.observe(ctx, rp.Event{Name: eventFrame, Code: errorCode(err), Err: err})
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

// endSID ends the sessions of a sid that a stranger may have made up. Where the store lists sessions, the tombstone of
// one that has none stays only as long as a login may be under way; everywhere strangers get only so many.
func (a *Auth) endSID(ctx context.Context, sid string) error {
	now := a.config.Now()
	e := ending{at: a.skew.provider(now), life: a.graveLife(), all: true, weak: true}
	found, err := a.listed(ctx, tombSID+sid)
	if !found && !a.frames.take(now) {
		return errFrames
	}
	if !found && err == nil {
		e.life = tombSlack
	}
	if err := a.endAll(ctx, e, tombSID+sid); err != nil {
		e.life = a.graveLife() // a session came meanwhile
		return joinFirst(err, a.bury(ctx, tombSID+sid, e))
	}
	return nil
}

// listed reports whether the store has sessions of a tomb, readable here or not. An error: nobody knows.
func (a *Auth) listed(ctx context.Context, text string) (bool, error) {
	lister, err := a.lister(a.client.Issuer())
	if err != nil {
		return false, err
	}
	for _, tomb := range a.mark(text) {
		if stored, err := a.list(ctx, lister, tomb); err != nil || len(stored) > 0 {
			return len(stored) > 0, err
		}
	}
	return false, nil
}

const (
	framesPerSecond = 10
	framesAtOnce    = 1000
)

// errFrames refuses a logout by a URL, because too many came that ended nothing.
var errFrames = errors.New("too many front-channel logouts of unknown sessions")

// allowance is how many frames of unknown sessions are heeded now. The zero value is a full one.
type allowance struct {
	mu   sync.Mutex // guards what follows
	used float64
	last time.Time
}

func (l *allowance) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.After(l.last) {
		l.used = max(0, l.used-now.Sub(l.last).Seconds()*framesPerSecond)
		l.last = now
	}
	if l.used+1 > framesAtOnce {
		return false
	}
	l.used++
	return true
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
