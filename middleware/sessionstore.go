package middleware

import (
	"context"
	"errors"
	"time"
)

// ErrConflict says that a session was not written: the version that [PutOptions] names is not the stored one. Load
// it again and decide anew.
var ErrConflict = errors.New("middleware: session was changed meanwhile")

// SessionStore keeps sessions for many instances of an app. The packages redisstore and sqlstore have one; a store of
// your own is a good one if it passes the suite of package storetest.
//
// A store keeps bytes that it cannot read: this package seals them, and gives the store only a hash of the ID in the
// cookie and keyed hashes of what logouts name. All these texts may hold any bytes. Time to live is counted by the
// store's clock, and what has outlived it is absent at once, whether it was removed or not.
//
// The method is called Put, not Save, so that one type can be a gorilla sessions.Store too.
//
// Every method is safe for concurrent use, returns when ctx ends, and keeps apart what it knows from what it does not:
// [ErrNoSession] and [ErrConflict] are facts about the session; any other error means that the store is down, or that
// ctx has ended, and that nobody knows. A write that fails so may have happened.
type SessionStore interface {
	// Load returns a session with its version, which is never 0, and the latest time at which any of tombs was buried,
	// zero if none was. It takes one round trip. data is the caller's. [ErrNoSession] if the session is absent; buried is valid then too.
	Load(ctx context.Context, id string, tombs ...string) (data []byte, version uint64, buried time.Time, err error)
	// Put creates or replaces a session, and returns its new version. Of parallel writes on top of one version
	// exactly one succeeds. data is the caller's again when Put returns.
	//
	// [ErrConflict] if o.Version is not the stored one: for 0, if there is such a session. [ErrNoSession] if o.Version
	// is not 0 and the session is absent: what was logged out is not made again; or if one of o.Tombs was buried at or
	// after o.Issued.
	Put(ctx context.Context, id string, data []byte, o PutOptions) (version uint64, err error)
	// Delete removes a session; deleting nothing is fine.
	Delete(ctx context.Context, id string) error
}

// PutOptions say how a [SessionStore] keeps a session.
type PutOptions struct {
	// Version is the one that the write is based on; 0 creates the session.
	Version uint64
	// TTL is how long the session lives from now on. Less than a millisecond is an error.
	TTL time.Duration
	// Tombs name the logouts that concern the session: by sid, by subject. They index it for [SessionLister] and take
	// the place of those of the write before.
	Tombs []string
	// Issued is when the login happened, by the provider's clock: iat of its first ID Token. The session is dead if
	// one of Tombs was buried then or later. A Put is refused for every tomb that was buried before it began; against
	// one that is buried at the same moment it may succeed, and Load tells.
	Issued time.Time
}

// Locker gives locks that all instances share. A lock is a lease: it ends by itself after its holder has crashed, and
// nothing may depend on it that a versioned write does not protect too.
type Locker interface {
	// Lock waits for the lock of that key until ctx ends, and then returns the reason (of ctx, or of a store that is
	// down). The lease is renewed in the background until unlock, also when ctx ends. unlock may be called more than
	// once, must be called, and never frees what another has taken over after the lease was lost.
	Lock(ctx context.Context, key string, lease time.Duration) (unlock func(), err error)
}

// Tombstones remember logouts until every session that they end would have ended by itself. Sealed cookies share
// logouts by them, though nothing else of the session is stored.
type Tombstones interface {
	// Bury notes that sessions of that tomb are dead if their login is not later than at, in the provider's clock. Of
	// several times for one tomb the latest is kept, and the longest time to live.
	Bury(ctx context.Context, tomb string, at time.Time, ttl time.Duration) error
	// Buried returns the latest time at which any of tombs was buried; zero if none was. It is exact to the
	// microsecond, rounded down, as is the comparison with [PutOptions].Issued.
	Buried(ctx context.Context, tombs ...string) (time.Time, error)
}

// SessionLister is what a [SessionStore] may have in addition: it finds the sessions of a tomb, for "your devices" and
// for ending them.
type SessionLister interface {
	// Sessions returns at most limit sessions that were saved with tomb among their PutOptions.Tombs, those that live
	// longest first. It shows every session that is not being written at this moment.
	Sessions(ctx context.Context, tomb string, limit int) ([]StoredSession, error)
}

// StoredSession is a session as a [SessionLister] finds it.
type StoredSession struct {
	ID      string
	Data    []byte
	Version uint64
}
