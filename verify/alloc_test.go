package verify_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// raceDetector is true where allocations cannot be counted.
var raceDetector bool

// TestFrontChannelAllocations: the whole verification of a token of 1,458 bytes, every check included. Go's own RSA
// check is 9 allocations and 1.4 KB of it. Not parallel: the counters are the process's.
func TestFrontChannelAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted under the race detector")
	}
	for _, budget := range []struct {
		alg           string
		allocs, bytes float64
	}{
		{"RS256", 30, 5000},
		{"PS256", 32, 5000},
		{"ES256", 50, 5500},
		{"EdDSA", 22, 5500},
		{"HS256", 20, 4000},
	} {
		tok, raw := benchToken(budget.alg)
		check := func() {
			if _, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect); err != nil {
				t.Fatal(err)
			}
		}
		if got := testing.AllocsPerRun(200, check); got > budget.allocs {
			t.Errorf("%s: %v allocations, want at most %v", budget.alg, got, budget.allocs)
		}
		if got := bytesPerRun(200, check); got > budget.bytes {
			t.Errorf("%s: %v bytes, want at most %v", budget.alg, got, budget.bytes)
		}
	}
}

// TestRefusalAllocations: what is refused by its form costs next to nothing, however long it is.
func TestRefusalAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted under the race detector")
	}
	tok := valid("RS256")
	for name, raw := range map[string]string{
		"C27_a_million_dots": strings.Repeat(".", 1_000_000),
		"C27_60_000_dots":    strings.Repeat(".", 60_000),
		"C30_a_megabyte":     strings.Repeat("A", 1<<20),
	} {
		got := bytesPerRun(50, func() {
			if _, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect); err == nil {
				t.Fatal("accepted")
			}
		})
		if got > 4000 {
			t.Errorf("%s: %v bytes", name, got)
		}
	}
}

func TestMatchAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted under the race detector")
	}
	tok, raw := benchToken("RS256")
	id := must(tok.policy.FrontChannel(t.Context(), raw, tok.expect))
	got := testing.AllocsPerRun(200, func() {
		if _, err := verify.Match(id, id, verify.MatchAuthentication); err != nil {
			t.Fatal(err)
		}
	})
	if got > 30 {
		t.Errorf("%v allocations", got)
	}
}

func bytesPerRun(runs int, f func()) float64 {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(runs)
}
