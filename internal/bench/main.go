package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	quick  bool
	counts bool
	only   string
	svg    string
}

// rounds is how often each contender is measured by compare.
func (o options) rounds() int { return o.pick(25, 101) }

// longRounds is the same where a round takes whole requests or logins.
func (o options) longRounds() int { return o.pick(11, 25) }

// enough reports whether a comparison may end after that many rounds: with -quick, on a machine so busy with other things
// that all of them would take too long.
func (o options) enough(rounds int, begun time.Time) bool {
	return o.quick && rounds >= 9 && time.Since(begun) > 2500*time.Millisecond
}

// slices are how long one measurement of one contender takes.
const (
	// shortSlice is for what takes many microseconds: floor and contender are measured in the same moment of the machine.
	shortSlice = 4 * time.Millisecond
	// longSlice is for what takes few: garbage is collected some times in each, not just now and then.
	longSlice = 20 * time.Millisecond
)

// pick returns quick or full, whichever applies.
func (o options) pick(quick, full int) int {
	if o.quick {
		return quick
	}
	return full
}

// section is one part of the report.
type section struct {
	name    string
	title   string
	servers bool // it needs Redis, PostgreSQL or a fleet: not with -quick
	run     func(context.Context, options, *report) error
}

var sections = []section{
	{"verify", "1. Verifying an ID Token", false, verifySection},
	{"start", "2. Starting a login", false, startSection},
	{"session", "3. Loading a session per request", false, sessionSection},
	{"redis", "3b. Loading a session from Redis", true, redisSection},
	{"page", "4. A protected page over HTTP", false, pageSection},
	{"login", "5. A whole hybrid login", false, loginSection},
	{"keys", "6. Key set under attack", false, keysSection},
	{"stampede", "7. One hundred requests with an expired token", false, stampedeSection},
	{"fleet", "7b. The same over three processes with Redis", true, fleetSection},
	{"growth", "8. Growth", false, growthSection},
	{"stores", "8b. Growth of the stores", true, storesSection},
	{"startup", "9. Start-up", false, startupSection},
}

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], childFlag) {
		childMain(strings.TrimPrefix(os.Args[1], childFlag))
		return
	}
	var o options
	flag.BoolVar(&o.quick, "quick", false, "under 50 s, without what needs servers")
	flag.BoolVar(&o.counts, "counts", false, "only targets that can be counted decide; times are printed")
	flag.StringVar(&o.only, "only", "", "names of sections, with commas between them; all if empty")
	flag.StringVar(&o.svg, "svg", "", "file of the plot; ../../docs/performance.svg if empty, none with -quick or -only")
	flag.Parse()
	met, err := run(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !met {
		os.Exit(1)
	}
}

// run measures and prints, and reports whether all targets were met.
func run(ctx context.Context, o options) (bool, error) {
	r := newReport(os.Stdout, o)
	started, others := time.Now(), othersTime()
	r.printf("Measured on %s, %d CPUs, %s/%s.\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	for _, s := range sections {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), s.name) || o.quick && s.servers {
			continue
		}
		begun := time.Now()
		r.printf("\n## %s\n\n", s.title)
		if err := s.run(ctx, o, r); err != nil {
			return false, errors.Join(fmt.Errorf("%s: %w", s.name, err), r.err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", s.name, time.Since(begun).Seconds())
	}
	if o.svg == "" && !o.quick && o.only == "" {
		o.svg = "../../docs/performance.svg"
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(r.plot()), 0o644); err != nil { //nolint:gosec // a picture for everybody
			return false, err
		}
	}
	r.quiet(float64(othersTime()-others) / float64(time.Since(started)) / float64(runtime.NumCPU()))
	met := r.end()
	return met, r.err
}
