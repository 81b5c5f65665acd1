package backoff_test

import (
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/backoff"
)

func TestPause(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		failures int
		want     time.Duration // the longest; half of it is never gone below
	}{
		{"E09 after the first failure", 0, 2 * time.Second},
		{"E09 after the second one", 1, 4 * time.Second},
		{"E09 after the fifth one", 4, 32 * time.Second},
		{"E09 no longer than the most", 5, time.Minute},
		{"E09 after years of failures", 1 << 30, time.Minute},
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			got := backoff.Pause(row.failures, 2*time.Second, time.Minute)
			if got > row.want || got <= row.want/2 {
				t.Errorf("%s: %v, want more than %v, and %v at most", row.name, got, row.want/2, row.want)
			}
			seen[got] = true
		}
		if len(seen) < 20 {
			t.Errorf("%s: all come back at once: %d different pauses of 200", row.name, len(seen))
		}
	}
}
