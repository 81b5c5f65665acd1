package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
)

// storesSection loads one of many sessions, each time another one.
func storesSection(ctx context.Context, o options, r *report) error {
	counts := []int{1, 100, 10_000, 100_000}
	columns := map[string]samples{}
	for name, open := range map[string]func(context.Context) (middleware.SessionStore, func(), error){"Redis": openRedis, "PostgreSQL": openPostgres} {
		store, end, err := open(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s, err := growStore(ctx, o, store, counts)
		end()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		columns[name] = s
	}
	rows := [][]string{}
	for i, n := range counts {
		rows = append(rows, []string{fmt.Sprint(n), number(columns["Redis"][i].micros(), 1), number(columns["PostgreSQL"][i].micros(), 1)})
	}
	r.table([]string{"sessions in the store", "µs to load one of them, Redis", "PostgreSQL"}, rows...)
	r.printf("From 1 to 100,000 sessions: Redis × %.2f (a hash table), PostgreSQL × %.2f (a B-tree: the logarithm; it bends when the table outgrows the memory).\n\n",
		columns["Redis"][3].micros()/columns["Redis"][0].micros(), columns["PostgreSQL"][3].micros()/columns["PostgreSQL"][0].micros())
	return nil
}

func openRedis(context.Context) (middleware.SessionStore, func(), error) {
	server, err := servertest.Redis() //nolint:contextcheck // it lives until Stop
	if err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	store, err := redisstore.New(redisstore.Config{Client: client})
	return store, func() { _ = client.Close(); server.Stop() }, err
}

func openPostgres(ctx context.Context) (middleware.SessionStore, func(), error) {
	server, err := servertest.Postgres() //nolint:contextcheck // it lives until Stop
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("pgx", server.PostgresURL())
	if err != nil {
		return nil, server.Stop, err
	}
	db.SetMaxOpenConns(8)
	end := func() { _ = db.Close(); server.Stop() }
	store, err := sqlstore.New(sqlstore.Config{DB: db})
	if err == nil {
		err = store.Migrate(ctx)
	}
	return store, end, err
}

// growStore fills the store step by step, and measures after each. One session of 3.6 KB has its two tombs.
func growStore(ctx context.Context, o options, store middleware.SessionStore, counts []int) (out samples, err error) {
	data := make([]byte, 3600)
	_, _ = rand.Read(data) // never fails
	filled := 0
	for _, n := range counts {
		if err := fill(ctx, store, data, filled, n); err != nil {
			return nil, err
		}
		filled = n
		i := 0
		out = append(out, compare(o, wallTime, contender{fmt.Sprint(n), func() {
			i += 7919 // prime: it comes by everywhere
			id := i % n
			_, _, _, err := store.Load(ctx, sessionName(id), tombNames(id)...)
			must(err)
		}})...)
	}
	return out, nil
}

func sessionName(i int) string { return fmt.Sprintf("session-%036d", i) }

func tombNames(i int) []string {
	return []string{fmt.Sprintf("sid-%018d", i), fmt.Sprintf("sub-%018d", i/3)}
}

// fill writes the sessions from one number to another, eight at once.
func fill(ctx context.Context, store middleware.SessionStore, data []byte, from, to int) error {
	var wait sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Value
	next.Store(int64(from))
	for range 8 {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < to && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				o := middleware.PutOptions{TTL: time.Hour, Tombs: tombNames(i), Issued: time.Now()}
				if _, err := store.Put(ctx, sessionName(i), data, o); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	wait.Wait()
	err, _ := failed.Load().(error)
	return err
}
