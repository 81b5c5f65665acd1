package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
)

// What a fleetStore says that is down, or whose answer does not arrive.
var (
	errDown        = errors.New("connection refused")
	errStoreAnswer = errors.New("connection reset by peer")
)

// fleetStore is a SessionStore, SessionLister, Locker and Tombstones in memory, as instances share one. It can be down,
// and it counts.
type fleetStore struct {
	now func() time.Time

	mu       sync.Mutex // guards what follows
	sessions map[string]*fleetSession
	tombs    map[string]fleetTomb
	locks    map[string]chan struct{}
	version  uint64
	calls    map[string]int
	down     map[string]bool // by method; "" is all of them
	before   func(method string)
	lost     int // so many writes happen, and their answers are lost
}

type fleetSession struct {
	data    []byte
	version uint64
	until   time.Time
	tombs   []string
}

type fleetTomb struct{ at, until time.Time }

var (
	_ middleware.SessionStore  = (*fleetStore)(nil)
	_ middleware.SessionLister = (*fleetStore)(nil)
	_ middleware.Locker        = (*fleetStore)(nil)
	_ middleware.Tombstones    = (*fleetStore)(nil)
	_ sessions.Store           = (*fleetStore)(nil)
)

func newFleetStore(now func() time.Time) *fleetStore {
	return &fleetStore{
		now: now, sessions: map[string]*fleetSession{}, tombs: map[string]fleetTomb{}, locks: map[string]chan struct{}{},
		calls: map[string]int{}, down: map[string]bool{},
	}
}

// enter counts a call and locks the store, unless it is down.
func (f *fleetStore) enter(ctx context.Context, method string) error {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		before(method)
	}
	f.mu.Lock()
	f.calls[method]++
	err := ctx.Err()
	if f.down[method] || f.down[""] {
		err = errDown
	}
	if err != nil {
		f.mu.Unlock()
	}
	return err
}

func (f *fleetStore) setDown(down bool, methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.down)
	for _, m := range methods {
		f.down[m] = down
	}
}

func (f *fleetStore) onCall(before func(method string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// count returns how often methods were called since the last time, all without any.
func (f *fleetStore) count(methods ...string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for method, calls := range f.calls {
		if len(methods) == 0 || slices.Contains(methods, method) {
			n += calls
		}
	}
	clear(f.calls)
	return n
}

func (f *fleetStore) live(id string) *fleetSession {
	s := f.sessions[id]
	if s == nil || !f.now().Before(s.until) {
		return nil
	}
	return s
}

func (f *fleetStore) latest(tombs []string) (at time.Time) {
	for _, tomb := range tombs {
		if t := f.tombs[tomb]; f.now().Before(t.until) && t.at.After(at) {
			at = t.at
		}
	}
	return at
}

func (f *fleetStore) Load(ctx context.Context, id string, tombs ...string) ([]byte, uint64, time.Time, error) {
	if err := f.enter(ctx, "Load"); err != nil {
		return nil, 0, time.Time{}, err
	}
	defer f.mu.Unlock()
	buried := f.latest(tombs)
	s := f.live(id)
	if s == nil {
		return nil, 0, buried, middleware.ErrNoSession
	}
	return slices.Clone(s.data), s.version, buried, nil
}

func (f *fleetStore) Put(ctx context.Context, id string, data []byte, o middleware.PutOptions) (uint64, error) {
	if err := f.enter(ctx, "Put"); err != nil {
		return 0, err
	}
	defer f.mu.Unlock()
	s := f.live(id)
	switch {
	case s == nil && o.Version != 0:
		return 0, middleware.ErrNoSession
	case s != nil && s.version != o.Version:
		return 0, middleware.ErrConflict
	}
	if buried := f.latest(o.Tombs); !buried.IsZero() && !o.Issued.After(buried) {
		return 0, middleware.ErrNoSession
	}
	f.version++
	f.sessions[id] = &fleetSession{slices.Clone(data), f.version, f.now().Add(o.TTL), slices.Clone(o.Tombs)}
	if f.lost > 0 {
		f.lost--
		return 0, errStoreAnswer
	}
	return f.version, nil
}

func (f *fleetStore) Delete(ctx context.Context, id string) error {
	if err := f.enter(ctx, "Delete"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	delete(f.sessions, id)
	return nil
}

func (f *fleetStore) Sessions(ctx context.Context, tomb string, limit int) ([]middleware.StoredSession, error) {
	if err := f.enter(ctx, "Sessions"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	var found []middleware.StoredSession
	for id, s := range f.sessions {
		if f.live(id) != nil && slices.Contains(s.tombs, tomb) && len(found) < limit {
			found = append(found, middleware.StoredSession{ID: id, Data: slices.Clone(s.data), Version: s.version})
		}
	}
	return found, nil
}

func (f *fleetStore) Bury(ctx context.Context, tomb string, at time.Time, ttl time.Duration) error {
	if err := f.enter(ctx, "Bury"); err != nil {
		return err
	}
	defer f.mu.Unlock()
	t := f.tombs[tomb]
	if at.After(t.at) {
		t.at = at
	}
	if until := f.now().Add(ttl); until.After(t.until) {
		t.until = until
	}
	f.tombs[tomb] = t
	return nil
}

func (f *fleetStore) Buried(ctx context.Context, tombs ...string) (time.Time, error) {
	if err := f.enter(ctx, "Buried"); err != nil {
		return time.Time{}, err
	}
	defer f.mu.Unlock()
	return f.latest(tombs), nil
}

func (f *fleetStore) Lock(ctx context.Context, key string, _ time.Duration) (func(), error) {
	for {
		if err := f.enter(ctx, "Lock"); err != nil {
			return nil, err
		}
		held := f.locks[key]
		if held == nil {
			mine := make(chan struct{})
			f.locks[key] = mine
			f.mu.Unlock()
			return sync.OnceFunc(func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.locks[key] == mine {
					delete(f.locks, key)
				}
				close(mine)
			}), nil
		}
		f.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// loseLocks ends all leases, as time does after their holders have crashed.
func (f *fleetStore) loseLocks() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.locks)
}

// Get, New and Save make it a value for Config.Store; the middleware must not call them.
func (f *fleetStore) Get(*http.Request, string) (*sessions.Session, error) { panic("Get was called") }

func (f *fleetStore) New(*http.Request, string) (*sessions.Session, error) { panic("New was called") }

func (f *fleetStore) Save(*http.Request, http.ResponseWriter, *sessions.Session) error {
	panic("Save was called")
}
