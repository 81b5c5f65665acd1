package rp

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	spentLife = 10 * time.Minute // longer than any provider's code lives (RFC 6749, section 4.1.2)
	maxSpent  = 1 << 20          // codes in ten minutes; about 50 MB
)

// codeHash is what we remember of a code.
type codeHash [16]byte

// spentCodes remembers which codes were sent. Codes older than spentLife go with their generation, so that no step looks
// at them one by one. When it is full nothing is forgotten early: new codes are refused.
type spentCodes struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	current map[codeHash]time.Time
	old     map[codeHash]time.Time
	turned  time.Time // when current began
}

// spend reports whether code may be sent, and remembers that it was. full is true if there is no room to remember it.
func (s *spentCodes) spend(code string) (first, full bool) {
	hash := hashCode(code)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || now.Sub(s.turned) >= spentLife {
		s.old, s.current, s.turned = s.current, map[codeHash]time.Time{}, now
	}
	for _, generation := range []map[codeHash]time.Time{s.current, s.old} {
		if at, ok := generation[hash]; ok && now.Sub(at) < spentLife {
			return false, false
		}
	}
	if len(s.current)+len(s.old) >= maxSpent {
		return false, true
	}
	s.current[hash] = now
	return true, false
}

// forget takes back a spend after which the code was not sent.
func (s *spentCodes) forget(code string) {
	hash := hashCode(code)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.current, hash)
	delete(s.old, hash)
}

func hashCode(code string) codeHash {
	sum := sha256.Sum256([]byte(code))
	return codeHash(sum[:])
}
