package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/boj/redistore"
	"github.com/gomodule/redigo/redis"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/storetest"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// newBoj returns a github.com/boj/redistore on a line to server. It closes with the test.
func newBoj(t *testing.T, server *servertest.Server, line *servertest.Line, prefix string) *redistore.RediStore {
	t.Helper()
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", server.Addr, redis.DialNetDial(func(network, addr string) (net.Conn, error) {
			return line.Dial(context.Background(), network, addr)
		}))
	}}
	store, err := redistore.NewRediStoreWithPool(pool, bytes.Repeat([]byte("0123456789abcdef"), 2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	store.SetKeyPrefix(prefix)
	return store
}

func startRedis(t *testing.T) *servertest.Server {
	t.Helper()
	server, err := servertest.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// TestBojRedistore: what the best known gorilla store on Redis can do of the contract, by name.
func TestBojRedistore(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	var lines sync.Map
	open := func(prefix string) func(t *testing.T) any {
		return func(t *testing.T) any {
			line := &servertest.Line{}
			store := newBoj(t, server, line, prefix)
			store.SetMaxLength(64 << 10)
			lines.Store(store, line)
			return store
		}
	}
	storetest.Suite{
		Open:  open("one_"),
		Other: open("two_"),
		Cut: func(t *testing.T, store any) (mend func()) {
			line, ok := lines.Load(store)
			if !ok {
				t.Fatal("not a store of this suite")
			}
			line.(*servertest.Line).Cut()
			return line.(*servertest.Line).Mend
		},
		Except: map[string]string{
			"gorilla/G01_an_ID_of_a_stranger_is_not_adopted":  "boj/redistore saves under the ID of any cookie that it has signed",
			"gorilla/G09_what_was_deleted_is_not_saved_again": "boj/redistore writes the key anew",
		},
	}.Run(t)
}

// TestBojBehindMiddleware: New accepts it when it holds enough, and else names the setting.
func TestBojBehindMiddleware(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	provider := optest.NewServer(optest.Config{})
	t.Cleanup(provider.Close)
	client, err := rp.New(t.Context(), rp.Config{
		Issuer: provider.URL, ClientID: "boj", ClientAuth: rp.Public(), RedirectURL: "https://app.test/auth/callback",
		Insecure: rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	store := newBoj(t, server, &servertest.Line{}, "middleware_")
	config := middleware.Config{Client: client, Keys: [][]byte{key}, Store: store}
	if _, err := middleware.New(config); err == nil || !strings.Contains(err.Error(), "SetMaxLength") {
		t.Errorf("New with 4 KB: %v", err)
	}
	store.SetMaxLength(64 << 10)
	auth, err := middleware.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
}
