package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/boj/redistore"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
)

// redisSection loads the same session from Redis: × one GET of a value of that size. Here time is the clock on the wall.
func redisSection(ctx context.Context, o options, r *report) error {
	server, err := servertest.Redis() //nolint:contextcheck // it lives until Stop
	if err != nil {
		return err
	}
	defer server.Stop()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, setup{auth: func(c *middleware.Config) { c.Store = store }})
	if err != nil {
		return err
	}
	defer w.close()
	cookies, err := w.login(ctx)
	if err != nil {
		return err
	}
	size, err := keepFloor(ctx, client)
	if err != nil {
		return err
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	list := []contender{
		{"one GET of " + number(size, 1) + " KB", func() { must(client.Get(ctx, "floor").Err()) }},
		{nameOurIdentity, serve(w.auth.RequireLogin(nothing), navigation(ctx, "/", cookies), http.StatusOK)},
		{nameOurTokens, serve(w.auth.RequireTokens(nothing), navigation(ctx, "/", cookies), http.StatusOK)},
	}
	peers, err := redisPeers(ctx, client, server.Addr)
	if err != nil {
		return err
	}
	pid, err := redisPID(ctx, client)
	if err != nil {
		return err
	}
	restore := apart(pid)
	s := compare(o, wallTime, append(list, peers...)...)
	restore()
	rows := make([][]string, 0, len(s))
	for _, c := range s {
		ratio := c.over(s[0])
		cell := number(ratio, 2)
		b := bar{group: "Loading a session from Redis (× one GET)", name: c.name, ratio: ratio, ours: strings.HasPrefix(c.name, "**ours")}
		if c.name == nameOurIdentity {
			cell, b.limit = r.time("3", "with Redis ≤ 1.15 × one GET", ratio, "%.2f", ratio <= 1.15), 1.15
		}
		if c.name != s[0].name {
			r.bar(b)
		}
		rows = append(rows, []string{c.name, number(c.micros(), 1), cell, number(c.allocs, 0)})
	}
	r.table([]string{"", "µs", "× one GET", "allocations"}, rows...)
	trips := roundTrips(client, serve(w.auth.RequireTokens(nothing), navigation(ctx, "/", cookies), http.StatusOK))
	r.printf("Round trips for a request, logouts looked up: %s.\n", r.count("3", "with Redis one round trip a request, logouts included", trips, trips == 1))
	return nil
}

// keepFloor keeps the floor's value, which is as long as the session, and returns its size in KB.
func keepFloor(ctx context.Context, client *redis.Client) (float64, error) {
	keys, err := client.Keys(ctx, "twofold:session:*").Result()
	if err != nil {
		return 0, err
	}
	size := 0
	for _, key := range keys { // the session, and a small record of the login's answer
		data, err := client.HGet(ctx, key, "d").Result()
		if err != nil {
			return 0, err
		}
		size = max(size, len(data))
	}
	return float64(size) / 1000, client.Set(ctx, "floor", strings.Repeat("x", size), time.Hour).Err()
}

// redisPID is the process of the server.
func redisPID(ctx context.Context, client *redis.Client) (int, error) {
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "process_id:")
	line, _, _ := strings.Cut(rest, "\r\n")
	return strconv.Atoi(line)
}

// tripCounter counts what go-redis sends.
type tripCounter struct{ trips int }

// DialHook implements redis.Hook.
func (c *tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.trips++
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.trips++
		return next(ctx, cmds)
	}
}

// roundTrips counts those of one request.
func roundTrips(client *redis.Client, request func()) float64 {
	c := &tripCounter{}
	client.AddHook(c)
	request()
	return float64(c.trips)
}

func redisPeers(ctx context.Context, client *redis.Client, addr string) ([]contender, error) {
	size := map[string]int{}
	m := scs.New()
	m.Store = goredisstore.New(client)
	alex, err := scsPeer(ctx, "scs, goredisstore", m, size)
	if err != nil {
		return nil, err
	}
	store, err := redistore.NewRediStore(10, "tcp", addr, "", "", cookieKey)
	if err != nil {
		return nil, err
	}
	store.SetMaxLength(1 << 16)
	boj, err := gorillaStorePeer(ctx, "boj/redistore", store, size)
	return []contender{alex, boj}, err
}
