package main

import (
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one thing that is measured: run does it once.
type contender struct {
	name string
	run  func()
}

// sample is what the rounds have shown of one contender.
type sample struct {
	name          string
	ns            []float64 // per operation, one for each round
	allocs, bytes float64   // per operation; exact
}

// samples are those of one comparison, in the order of the contenders.
type samples []sample

// cpuTime is what this process has used, garbage collection included. Other programs of the machine do not count. (Not
// getrusage: it moves with the scheduler's ticks.)
func cpuTime() time.Duration {
	var t unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t))
	return time.Duration(t.Nano())
}

var processStart = time.Now()

// wallTime is for what waits.
func wallTime() time.Duration { return time.Since(processStart) }

// compare measures all contenders in each round, beginning with another one each time.
func compare(o options, clock func() time.Duration, list ...contender) samples {
	return compareFor(o, clock, shortSlice, list...)
}

// compareFor is compare with slices of another length.
func compareFor(o options, clock func() time.Duration, slice time.Duration, list ...contender) samples {
	out := make(samples, len(list))
	counts := make([]int, len(list))
	for i, c := range list {
		out[i].name = c.name
		counts[i] = calibrate(c.run, slice)
		out[i].allocs, out[i].bytes = allocations(c.run)
	}
	begun := time.Now()
	for round := range o.rounds() {
		if o.enough(round, begun) {
			break
		}
		for i := range list {
			i = (i + round) % len(list)
			runtime.GC() // nobody pays for another's garbage
			start := clock()
			for range counts[i] {
				list[i].run()
			}
			out[i].ns = append(out[i].ns, float64(clock()-start)/float64(counts[i]))
		}
	}
	return out
}

// calibrate finds how many operations fill a slice of time, and warms up.
func calibrate(f func(), slice time.Duration) int {
	f()
	for n := 1; ; n *= 2 {
		start := time.Now()
		for range n {
			f()
		}
		if took := time.Since(start); took > slice/4 || n > 1<<24 {
			return max(1, int(float64(n)*float64(slice)/float64(max(took, 1))))
		}
	}
}

// allocations counts those of one operation.
func allocations(f func()) (allocs, bytes float64) {
	const runs = 200
	f()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / runs), float64((after.TotalAlloc - before.TotalAlloc) / runs)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	if len(list) == 0 {
		return 0
	}
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func (s samples) named(name string) sample {
	i := slices.IndexFunc(s, func(s sample) bool { return s.name == name })
	if i < 0 {
		panic("bench: nobody is called " + name)
	}
	return s[i]
}

// micros is the median time of an operation, in microseconds.
func (s sample) micros() float64 { return median(s.ns) / 1000 }

// over is the median of the rounds' ratios of s to floor.
func (s sample) over(floor sample) float64 {
	ratios := make([]float64, len(s.ns))
	for i := range s.ns {
		ratios[i] = s.ns[i] / floor.ns[i]
	}
	return median(ratios)
}
