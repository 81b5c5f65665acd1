package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/middleware/storetest"
)

var testKey = []byte("\x8b\x1f\xd0\x5e\x33\x97\x6a\xc4\x02\xee\x79\x41\xbc\x58\x0d\xf6\x25\x9a\x63\x17\xcb\x84\x3e\xa1\x7d\x50\xf9\x2c\x46\xb8\x0b\xe3")

// suite runs on every store that connect makes a client for.
type suite struct {
	connect func(l *servertest.Line) redis.UniversalClient
	sharded bool

	mu    sync.Mutex // guards lines
	lines map[any]*servertest.Line
}

// open returns a store with connections of its own.
func (s *suite) open(t *testing.T, prefix string) *redisstore.Store {
	t.Helper()
	line := &servertest.Line{}
	client := s.connect(line)
	store, err := redisstore.New(redisstore.Config{Client: client, Prefix: prefix, Sharded: s.sharded, Keys: [][]byte{testKey}})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = map[any]*servertest.Line{}
	}
	s.lines[store] = line
	t.Cleanup(func() { _ = client.Close() })
	return store
}

func (s *suite) run(t *testing.T) {
	t.Helper()
	storetest.Suite{
		Open:  func(t *testing.T) any { return s.open(t, "") },
		Other: func(t *testing.T) any { return s.open(t, "twofold:session:") },
		Cut: func(_ *testing.T, store any) (mend func()) {
			s.mu.Lock()
			defer s.mu.Unlock()
			line := s.lines[store]
			line.Cut()
			return line.Mend
		},
	}.Run(t)
}

// single returns a client of one node.
func single(addr string) func(l *servertest.Line) redis.UniversalClient {
	return func(l *servertest.Line) redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: addr, Dialer: l.Dial, ContextTimeoutEnabled: true, ReadTimeout: time.Second})
	}
}

// serve starts a redis-server, or skips where there is none.
func serve(t *testing.T, args ...string) *servertest.Server {
	t.Helper()
	server, err := servertest.Redis(args...)
	if errors.Is(err, servertest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// TestRedis runs the suite on redis-server, or on what TWOFOLD_REDIS names (host:port; Valkey too).
func TestRedis(t *testing.T) {
	t.Parallel()
	addr := os.Getenv("TWOFOLD_REDIS")
	if addr == "" {
		addr = serve(t).Addr
	}
	(&suite{connect: single(addr)}).run(t)
}

// TestSharded: the store does what it does on a cluster, where a script sees one key.
func TestSharded(t *testing.T) {
	t.Parallel()
	(&suite{connect: single(serve(t).Addr), sharded: true}).run(t)
}

// TestMiniredis runs the suite on a machine without redis-server.
func TestMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // its time to live passes only when it is told, and never faster than the suite's
		defer close(done)
		const beat = 5 * time.Millisecond
		for {
			select {
			case <-stop:
				return
			case <-time.After(beat):
				server.FastForward(beat)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	(&suite{connect: single(server.Addr())}).run(t)
}

// TestCluster runs the suite on a cluster of three nodes.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	(&suite{connect: func(l *servertest.Line) redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: nodes, Dialer: l.Dial, ContextTimeoutEnabled: true, ReadTimeout: time.Second, MaxRedirects: 3,
		})
	}}).run(t)
}

// cluster starts that many masters, which share the slots, and returns their addresses.
func cluster(t *testing.T, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var servers []*servertest.Server
	var addrs []string
	for i := range n {
		server := serve(t, "--cluster-enabled", "yes", "--cluster-port", reserve(t), "--cluster-node-timeout", "2000")
		first, last := i*16384/n, (i+1)*16384/n-1
		command(t, ctx, server, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(first), fmt.Sprint(last))
		command(t, ctx, server, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		servers, addrs = append(servers, server), append(addrs, server.Addr)
	}
	for _, server := range servers[1:] {
		bus := redis.NewClient(&redis.Options{Addr: server.Addr})
		port := bus.ConfigGet(ctx, "cluster-port").Val()["cluster-port"]
		_ = bus.Close()
		host, p, _ := net.SplitHostPort(server.Addr)
		command(t, ctx, servers[0], "CLUSTER", "MEET", host, p, port)
	}
	for _, server := range servers {
		client := redis.NewClient(&redis.Options{Addr: server.Addr})
		defer func() { _ = client.Close() }()
		waitFor(t, "the cluster is complete", func() bool {
			slots, err := client.ClusterSlots(ctx).Result()
			info, _ := client.ClusterInfo(ctx).Result()
			return err == nil && len(slots) == n && len(info) > 16 && info[:16] == "cluster_state:ok"
		})
	}
	return addrs
}

func reserve(t *testing.T) (port string) {
	t.Helper()
	addr, release, err := servertest.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	_, port, _ = net.SplitHostPort(addr)
	return port
}

func command(t *testing.T, ctx context.Context, s *servertest.Server, words ...string) {
	t.Helper()
	if answer, err := s.Command(ctx, words...); err != nil || answer != "+OK" {
		t.Fatalf("%v: %s %v", words, answer, err)
	}
}

func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(2*time.Minute), time.NewTicker(10*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !happened() {
		select {
		case <-deadline.C:
			t.Fatalf("still waiting: %s", what)
		case <-tick.C:
		}
	}
}

var login = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func put(t *testing.T, s *redisstore.Store, id string, tombs ...string) uint64 {
	t.Helper()
	version, err := s.Put(t.Context(), id, []byte("data"), middleware.PutOptions{TTL: time.Minute, Tombs: tombs, Issued: login})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// TestRoundTrips: each call waits for the server as often as its doc says.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, sharded := range []bool{false, true} {
		s := &suite{connect: single(serve(t).Addr), sharded: sharded}
		store := s.open(t, "")
		put(t, store, "warm", "sid") // loads the scripts and connects
		line, version := s.lines[store], put(t, store, "id", "sid", "sub")
		puts := int64(1)
		if sharded {
			puts = 2
		}
		for what, row := range map[string]struct {
			call func() error
			want int64
		}{
			"Load": {func() error { _, _, _, err := store.Load(t.Context(), "id", "sid", "sub"); return err }, 1},
			"Load of nothing": {func() error {
				_, _, _, err := store.Load(t.Context(), "none", "sid", "sub")
				if errors.Is(err, middleware.ErrNoSession) {
					return nil
				}
				return err
			}, 1},
			"Put": {func() (err error) {
				version, err = store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{
					Version: version, TTL: time.Minute, Tombs: []string{"sid", "sub"}, Issued: login,
				})
				return err
			}, puts},
			"Buried":           {func() error { _, err := store.Buried(t.Context(), "sid", "sub"); return err }, 1},
			"Buried of nobody": {func() error { _, err := store.Buried(t.Context()); return err }, 0},
			"Sessions":         {func() error { _, err := store.Sessions(t.Context(), "sid", 10); return err }, 2},
		} {
			if err := row.call(); err != nil { // go-redis may have to connect, or to ask what the server can
				t.Errorf("%s: %v", what, err)
			}
			before := line.Trips()
			if err := row.call(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got := line.Trips() - before; got != row.want {
				t.Errorf("sharded %v: %s takes %d round trips, want %d", sharded, what, got, row.want)
			}
		}
	}
}

// TestConfig: what a client cannot promise is refused, and the error names the fix.
func TestConfig(t *testing.T) {
	t.Parallel()
	addrs := []string{"127.0.0.1:1"}
	for name, c := range map[string]redisstore.Config{
		"no client":             {},
		"deadlines not heeded":  {Client: redis.NewClient(&redis.Options{})},
		"cluster the same":      {Client: redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})},
		"stale reads":           {Client: redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true, ReadOnly: true})},
		"stale reads by chance": {Client: redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true, RouteRandomly: true})},
		"weak key":              {Client: redis.NewClient(&redis.Options{ContextTimeoutEnabled: true}), Keys: [][]byte{make([]byte, 32)}},
	} {
		if _, err := redisstore.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if c.Client != nil {
			_ = c.Client.Close()
		}
	}
}

// TestK02_keys_are_not_printed covers the struct and a pointer to it.
func TestK02_keys_are_not_printed(t *testing.T) {
	t.Parallel()
	c := redisstore.Config{Prefix: "p:", Keys: [][]byte{testKey}}
	const want = `redisstore.Config{Prefix:"p:"}`
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, c); got != want {
			t.Errorf("%s: %s", verb, got)
		}
		if got := fmt.Sprintf(verb, &c); got != want {
			t.Errorf("%s of a pointer: %s", verb, got)
		}
	}
}
