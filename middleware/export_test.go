package middleware

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/twofold-auth/twofold/internal/urgency"
)

// What follows lets tests reach decisions that are pure functions.

type Navigation = navigation

const (
	NavScript   = navScript
	NavPrefetch = navPrefetch
	NavPage     = navPage

	MaxCookies  = maxCookies
	MaxReturnTo = maxReturnTo
	ChunkSize   = chunkSize
	MaxChunks   = maxChunks
)

var (
	Classify     = classify
	ClassifyOpen = classifyOpen
	SameOrigin   = sameOrigin
	SplitChunks  = splitChunks
)

// Site resolves for an app with this redirect URL.
type Site struct{ s site }

func NewSite(redirectURL, prefix string) (Site, error) {
	s, err := newSite(redirectURL, prefix)
	return Site{s}, err
}

func (s Site) Resolve(returnTo string) string { return s.s.resolve(returnTo) }
func (s Site) Absolute(target string) string  { return s.s.absolute(target) }
func (s Site) Here(r *http.Request) string    { return s.s.here(r) }
func (s Site) Home() string                   { return s.s.home() }
func (s Site) Origin() string                 { return s.s.origin }
func (s Site) Public(name string) string      { return s.s.public(name) }

// ReadCookies returns name and value of each cookie of an Auth with that name.
func ReadCookies(name string, h http.Header) [][2]string {
	n := newCookieNames(name)
	var out [][2]string
	for _, c := range n.read(h) {
		out = append(out, [2]string{c.name, c.value})
	}
	return out
}

// Cookie returns the value that counts.
func Cookie(name, cookie string, h http.Header) (string, bool) {
	n := newCookieNames(name)
	return n.read(h).get(cookie)
}

// TokenCookieNames are the names of the chunks.
func TokenCookieNames(name string) []string {
	n := newCookieNames(name)
	return n.tokens[:]
}

// JoinChunks joins the token part in a Cookie header.
func JoinChunks(name string, h http.Header) (string, int, bool) {
	n := newCookieNames(name)
	return joinChunks(n.read(h), n.tokens)
}

// UrgencyOf says whether a token is live (0), ending (1) or over (2).
func UrgencyOf(expiry, obtained, now time.Time) int { return int(urgency.Of(expiry, obtained, now)) }

// SessionEnded and SessionStale are the limits of a session.
func SessionEnded(used, expires, now time.Time, idle time.Duration) bool {
	return (&identity{used: used, expires: expires}).ended(now, idle)
}

func SessionStale(used, now time.Time, idle time.Duration) bool {
	return (&identity{used: used}).stale(now, idle)
}

// Codes and Events are the closed lists.
func Codes() []string { return slices.Sorted(maps.Keys(statuses)) }

func Events() []string {
	return []string{
		eventLogoutToken, eventFrame, eventGranted, eventLogin, eventLoginRepeated, eventLoginStarted, eventLoginSuspended, eventLogout, eventMemoryFull, eventNotRenewed,
		eventRedeemed, eventRefreshed, eventRefused, eventRevoked, eventSessionEnded, eventUserInfo,
	}
}

// Graves are the tombstones of one process.
type Graves struct{ *graves }

func NewGraves(now func() time.Time) Graves { return Graves{newGraves(now)} }

// BuryWeak buries on the word of a URL alone.
func (g Graves) BuryWeak(tomb string, at time.Time, ttl time.Duration) {
	g.bury(tomb, ending{at: at, life: ttl, weak: true})
}

const (
	MaxTombs     = maxTombs
	FramesAtOnce = framesAtOnce
)

// CommitWriter wraps a writer as a request with cookies to renew does.
func CommitWriter(w http.ResponseWriter, lines ...string) (wrapped http.ResponseWriter, reserve func() (func(), bool), commit func()) {
	c := &commitWriter{ResponseWriter: w, pending: lines}
	return c.wrap(), c.reserve, c.commit
}

// Pages renders each page once, for the golden files.
func (a *Auth) Pages() map[string]func(http.ResponseWriter) {
	return map[string]func(http.ResponseWriter){
		"error": func(w http.ResponseWriter) {
			a.errorPage(w, &Error{Code: codeTransactionMissing, Status: 400, Reference: "REFERENCE0", RetryURL: a.LoginURL("/")})
		},
		"landing": func(w http.ResponseWriter) { a.landingPage(w, "Your session on this site has ended.", "/") },
		"confirm": func(w http.ResponseWriter) { a.confirmPage(w, "csrf", "/") },
		"relay":   a.relayPage,
		"repost": func(w http.ResponseWriter) {
			a.repostPage(w, map[string][]string{"state": {`"><script>alert(1)</script>`}, "code": {"c"}})
		},
	}
}
