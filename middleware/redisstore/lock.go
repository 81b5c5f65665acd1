package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/twofold-auth/twofold/middleware/internal/lease"
)

// Lock is described at [middleware.Locker].
func (s *Store) Lock(ctx context.Context, key string, d time.Duration) (func(), error) {
	unlock, err := lease.Lock(ctx, keeper{s}, key, d)
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	return unlock, nil
}

// keeper hides the two methods from the Store's users.
type keeper struct{ s *Store }

func (k keeper) Take(ctx context.Context, key, owner string, d time.Duration) (bool, error) {
	answers, err := k.s.run(ctx, call{takeScript, []string{k.s.lockKey(key)}, []any{owner, d.Milliseconds()}})
	return err == nil && answers[0] == "ok", err
}

func (k keeper) Free(ctx context.Context, key, owner string) error {
	_, err := k.s.run(ctx, call{freeScript, []string{k.s.lockKey(key)}, []any{owner}})
	return err
}
