package main

import (
	"errors"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/twofold-auth/twofold/internal/servertest"
)

// store is a Redis server that can be killed and started again. It forgets nothing by that.
type store interface {
	Kill()
	Start() error
	Stop()
}

// startRedis starts the machine's redis-server on a free port and with a directory of its own, or where there is none
// an embedded one.
func startRedis() (s store, addr, what string, err error) {
	server, err := servertest.Redis("--appendonly", "yes", "--appendfsync", "always")
	switch {
	case err == nil:
		return server, server.Addr, "the machine's redis-server", nil
	case !errors.Is(err, servertest.ErrMissing):
		return nil, "", "", err
	}
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, "", "", err
	}
	e := &embedded{m, time.NewTicker(tick), make(chan struct{})}
	go e.age()
	return e, m.Addr(), "an embedded miniredis, for there is no redis-server on this machine", nil
}

// embedded is a Redis in this process.
type embedded struct {
	redis   *miniredis.Miniredis
	clock   *time.Ticker
	stopped chan struct{}
}

const tick = 100 * time.Millisecond

// age lets time pass, which does not by itself in a miniredis.
func (e *embedded) age() {
	for {
		select {
		case <-e.clock.C:
			e.redis.FastForward(tick)
		case <-e.stopped:
			return
		}
	}
}

func (e *embedded) Kill() { e.redis.Close() }

func (e *embedded) Start() error { return e.redis.Restart() }

func (e *embedded) Stop() {
	close(e.stopped)
	e.clock.Stop()
	e.redis.Close()
}
