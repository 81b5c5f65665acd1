package sqlstore

import (
	"context"
	"time"

	"github.com/twofold-auth/twofold/middleware/internal/lease"
)

// Lock is described at [middleware.Locker]. A lock is a row, no connection waits for it or holds it.
func (s *Store) Lock(ctx context.Context, key string, d time.Duration) (func(), error) {
	unlock, err := lease.Lock(ctx, keeper{s}, key, d)
	if err != nil {
		return nil, explain(err)
	}
	return unlock, nil
}

// keeper hides the two methods from the Store's users.
type keeper struct{ s *Store }

func (k keeper) Take(ctx context.Context, key, owner string, d time.Duration) (bool, error) {
	taken, err := k.s.exec(ctx, k.s.sql.take, escape(key), owner, d.Microseconds())
	if isOvertaken(err) {
		return false, nil
	}
	return taken == 1, err
}

func (k keeper) Free(ctx context.Context, key, owner string) error {
	_, err := k.s.exec(ctx, k.s.sql.free, escape(key), owner)
	return err
}
