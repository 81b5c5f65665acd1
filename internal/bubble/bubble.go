// Package bubble runs tests whose clock jumps to where the next timer fires.
package bubble

import (
	"crypto/fips140"
	"testing"
	"testing/synctest"
)

// Test is [synctest.Test], skipped where FIPS 140 cryptography is on (GODEBUG=fips140=on): its entropy is the jitter of
// the clock, a bubble's clock stands still, and the first random bytes after a garbage collection would end the process.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("FIPS 140 entropy needs a clock that moves")
	}
	synctest.Test(t, f) //nolint:forbidigo // the one place
}
