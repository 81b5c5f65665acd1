package storetest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

// server is what memory stores have in common; a store is a connection to it.
type server struct {
	mu       sync.Mutex // guards what follows
	version  uint64
	sessions map[string]stored
	tombs    map[string]tomb
	locks    map[string]tomb
	owners   map[string]string
}

type stored struct {
	middleware.StoredSession
	tombs   []string
	expires time.Time
}

type tomb struct{ at, expires time.Time }

func newServer() *server {
	return &server{
		sessions: map[string]stored{}, tombs: map[string]tomb{}, locks: map[string]tomb{}, owners: map[string]string{},
	}
}

// memory is a store that does what the interfaces say, in as few lines as that takes, unless it has a fault.
type memory struct {
	*server
	prefix string
	fault  string // one of the mutants; "" is none
	mu     sync.Mutex
	down   bool
}

var errDown = errors.New("memory: down")

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// ready reports what keeps the store from answering.
func (m *memory) ready(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil && m.fault != "context":
		return ctx.Err()
	case m.down && m.fault == "down":
		return middleware.ErrNoSession
	case m.down:
		return errDown
	}
	return nil
}

func (m *memory) key(name string) string {
	if m.fault == "case" {
		name = strings.ToLower(name)
	}
	if m.fault == "nul" {
		name, _, _ = strings.Cut(name, "\x00")
	}
	return m.prefix + name
}

func (m *memory) find(id string) (stored, bool) {
	s, ok := m.sessions[m.key(id)]
	return s, ok && (time.Now().Before(s.expires) || m.fault == "ttl")
}

func (m *memory) buried(tombs []string) time.Time {
	var latest time.Time
	for _, name := range tombs {
		if b := m.tombs[m.key(name)]; b.at.After(latest) && time.Now().Before(b.expires) {
			latest = b.at
		}
	}
	return latest
}

func (m *memory) Load(ctx context.Context, id string, tombs ...string) ([]byte, uint64, time.Time, error) {
	if err := m.ready(ctx); err != nil {
		return nil, 0, time.Time{}, err
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	s, ok := m.find(id)
	if !ok {
		if m.fault == "absent" {
			return nil, 0, m.buried(tombs), nil
		}
		return nil, 0, m.buried(tombs), middleware.ErrNoSession
	}
	if m.fault == "alias" {
		return s.Data, s.Version, m.buried(tombs), nil
	}
	return bytes.Clone(s.Data), s.Version, m.buried(tombs), nil
}

func (m *memory) Put(ctx context.Context, id string, data []byte, o middleware.PutOptions) (uint64, error) {
	if err := m.ready(ctx); err != nil {
		return 0, err
	}
	if o.TTL < time.Millisecond {
		return 0, errors.New("memory: no TTL")
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	s, ok := m.find(id)
	at := m.buried(o.Tombs).Truncate(time.Microsecond)
	dead := !at.IsZero() && !at.Before(o.Issued.Truncate(time.Microsecond))
	if m.fault == "at" {
		dead = at.After(o.Issued)
	}
	switch {
	case dead && m.fault != "tombs":
		return 0, middleware.ErrNoSession
	case !ok && o.Version != 0 && m.fault != "resurrection":
		return 0, middleware.ErrNoSession
	case ok && s.Version != o.Version && m.fault != "cas":
		return 0, middleware.ErrConflict
	}
	if m.fault == "race" { // compares, then writes
		m.server.mu.Unlock()
		time.Sleep(time.Millisecond) //nolint:forbidigo // the fault
		m.server.mu.Lock()
	}
	if m.fault != "alias" {
		data = bytes.Clone(data)
	}
	m.version++
	expires := time.Now().Add(o.TTL)
	if m.fault == "renew" && ok {
		expires = s.expires
	}
	if m.fault == "early" {
		expires = time.Now().Add(o.TTL / 2)
	}
	if m.fault == "reindex" && ok {
		o.Tombs = append(o.Tombs, s.tombs...)
	}
	m.sessions[m.key(id)] = stored{middleware.StoredSession{ID: id, Data: data, Version: m.version}, slices.Clone(o.Tombs), expires}
	return m.version, nil
}

func (m *memory) Delete(ctx context.Context, id string) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if _, ok := m.find(id); !ok && m.fault == "delete" {
		return middleware.ErrNoSession
	}
	delete(m.sessions, m.key(id))
	return nil
}

func (m *memory) Sessions(ctx context.Context, tomb string, limit int) ([]middleware.StoredSession, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	var all []stored
	ended := false
	for key, s := range m.sessions {
		if !strings.HasPrefix(key, m.prefix) || !slices.Contains(s.tombs, tomb) {
			continue
		}
		if time.Now().Before(s.expires) {
			all = append(all, s)
		} else {
			ended = true
		}
	}
	if ended && m.fault == "index" { // the index ends with its shortest session
		return nil, nil
	}
	if m.fault != "order" {
		slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(b.expires.UnixNano(), a.expires.UnixNano()) })
	}
	var found []middleware.StoredSession
	for _, s := range all {
		found = append(found, s.StoredSession)
	}
	if m.fault == "limit" {
		return found, nil
	}
	return found[:min(limit, len(found))], nil
}

func (m *memory) Bury(ctx context.Context, name string, at time.Time, ttl time.Duration) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	if ttl < time.Millisecond {
		return errors.New("memory: no TTL")
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	old := m.tombs[m.key(name)]
	b := tomb{at.Truncate(time.Microsecond), time.Now().Add(ttl)}
	if m.fault == "seconds" {
		b.at = b.at.Truncate(time.Second)
	}
	if time.Now().Before(old.expires) && m.fault != "latest" {
		if old.at.After(b.at) {
			b.at = old.at
		}
		if old.expires.After(b.expires) && m.fault != "longest" {
			b.expires = old.expires
		}
	}
	m.tombs[m.key(name)] = b
	return nil
}

func (m *memory) Buried(ctx context.Context, tombs ...string) (time.Time, error) {
	if err := m.ready(ctx); err != nil {
		return time.Time{}, err
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.fault == "first" && len(tombs) > 1 {
		tombs = tombs[:1]
	}
	return m.buried(tombs), nil
}

// take gives or renews a lock.
func (m *memory) take(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	if err := m.ready(ctx); err != nil {
		return false, err
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	key = m.key(key)
	held := m.owners[key] != "" && time.Now().Before(m.locks[key].expires)
	if held && m.owners[key] != owner && m.fault != "locks" {
		return false, nil
	}
	if m.fault == "lease" {
		lease = time.Hour
	}
	m.owners[key], m.locks[key] = owner, tomb{expires: time.Now().Add(lease)}
	return true, nil
}

func (m *memory) free(key, owner string) {
	if m.ready(context.Background()) != nil {
		return
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if key = m.key(key); m.owners[key] == owner || m.fault == "free" {
		delete(m.owners, key)
	}
}

func (m *memory) owns(key, owner string) bool {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return m.owners[m.key(key)] == owner
}

func (m *memory) Lock(ctx context.Context, key string, lease time.Duration) (func(), error) {
	if lease <= 0 {
		return nil, errors.New("memory: no lease")
	}
	owner := rand.Text()
	for {
		ok, err := m.take(ctx, key, owner, lease)
		if err != nil {
			return nil, err
		}
		if ok {
			break
		}
		timer := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				m.free(key, owner)
				return
			case <-tick.C:
				if m.fault == "renewal" || m.fault == "ctx" && ctx.Err() != nil || m.fault == "free" && !m.owns(key, owner) {
					continue
				}
				_, _ = m.take(context.Background(), key, owner, lease)
			}
		}
	}()
	var once sync.Once
	return func() { once.Do(func() { close(stop) }); <-done }, nil
}
