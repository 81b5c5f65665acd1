// Package backoff says for how long a provider that failed is left alone. Sessions and token sources follow the same rule.
package backoff

import (
	"crypto/rand"
	"time"
)

// Pause follows a failure that came after so many others in a row: first, doubled with each of them up to most, less a
// random part of a half, so that processes and sessions do not come back all at once.
func Pause(failures int, first, most time.Duration) time.Duration {
	pause := min(first<<min(failures, 10), most)
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails
	return pause - pause/2*time.Duration(b[0])/256
}
