// Package embedded has a Redis inside the program, for examples that show what a session store is good for and shall
// run on a machine without one.
package embedded

import (
	"errors"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware/redisstore"
)

// Redis is a Redis in this process. It forgets nothing when it is killed.
type Redis struct {
	// Addr is where it listens.
	Addr string

	server  *miniredis.Miniredis
	clock   *time.Ticker
	stopped chan struct{}
}

const tick = 100 * time.Millisecond

// Start starts a Redis on a free port of the loopback interface.
func Start() (*Redis, error) {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		return nil, err
	}
	r := &Redis{Addr: server.Addr(), server: server, clock: time.NewTicker(tick), stopped: make(chan struct{})}
	go r.age()
	return r, nil
}

// age lets time pass, which does not by itself in a miniredis.
func (r *Redis) age() {
	for {
		select {
		case <-r.clock.C:
			r.server.FastForward(tick)
		case <-r.stopped:
			return
		}
	}
}

// Kill ends it until Start.
func (r *Redis) Kill() { r.server.Close() }

// Start starts it again, with what it knew.
func (r *Redis) Start() error { return r.server.Restart() }

// Stop ends it for good.
func (r *Redis) Stop() {
	close(r.stopped)
	r.clock.Stop()
	r.server.Close()
}

// Store is a session store on a Redis of its own. A real app gives redisstore.New the address of its Redis and is done.
type Store struct {
	*redisstore.Store
	client *redis.Client
	redis  *Redis
}

// NewStore starts a Redis and returns a store on it. Close it at the end.
func NewStore() (*Store, error) {
	r, err := Start()
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: r.Addr, ContextTimeoutEnabled: true})
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		r.Stop()
		return nil, errors.Join(err, client.Close())
	}
	return &Store{Store: store, client: client, redis: r}, nil
}

// Close stops the Redis.
func (s *Store) Close() error {
	defer s.redis.Stop()
	return s.client.Close()
}
