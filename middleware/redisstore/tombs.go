package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware"
)

// Bury is described at [middleware.Tombstones].
func (s *Store) Bury(ctx context.Context, tomb string, at time.Time, ttl time.Duration) error {
	life, err := milliseconds(ttl)
	if err != nil {
		return err
	}
	if _, err := s.run(ctx, call{buryScript, []string{s.tombKey(tomb)}, []any{at.UnixMicro(), life}}); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

// Buried is described at [middleware.Tombstones].
func (s *Store) Buried(ctx context.Context, tombs ...string) (time.Time, error) {
	if len(tombs) == 0 {
		return time.Time{}, nil
	}
	pipe := s.client.Pipeline()
	times := s.getTombs(ctx, pipe, tombs)
	if err := execute(ctx, pipe); err != nil {
		return time.Time{}, fmt.Errorf("redisstore: %w", err)
	}
	at, err := latest(times)
	if err != nil {
		return time.Time{}, fmt.Errorf("redisstore: %w", err)
	}
	return at, nil
}

func (s *Store) getTombs(ctx context.Context, pipe redis.Pipeliner, tombs []string) []*redis.StringCmd {
	times := make([]*redis.StringCmd, len(tombs))
	for i, tomb := range tombs {
		times[i] = pipe.Get(ctx, s.tombKey(tomb))
	}
	return times
}

// latest returns the latest time; absent tombs do not count.
func latest(times []*redis.StringCmd) (time.Time, error) {
	var buried time.Time
	for _, t := range times {
		text, err := t.Result()
		if errors.Is(err, redis.Nil) {
			continue
		} else if err != nil {
			return time.Time{}, err
		}
		micro, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("time of a tomb: %w", err)
		}
		if at := time.UnixMicro(micro); at.After(buried) {
			buried = at
		}
	}
	return buried, nil
}

// page is how many sessions are read at once.
const page = 100

// Sessions is described at [middleware.SessionLister]. It takes two round trips, more where many entries of the index
// are of sessions that have ended. It removes nothing: an entry without its session may be of one that is being written.
func (s *Store) Sessions(ctx context.Context, tomb string, limit int) ([]middleware.StoredSession, error) {
	ids, err := s.client.ZRevRange(ctx, s.indexKey(tomb), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	var found []middleware.StoredSession
	for some := range slices.Chunk(ids, page) {
		if len(found) >= limit {
			break
		}
		sessions, err := s.sessions(ctx, tomb, some)
		if err != nil {
			return nil, fmt.Errorf("redisstore: %w", err)
		}
		found = append(found, sessions...)
	}
	return found[:min(max(limit, 0), len(found))], nil
}

// sessions loads those of ids that are there and have tomb.
func (s *Store) sessions(ctx context.Context, tomb string, ids []string) ([]middleware.StoredSession, error) {
	pipe := s.client.Pipeline()
	fields := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		fields[i] = pipe.HMGet(ctx, s.sessionKey(id), "v", "d", "t")
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, err
	}
	var found []middleware.StoredSession
	for i, f := range fields {
		values, err := f.Result()
		if err != nil {
			return nil, err
		}
		data, version, err := session(values)
		if errors.Is(err, middleware.ErrNoSession) {
			continue
		} else if err != nil {
			return nil, err
		}
		if tombs, _ := values[2].(string); slices.Contains(splitTombs(tombs), tomb) {
			found = append(found, middleware.StoredSession{ID: ids[i], Data: data, Version: version})
		}
	}
	return found, nil
}
