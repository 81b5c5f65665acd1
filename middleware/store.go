package middleware

import (
	"context"
	"errors"
	"time"
)

// store keeps sessions: in sealed cookies, or behind a name in a cookie. What both have in common (limits, renewal,
// refresh, logout) is not theirs. A store is safe for concurrent use.
//
// A store that can lock and compare versions fits in by the same methods: load and reload fill record.version, save
// refuses another one, lock is its lock.
type store interface {
	// load finds the session that cookies name. ErrNoSession: there is none, or not a whole and authentic one. Any
	// other error: the store is down, and nobody knows whether there is one.
	load(ctx context.Context, c cookies) (*record, error)
	// reload reads the session again, after lock. A store without a newer truth returns rec.
	reload(ctx context.Context, rec *record) (*record, error)
	// handle is what the store calls the session that cookies name: its ID, and behind a dot what else the store
	// needs. "" if there is none.
	handle(c cookies) string
	// openTokens fills rec.part from what load brought. ErrNoSession: it is not authentic.
	openTokens(rec *record) error
	// save writes rec, as a new session if rec.handle is "", and returns the Set-Cookie lines that make it the
	// browser's. now is the time for the cookie's age.
	save(ctx context.Context, rec *record, what change, now time.Time) ([]string, error)
	// drop removes the session behind a handle; removing nothing is fine.
	drop(ctx context.Context, handle string) error
	// lock keeps other instances from refreshing the same session. A store without instances does nothing.
	lock(ctx context.Context, id string) (unlock func(), err error)
	// inCookies reports whether a change is lost unless its Set-Cookie lines reach the browser.
	inCookies() bool
}

// change says what of a record is new.
type change uint8

const (
	changeIdentity change = iota // the token part is as it was loaded
	changeAll
)

// errSessionTooLarge says that a session does not fit where it is kept.
var errSessionTooLarge = errors.New("session does not fit into 7 KB of cookies: set Config.Store, or ask for smaller tokens")

// errStore marks what a store could not do: nobody knows whether there is a session.
var errStore = errors.New("session store")

// record is one session as stores see it. It is not modified after it was loaded or saved, except that openTokens
// fills part; a change is a new record.
type record struct {
	identity identity
	part     *tokenPart // nil: not opened yet, or none
	sealed   string     // the token part as it was loaded; "" is none
	stored   []byte     // the same, of a SessionStore; nil is none
	handle   string     // what the store calls the session
	chunks   int        // sealed cookies: how many chunks the browser has
	version  uint64     // of the store's copy
}

// hasPart reports whether there is a token part, opened or not.
func (r *record) hasPart() bool { return r.part != nil || r.sealed != "" || r.stored != nil }
