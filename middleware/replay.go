package middleware

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// attempts remember, in this process, which transactions were answered. One answer is handled once: the same again,
// in flight or shortly after, shares what came of it; another answer to the same transaction is refused. So a
// transaction is good for one attempt, also for a browser that keeps its cookie.
type attempts struct {
	mu    sync.Mutex // guards what follows
	known map[[sha256.Size]byte]*attempt
	queue []*attempt // in the order in which they began
	// shared are those whose result is kept, in the order in which they ended.
	shared []*attempt
}

type attempt struct {
	key    [sha256.Size]byte // hash of the state
	form   [sha256.Size]byte // hash of the answer
	done   chan struct{}     // closed when result is there
	result outcome
	until  time.Time // result is kept until then
	forget time.Time // the attempt is remembered until then
}

const (
	// shareFor is how long the answer to a finished attempt is kept: its first copy may have been lost.
	shareFor = time.Minute
	// maxAttempts bounds the memory. Only a browser with a transaction cookie of ours can make an entry.
	maxAttempts = 1 << 16
	// maxShared bounds the answers that are kept in full; they hold cookies.
	maxShared = 1 << 12
)

var errSpent = errors.New("the transaction was answered before")

func newAttempts() *attempts {
	return &attempts{known: map[[sha256.Size]byte]*attempt{}}
}

// join returns the attempt for an answer. first says that the caller is the one to handle it and then to call finish.
// evicted says that an attempt was forgotten before its time.
func (s *attempts) join(key, form [sha256.Size]byte, now, forget time.Time) (at *attempt, first, evicted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	evicted = s.sweep(now)
	if at := s.known[key]; at != nil {
		if at.form != form || !at.until.IsZero() && !now.Before(at.until) {
			return nil, false, evicted, errSpent
		}
		return at, false, evicted, nil
	}
	at = &attempt{key: key, form: form, done: make(chan struct{}), forget: forget}
	s.known[key] = at
	s.queue = append(s.queue, at)
	return at, true, evicted, nil
}

// finish publishes what came of an attempt.
func (s *attempts) finish(at *attempt, result outcome, now time.Time) {
	s.mu.Lock()
	at.result, at.until = result, now.Add(shareFor)
	s.shared = append(s.shared, at)
	if result.again {
		delete(s.known, at.key)
	}
	s.mu.Unlock()
	close(at.done)
}

// result returns what came of an attempt that is done; false if that was forgotten meanwhile.
func (s *attempts) result(at *attempt) (outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at.result, !at.result.empty()
}

// sweep forgets from the oldest on: attempts whose transaction is over, answers that nobody may share any more, and
// the oldest beyond the bounds.
func (s *attempts) sweep(now time.Time) (evicted bool) {
	for len(s.queue) > 0 {
		oldest := s.queue[0]
		over := !now.Before(oldest.forget)
		if !over && len(s.queue) < maxAttempts {
			break
		}
		evicted = evicted || !over
		if s.known[oldest.key] == oldest {
			delete(s.known, oldest.key)
		}
		s.queue = s.queue[1:]
	}
	for len(s.shared) > 0 && (!now.Before(s.shared[0].until) || len(s.shared) > maxShared) {
		s.shared[0].result, s.shared[0].until = outcome{}, now
		s.shared = s.shared[1:]
	}
	return evicted
}
