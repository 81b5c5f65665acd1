package rp

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// work owns the goroutines of a Client: each is started by run, and stop ends and awaits them all.
type work struct {
	mu      sync.Mutex // guards closed, and the start of goroutines against stop
	closed  bool
	running sync.WaitGroup
	life    context.Context // ends with stop
	end     context.CancelFunc
}

func newWork() *work {
	life, end := context.WithCancel(context.Background())
	return &work{life: life, end: end}
}

// run calls f in a goroutine of its own, with the values of ctx but not its end, because other callers may wait for the
// result of f too. It reports whether f was started: after stop nothing is.
func (w *work) run(ctx context.Context, f func(context.Context)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(w.life, cancel) //nolint:contextcheck // w.life is the second end that f has
	w.running.Go(func() {
		defer cancel()
		defer release()
		f(ctx)
	})
	return true
}

func (w *work) stop() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.end()
	w.running.Wait()
}

// The pause after a failed fetch doubles from backoffFirst, so that a provider that is down is asked seldom, however
// many logins want it: up to backoffEmpty while there is nothing to work with, up to backoffKept beside a good copy.
const (
	backoffFirst = time.Second
	backoffEmpty = 5 * time.Second
	backoffKept  = time.Minute
)

// cached holds the last good copy of something that is fetched. It is fetched once for all who need it at the same
// time, when it is needed and absent, old or refused; nothing runs while nobody asks.
type cached[T any] struct {
	fetch  func(context.Context) (T, time.Duration, error) // the value, and how long it is fresh
	maxAge time.Duration                                   // oldest copy that is used; 0 is without limit
	now    func() time.Time
	work   *work

	mu       sync.Mutex // guards what follows
	value    *T         // nil: none yet
	fetched  time.Time
	fresh    time.Duration
	flight   *flight // nil: none under way
	failures int
	retry    time.Time // no fetch on our own before
	err      error     // of the last fetch, nil if it succeeded
}

// flight is one fetch, and whoever waits for it.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// get returns the value. It waits only if there is none, or if the one there is has been due for as long again as it
// was fresh; else a due value is renewed behind the caller's back.
func (c *cached[T]) get(ctx context.Context) (*T, error) {
	c.mu.Lock()
	value, age := c.usable()
	due := value == nil || age > c.fresh
	mayTry := c.flight != nil || !c.now().Before(c.retry)
	if !due || (value != nil && !mayTry) {
		c.mu.Unlock()
		return value, nil
	}
	if !mayTry {
		err := c.err
		c.mu.Unlock()
		return nil, err
	}
	f, overdue := c.start(ctx), age > 2*c.fresh
	c.mu.Unlock()
	if value != nil && !overdue {
		return value, nil
	}
	return c.current(f.wait(ctx))
}

// current returns what is there after a fetch that ended with err.
func (c *cached[T]) current(err error) (*T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value, _ := c.usable(); value != nil {
		return value, nil
	}
	if err == nil {
		err = fmt.Errorf("rp: %w: the last good copy is too old", ErrUnavailable)
	}
	return nil, err
}

// usable returns the value if it is not too old, and its age. c.mu is held.
func (c *cached[T]) usable() (*T, time.Duration) {
	if c.value == nil {
		return nil, 0
	}
	age := c.now().Sub(c.fetched)
	if c.maxAge > 0 && age > c.maxAge {
		return nil, age
	}
	return c.value, age
}

// replace returns a flight that fetches anew, because have is not good enough; nil if another copy is there already, or
// if allow, which is called with c.mu held, refuses. A fetch under way is joined without asking allow.
func (c *cached[T]) replace(ctx context.Context, same func(*T) bool, allow func() bool) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value != nil && !same(c.value) {
		return nil
	}
	if c.flight == nil && !allow() {
		return nil
	}
	return c.start(ctx)
}

// peek returns the value if there is one, and fetches nothing.
func (c *cached[T]) peek() *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, _ := c.usable()
	return value
}

// failure is the error of the last fetch; nil if it succeeded.
func (c *cached[T]) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// start joins the fetch under way or starts one. c.mu is held.
func (c *cached[T]) start(ctx context.Context) *flight {
	if c.flight != nil {
		return c.flight
	}
	f := &flight{done: make(chan struct{})}
	c.flight = f
	if !c.work.run(ctx, func(ctx context.Context) { c.run(ctx, f) }) {
		c.flight, f.err = nil, fmt.Errorf("rp: %w", ErrClosed)
		close(f.done)
	}
	return f
}

func (c *cached[T]) run(ctx context.Context, f *flight) {
	value, fresh, err := c.fetch(ctx)
	if err != nil && c.work.life.Err() != nil {
		err = fmt.Errorf("rp: %w: %w", ErrClosed, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.err, f.err = nil, err, err
	defer close(f.done)
	if err != nil {
		longest := backoffEmpty
		if value, _ := c.usable(); value != nil {
			longest = backoffKept
		}
		c.retry = c.now().Add(min(backoffFirst<<min(c.failures, 10), longest))
		c.failures++
		return
	}
	c.value, c.fetched, c.fresh = &value, c.now(), fresh
	c.failures, c.retry = 0, time.Time{}
}

// wait returns the fetch's error, or that of the caller's own context: a caller who gives up ends no fetch.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("rp: %w: %w", ErrUnavailable, ctx.Err())
	}
}
