package middleware

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// A logout of sessions that this process does not hold is a tombstone: a mark, keyed so that it names nobody, and a
// time by the provider's clock. A session whose login is not later than that is dead. Marks are made of the provider's
// sid, of the subject, and of our own session ID, for cookies that were copied before a logout.

const (
	tombSession  = "session\x00"
	tombSID      = "sid\x00"
	tombSubject  = "sub\x00"
	tombNoSID    = "nosid\x00"      // of the subject, for sessions without a sid
	tombSlack    = 15 * time.Minute // a login whose ID Token is older than a logout may be completed so much later
	maxTombs     = 1 << 16          // in this process's memory
	maxClockSkew = 5 * time.Minute
)

// isDead compares a login with a logout, both by the provider's clock.
func isDead(issued, buried time.Time) bool {
	return !buried.IsZero() && issued.UnixMicro() <= buried.UnixMicro()
}

// tombs are the marks of the logouts that concern a session: for each key, so that neither a new key nor an instance
// that does not have it yet loses a logout.
func (a *Auth) tombs(i *identity) []string {
	tombs := a.mark(tombSubject + i.subject)
	if i.sid != "" {
		tombs = append(tombs, a.mark(tombSID+i.sid)...)
	} else {
		tombs = append(tombs, a.mark(tombNoSID+i.subject)...)
	}
	if a.store.inCookies() {
		tombs = append(tombs, a.mark(tombSession+i.id)...)
	}
	return tombs
}

// alive returns ErrNoSession for a session that was logged out elsewhere. A store that brings tombstones with each
// session has looked already.
func (a *Auth) alive(ctx context.Context, i *identity) error {
	if a.buriedInStore || a.graves != nil && a.graves.empty() {
		return nil
	}
	return a.unburied(ctx, i)
}

// unburied is alive, whoever has looked.
func (a *Auth) unburied(ctx context.Context, i *identity) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	buried, err := a.logouts.Buried(ctx, a.tombs(i)...)
	if err != nil {
		return storeError(err)
	}
	if isDead(i.issued, buried) {
		return ErrNoSession
	}
	return nil
}

// bury notes a logout, under the marks of all keys. Sessions up to e.at are dead for e.life.
func (a *Auth) bury(ctx context.Context, text string, e ending) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for _, tomb := range a.mark(text) {
		if a.graves != nil {
			a.graves.bury(tomb, e)
			continue
		}
		if err := a.logouts.Bury(ctx, tomb, e.at, e.life); err != nil {
			return storeError(err)
		}
	}
	if a.graves != nil && a.graves.hasLost() {
		a.observe(ctx, rp.Event{Name: eventMemoryFull})
	}
	return nil
}

// graveLife is how long a tombstone is needed: the sessions that it ends live no longer.
func (a *Auth) graveLife() time.Duration { return a.config.Absolute + tombSlack }

// save writes new tokens, or a new session, unless a logout has overtaken them. A store of logouts that does not
// answer now is asked again at the next request: what the provider has rotated must not be lost over it.
func (a *Auth) save(ctx context.Context, rec *record, now time.Time) ([]string, error) {
	lines, err := a.store.save(ctx, rec, changeAll, now)
	if err != nil {
		return nil, err
	}
	if err := a.alive(ctx, &rec.identity); errors.Is(err, ErrNoSession) {
		return nil, errors.Join(ErrNoSession, a.store.drop(ctx, rec.handle))
	}
	return lines, nil
}

// skew estimates how far our clock is before the provider's, by the ID Tokens that it has just issued. What they took
// to arrive makes it too large, so the smallest counts, and larger ones only slowly.
type skew struct{ nanos atomic.Int64 }

// issued takes the iat of an ID Token of the token endpoint.
func (s *skew) issued(iat, now time.Time) {
	seen := now.Sub(iat)
	if seen.Abs() > maxClockSkew {
		return
	}
	old := time.Duration(s.nanos.Load())
	if old != 0 && seen > old {
		seen = old + (seen-old)/16
	}
	s.nanos.Store(int64(seen))
}

// provider is what the provider's clock shows.
func (s *skew) provider(now time.Time) time.Time {
	return now.Add(-time.Duration(s.nanos.Load()))
}

// graves are the tombstones of one process.
type graves struct {
	now  func() time.Time
	mu   sync.RWMutex // guards what follows
	at   map[string]grave
	lost bool
}

type grave struct {
	buried, until time.Time
	weak          bool // on the word of a URL alone
}

var _ Tombstones = (*graves)(nil)

func newGraves(now func() time.Time) *graves {
	return &graves{now: now, at: map[string]grave{}}
}

func (g *graves) empty() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.at) == 0
}

// Bury is described at Tombstones.
func (g *graves) Bury(_ context.Context, tomb string, at time.Time, ttl time.Duration) error {
	g.bury(tomb, ending{at: at, life: ttl})
	return nil
}

func (g *graves) bury(tomb string, e ending) {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	old, known := g.at[tomb]
	if !known && len(g.at) >= maxTombs {
		g.sweep(now)
	}
	weak := e.weak && (!known || old.weak)
	g.at[tomb] = grave{later(old.buried, e.at), later(old.until, now.Add(e.life)), weak}
}

// sweep makes room: what is over goes, or else an eighth of all, first of those that anybody may have asked for.
func (g *graves) sweep(now time.Time) {
	for tomb, one := range g.at {
		if !now.Before(one.until) {
			delete(g.at, tomb)
		}
	}
	for _, weak := range [...]bool{true, false} {
		for tomb, one := range g.at {
			if len(g.at) < maxTombs-maxTombs/8 { // room for a while: this looked at all of them
				return
			}
			if one.weak == weak {
				delete(g.at, tomb)
				g.lost = true
			}
		}
	}
}

func (g *graves) hasLost() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost := g.lost
	g.lost = false
	return lost
}

// Buried is described at Tombstones.
func (g *graves) Buried(_ context.Context, tombs ...string) (time.Time, error) {
	now := g.now()
	g.mu.RLock()
	defer g.mu.RUnlock()
	var latest time.Time
	for _, tomb := range tombs {
		if one := g.at[tomb]; now.Before(one.until) {
			latest = later(latest, one.buried)
		}
	}
	return latest, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
