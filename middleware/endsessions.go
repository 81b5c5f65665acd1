package middleware

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// SessionInfo is one session of a user, for a page "your devices".
type SessionInfo struct {
	// ID names the session for [Auth.EndSession]. It opens nothing.
	ID string
	// SessionID is the provider's sid; "" if it gave none.
	SessionID string
	// Started is when the login was completed, Used the last request, exact to a tenth of Config.Idle; Expires is when
	// the session ends whatever happens.
	Started, Used, Expires time.Time
	// Current says that it is the session of the request whose context was given.
	Current bool

	record *record
}

// Value returns what OnIdentity kept in Login.Values; "" if nothing.
func (s SessionInfo) Value(key string) string { return s.record.identity.value(key) }

// maxListed bounds how many sessions are looked at in one step.
const maxListed = 100

// Sessions returns the sessions of a user, at most 100. [rp.ErrUnsupported] if the store cannot list them:
// sealed cookies and plain gorilla stores cannot.
func (a *Auth) Sessions(ctx context.Context, issuer, subject string) ([]SessionInfo, error) {
	lister, err := a.lister(issuer)
	if err != nil {
		return nil, err
	}
	now := a.config.Now()
	var infos []SessionInfo
	known := map[string]bool{}
	for _, tomb := range a.mark(tombSubject + subject) {
		stored, err := a.list(ctx, lister, tomb)
		if err != nil {
			return nil, err
		}
		for _, one := range stored {
			rec, err := a.server.decode(one.ID, one.Data)
			if err != nil || known[one.ID] || rec.identity.subject != subject || rec.identity.ended(now, a.config.Idle) {
				continue
			}
			known[one.ID] = true
			infos = append(infos, a.info(ctx, one.ID, rec))
		}
	}
	return infos, nil
}

func (a *Auth) info(ctx context.Context, id string, rec *record) SessionInfo {
	i := &rec.identity
	info := SessionInfo{ID: id, SessionID: i.sid, Started: i.started, Used: i.used, Expires: i.expires, record: rec}
	if s := a.Session(ctx); s != nil && s.state.test == nil {
		info.Current = s.state.record().identity.id == i.id
	}
	return info
}

func (a *Auth) list(ctx context.Context, lister SessionLister, tomb string) ([]StoredSession, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	stored, err := lister.Sessions(ctx, tomb, maxListed)
	if err != nil {
		return nil, storeError(err)
	}
	return stored, nil
}

// lister returns the store's list of sessions.
func (a *Auth) lister(issuer string) (SessionLister, error) {
	if issuer != a.client.Issuer() {
		return nil, fmt.Errorf("middleware: issuer %q: %w", issuer, rp.ErrOtherClient)
	}
	lister, ok := a.config.Store.(SessionLister)
	if !ok || a.server == nil {
		return nil, fmt.Errorf("middleware: Sessions: %w: Config.Store must be a SessionLister, as those of redisstore and sqlstore", rp.ErrUnsupported)
	}
	return lister, nil
}

// EndSession ends one session of a user, by its [SessionInfo].ID: a device that was lost. Its tokens are revoked at the
// provider. A session of somebody else is left alone, and [ErrNoSession] is returned, as for one that is over.
func (a *Auth) EndSession(ctx context.Context, issuer, subject, id string) error {
	infos, err := a.Sessions(ctx, issuer, subject)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.ID == id {
			return a.remove(ctx, id, info.record)
		}
	}
	return ErrNoSession
}

// remove ends a stored session.
func (a *Auth) remove(ctx context.Context, key string, rec *record) error {
	ctx = context.WithoutCancel(ctx)
	a.forget(ctx, rec.identity.id)
	err := a.server.remove(ctx, key)
	a.revoke(ctx, rec)
	a.observe(ctx, rp.Event{Name: eventSessionEnded, Code: errorCode(err), Err: err})
	return err
}

// EndSessions logs out everywhere: all sessions that a user has now, or if sid is not "" those of one session at the
// provider. In all instances their next request is refused; tokens are revoked at the provider where the store lists
// sessions. Logins after it are not concerned. An error is the store's: then nothing is sure, and it should be
// repeated.
func (a *Auth) EndSessions(ctx context.Context, issuer, subject, sid string) error {
	switch {
	case issuer != a.client.Issuer():
		return fmt.Errorf("middleware: issuer %q: %w", issuer, rp.ErrOtherClient)
	case subject == "" && sid == "":
		return errors.New("middleware: EndSessions needs a subject or a sid")
	}
	e := ending{at: a.skew.provider(a.config.Now()), life: a.graveLife(), all: true, revoke: true}
	return a.endAll(ctx, e, tombText(subject, sid))
}

// ending says which sessions of a tomb end, and how.
type ending struct {
	at     time.Time // of the logout, by the provider's clock
	life   time.Duration
	all    bool // whatever is stored now, also what seems to be newer than at
	revoke bool // tell the provider
	weak   bool // on the word of a URL alone
}

// tombText names a session at the provider, or all of a user.
func tombText(subject, sid string) string {
	if sid != "" {
		return tombSID + sid
	}
	return tombSubject + subject
}

// endAll writes the tombstones first and then removes what they end, so that a session which is written in between
// meets the one or the other. It does not end with the request that asked for it.
func (a *Auth) endAll(ctx context.Context, e ending, texts ...string) error {
	ctx = context.WithoutCancel(ctx)
	for _, text := range texts {
		if err := a.bury(ctx, text, e); err != nil {
			return err
		}
	}
	lister, err := a.lister(a.client.Issuer())
	if err != nil {
		return nil //nolint:nilerr // the tombstones are enough
	}
	for _, text := range texts {
		for _, tomb := range a.mark(text) {
			if err := a.endListed(ctx, lister, tomb, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// endListed removes the sessions of a tomb, as many at once as are listed at once, until a list brings nothing new: one
// that is behind, or that others fill, is left to the tombstone.
func (a *Auth) endListed(ctx context.Context, lister SessionLister, tomb string, e ending) error {
	removed := map[string]bool{}
	for {
		stored, err := a.list(ctx, lister, tomb)
		if err != nil {
			return err
		}
		before := len(removed)
		for _, one := range stored {
			rec, err := a.server.decode(one.ID, one.Data)
			if err != nil || removed[one.ID] || !e.all && !isDead(rec.identity.issued, e.at) {
				continue // not ours, or a later login
			}
			if !e.revoke {
				rec.part, rec.stored = nil, nil
			}
			if err := a.remove(ctx, one.ID, rec); err != nil {
				return err
			}
			removed[one.ID] = true
		}
		if len(removed) == before || len(stored) < maxListed {
			return nil
		}
	}
}
