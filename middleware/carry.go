package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// A login that asks for more of a user who is logged in already, by a step-up, for one more resource, or because the
// tokens are lost, goes on with the session that it was begun for: under a new ID, for it is a new authentication, and
// only if the user is the same.

// before returns the session that goes on in the new one; nil if none does, because it has ended meanwhile, say. With
// sealed cookies it is the one that this browser has now.
func (l *login) before() (*record, error) {
	if !l.t.continues {
		return nil, nil
	}
	a := l.auth
	var rec *record
	var err error
	if a.store.inCookies() {
		var f found
		f, err = a.look(l.ctx, a.names.read(l.request.Header))
		rec = f.rec
	} else {
		rec, err = a.follow(l.ctx, l.t.prior)
	}
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return rec, nil
}

// follow reads the session behind a handle, or the one that it went on in: of several tabs that ask for a login at once each
// finds what the one before it has left.
func (a *Auth) follow(ctx context.Context, handle string) (*record, error) {
	rec, err := a.reload(ctx, handle)
	for range maxTransactions {
		if !errors.Is(err, ErrNoSession) {
			break
		}
		if handle, err = a.movedTo(ctx, handle); err != nil {
			break
		}
		rec, err = a.reload(ctx, handle)
	}
	return rec, err
}

// moved notes, for as long as a login may take, where a session went on. Who does not learn it logs in without what the
// session has kept.
func (a *Auth) moved(ctx context.Context, from, to string) {
	switch {
	case a.server != nil:
		_ = a.server.keepMoved(ctx, from, to, a.config.LoginTimeout)
	case !a.store.inCookies():
		now := a.config.Now()
		a.live.move(handleID(from), to, now, now.Add(a.config.LoginTimeout))
	}
}

// movedTo is where a session went on; ErrNoSession if it did not.
func (a *Auth) movedTo(ctx context.Context, from string) (string, error) {
	if a.server != nil {
		return a.server.moved(ctx, from)
	}
	return a.live.moved(handleID(from), a.config.Now())
}

// move notes where a session went on.
func (l *liveSessions) move(id, to string, now, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id, now)
	e.moved, e.movedUntil, e.keep = to, until, later(e.keep, until)
}

func (l *liveSessions) moved(id string, now time.Time) (string, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if e := l.entries[id]; e != nil && now.Before(e.movedUntil) {
		return e.moved, nil
	}
	return "", ErrNoSession
}

const movedVersion = 1

func (s *serverStore) movedKey(handle string) string { return s.key("moved", handleID(handle)) }

func (s *serverStore) keepMoved(ctx context.Context, from, to string, life time.Duration) error {
	key := s.movedKey(from)
	w := wire.NewWriter(movedVersion, len(to))
	w.Text(to)
	sealed, err := s.boxes.answer.Seal(w.Done(), key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err = s.store.Put(ctx, key, []byte(sealed), PutOptions{TTL: life})
	return err
}

func (s *serverStore) moved(ctx context.Context, from string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := s.movedKey(from)
	data, _, _, err := s.store.Load(ctx, key)
	if err != nil {
		return "", storeError(err)
	}
	plain, err := s.boxes.answer.Open(string(data), key)
	if err != nil {
		return "", ErrNoSession
	}
	r := wire.NewReader(plain, movedVersion)
	to := r.Text()
	if r.Close() != nil {
		return "", ErrNoSession
	}
	return to, nil
}

// reload reads the session behind a handle, as a request that brought it would find it.
func (a *Auth) reload(ctx context.Context, handle string) (*record, error) {
	rec, err := a.store.reload(ctx, &record{handle: handle})
	if err != nil {
		return nil, err
	}
	if rec.identity.ended(a.config.Now(), a.config.Idle) {
		return nil, ErrNoSession
	}
	return rec, a.alive(ctx, &rec.identity)
}

// carry takes into a new session what the one before it has kept for the app, and the access tokens of other targets if the
// login was for more consent alone and the provider says the same of the authentication and of the user: an API that wanted
// a stronger one must not get the old token again (RFC 9470), nor one of another tenant. Of another user's session
// nothing is taken.
func (l *login) carry(rec, prior *record) error {
	i := &rec.identity
	if l.t.continues {
		i.scopes, i.resources = l.t.scopes, l.t.resources
	}
	if prior == nil || prior.identity.subject != i.subject {
		return nil
	}
	values := prior.identity.allValues()
	maps.Copy(values, l.hook.Values)
	var err error
	if i.values, err = encodeValues(values); err != nil {
		return fail(codeValues, err)
	}
	if rec.part == nil || rec.part.kind != partTokens && rec.part.kind != partPending ||
		!l.t.consent || !i.sameAuthentication(&prior.identity) {
		return nil
	}
	if l.auth.store.openTokens(prior) == nil && prior.part != nil && rec.part.sameUser(prior.part) {
		rec.part.targets = mergeTargets(nil, prior.part.targets, l.auth.config.Now())
	}
	return nil
}

// onlyConsent reports whether a login asks for scopes and APIs, and for nothing else that the configuration does not ask for.
// Not every provider's ID Tokens tell in what its logins differ.
func (a *Auth) onlyConsent(o rp.AuthOptions) bool {
	return challengeDigest(withoutTargets(o)) == challengeDigest(withoutTargets(a.config.AuthOptions))
}

func withoutTargets(o rp.AuthOptions) rp.AuthOptions {
	o.Scopes, o.Resources, o.Extra = nil, nil, maps.Clone(o.Extra)
	if delete(o.Extra, "audience"); len(o.Extra) == 0 {
		o.Extra = nil
	}
	if o.Prompt == "consent" {
		o.Prompt = ""
	}
	return o
}

// sameAuthentication reports whether the provider says the same of how and when the user authenticated.
func (i *identity) sameAuthentication(o *identity) bool {
	return i.acr == o.acr && slices.Equal(i.amr, o.amr) && i.authTime.Equal(o.authTime)
}

// sameUser reports whether the ID Tokens of two logins say the same of the user. Where one subject belongs to several
// organizations, or to several tenants, its user may have chosen another one this time, though nobody asked for it.
func (p *tokenPart) sameUser(o *tokenPart) bool {
	mine, _ := p.first()
	others, _ := o.first()
	if p.kind == partTokens && o.kind == partTokens {
		mine, others = p.parsed.IDToken(), o.parsed.IDToken()
	}
	told := userClaims(mine)
	return told != nil && maps.EqualFunc(told, userClaims(others), slices.Equal[json.RawMessage])
}

// userClaims are all claims of an ID Token that belong to the user and not to one token or login; nil if it has none.
func userClaims(t *rp.IDToken) map[string]json.RawMessage {
	var claims map[string]json.RawMessage
	if t == nil || t.Claims(&claims) != nil {
		return nil
	}
	for _, name := range [...]string{
		"exp", "iat", "nbf", "jti", "nonce", "c_hash", "at_hash", "s_hash", "auth_time", "acr", "amr", "sid", "session_expiry",
	} {
		delete(claims, name)
	}
	return claims
}

// optionsFor are the options of a login for a session that lives: what it asked for beyond the configuration is asked for
// again.
func (a *Auth) optionsFor(s *Session) rp.AuthOptions {
	if s.state.test != nil {
		return a.config.AuthOptions
	}
	i := &s.state.record().identity
	return merge(a.config.AuthOptions, rp.AuthOptions{Scopes: i.scopes, Resources: i.resources})
}
