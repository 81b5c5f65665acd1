// Command bench measures what Twofold costs: floors, peers and ours, interleaved in one run, so that whatever else the
// machine does disturbs all of them alike. What counts is a ratio in one run, the median of the ratios of its rounds.
//
//	go -C internal/bench run .           # everything, about six minutes; writes docs/performance.svg
//	go -C internal/bench run . -quick    # under 50 s, without Redis, PostgreSQL and fleet
//	go -C internal/bench run . -counts   # times are printed, but only what can be counted decides
//
// It prints the tables of docs/performance.md as Markdown, then every target and whether it was met, and ends with the
// line "N of M targets met". The exit status is 0 only if all were.
//
// It is a module of its own, so that no peer stands in the library's go.mod.
package main
