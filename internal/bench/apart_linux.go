package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// apart gives this process one processor and the servers pids another one, as if they were two hosts, until restore is
// called: else the scheduler puts both on one processor now and then, and nobody knows when. With a single processor
// nothing changes.
func apart(pids ...int) (restore func()) {
	var all unix.CPUSet
	must(unix.SchedGetaffinity(0, &all))
	if all.Count() < 2 {
		return func() {}
	}
	var ours, theirs unix.CPUSet
	for cpu, free := 0, 2; free > 0; cpu++ {
		switch {
		case !all.IsSet(cpu):
			continue
		case free == 2:
			ours.Set(cpu)
		default:
			theirs.Set(cpu)
		}
		free--
	}
	for _, pid := range pids {
		setAffinity(pid, &theirs)
	}
	procs := runtime.GOMAXPROCS(1)
	setAffinity(os.Getpid(), &ours)
	return func() {
		setAffinity(os.Getpid(), &all)
		runtime.GOMAXPROCS(procs)
	}
}

// setAffinity is for all threads of a process; those to come inherit it.
func setAffinity(pid int, set *unix.CPUSet) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(err)
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		must(err)
		_ = unix.SchedSetaffinity(id, set) // the thread may have ended
	}
}
