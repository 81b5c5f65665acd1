package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/middleware/internal/lease"
)

// keeper gives one key, and fails as told.
type keeper struct {
	mu    sync.Mutex // guards what follows
	owner string
	until time.Time
	takes int
	fail  error
	hang  bool
}

func (k *keeper) Take(ctx context.Context, _, owner string, d time.Duration) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.takes++
	if k.hang {
		<-ctx.Done()
		return false, ctx.Err()
	}
	if k.fail != nil {
		return false, k.fail
	}
	if k.owner != "" && k.owner != owner && time.Now().Before(k.until) {
		return false, nil
	}
	k.owner, k.until = owner, time.Now().Add(d)
	return true, nil
}

func (k *keeper) Free(ctx context.Context, _, owner string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if k.owner == owner {
		k.owner = ""
	}
	return k.fail
}

func (k *keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *keeper) holder() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return k.owner
	}
	return ""
}

const term = 9 * time.Second

// pass lets d pass.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }

func TestRenewalOutlivesErrors(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		k := &keeper{}
		unlock, err := lease.Lock(t.Context(), k, "key", term)
		if err != nil {
			t.Fatal(err)
		}
		owner := k.holder()
		k.set(func() { k.fail = errors.New("down") })
		pass(term/2 + term/4) // two renewals fail
		k.set(func() { k.fail = nil })
		pass(10 * term)
		if got := k.holder(); got != owner {
			t.Errorf("held by %q, want %q", got, owner)
		}
		if k.takes > 34 {
			t.Errorf("%d calls in 11 terms, want three in each", k.takes)
		}
		unlock()
		if got := k.holder(); got != "" {
			t.Errorf("held by %q after unlock", got)
		}
	})
}

func TestLostLeaseIsNotTakenBack(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		k := &keeper{}
		unlock, err := lease.Lock(t.Context(), k, "key", term)
		if err != nil {
			t.Fatal(err)
		}
		k.set(func() { k.owner, k.until = "another", time.Now().Add(term) })
		pass(2 * term)
		k.set(func() { k.until = time.Now().Add(term) })
		unlock()
		if got := k.holder(); got != "another" {
			t.Errorf("held by %q after unlock, want another", got)
		}
	})
}

func TestUnlockIsBoundedWhenTheStoreHangs(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		k := &keeper{}
		unlock, err := lease.Lock(t.Context(), k, "key", term)
		if err != nil {
			t.Fatal(err)
		}
		k.set(func() { k.hang = true })
		<-time.After(term / 3) // a renewal has begun
		begun := time.Now()
		unlock()
		unlock()
		if took := time.Now().Sub(begun); took > 2*time.Second { //nolint:staticcheck // time.Since is forbidden
			t.Errorf("unlock took %v", took)
		}
	})
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		k := &keeper{owner: "another", until: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := lease.Lock(ctx, k, "key", term); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock: %v", err)
		}
		if k.takes < 100 || k.takes > 220 {
			t.Errorf("asked %d times in 10 s, want once in 50 to 100 ms", k.takes)
		}
		down := errors.New("down")
		k.set(func() { k.fail = down })
		if _, err := lease.Lock(t.Context(), k, "key", term); !errors.Is(err, down) {
			t.Errorf("Lock: %v, want at once that the store is down", err)
		}
		if _, err := lease.Lock(t.Context(), k, "key", time.Millisecond); err == nil || errors.Is(err, down) {
			t.Errorf("Lock for a millisecond: %v", err)
		}
	})
}
