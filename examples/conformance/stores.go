package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
)

// storeSetting is what RP_STORE asks for. Both nil: sealed cookies.
type storeSetting struct {
	redis    *redis.Options
	postgres *pgx.ConnConfig
}

// store reads RP_STORE. The value is never printed: it may hold a password.
func (e *environment) store() (s storeSetting) {
	const name = "RP_STORE"
	v := e.get(name)
	scheme, _, _ := strings.Cut(v, "://")
	var err error
	switch {
	case v == "":
	case scheme == "redis" || scheme == "rediss":
		s.redis, err = redis.ParseURL(v)
	case scheme == "postgres" || scheme == "postgresql":
		s.postgres, err = pgx.ParseConfig(v)
	default:
		e.fail(name, "not supported; supported: redis://, postgres://")
	}
	if err != nil {
		e.fail(name, "not a %s:// URL", scheme)
	}
	return s
}

// open makes the store without a connection: as with the provider, one that is down stops neither the start nor
// /healthz. Routes that need a session answer 503 until it is there. A nil store is sealed cookies.
func (s storeSetting) open() (sessions.Store, func(), error) {
	switch {
	case s.redis != nil:
		return openRedis(*s.redis)
	case s.postgres != nil:
		return openPostgres(s.postgres)
	default:
		return nil, func() {}, nil
	}
}

func openRedis(o redis.Options) (sessions.Store, func(), error) {
	o.ContextTimeoutEnabled = true
	client := redis.NewClient(&o)
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return store, func() { _ = client.Close() }, nil
}

const maxConnections = 20

// openPostgres has the tables made by whoever connects first.
func openPostgres(c *pgx.ConnConfig) (sessions.Store, func(), error) {
	plain := stdlib.OpenDB(*c)
	tables, err := sqlstore.New(sqlstore.Config{DB: plain})
	if err != nil {
		_ = plain.Close()
		return nil, nil, err
	}
	var first onceGood
	db := stdlib.OpenDB(*c, stdlib.OptionBeforeConnect(func(ctx context.Context, _ *pgx.ConnConfig) error {
		return first.do(func() error { return tables.Migrate(ctx) })
	}))
	db.SetMaxOpenConns(maxConnections)
	db.SetConnMaxIdleTime(time.Minute)
	closeAll := func() { _, _ = db.Close(), plain.Close() }
	store, err := sqlstore.New(sqlstore.Config{DB: db})
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return store, closeAll, nil
}

// onceGood does something until it has gone well once.
type onceGood struct {
	mu   sync.Mutex
	done bool // guarded by mu
}

func (o *onceGood) do(f func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return nil
	}
	err := f()
	o.done = err == nil
	return err
}
