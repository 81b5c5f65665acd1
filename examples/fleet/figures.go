package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// figures are what a process uses.
type figures struct {
	Heap       uint64 // bytes that live after a garbage collection
	Resident   uint64 // bytes; 0 if the system does not tell
	Goroutines int
	Files      int // open file descriptors; 0 if the system does not tell
}

// measure looks at this process. It collects garbage first, so that what is left is in use.
func measure() figures {
	runtime.GC()
	runtime.GC() // what finalizers of the first have freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := figures{Heap: m.HeapAlloc, Goroutines: runtime.NumGoroutine()}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.Files = len(list) - 1 // without the one that reads the list
	}
	f.Resident = resident()
	return f
}

// resident reads VmRSS, which Linux has in kB.
func resident() (bytes uint64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kB uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	return 0
}
