package redisstore_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
)

// wantDown fails unless err says that nobody knows.
func wantDown(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, middleware.ErrNoSession) || errors.Is(err, middleware.ErrConflict) {
		t.Errorf("%s: %v", what, err)
	}
}

func restart(t *testing.T, server *servertest.Server, while func()) {
	t.Helper()
	server.Kill()
	while()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
}

// recovered waits until the client has found that the server is back.
func recovered(t *testing.T, store *redisstore.Store) {
	t.Helper()
	waitFor(t, "the store answers", func() bool {
		_, err := store.Buried(t.Context(), "anything")
		return err == nil
	})
}

// TestRestartWithAOF: what was acknowledged is there after kill -9, tombstones and locks too.
func TestRestartWithAOF(t *testing.T) {
	t.Parallel()
	server := serve(t, servertest.AOF...)
	store := (&suite{connect: single(server.Addr)}).open(t, "")
	version := put(t, store, "id", "sid")
	if err := store.Bury(t.Context(), "other", login, time.Minute); err != nil {
		t.Fatal(err)
	}
	restart(t, server, func() {
		_, _, _, err := store.Load(t.Context(), "id", "sid")
		wantDown(t, "Load while it is dead", err)
	})
	recovered(t, store)
	if _, got, buried, err := store.Load(t.Context(), "id", "other"); err != nil || got != version || !buried.Equal(login) {
		t.Errorf("Load after a restart: version %d, buried %v, %v", got, buried, err)
	}
	if _, err := store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{Version: version, TTL: time.Minute}); err != nil {
		t.Errorf("Put after a restart, when the scripts are not known: %v", err)
	}
	found, err := store.Sessions(t.Context(), "sid", 10)
	if err != nil || len(found) != 0 {
		t.Errorf("Sessions: %v, %v; want none, the last write named no tombs", found, err)
	}
}

// TestRestartWithoutAOF: the server has lost everything and says so; nobody is let in, and nothing is made again.
// A failover to an empty replica is the same to the store.
func TestRestartWithoutAOF(t *testing.T) {
	t.Parallel()
	server := serve(t)
	store := (&suite{connect: single(server.Addr)}).open(t, "")
	version := put(t, store, "id", "sid")
	if err := store.Bury(t.Context(), "sid", login, time.Minute); err != nil {
		t.Fatal(err)
	}
	unlock, err := store.Lock(t.Context(), "id", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	restart(t, server, func() {})
	recovered(t, store)
	if _, _, buried, err := store.Load(t.Context(), "id", "sid"); !errors.Is(err, middleware.ErrNoSession) || !buried.IsZero() {
		t.Errorf("Load: buried %v, %v", buried, err)
	}
	_, err = store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{Version: version, TTL: time.Minute, Tombs: []string{"sid"}, Issued: login})
	if !errors.Is(err, middleware.ErrNoSession) {
		t.Errorf("Put on a version that was lost: %v", err)
	}
	if next := put(t, store, "id"); next == version {
		t.Error("a version that was lost was given again")
	}
	second, err := store.Lock(t.Context(), "id", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	unlock() // frees what was lost, not what the other has now
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := store.Lock(ctx, "id", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock: %v", err)
	}
	second()
}

// TestHangingServer: a call ends with the deadline of its context, and works again when the server does.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	server := serve(t)
	store := (&suite{connect: func(l *servertest.Line) redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: server.Addr, Dialer: l.Dial, ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Minute})
	}}).open(t, "")
	version := put(t, store, "id", "sid")
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]func(ctx context.Context) error{
		"Load":     func(ctx context.Context) error { _, _, _, err := store.Load(ctx, "id", "sid"); return err },
		"Delete":   func(ctx context.Context) error { return store.Delete(ctx, "nobody") },
		"Bury":     func(ctx context.Context) error { return store.Bury(ctx, "nobody", login, time.Minute) },
		"Buried":   func(ctx context.Context) error { _, err := store.Buried(ctx, "sid"); return err },
		"Sessions": func(ctx context.Context) error { _, err := store.Sessions(ctx, "sid", 1); return err },
		"Lock":     func(ctx context.Context) error { _, err := store.Lock(ctx, "id", time.Second); return err },
		"Put": func(ctx context.Context) error {
			_, err := store.Put(ctx, "new", nil, middleware.PutOptions{TTL: time.Minute})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		select {
		case err := <-done:
			wantDown(t, what, err)
		case <-time.After(time.Minute): // ReadTimeout is longer
			t.Fatalf("%s goes on after its deadline of 50 ms", what)
		}
		cancel()
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	recovered(t, store)
	if _, got, _, err := store.Load(t.Context(), "id"); err != nil || got != version {
		t.Errorf("Load: version %d, %v", got, err)
	}
}

// TestReplica: a replica takes no writes; that is a store that is down, not a conflict.
func TestReplica(t *testing.T) {
	t.Parallel()
	server := serve(t)
	store := (&suite{connect: single(server.Addr)}).open(t, "")
	version := put(t, store, "id")
	command(t, t.Context(), server, "REPLICAOF", "127.0.0.1", "1")
	_, err := store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{Version: version, TTL: time.Minute})
	wantDown(t, "Put", err)
	wantDown(t, "Bury", store.Bury(t.Context(), "tomb", login, time.Minute))
	command(t, t.Context(), server, "REPLICAOF", "NO", "ONE")
	if _, err := store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{Version: version, TTL: time.Minute}); err != nil {
		t.Errorf("Put after promotion: %v", err)
	}
}

// deaf loses the next answer that comes after it was told to, and the connection.
type deaf struct {
	lose atomic.Bool
	lost atomic.Bool
}

func (d *deaf) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &deafConn{conn, d}, err
}

type deafConn struct {
	net.Conn
	deaf *deaf
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.deaf.lose.Swap(false) {
		c.deaf.lost.Store(true)
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// TestLostAnswer: go-redis repeats a command whose answer was lost; a write that happened counts once, and a lock that
// was given is the asker's.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	server, d := serve(t), &deaf{}
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Dialer: d.dial, ContextTimeoutEnabled: true, PoolSize: 1})
	t.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	version := put(t, store, "warm")
	unlock, err := store.Lock(t.Context(), "warm", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	for what, call := range map[string]func() error{
		"create": func() error {
			_, err := store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{TTL: time.Minute})
			return err
		},
		"replace": func() error {
			_, err := store.Put(t.Context(), "warm", []byte("x"), middleware.PutOptions{Version: version, TTL: time.Minute})
			return err
		},
		"lock": func() error {
			unlock, err := store.Lock(t.Context(), "once", time.Minute)
			if err == nil {
				unlock()
			}
			return err
		},
	} {
		d.lost.Store(false)
		d.lose.Store(true)
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !d.lost.Load() {
			t.Errorf("%s: no answer was lost", what)
		}
	}
}

// TestSentinel: the master dies, a Sentinel promotes the replica, the client follows; no session that the replica had
// is lost, and no answer in between says that one is absent.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := serve(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := serve(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	_ = replica
	sentinel, err := servertest.Sentinel(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sentinel.Stop)
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "master", SentinelAddrs: []string{sentinel.Addr}, ContextTimeoutEnabled: true, DialTimeout: time.Second,
	})
	t.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	version := put(t, store, "id", "sid")
	if err := store.Bury(t.Context(), "tomb", login, time.Minute); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the replica has it and the Sentinel knows the replica", func() bool {
		synced, err := client.Do(t.Context(), "WAIT", 1, 100).Int()
		return err == nil && synced == 1 && knowsReplica(t, sentinel)
	})
	master.Kill()
	waitFor(t, "failover", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a Put whose answer comes later has happened
		defer cancel()
		_, err := store.Put(ctx, "id", []byte("after"), middleware.PutOptions{Version: version, TTL: time.Minute, Tombs: []string{"sid"}, Issued: login})
		if errors.Is(err, middleware.ErrNoSession) || errors.Is(err, middleware.ErrConflict) {
			t.Fatalf("Put: %v", err)
		}
		return err == nil
	})
	data, _, buried, err := store.Load(t.Context(), "id", "tomb")
	if err != nil || string(data) != "after" || !buried.Equal(login) {
		t.Errorf("Load: %q, buried %v, %v", data, buried, err)
	}
}

func knowsReplica(t *testing.T, sentinel *servertest.Server) bool {
	t.Helper()
	client := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	defer func() { _ = client.Close() }()
	replicas, err := client.Replicas(t.Context(), "master").Result()
	return err == nil && len(replicas) == 1
}
