package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// othersTime is the processors' time that went into everything but this process and those that it has started and that
// have ended; since the system was started, in hundredths of a second. It is 0 if nobody knows.
func othersTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var busy time.Duration
	for i, field := range strings.Fields(line)[1:] { // user, nice, system, idle, iowait, irq, softirq, steal
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != 3 && i != 4 && i < 8 {
			busy += time.Duration(n) * 10 * time.Millisecond
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) != nil {
			return 0
		}
		busy -= time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return busy
}
