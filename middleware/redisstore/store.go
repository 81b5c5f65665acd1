package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/internal/websession"
)

const defaultPrefix = "twofold:"

// Config says which Redis. [New] copies and checks it.
type Config struct {
	// Client is how Redis is reached: redis.NewClient, NewFailoverClient (Sentinel), NewClusterClient. It needs
	// ContextTimeoutEnabled, must not read from replicas (ReadOnly, RouteByLatency, RouteRandomly), and is the app's:
	// the app closes it. Required.
	Client redis.UniversalClient
	// Prefix begins every key; stores with different prefixes share nothing. "" is "twofold:".
	Prefix string
	// Sharded says that the server keeps keys in slots, or a proxy shares them out, though Client does not tell: it
	// is a *redis.Client. One script then cannot see a session and its tombstones together. Any other kind of client
	// is treated so without being asked.
	Sharded bool
	// Keys seal what the app itself keeps in gorilla sessions: 32 random bytes each, the first seals, all open. They
	// may be those of middleware.Config. nil: this store is for package middleware only, which seals by itself, and
	// Get, New and Save of gorilla sessions return an error.
	Keys [][]byte
	// Cookie has the attributes of new gorilla sessions. nil: Path /, MaxAge 12 hours, HttpOnly, Secure, SameSite Lax.
	Cookie *sessions.Options
}

// Format writes the prefix, and no key.
func (c Config) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "redisstore.Config{Prefix:%q}", c.Prefix)
}

// Store keeps sessions in Redis. It is a middleware.SessionStore, SessionLister, Locker and Tombstones, and a gorilla
// sessions.Store. It is safe for concurrent use and has nothing to close.
type Store struct {
	client  redis.UniversalClient
	prefix  string
	sharded bool
	web     *websession.Store
}

var (
	_ middleware.SessionStore  = (*Store)(nil)
	_ middleware.SessionLister = (*Store)(nil)
	_ middleware.Locker        = (*Store)(nil)
	_ middleware.Tombstones    = (*Store)(nil)
	_ sessions.Store           = (*Store)(nil)
)

// New checks c and sends nothing.
func New(c Config) (*Store, error) {
	s := &Store{client: c.Client, prefix: c.Prefix, sharded: c.Sharded}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if err := checkClient(c.Client); err != nil {
		return nil, fmt.Errorf("redisstore: Config.Client: %w", err)
	}
	if _, single := c.Client.(*redis.Client); !single {
		s.sharded = true
	}
	var err error
	if s.web, err = websession.New(s, c.Keys, c.Cookie); err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	return s, nil
}

// checkClient refuses a client that would not do what the interfaces promise.
func checkClient(c redis.UniversalClient) error {
	timeouts, stale := true, false
	switch c := c.(type) {
	case nil:
		return errors.New("is required")
	case *redis.Client:
		timeouts = c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		o := c.Options()
		timeouts, stale = o.ContextTimeoutEnabled, o.ReadOnly || o.RouteByLatency || o.RouteRandomly
	}
	if !timeouts {
		return errors.New("needs ContextTimeoutEnabled: true in its Options, or a slow server holds requests beyond their time")
	}
	if stale {
		return errors.New("must not read from replicas (ReadOnly, RouteByLatency, RouteRandomly): they know of a logout too late")
	}
	return nil
}

// key returns the key of one kind and name. Names are escaped, so that no prefix, kind and name look like others.
func (s *Store) key(kind, name string) string { return s.prefix + kind + ":" + url.QueryEscape(name) }

func (s *Store) sessionKey(id string) string { return s.key("session", id) }
func (s *Store) tombKey(tomb string) string  { return s.key("tomb", tomb) }
func (s *Store) indexKey(tomb string) string { return s.key("index", tomb) }
func (s *Store) lockKey(key string) string   { return s.key("lock", key) }

// Load is described at [middleware.SessionStore]. On a cluster the one round trip goes to several nodes at once.
func (s *Store) Load(ctx context.Context, id string, tombs ...string) ([]byte, uint64, time.Time, error) {
	pipe := s.client.Pipeline()
	fields := pipe.HMGet(ctx, s.sessionKey(id), "v", "d")
	times := s.getTombs(ctx, pipe, tombs)
	if err := execute(ctx, pipe); err != nil {
		return nil, 0, time.Time{}, fmt.Errorf("redisstore: %w", err)
	}
	buried, err := latest(times)
	if err != nil {
		return nil, 0, time.Time{}, fmt.Errorf("redisstore: %w", err)
	}
	values, err := fields.Result()
	if err != nil {
		return nil, 0, time.Time{}, fmt.Errorf("redisstore: %w", err)
	}
	data, version, err := session(values)
	return data, version, buried, err
}

// session reads the fields v and d.
func session(values []any) ([]byte, uint64, error) {
	number, _ := values[0].(string)
	data, _ := values[1].(string)
	if number == "" {
		return nil, 0, middleware.ErrNoSession
	}
	version, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("redisstore: version of a session: %w", err)
	}
	return []byte(data), version, nil
}

// Put is described at [middleware.SessionStore]. The tombstones are read in the script that writes; where they lie on
// other nodes, in a second round trip after the write, and a session that is dead then is removed before Put returns.
func (s *Store) Put(ctx context.Context, id string, data []byte, o middleware.PutOptions) (uint64, error) {
	ttl, err := milliseconds(o.TTL)
	if err != nil {
		return 0, err
	}
	version := newVersion()
	calls := make([]call, 0, 1+len(o.Tombs))
	keys := []string{s.sessionKey(id)}
	for _, tomb := range o.Tombs {
		calls = append(calls, call{indexScript, []string{s.indexKey(tomb)}, []any{id, ttl}})
		if !s.sharded {
			keys = append(keys, s.tombKey(tomb))
		}
	}
	calls = append(calls, call{saveScript, keys, []any{o.Version, version, data, ttl, o.Issued.UnixMicro(), joinTombs(o.Tombs)}})
	answers, err := s.run(ctx, calls...)
	if err != nil {
		return 0, fmt.Errorf("redisstore: %w", err)
	}
	switch answers[len(answers)-1] {
	case "conflict":
		return 0, middleware.ErrConflict
	case "absent":
		return 0, middleware.ErrNoSession
	}
	if s.sharded && len(o.Tombs) > 0 {
		return version, s.recheck(ctx, id, o)
	}
	return version, nil
}

// recheck removes a session that a logout has overtaken.
func (s *Store) recheck(ctx context.Context, id string, o middleware.PutOptions) error {
	buried, err := s.Buried(ctx, o.Tombs...)
	if err != nil {
		return err
	}
	if buried.IsZero() || buried.UnixMicro() < o.Issued.UnixMicro() {
		return nil
	}
	if err := s.Delete(ctx, id); err != nil {
		return err
	}
	return middleware.ErrNoSession
}

// Delete is described at [middleware.SessionStore].
func (s *Store) Delete(ctx context.Context, id string) error {
	pipe := s.client.Pipeline()
	tombs := pipe.HGet(ctx, s.sessionKey(id), "t")
	deleted := pipe.Del(ctx, s.sessionKey(id))
	if err := errors.Join(execute(ctx, pipe), deleted.Err()); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	names := splitTombs(tombs.Val())
	if len(names) == 0 {
		return nil
	}
	pipe = s.client.Pipeline()
	for _, tomb := range names {
		pipe.ZRem(ctx, s.indexKey(tomb), id)
	}
	if err := execute(ctx, pipe); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

// execute sends what pipe has. That something is absent is no error here; what fails in other ways after that, each
// command says by itself.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	if _, err := pipe.Exec(ctx); !errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}

// newVersion draws a version. It is random and not a number that grows: after a failover that lost writes, a version
// that was lost never equals one that was written since.
func newVersion() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.BigEndian.Uint64(b[:])>>1 | 1<<62
}

// milliseconds rounds up.
func milliseconds(ttl time.Duration) (int64, error) {
	if ttl < time.Millisecond {
		return 0, fmt.Errorf("redisstore: TTL %v is less than a millisecond", ttl)
	}
	return int64((ttl + time.Millisecond - 1) / time.Millisecond), nil
}

func joinTombs(tombs []string) string {
	escaped := make([]string, len(tombs))
	for i, tomb := range tombs {
		escaped[i] = url.QueryEscape(tomb)
	}
	return strings.Join(escaped, " ")
}

func splitTombs(text string) []string {
	names := strings.Fields(text)
	for i, name := range names {
		names[i], _ = url.QueryUnescape(name)
	}
	return names
}
