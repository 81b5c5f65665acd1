package middleware

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// grantLife is how long a grant is kept that nobody uses.
const grantLife = 400 * 24 * time.Hour

// Grant moves the session's refresh token into a record of its own, for workers that act when the user is away, and
// returns its ID for [Auth.Offline]. Keep the ID like a password. The session keeps its access token until that ends,
// and then needs another login; its logout does not end the grant, [Auth.EndGrant] does.
//
// [rp.ErrUnsupported] if Config.Store is no [SessionStore]; [ErrLoginRequired] if there is no refresh token (any more);
// else the errors of [Session.Token].
func (s *Session) Grant(ctx context.Context) (id string, err error) {
	if s.state.test != nil {
		return "", ErrNoTokens
	}
	a := s.state.auth
	if a.server == nil {
		return "", fmt.Errorf("middleware: Grant without a SessionStore: %w", rp.ErrUnsupported)
	}
	ctx = context.WithoutCancel(ctx) // a grant that is written is returned
	for range maxRenewals {          // another renewal may be under way
		part, err := s.state.usable()
		if err != nil {
			return "", err
		}
		if s.state.tokenOf(part).RefreshToken == "" {
			return "", ErrLoginRequired
		}
		id, moved := newSessionID(), false
		next, lines, err := a.renew(ctx, s.state.record(), a.moveTo(id, &moved))
		if err == nil {
			s.state.adopt(next, lines)
		}
		switch {
		case err == nil && moved:
			return id, nil
		case moved: // the session could not be written: nobody will hear of the grant
			return "", errors.Join(err, a.EndGrant(ctx, id))
		case err != nil:
			return "", err
		}
	}
	return "", rp.ErrUnavailable
}

// moveTo is the renewal that takes the refresh token out of a session. The grant is written first: if the session cannot
// be written then, nobody knows the grant.
func (a *Auth) moveTo(id string, moved *bool) renewal {
	return renewal{kind: renewGrant, event: eventGranted, apply: func(ctx context.Context, rec *record) (*record, error) {
		if rec.part.parsed.OAuth2().RefreshToken == "" {
			return nil, ErrLoginRequired
		}
		g := &grant{subject: rec.identity.subject, obtained: rec.part.obtained, tokens: rec.part.parsed}
		if err := a.server.putGrant(ctx, id, g); err != nil {
			return nil, err
		}
		next, part := *rec, *rec.part
		next.identity.generation++
		part.generation = next.identity.generation
		part.parsed = rec.part.parsed.WithoutRefreshToken()
		part.tokens = part.parsed.Bytes()
		next.part = &part
		*moved = true
		return &next, nil
	}}
}

// grant is a refresh token that belongs to no session.
type grant struct {
	subject  string
	obtained time.Time
	tokens   *rp.Tokens
	version  uint64
}

const grantVersion = 1

func (s *serverStore) putGrant(ctx context.Context, id string, g *grant) error {
	key := s.key("grant", id)
	raw := g.tokens.Bytes()
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
	version, err := s.store.Put(ctx, key, []byte(sealed), PutOptions{Version: g.version, TTL: grantLife})
	if err != nil {
		return storeError(err)
	}
	g.version = version
	return nil
}

func (s *serverStore) grant(ctx context.Context, id string) (*grant, error) {
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
	if g.tokens, err = s.client.ParseTokens(raw); err != nil {
		return nil, ErrNoSession
	}
	return g, nil
}

// Offline returns the tokens of a grant that [Session.Grant] made, for a worker: they are refreshed when it is time, by one
// process at once. Its Token returns [ErrLoginRequired] once the provider has ended the grant, and [rp.ErrUnavailable] if
// neither a token nor the provider is there.
//
// [ErrNoSession] if there is no such grant; [rp.ErrUnsupported] if Config.Store is no [SessionStore]; any other error is
// the store's.
func (a *Auth) Offline(ctx context.Context, grantID string) (rp.TokenSource, error) {
	if a.server == nil {
		return nil, fmt.Errorf("middleware: Offline without a SessionStore: %w", rp.ErrUnsupported)
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
		return fmt.Errorf("middleware: EndGrant without a SessionStore: %w", rp.ErrUnsupported)
	}
	g, err := a.server.grant(ctx, grantID)
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	if err := a.server.remove(ctx, a.server.key("grant", grantID)); err != nil {
		return err
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
	mu   sync.Mutex // guards last, and is held while it is renewed
	last *grant
}

func (o *offline) Token(ctx context.Context) (*oauth2.Token, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	need := o.last.urgency(o.auth.config.Now())
	if need == tokenLive {
		return withoutRefresh(o.last.tokens.OAuth2()), nil
	}
	next, err := o.renew(ctx)
	switch {
	case err == nil:
		o.last = next
	case need == tokenOver || errors.Is(err, ErrNoSession) || errors.Is(err, ErrLoginRequired):
		return nil, err
	}
	return withoutRefresh(o.last.tokens.OAuth2()), nil
}

func (g *grant) urgency(now time.Time) urgency {
	return urgencyOf(g.tokens.OAuth2().Expiry, g.obtained, now)
}

// renew reads the grant again under its lock, and refreshes it if nobody else has. What was sent is not broken off with
// ctx: its answer must not be lost.
func (o *offline) renew(ctx context.Context) (*grant, error) {
	s := o.auth.server
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	unlock, err := s.lockKey(ctx, s.key("grant", o.id))
	if err != nil {
		return nil, err
	}
	defer unlock()
	g, err := s.grant(ctx, o.id)
	if err != nil || g.urgency(o.auth.config.Now()) == tokenLive {
		return g, err
	}
	began := o.auth.config.Now()
	tokens, err := o.auth.client.Refresh(ctx, g.tokens, rp.Target{})
	o.auth.observe(ctx, rp.Event{Name: eventRefreshed, Took: o.auth.config.Now().Sub(began), Code: errorCode(err), Err: err})
	var provider *rp.Error
	if errors.As(err, &provider) && provider.Code == "invalid_grant" {
		return nil, errors.Join(ErrLoginRequired, err, s.remove(ctx, s.key("grant", o.id)))
	}
	if err != nil {
		return nil, err
	}
	next := &grant{subject: g.subject, obtained: o.auth.config.Now(), tokens: tokens, version: g.version}
	return next, o.write(ctx, next)
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
