// Package lease makes a lock out of a store that knows who holds a key until when: it waits, renews and gives back.
package lease

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

const (
	firstWait  = 5 * time.Millisecond
	longWait   = 100 * time.Millisecond
	longAnswer = time.Second // for a renewal and for giving back
	minLease   = 10 * time.Millisecond
)

// Keeper is the store's part. Its methods are safe for concurrent use and heed ctx.
type Keeper interface {
	// Take gives key to owner for that long, unless another holds it. It renews what owner has.
	Take(ctx context.Context, key, owner string, lease time.Duration) (bool, error)
	// Free ends owner's lease, and no other's.
	Free(ctx context.Context, key, owner string) error
}

// Lock takes key, waiting until ctx ends, and renews the lease in a goroutine that ends with unlock. unlock takes two
// seconds at most when the store does not answer; the lease then ends by itself.
func Lock(ctx context.Context, k Keeper, key string, lease time.Duration) (unlock func(), err error) {
	if lease < minLease {
		return nil, fmt.Errorf("a lease of %v is shorter than %v", lease, minLease)
	}
	owner := rand.Text()
	if err := wait(ctx, k, key, owner, lease); err != nil {
		return nil, err
	}
	h := &holder{keeper: k, key: key, owner: owner, lease: lease, stop: make(chan struct{}), done: make(chan struct{})}
	go h.hold(context.WithoutCancel(ctx))
	return h.unlock, nil
}

// wait asks again and again, at intervals that grow and vary, so that waiters do not march in step.
func wait(ctx context.Context, k Keeper, key, owner string, lease time.Duration) error {
	for pause := firstWait; ; pause = min(2*pause, longWait) {
		ok, err := k.Take(ctx, key, owner, lease)
		if ok {
			return nil
		}
		if err != nil {
			return because(ctx, err)
		}
		timer := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// because adds that ctx has ended: a store that puts ctx's deadline on its connection is a moment before it.
func because(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case <-time.After(firstWait):
		return err
	}
}

// jitter returns between a half and the whole of d.
func jitter(d time.Duration) time.Duration {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return d/2 + d/2*time.Duration(b[0])/255
}

// holder is a lock that is held.
type holder struct {
	keeper     Keeper
	key, owner string
	lease      time.Duration
	once       sync.Once
	stop, done chan struct{}
}

func (h *holder) unlock() {
	h.once.Do(func() { close(h.stop) })
	<-h.done
}

// hold renews the lease three times before it ends, until unlock or until another holds the key. An error changes
// nothing: the next renewal may succeed.
func (h *holder) hold(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(h.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			ctx, cancel := context.WithTimeout(ctx, longAnswer)
			defer cancel()
			_ = h.keeper.Free(ctx, h.key, h.owner) // else the lease ends by itself
			return
		case <-tick.C:
			if lost := h.renew(ctx); lost {
				<-h.stop
				return
			}
		}
	}
}

func (h *holder) renew(ctx context.Context) (lost bool) {
	ctx, cancel := context.WithTimeout(ctx, min(h.lease/3, longAnswer))
	defer cancel()
	ok, err := h.keeper.Take(ctx, h.key, h.owner, h.lease)
	return err == nil && !ok
}
