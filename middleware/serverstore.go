package middleware

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// serverStore keeps sessions in a SessionStore. The browser's cookie holds, sealed, the session's handle: its ID, and
// behind dots the marks of the logouts that concern it, so that one round trip brings the session and its tombstones.
// The store gets a hash of the ID. What it keeps is sealed in two parts, which are bound to that hash: a record of
// another session, of another app, or one that the store's owner made up, is none.
type serverStore struct {
	store  SessionStore
	locker Locker // nil: versions alone keep instances apart
	name   string // of the cookie
	owner  string // keeps apps apart that share a store
	idle   time.Duration
	now    func() time.Time
	client *rp.Client
	boxes  *boxes
	tombs  func(*identity) []string
}

const (
	handleVersion = 1
	recordVersion = 2
	// storeTimeout bounds one call of the store.
	storeTimeout = 3 * time.Second
	// lockLease is how long an instance that dies keeps a session's lock.
	lockLease = 10 * time.Second
	// maxConflicts is how often a write starts over because another came first.
	maxConflicts = 5
)

func newServerStore(store SessionStore, owner string, a *Auth) *serverStore {
	s := &serverStore{
		store: store, name: a.names.identity, owner: owner, idle: a.config.Idle, now: a.config.Now, client: a.client,
		boxes: &a.boxes, tombs: a.tombs,
	}
	s.locker, _ = store.(Locker)
	return s
}

func (s *serverStore) inCookies() bool { return false }

// key is what the store calls something of ours. An ID has 128 random bits: its hash needs no key, and stays the same
// when keys are rotated.
func (s *serverStore) key(kind, id string) string {
	var scratch [128]byte // on the stack: an owner has 32 bytes, an ID 22
	text := append(scratch[:0], kind...)
	text = append(append(text, 0), s.owner...)
	text = append(append(text, 0), id...)
	sum := sha256.Sum256(text)
	return string(base64.RawURLEncoding.AppendEncode(scratch[:0], sum[:]))
}

func (s *serverStore) sessionKey(handle string) string { return s.key("session", handleID(handle)) }

// handleTombs are the marks in a handle.
func handleTombs(handle string) []string {
	_, rest, ok := strings.Cut(handle, ".")
	if !ok {
		return nil
	}
	return strings.Split(rest, ".")
}

// handle believes only a cookie that was sealed here: no stranger makes us ask the store.
func (s *serverStore) handle(c cookies) string {
	value, ok := c.get(s.name)
	if !ok {
		return ""
	}
	plain, err := s.boxes.handle.Open(value, s.name)
	if err != nil {
		return ""
	}
	r := wire.NewReader(plain, handleVersion)
	handle := r.Text()
	if r.Close() != nil || len(handleID(handle)) != sessionIDSize {
		return ""
	}
	return handle
}

func (s *serverStore) load(ctx context.Context, c cookies) (*record, error) {
	handle := s.handle(c)
	if handle == "" {
		return nil, ErrNoSession
	}
	return s.read(ctx, handle)
}

func (s *serverStore) reload(ctx context.Context, rec *record) (*record, error) {
	return s.read(ctx, rec.handle)
}

// read is one round trip.
func (s *serverStore) read(ctx context.Context, handle string) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := s.sessionKey(handle)
	data, version, buried, err := s.store.Load(ctx, key, handleTombs(handle)...)
	if err != nil {
		return nil, storeError(err)
	}
	rec, err := s.decode(key, data)
	if err != nil || rec.identity.id != handleID(handle) || isDead(rec.identity.issued, buried) {
		return nil, ErrNoSession
	}
	rec.handle, rec.version = handle, version
	return rec, nil
}

// decode opens the identity part of what the store keeps under key, whose memory the record shares; handle and version are
// the caller's to set.
func (s *serverStore) decode(key string, data []byte) (*record, error) {
	r := wire.NewReader(data, recordVersion)
	sealed := r.Bytes()
	rec := &record{stored: r.Bytes()}
	if r.Close() != nil {
		return nil, ErrNoSession
	}
	plain, err := s.boxes.stored.OpenBytes(sealed, key)
	if err != nil || rec.identity.decode(plain) != nil || rec.hasPart() != rec.identity.hasPart {
		return nil, ErrNoSession
	}
	return rec, nil
}

func (s *serverStore) openTokens(rec *record) error {
	if rec.part != nil || rec.stored == nil {
		return nil
	}
	plain, err := s.boxes.storedTokens.OpenBytes(rec.stored, s.sessionKey(rec.identity.id))
	if err != nil {
		return ErrNoSession
	}
	if rec.part, err = decodePart(plain, s.client); err != nil {
		return ErrNoSession
	}
	return nil
}

// save writes on top of the version that rec was loaded with. If another write came first, a renewal of the idle limit
// has nothing left to do, and newer tokens are written on top of it; unless it brought newer tokens itself.
func (s *serverStore) save(ctx context.Context, rec *record, what change, now time.Time) ([]string, error) {
	if rec.handle == "" {
		return s.create(ctx, rec, now)
	}
	for range maxConflicts {
		err := s.put(ctx, rec, what, now)
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
		current, err := s.reload(ctx, rec)
		switch {
		case err != nil:
			return nil, err
		case what == changeIdentity:
			*rec = *current
			return nil, nil
		case current.identity.generation >= rec.identity.generation:
			return nil, ErrConflict
		}
		rec.version = current.version
		if current.identity.used.After(rec.identity.used) {
			rec.identity.used = current.identity.used
		}
	}
	return nil, ErrConflict
}

// create makes a new session and its cookie.
func (s *serverStore) create(ctx context.Context, rec *record, now time.Time) ([]string, error) {
	rec.handle = s.handleOf(&rec.identity)
	lines, err := s.cookie(rec, now)
	if err == nil {
		err = s.put(ctx, rec, changeAll, now)
	}
	if err != nil {
		rec.handle = ""
		return nil, err
	}
	return lines, nil
}

// handleOf is the handle of a session, with the marks of the logouts that concern it.
func (s *serverStore) handleOf(i *identity) string {
	return strings.Join(append([]string{i.id}, s.tombs(i)...), ".")
}

// cookie returns the line that gives a session's handle to the browser, which keeps it as long as the session may live.
func (s *serverStore) cookie(rec *record, now time.Time) ([]string, error) {
	w := wire.NewWriter(handleVersion, len(rec.handle))
	w.Text(rec.handle)
	value, err := s.boxes.handle.Seal(w.Done(), s.name)
	if err != nil {
		return nil, err
	}
	return []string{setCookie(s.name, value, rec.identity.expires.Sub(now), http.SameSiteLaxMode)}, nil
}

// rename gives the session a handle with the marks of the sid that it has now, and returns the line with the cookie; none
// if the browser has it already.
func (s *serverStore) rename(rec *record) ([]string, error) {
	handle := s.handleOf(&rec.identity)
	if handle == rec.handle {
		return nil, nil
	}
	rec.handle = handle
	return s.cookie(rec, s.now())
}

// put is one compare-and-set write.
func (s *serverStore) put(ctx context.Context, rec *record, what change, now time.Time) error {
	ttl := min(rec.identity.used.Add(s.idle).Sub(now), rec.identity.expires.Sub(now))
	if ttl < time.Millisecond {
		return ErrNoSession
	}
	data, err := s.encode(rec, what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	version, err := s.store.Put(ctx, s.sessionKey(rec.handle), data, PutOptions{
		Version: rec.version, TTL: ttl, Tombs: handleTombs(rec.handle), Issued: rec.identity.issued,
	})
	if err != nil {
		return storeError(err)
	}
	rec.version = version
	return nil
}

func (s *serverStore) encode(rec *record, what change) (data []byte, err error) {
	key := s.sessionKey(rec.identity.id)
	if what == changeAll {
		rec.stored = nil
		if rec.part != nil {
			rec.stored, err = s.boxes.storedTokens.SealBytes(rec.part.encode(), key)
		}
	}
	if err != nil {
		return nil, err
	}
	rec.identity.hasPart = rec.hasPart()
	sealed, err := s.boxes.stored.SealBytes(rec.identity.encode(), key)
	if err != nil {
		return nil, err
	}
	w := wire.NewWriter(recordVersion, 16+len(sealed)+len(rec.stored))
	w.Bytes(sealed)
	w.Bytes(rec.stored)
	return w.Done(), nil
}

func (s *serverStore) drop(ctx context.Context, handle string) error {
	return s.remove(ctx, s.sessionKey(handle))
}

func (s *serverStore) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.store.Delete(ctx, key); err != nil {
		return storeError(err)
	}
	return nil
}

// lock waits for the other instances that renew this session, as long as ctx allows.
func (s *serverStore) lock(ctx context.Context, id string) (func(), error) {
	return s.lockKey(ctx, s.key("session", id))
}

func (s *serverStore) lockKey(ctx context.Context, key string) (func(), error) {
	if s.locker == nil {
		return func() {}, nil
	}
	unlock, err := s.locker.Lock(ctx, key, lockLease)
	if err != nil {
		return nil, storeError(err)
	}
	return unlock, nil
}

// storeError keeps what a store knows apart from what it could not do.
func storeError(err error) error {
	if errors.Is(err, ErrNoSession) || errors.Is(err, ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w", errStore, err)
}
