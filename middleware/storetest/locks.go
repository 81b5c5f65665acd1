package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

var lockerRows = []row[middleware.Locker]{
	{"E06_one_at_a_time_holds_a_lock", mutualExclusion},
	{"other_keys_are_other_locks", otherKeys},
	{"unlock_frees_at_once_and_twice_is_fine", unlockFrees},
	{"the_lease_is_renewed_until_unlock", renewal},
	{"J12_a_lock_outlives_the_context_it_was_taken_with", outlivesContext},
	{"the_end_of_the_context_ends_waiting", endsWaiting},
	{"a_lease_of_nothing_is_an_error", noLease},
	{"stores_with_other_prefixes_share_nothing", isolatedLocks},
	{"E07_the_lock_of_a_crashed_holder_is_free_after_its_lease", crash},
	{"unlock_of_a_lost_lease_frees_no_other", lostLease},
	{"G23_a_store_that_is_down_says_so", lockDown},
}

// lease is long enough for a busy machine: who holds a lock must come to renew it in two thirds of that time.
var lease = 3 * time.Second

func lock(t *testing.T, s middleware.Locker, key string) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	unlock, err := s.Lock(ctx, key, lease)
	must(t, "Lock", err)
	return unlock
}

// wantHeld fails if the lock can be had while it is watched for that long.
func wantHeld(t *testing.T, s middleware.Locker, key string, watch time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), watch)
	defer cancel()
	unlock, err := s.Lock(ctx, key, lease)
	if err == nil {
		unlock()
		t.Fatal("the lock was given to two")
	}
	wantErr(t, "Lock", err, context.DeadlineExceeded)
}

func mutualExclusion(t *testing.T, _ Suite, open func() middleware.Locker) {
	stores, key := []middleware.Locker{open(), open(), open()}, unique()
	var wg sync.WaitGroup
	var inside sync.Mutex // only to see whether two are there
	entered := 0
	for i := range 12 {
		wg.Go(func() {
			unlock, err := stores[i%3].Lock(t.Context(), key, lease)
			if err != nil {
				t.Errorf("Lock: %v", err)
				return
			}
			defer unlock()
			if !inside.TryLock() {
				t.Error("two hold the lock")
				return
			}
			defer inside.Unlock()
			entered++
			<-time.After(2 * beat) // long enough for the others to come in, if they could
		})
	}
	wg.Wait()
	if entered != 12 {
		t.Errorf("%d held the lock, want 12", entered)
	}
}

func otherKeys(t *testing.T, _ Suite, open func() middleware.Locker) {
	s, key := open(), unique()
	for _, k := range []string{key, key + "\x00", key + " ", key + "\xff{}"} {
		defer lock(t, s, k)()
	}
}

func unlockFrees(t *testing.T, _ Suite, open func() middleware.Locker) {
	one, two, key := open(), open(), unique()
	unlock := lock(t, one, key)
	unlock()
	second := lock(t, two, key)
	defer second()
	unlock()
	wantHeld(t, one, key, lease/4)
}

func renewal(t *testing.T, _ Suite, open func() middleware.Locker) {
	one, two, key := open(), open(), unique()
	unlock := lock(t, one, key)
	defer unlock()
	wantHeld(t, two, key, 2*lease)
}

func outlivesContext(t *testing.T, _ Suite, open func() middleware.Locker) {
	one, two, key := open(), open(), unique()
	ctx, cancel := context.WithCancel(t.Context())
	unlock, err := one.Lock(ctx, key, lease)
	must(t, "Lock", err)
	cancel()
	wantHeld(t, two, key, 2*lease)
	unlock()
	lock(t, two, key)()
}

func endsWaiting(t *testing.T, _ Suite, open func() middleware.Locker) {
	one, two, key := open(), open(), unique()
	defer lock(t, one, key)()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := two.Lock(ctx, key, lease)
		done <- err
	}()
	cancel()
	wantErr(t, "Lock", <-done, context.Canceled)
	_, err := two.Lock(ctx, unique(), lease)
	wantErr(t, "Lock of a free key with an ended context", err, context.Canceled)
}

func noLease(t *testing.T, _ Suite, open func() middleware.Locker) {
	_, err := open().Lock(t.Context(), unique(), 0)
	wantDown(t, "Lock with lease 0", err)
}

func isolatedLocks(t *testing.T, s Suite, open func() middleware.Locker) {
	key := unique()
	defer lock(t, open(), key)()
	lock(t, other[middleware.Locker](t, s), key)()
}

func crash(t *testing.T, s Suite, open func() middleware.Locker) {
	one, two, key, begun := open(), open(), unique(), now()
	unlock := lock(t, one, key)
	mend := s.cut(t, one)
	lock(t, two, key)()
	if took := now().Sub(begun); took < lease-slack {
		t.Errorf("the lock was free after %v, want at least %v", took, lease)
	}
	mend()
	unlock()
}

func lostLease(t *testing.T, s Suite, open func() middleware.Locker) {
	one, two, three, key := open(), open(), open(), unique()
	unlock := lock(t, one, key)
	mend := s.cut(t, one)
	second := lock(t, two, key)
	defer second()
	mend()
	wantHeld(t, three, key, lease) // one may renew meanwhile: it must not get the lock back
	unlock()
	wantHeld(t, three, key, lease/2)
}

func lockDown(t *testing.T, s Suite, open func() middleware.Locker) {
	store := open()
	lock(t, store, unique())()
	defer s.cut(t, store)()
	_, err := store.Lock(t.Context(), unique(), lease)
	wantDown(t, "Lock", err)
}
