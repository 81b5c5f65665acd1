package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/urgency"
	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

const (
	// grantLife is how long a grant is kept that nobody uses.
	grantLife = 400 * 24 * time.Hour
	// refusedLife is how long a grant stays that the provider refuses: another instance may be about to write what it
	// got for the same refresh token.
	refusedLife = 2 * refreshTimeout
)

// errNothingToGrant is Grant's for a session that another grant, or a login without offline_access, has left without one.
var errNothingToGrant = fmt.Errorf("%w: the session has no refresh token; the scope offline_access brings one, and a grant takes it along", ErrLoginRequired)

// Grant moves the session's refresh token into a record of its own, for workers that act when the user is away, and
// returns its ID for [Auth.Offline]. Keep the ID like a password. The session keeps its access token until that ends,
// and then needs another login; its logout does not end the grant, [Auth.EndGrant] does, and so do 400 days without use.
//
// [rp.ErrUnsupported] if Config.Store is no [SessionStore]; [ErrLoginRequired] if there is no refresh token (any more);
// else the errors of [Session.Token].
func (s *Session) Grant(ctx context.Context) (id string, err error) {
	if s.state.test != nil {
		return "", ErrNoTokens
	}
	a := s.state.auth
	if a.server == nil {
		return "", fmt.Errorf("middleware: Grant: %w: Config.Store must be a SessionStore, as those of redisstore and sqlstore", rp.ErrUnsupported)
	}
	ctx = context.WithoutCancel(ctx)   // a grant that is written is returned
	for own := 0; own < maxRenewals; { // another renewal may be under way
		part, err := s.state.redeemed(ctx)
		if err != nil {
			return "", err
		}
		if s.state.tokenOf(part).RefreshToken == "" {
			return "", errNothingToGrant
		}
		id, moved := newSessionID(), false
		got, err := a.renew(ctx, s.state.record(), a.moveTo(id, &moved))
		if got.next != nil && err == nil {
			s.state.adopt(got.next, got.lines)
		}
		switch {
		case err == nil && moved && got.next.part.gaveAway():
			return id, nil
		case err == nil && moved: // another instance has refreshed meanwhile, without a lock: the grant's refresh token is replaced
			if err := a.server.remove(ctx, a.server.key("grant", id)); err != nil {
				return "", err
			}
			own++
		case moved && errors.Is(err, ErrNoSession): // logged out meanwhile: nobody will hear of the grant
			return "", errors.Join(err, a.EndGrant(ctx, id))
		case moved: // the session may still have the refresh token
			return "", errors.Join(err, a.server.remove(ctx, a.server.key("grant", id)))
		case err != nil:
			return "", err
		case got.mine:
			own++
		}
	}
	return "", rp.ErrUnavailable
}

// moveTo is the renewal that takes the refresh token out of a session. The grant is written first: if the session cannot
// be written then, nobody knows the grant.
func (a *Auth) moveTo(id string, moved *bool) renewal {
	never := func(*tokenPart) bool { return false }
	return renewal{kind: renewGrant, key: id, event: eventGranted, satisfied: never, apply: func(ctx context.Context, rec *record) (*record, error) {
		if rec.part.parsed.OAuth2().RefreshToken == "" {
			return nil, errNothingToGrant
		}
		g := &grant{subject: rec.identity.subject, tokens: rec.part.parsed}
		if err := a.server.putGrant(ctx, id, g); err != nil {
			return nil, err
		}
		part := *rec.part
		part.parsed = rec.part.parsed.WithoutRefreshToken()
		part.tokens = part.parsed.Bytes()
		*moved = true
		return rec.successor(&part), nil
	}}
}

// gaveAway reports whether a part has tokens, and the refresh token no more.
func (p *tokenPart) gaveAway() bool {
	return p.kind == partTokens && p.parsed.OAuth2().RefreshToken == ""
}

// grant is a refresh token that belongs to no session. Without tokens it is one that the provider refuses.
type grant struct {
	subject  string
	obtained time.Time // by the last refresh; zero if there was none
	tokens   *rp.Tokens
	version  uint64
}

const grantVersion = 1

func (s *serverStore) putGrant(ctx context.Context, id string, g *grant) error {
	key := s.key("grant", id)
	var raw []byte
	life := refusedLife
	if g.tokens != nil {
		raw, life = g.tokens.Bytes(), grantLife
	}
	w := wire.NewWriter(grantVersion, 64+len(raw))
	w.String(g.subject)
	w.Time(g.obtained)
	w.Bytes(raw)
	sealed, err := s.boxes.grant.Seal(w.Done(), key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	version, err := s.store.Put(ctx, key, []byte(sealed), PutOptions{Version: g.version, TTL: life})
	if err != nil {
		return storeError(err)
	}
	g.version = version
	return nil
}

// grant returns ErrNoSession for a grant that is refused, too.
func (s *serverStore) grant(ctx context.Context, id string) (*grant, error) {
	g, err := s.storedGrant(ctx, id)
	if err == nil && g.tokens == nil {
		return nil, ErrNoSession
	}
	return g, err
}

func (s *serverStore) storedGrant(ctx context.Context, id string) (*grant, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := s.key("grant", id)
	data, version, _, err := s.store.Load(ctx, key)
	if err != nil {
		return nil, storeError(err)
	}
	plain, err := s.boxes.grant.Open(string(data), key)
	if err != nil {
		return nil, ErrNoSession
	}
	r := wire.NewReader(plain, grantVersion)
	g := &grant{subject: r.String(), obtained: r.Time(), version: version}
	raw := r.Bytes()
	if r.Close() != nil {
		return nil, ErrNoSession
	}
	if len(raw) == 0 {
		return g, nil
	}
	if g.tokens, err = s.client.ParseTokens(raw); err != nil {
		return nil, ErrNoSession
	}
	return g, nil
}

// Offline returns the access tokens of a grant that [Session.Grant] made, for a worker: the main token, for whatever the
// login asked for. They are refreshed when it is time, and before the first use, by one process at once. The source is
// safe for concurrent use and may be kept; ctx bounds the look into the store here, and no more. With [rp.Transport] a
// token that an API rejects is renewed, too. Its Token returns [ErrLoginRequired] once the provider has ended the grant,
// and [rp.ErrUnavailable] if neither a token nor the provider is there. What it asks of the provider goes on when the ctx
// of a Token ends.
//
// [ErrNoSession] if there is no such grant; [rp.ErrUnsupported] if Config.Store is no [SessionStore]; any other error is
// the store's.
func (a *Auth) Offline(ctx context.Context, grantID string) (rp.TokenSource, error) {
	if a.server == nil {
		return nil, fmt.Errorf("middleware: Offline: %w: Config.Store must be a SessionStore, as those of redisstore and sqlstore", rp.ErrUnsupported)
	}
	g, err := a.server.grant(ctx, grantID)
	if err != nil {
		return nil, err
	}
	return &offline{auth: a, id: grantID, last: g}, nil
}

// EndGrant removes a grant and has its tokens revoked. Removing nothing is fine.
func (a *Auth) EndGrant(ctx context.Context, grantID string) error {
	if a.server == nil {
		return fmt.Errorf("middleware: EndGrant: %w: Config.Store must be a SessionStore, as those of redisstore and sqlstore", rp.ErrUnsupported)
	}
	g, err := a.server.grant(ctx, grantID)
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	if err := a.server.remove(ctx, a.server.key("grant", grantID)); err != nil {
		return err
	}
	if u := a.live.unsavedGrant(grantID); g != nil && u != nil && u.isOf(g) {
		g = u.next
	}
	if g != nil {
		a.revoke(ctx, &record{part: &tokenPart{kind: partTokens, parsed: g.tokens}})
	}
	return nil
}

// offline is the source of one grant.
type offline struct {
	auth *Auth
	id   string

	mu     sync.Mutex // guards what follows
	last   *grant
	flight *grantFlight // nil if none is under way
}

// grantFlight is one renewal; next and err are there when done is closed.
type grantFlight struct {
	rejected string // the access token that an API rejected; "" if it is merely time for another
	done     chan struct{}
	next     *grant
	err      error
}

func (o *offline) Token(ctx context.Context) (*oauth2.Token, error) {
	g, err := o.get(ctx, "")
	over := g.urgency(o.auth.config.Now()) == tokenOver
	if err != nil && (over || errors.Is(err, ErrNoSession) || errors.Is(err, ErrLoginRequired)) {
		return nil, err
	}
	return withoutRefresh(g.tokens.OAuth2()), nil
}

// Renew is asked after an API refused a token, see [rp.TokenSource].
func (o *offline) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	g, err := o.get(ctx, rejected.AccessToken)
	if err != nil {
		return nil, err
	}
	return withoutRefresh(g.tokens.OAuth2()), nil
}

// get returns a grant with a live access token that is not the rejected one; with an error the grant as it was.
func (o *offline) get(ctx context.Context, rejected string) (*grant, error) {
	for {
		g, f := o.join(ctx, rejected)
		if f == nil {
			return g, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return g, ctx.Err()
		}
		switch {
		case f.rejected != rejected: // somebody else's; what came of it is in o.last
		case f.err != nil:
			return g, f.err
		default:
			return f.next, nil
		}
	}
}

// join returns the grant, and the renewal to wait for if one is needed. It does not end with the request of the one who
// was first: its answer must not be lost.
func (o *offline) join(ctx context.Context, rejected string) (*grant, *grantFlight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last.serves(rejected, o.auth.config.Now()) {
		return o.last, nil
	}
	if o.flight == nil {
		f := &grantFlight{rejected: rejected, done: make(chan struct{})}
		o.flight = f
		o.auth.background.Go(func() { o.fly(context.WithoutCancel(ctx), f) })
	}
	return o.last, o.flight
}

func (o *offline) fly(ctx context.Context, f *grantFlight) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	f.next, f.err = o.renew(ctx, f.rejected)
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.err == nil {
		o.last = f.next
	}
	o.flight = nil
	close(f.done)
}

// serves reports whether the access token is live and not the rejected one.
func (g *grant) serves(rejected string, now time.Time) bool {
	return g.urgency(now) == tokenLive && g.tokens.OAuth2().AccessToken != rejected
}

// urgency: a grant that was never refreshed has the access token that its session had, which a logout revokes.
func (g *grant) urgency(now time.Time) urgency.Level {
	u := urgency.Of(g.tokens.OAuth2().Expiry, g.obtained, now)
	if u == tokenLive && g.obtained.IsZero() {
		return tokenEnding
	}
	return u
}

// renew reads the grant again under its lock, and refreshes it if nobody else has.
func (o *offline) renew(ctx context.Context, rejected string) (*grant, error) {
	a := o.auth
	unlock, err := a.server.lockKey(ctx, a.server.key("grant", o.id))
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, err := a.server.grant(ctx, o.id)
	if err == nil {
		g, err = o.settle(ctx, g)
	}
	began := a.config.Now()
	switch {
	case err != nil || g.serves(rejected, began):
		return g, err
	case g.urgency(began) == tokenLive && began.Sub(g.obtained) < renewEvery:
		return nil, ErrLoginRequired // it is new: another one would be refused, too
	}
	tokens, err := a.client.Refresh(ctx, g.tokens, rp.Target{})
	a.observe(ctx, rp.Event{Name: eventRefreshed, Took: a.config.Now().Sub(began), Code: errorCode(err), Err: err})
	next := &grant{subject: g.subject, obtained: a.config.Now(), version: g.version}
	var provider *rp.Error
	switch {
	case err == nil:
		next.tokens = tokens
		return o.keep(ctx, g, next)
	case tokens != nil: // all that is new is the refresh token
		next.tokens, next.obtained = tokens, g.obtained
		_, failed := o.keep(ctx, g, next)
		return nil, errors.Join(err, failed)
	case errors.As(err, &provider) && provider.Code == "invalid_grant":
		current, failed := o.keep(ctx, g, next)
		if failed != nil || current.tokens == nil {
			return nil, errors.Join(ErrLoginRequired, err, failed)
		}
		return current, nil
	default:
		return nil, err
	}
}

// unsavedGrant is what the provider gave for a grant, and the store did not take.
type unsavedGrant struct {
	base []byte // rp.Tokens.Bytes of what it was made of
	next *grant
}

// isOf reports whether g is still what u was made of.
func (u *unsavedGrant) isOf(g *grant) bool { return bytes.Equal(u.base, g.tokens.Bytes()) }

// unsavedGrant is what this process keeps of a grant because the store was down; nil is nothing.
func (l *liveSessions) unsavedGrant(id string) *unsavedGrant {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if e := l.entries[id]; e != nil {
		return e.grant
	}
	return nil
}

// keepGrant remembers u, for as long as what a session's store did not take; nil forgets what there was.
func (l *liveSessions) keepGrant(id string, u *unsavedGrant, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u == nil && l.entries[id] == nil {
		return
	}
	e := l.entry(id, now)
	if e.grant = u; u != nil {
		e.keep = later(e.keep, now.Add(unsavedFor))
	}
}

// settle writes what the store did not take when g was refreshed last. The caller has the lock.
func (o *offline) settle(ctx context.Context, g *grant) (*grant, error) {
	u := o.auth.live.unsavedGrant(o.id)
	if u == nil || !u.isOf(g) {
		return g, nil
	}
	next := *u.next
	next.version = g.version
	return o.keep(ctx, g, &next)
}

// keep writes what the provider has said of base: new tokens, or that it refuses the old. If another instance was
// first, its tokens count, unless they are still those of base.
func (o *offline) keep(ctx context.Context, base, next *grant) (*grant, error) {
	s := o.auth.server
	err := o.write(ctx, next)
	for try := 0; try < maxConflicts && errors.Is(err, ErrConflict); try++ {
		var current *grant
		if current, err = s.storedGrant(ctx, o.id); err != nil {
			break
		}
		if current.tokens != nil && !bytes.Equal(current.tokens.Bytes(), base.tokens.Bytes()) {
			return current, nil
		}
		next.version = current.version
		err = o.write(ctx, next)
	}
	var unsaved *unsavedGrant
	if errors.Is(err, errStore) && next.tokens != nil {
		unsaved = &unsavedGrant{base: base.tokens.Bytes(), next: next}
	}
	o.auth.live.keepGrant(o.id, unsaved, o.auth.config.Now())
	if errors.Is(err, ErrNoSession) && next.tokens != nil { // it was ended meanwhile: nobody holds these
		o.auth.revoke(ctx, &record{part: &tokenPart{kind: partTokens, parsed: next.tokens}})
	}
	return next, err
}

// write offers what the provider gave to a store that is down for a moment again and again.
func (o *offline) write(ctx context.Context, g *grant) error {
	err := o.auth.server.putGrant(ctx, o.id, g)
	pause := saveRetryPause
	for try := 0; try < saveRetries && errors.Is(err, errStore) && rest(ctx, pause); try++ {
		err = o.auth.server.putGrant(ctx, o.id, g)
		pause *= 2
	}
	return err
}
