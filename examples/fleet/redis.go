package main

import (
	"errors"

	"github.com/twofold-auth/twofold/examples/internal/embedded"
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
	server, err := servertest.Redis(servertest.AOF...)
	switch {
	case err == nil:
		return server, server.Addr, "the machine's redis-server", nil
	case !errors.Is(err, servertest.ErrMissing):
		return nil, "", "", err
	}
	e, err := embedded.Start()
	if err != nil {
		return nil, "", "", err
	}
	return e, e.Addr, "an embedded miniredis, for there is no redis-server on this machine", nil
}
