package main

import (
	"sync/atomic"
	"time"
)

// clock is the real one, put forward now and then.
type clock struct {
	ahead   atomic.Int64
	stopped bool // advance does nothing
}

// Now implements the Now of every configuration.
func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) {
	if !c.stopped {
		c.ahead.Add(int64(d))
	}
}
