package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/twofold-auth/twofold/internal/backoff"
	"github.com/twofold-auth/twofold/internal/urgency"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

const (
	// successorFor is how long this process hands the renewed session to requests that still bring the old cookies.
	successorFor = time.Minute
	// refreshTimeout bounds one refresh, with whatever the store needs.
	refreshTimeout = 30 * time.Second
	// backOff and maxBackOff: a provider that failed is left alone for a while, see [backoff.Pause].
	backOff    = 2 * time.Second
	maxBackOff = time.Minute
	// unsavedFor is how long this process keeps tokens that the store did not take.
	unsavedFor = 10 * time.Minute
	// maxLive bounds the memory of ended and renewed sessions.
	maxLive = 1 << 16
)

// liveSessions remember, in this process and for a short time, what the cookies of requests under way do not say yet:
// that a session has ended, that it is being refreshed, or what came of that. An entry belongs to one session ID and
// is never handed to another.
type liveSessions struct {
	mu      sync.RWMutex // guards what follows, and the entries
	entries map[string]*liveSession
	swept   time.Time
	lost    bool // an entry was forgotten before its time
}

type liveSession struct {
	keep     time.Time // the entry is needed until then; never set back
	ended    bool
	again    bool    // it was ended once more since
	next     *record // newer than cookies may say; nil if none
	lines    []string
	until    time.Time // next is handed out until then
	flight   *flight
	failures int
	retry    time.Time // the provider is not asked again before
	failure  error
	unsaved  *record            // the provider has given it, and the store was down
	grant    *unsavedGrant      // the same of a grant, whose ID is the entry's
	refused  map[string]refusal // by target; nil if none

	moved      string // the handle of the session in which this one went on, until movedUntil
	movedUntil time.Time
}

// refusal is the provider's word that it would have to ask the user for a target.
type refusal struct {
	err   error
	until time.Time
}

// refusedFor is how long the provider is not asked again for a target that it has refused to this session.
const refusedFor = renewEvery

// flight is one renewal under way; next, lines and err are there when done is closed.
type flight struct {
	kind  renewalKind
	key   string
	done  chan struct{}
	next  *record
	lines []string
	err   error
}

// is reports whether a flight brings what somebody wants.
func (f *flight) is(what renewal) bool { return f.kind == what.kind && f.key == what.key }

func newLiveSessions() *liveSessions {
	return &liveSessions{entries: map[string]*liveSession{}}
}

// newer says whether a session has ended, and returns its successor if there is one of a later generation.
func (l *liveSessions) newer(id string, generation int64, now time.Time) (next *record, lines []string, ended bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.entries[id]
	if e == nil {
		return nil, nil, false
	}
	if e.ended {
		return nil, nil, true
	}
	if e.next != nil && e.next.identity.generation > generation && now.Before(e.until) {
		return e.next, e.lines, false
	}
	return nil, nil, false
}

// end marks a session as ended, until its cookies are worth nothing anyway.
func (l *liveSessions) end(id string, now, until time.Time) {
	if len(id) != sessionIDSize {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id, now)
	e.again = e.ended
	e.ended, e.next, e.lines, e.keep = true, nil, nil, until
}

// endedAgain reports whether a session that had ended was ended once more: by a logout or another login of its browser.
func (l *liveSessions) endedAgain(id string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.entries[id]
	return e != nil && e.again
}

// entry returns the entry of a session, a new one if there is none. The caller holds mu.
func (l *liveSessions) entry(id string, now time.Time) *liveSession {
	e := l.entries[id]
	if e == nil {
		l.sweep(now)
		e = &liveSession{}
		l.entries[id] = e
	}
	return e
}

// sweep forgets what is over: at most once in successorFor, or if the memory is full, and then any entry that is not
// in flight.
func (l *liveSessions) sweep(now time.Time) {
	full := len(l.entries) >= maxLive
	if !full && now.Sub(l.swept) < successorFor {
		return
	}
	l.swept = now
	for id, e := range l.entries {
		if e.flight == nil && now.After(e.keep) {
			delete(l.entries, id)
		}
	}
	for _, ended := range [...]bool{false, true} { // who is logged out stays so the longest
		for id, e := range l.entries {
			if len(l.entries) < maxLive-maxLive/8 { // room for a while: this looked at all of them
				return
			}
			if e.flight == nil && e.ended == ended {
				delete(l.entries, id)
				l.lost = true
			}
		}
	}
}

// hasLost reports whether an entry was forgotten before its time since this was last asked.
func (l *liveSessions) hasLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.lost
	l.lost = false
	return lost
}

// join returns the flight that refreshes a session, and whether the caller is the one to run it; or what is known
// without one.
func (l *liveSessions) join(rec *record, what renewal, now time.Time) (f *flight, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(rec.identity.id, now)
	switch {
	case e.ended:
		return what.landed(nil, nil, ErrNoSession), false
	case e.next != nil && e.next.identity.generation > rec.identity.generation && now.Before(e.until):
		return what.landed(e.next, e.lines, nil), false
	case e.flight != nil:
		return e.flight, false
	case now.Before(e.refused[what.key].until):
		return what.landed(nil, nil, e.refused[what.key].err), false
	case what.kind.backsOff() && now.Before(e.retry):
		return what.landed(nil, nil, e.failure), false
	}
	e.flight = &flight{kind: what.kind, key: what.key, done: make(chan struct{})}
	e.keep = later(e.keep, now.Add(successorFor))
	return e.flight, true
}

// landed is a flight that is over.
func (w renewal) landed(next *record, lines []string, err error) *flight {
	f := &flight{kind: w.kind, key: w.key, done: make(chan struct{}), next: next, lines: lines, err: err}
	close(f.done)
	return f
}

// land publishes what came of a flight. A session that ended meanwhile stays ended.
func (l *liveSessions) land(id string, f *flight, next *record, lines []string, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id] // flights are never swept
	e.flight = nil
	switch {
	case e.ended:
		next, lines = nil, nil
		if !errors.Is(err, ErrNoSession) { // else it says why
			err = ErrNoSession
		}
	case next != nil && errors.Is(err, errStore):
		if f.kind != renewGrant { // which only takes: the session still has what it had
			e.unsaved, e.keep = next, later(e.keep, now.Add(unsavedFor))
		}
		next = nil
	case next != nil:
		e.next, e.lines, e.until, e.unsaved = next, lines, now.Add(successorFor), nil
		e.keep = later(e.keep, e.until)
	}
	switch {
	case err == nil:
		e.failures, e.retry, e.failure = 0, time.Time{}, nil
	case errors.Is(err, ErrConsentRequired):
		e.refuse(f.key, refusal{err, now.Add(refusedFor)})
	case f.kind.backsOff() && isUnavailable(err) && !errors.Is(err, errStore):
		pause := backoff.Pause(e.failures, backOff, maxBackOff)
		e.failures++
		e.retry, e.failure, e.keep = now.Add(pause), err, later(e.keep, now.Add(pause+maxBackOff))
	}
	f.next, f.lines, f.err = next, lines, err
	close(f.done)
}

// refuse remembers a refusal.
func (e *liveSession) refuse(key string, why refusal) {
	if e.refused == nil || len(e.refused) >= maxTargets {
		e.refused = map[string]refusal{}
	}
	e.refused[key], e.keep = why, later(e.keep, why.until)
}

// unsaved returns what the provider gave for a session of that generation and the store did not take; nil if nothing.
func (l *liveSessions) unsaved(id string, generation int64) *record {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if e := l.entries[id]; e != nil && e.unsaved != nil && e.unsaved.identity.generation == generation+1 {
		return e.unsaved
	}
	return nil
}

func isUnavailable(err error) bool {
	return errors.Is(err, rp.ErrUnavailable) || errors.Is(err, verify.ErrKeySet) || errors.Is(err, context.DeadlineExceeded)
}

// A token is live, then ending: good, and its successor is fetched meanwhile; then over.
const (
	tokenLive   = urgency.Live
	tokenEnding = urgency.Ending
	tokenOver   = urgency.Over
)

// renewal is a change of the token part that asks the provider: apply returns the record that takes rec's place. With an
// error beside it the record is kept all the same, and who waits gets the error.
type renewal struct {
	kind      renewalKind
	key       string // what of that kind is wanted; two renewals of one kind and key are the same
	event     string
	satisfied func(now *tokenPart) bool // the part has what is wanted, whoever brought it
	apply     func(ctx context.Context, rec *record) (*record, error)
}

type renewalKind uint8

const (
	renewTokens renewalKind = iota + 1
	renewUserInfo
	renewGrant
	renewRedeem
	renewTarget
)

// backsOff says that a provider that did not answer such a renewal is left alone for a while.
func (k renewalKind) backsOff() bool {
	return k == renewTokens || k == renewRedeem || k == renewTarget
}

// landing is what came of a flight.
type landing struct {
	next  *record // nil: somebody else's renewal failed, and the session is as it was
	lines []string
	mine  bool // the flight was for what the caller wants
}

// renew does a renewal, once for all who want the same of this session at the same time, and returns what came of it. A
// session is renewed by one at a time: while another renewal is under way it waits for that one's end, and returns what
// came of that. It does not end with the request of the one who was first: a refresh token may be used once, and its
// answer must not be lost.
func (a *Auth) renew(ctx context.Context, rec *record, what renewal) (landing, error) {
	if rec.identity.ended(a.config.Now(), a.config.Idle) {
		return landing{}, ErrNoSession
	}
	f := a.takeOff(ctx, rec, what)
	select {
	case <-f.done:
	case <-ctx.Done():
		return landing{}, ctx.Err()
	}
	mine := f.is(what)
	if f.err != nil && !mine && !errors.Is(f.err, ErrNoSession) {
		return landing{}, nil
	}
	return landing{f.next, f.lines, mine}, f.err
}

// takeOff joins the renewal of a session that is under way, or starts it.
func (a *Auth) takeOff(ctx context.Context, rec *record, what renewal) *flight {
	f, first := a.live.join(rec, what, a.config.Now())
	if first {
		a.background.Go(func() {
			detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
			defer cancel()
			a.fly(detached, rec, what, f)
		})
	}
	return f
}

// fly runs a flight to its end.
func (a *Auth) fly(ctx context.Context, rec *record, what renewal, f *flight) {
	began := a.config.Now()
	next, lines, err := a.renewLocked(ctx, rec, what)
	now := a.config.Now()
	seen := rp.Event{Name: what.event, Took: now.Sub(began), Code: errorCode(err), Err: err}
	if err == nil && next.identity.state == TokensLost { // an outcome, but not the one that was wanted
		lost := &TokensError{State: TokensLost, Code: next.identity.why}
		seen.Code, seen.Err = lost.Code, lost
	}
	a.observe(ctx, seen)
	a.live.land(rec.identity.id, f, next, lines, err, now)
	if errors.Is(f.err, ErrNoSession) && next != nil { // ended while we asked: nothing of it may stay
		_ = a.store.drop(ctx, next.handle)
		if !errors.Is(err, ErrNoSession) { // else that is done
			a.revoke(ctx, next)
		}
	}
}

// renewLocked reads the session again under the store's lock: another instance may have been first.
func (a *Auth) renewLocked(ctx context.Context, rec *record, what renewal) (*record, []string, error) {
	unlock, err := a.store.lock(ctx, rec.identity.id)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	current, err := a.store.reload(ctx, rec)
	if err != nil {
		return nil, nil, err
	}
	if current.identity.ended(a.config.Now(), a.config.Idle) {
		return nil, nil, ErrNoSession
	}
	if err := a.store.openTokens(current); err != nil {
		return nil, nil, err
	}
	if current.identity.generation > rec.identity.generation && current.part != nil && what.satisfied(current.part) {
		return current, nil, nil // another instance was first
	}
	if next := a.live.unsaved(rec.identity.id, current.identity.generation); next != nil {
		again := *next
		again.version = current.version
		return a.keep(ctx, current, &again)
	}
	if current.part == nil || current.part.kind != partTokens && what.kind != renewRedeem {
		return nil, nil, ErrNoTokens
	}
	// The wait for the lock may have taken all of ctx; what was waited for has time of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	next, failed := what.apply(ctx, current)
	if next == nil {
		return nil, nil, failed
	}
	kept, lines, err := a.keep(ctx, current, next)
	if what.kind == renewRedeem && errors.Is(err, errSessionTooLarge) { // the code is spent all the same
		a.revoke(ctx, next)
		kept, lines, _ = a.keep(ctx, current, a.lose(current, codeSessionTooLarge))
		return kept, lines, err
	}
	if err == nil && (kept.identity.state != TokensReady || !what.satisfied(kept.part)) {
		err = failed
	}
	return kept, lines, err
}

// saveRetries and saveRetryPause: what the provider has given is offered again to a store that is down for a moment.
const (
	saveRetries    = 5
	saveRetryPause = 100 * time.Millisecond
)

// keep writes what the provider has given for base, for it gives it once. A store that is down is asked again for some
// seconds; then this process keeps it until somebody asks for it. If another instance was first, its result counts, or
// ours on top of it.
func (a *Auth) keep(ctx context.Context, base, next *record) (*record, []string, error) {
	lines, err := a.offer(ctx, next)
	for range maxConflicts {
		if !errors.Is(err, ErrConflict) {
			break
		}
		var current *record
		if current, err = a.store.reload(ctx, base); err != nil {
			return nil, nil, err
		}
		if err = a.store.openTokens(current); err != nil {
			return nil, nil, err
		}
		if !overtakes(base.part, current.part, next.part) {
			return current, nil, nil
		}
		next = next.onTop(base, current, a.config.Now())
		lines, err = a.offer(ctx, next)
	}
	if errors.Is(err, ErrNoSession) {
		a.revoke(ctx, next) // it was logged out meanwhile: nobody holds these
	}
	return next, lines, err
}

// offer saves, again and again for some seconds.
func (a *Auth) offer(ctx context.Context, next *record) ([]string, error) {
	lines, err := a.save(ctx, next, a.config.Now())
	pause := saveRetryPause
	for try := 0; try < saveRetries && a.server != nil && errors.Is(err, errStore) && rest(ctx, pause); try++ {
		lines, err = a.save(ctx, next, a.config.Now())
		pause *= 2
	}
	return lines, err
}

// overtakes reports whether next, made of base, counts beside current, which another instance has written since: if
// the tokens are still those of base, or if next has something to add to them, or if all that current has is that the
// provider refuses them, whose successors we hold.
func overtakes(base, current, next *tokenPart) bool {
	switch {
	case current == nil:
		return false
	case current.kind == partEnded:
		return next.kind == partTokens && !base.sameTokens(next)
	case base.sameTokens(next):
		return current.kind == next.kind
	default:
		return base.sameTokens(current)
	}
}

// sameTokens reports whether two parts have the same access and refresh token. A refresh for a target may have brought
// another ID Token.
func (p *tokenPart) sameTokens(o *tokenPart) bool {
	if p.kind != o.kind || p.kind != partTokens {
		return p.kind == o.kind
	}
	x, y := p.parsed.OAuth2(), o.parsed.OAuth2()
	return x.AccessToken == y.AccessToken && x.RefreshToken == y.RefreshToken
}

// onTop is r, made of base, as the successor of current.
func (r *record) onTop(base, current *record, now time.Time) *record {
	next, part, under := *r, *r.part, current.part
	if part.kind == partTokens && base.part.sameTokens(r.part) {
		next.identity = current.identity
		part.tokens, part.parsed, part.obtained, part.refreshed = under.tokens, under.parsed, under.obtained, under.refreshed
	}
	next.version, next.chunks = current.version, current.chunks
	next.identity.generation = current.identity.generation + 1
	part.generation = next.identity.generation
	if part.kind == partTokens && under.kind == partTokens {
		if len(part.userInfo) == 0 {
			part.userInfo = under.userInfo
		}
		part.targets = mergeTargets(part.targets, under.targets, now)
	}
	next.part = &part
	return &next
}

// rest waits; false if ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refreshTokens is the renewal by the refresh token that replaces the access token of base.
func (a *Auth) refreshTokens(base *tokenPart) renewal {
	apply := func(ctx context.Context, rec *record) (*record, error) {
		tokens, err := a.client.Refresh(ctx, rec.part.parsed, rp.Target{})
		return a.refreshed(ctx, rec, tokens, err)
	}
	return renewal{kind: renewTokens, event: eventRefreshed, satisfied: base.refreshedBy, apply: apply}
}

// refreshed is what a refresh makes of a session; an error if nothing, or if nothing but the refresh token is new.
func (a *Auth) refreshed(ctx context.Context, rec *record, tokens *rp.Tokens, err error) (*record, error) {
	if err != nil && tokens != nil {
		part := *rec.part
		part.tokens, part.parsed = tokens.Bytes(), tokens
		return rec.successor(&part), err
	}
	next, fatal := a.successor(rec, tokens, err)
	switch {
	case fatal:
		return nil, a.reject(ctx, rec, err)
	case next == nil:
		return nil, err
	}
	return next, nil
}

// refreshedBy reports whether now has another access token than p. The refresh token says nothing: it is rotated for any
// target.
func (p *tokenPart) refreshedBy(now *tokenPart) bool {
	if p.kind != partTokens || now.kind != partTokens {
		return p.kind != now.kind
	}
	was, is := p.parsed.OAuth2(), now.parsed.OAuth2()
	return was.AccessToken != is.AccessToken || p.refreshed != now.refreshed ||
		!sameSecond(was.Expiry, is.Expiry) || !sameSecond(p.obtained, now.obtained)
}

// sameSecond compares times of which one may have been stored: what is stored has no fractions.
func sameSecond(a, b time.Time) bool { return a.Unix() == b.Unix() }

// askUserInfo is the renewal that adds the UserInfo response.
func (a *Auth) askUserInfo() renewal {
	satisfied := func(now *tokenPart) bool { return len(now.userInfo) > 0 }
	return renewal{kind: renewUserInfo, event: eventUserInfo, satisfied: satisfied, apply: func(ctx context.Context, rec *record) (*record, error) {
		info, err := a.client.UserInfo(ctx, rec.part.parsed)
		if err != nil {
			return nil, err
		}
		part := *rec.part
		part.userInfo = info.Bytes()
		return rec.successor(&part), nil
	}}
}

// successor decides what a refresh makes of a session. New tokens replace the old. A provider that ended the grant
// ends the tokens; the ID Token stays as the logout hint. A refreshed ID Token that is not believed, of another user
// perhaps, ends the session (Core 12.2). Everything else leaves the session as it was.
func (a *Auth) successor(rec *record, tokens *rp.Tokens, err error) (next *record, fatal bool) {
	var provider *rp.Error
	var refused *verify.Error
	now := a.config.Now()
	identity := rec.identity
	identity.generation++
	identity.used, identity.state, identity.why = now, TokensReady, ""
	part := &tokenPart{
		kind: partTokens, generation: identity.generation, obtained: now, refreshed: true,
		userInfo: rec.part.userInfo, targets: rec.part.targets,
	}
	switch {
	case err == nil:
		a.refreshClaims(&identity, tokens)
		part.tokens, part.parsed = tokens.Bytes(), tokens
	case errors.As(err, &provider) && provider.Code == "invalid_grant":
		part.kind, part.userInfo, part.targets = partEnded, nil, nil
		identity.state, identity.why = TokensLost, errorCode(err)
		if hint := rec.part.parsed.IDToken(); hint != nil {
			part.idToken = hint.Raw()
		}
	case errors.As(err, &refused) && !errors.Is(err, verify.ErrKeySet):
		return nil, true
	default:
		return nil, false
	}
	return &record{identity: identity, part: part, handle: rec.handle, chunks: rec.chunks, version: rec.version}, false
}

// refreshClaims takes the newest ID Token's claims into the identity part. A refresh without one changes nothing.
func (a *Auth) refreshClaims(i *identity, tokens *rp.Tokens) {
	var claims map[string]json.RawMessage
	if tokens.IDToken() == nil || tokens.Claims(&claims) != nil {
		return
	}
	i.claims = pick(claims, a.config.SessionClaims)
	i.limit(claims, a.config.Absolute)
}

// end ends the session behind a handle, here for requests under way and in the store, and reports it. It does not end
// with the request that asked for it.
func (a *Auth) end(ctx context.Context, handle, event string) error {
	ctx = context.WithoutCancel(ctx)
	a.forget(ctx, handleID(handle))
	err := a.store.drop(ctx, handle)
	if a.store.inCookies() && a.graves == nil { // other instances would believe a copy of the cookies
		err = a.bury(ctx, tombSession+handleID(handle), ending{at: a.config.Now().Add(a.graveLife()), life: a.graveLife()})
	}
	a.observe(ctx, rp.Event{Name: event, Code: errorCode(err), Err: err})
	return err
}

// forget ends a session for the requests under way in this process. Where cookies are all there is of a session, a copy
// of them is refused as long as it would be good.
func (a *Auth) forget(ctx context.Context, id string) {
	now := a.config.Now()
	until := now.Add(a.config.Absolute)
	if a.server != nil {
		until = now.Add(successorFor)
	}
	a.live.end(id, now, until)
	if a.live.hasLost() {
		a.observe(ctx, rp.Event{Name: eventMemoryFull})
	}
}

// handleID is the session ID in a store's handle.
func handleID(handle string) string {
	id, _, _ := strings.Cut(handle, ".")
	return id
}

// errorCode is the code of an error that reached no browser.
func errorCode(err error) string {
	var own *Error
	var tokens *TokensError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &own):
		return own.Code
	case errors.As(err, &tokens) && tokens.Code != "":
		return tokens.Code
	case errors.Is(err, ErrPending):
		return codeTokensPending
	case errors.Is(err, ErrNoSession), errors.Is(err, ErrLoginRequired):
		return codeLoginRequired
	case errors.Is(err, ErrNoTokens):
		return codeNoTokens
	case errors.Is(err, errSessionTooLarge):
		return codeSessionTooLarge
	case errors.Is(err, errStore), errors.Is(err, ErrConflict):
		return codeSessionStore
	default:
		return rp.ErrorCode(err)
	}
}
