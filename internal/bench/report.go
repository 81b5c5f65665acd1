package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// report collects what is printed.
type report struct {
	out     io.Writer
	options options
	err     error
	targets []target
	bars    []bar
}

// target is one promise of the project, and what was measured.
type target struct {
	section, text string
	got           string
	met           bool
	counted       bool // a number that does not depend on the machine
	decides       bool // for the exit status
}

func newReport(out io.Writer, o options) *report { return &report{out: out, options: o} }

func (r *report) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(r.out, format, args...); err != nil && r.err == nil {
		r.err = err
	}
}

// table prints rows under a head.
func (r *report) table(head []string, rows ...[]string) {
	line := func(cells []string) { r.printf("| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	r.printf("|%s\n", strings.Repeat("---|", len(head)))
	for _, row := range rows {
		line(row)
	}
	r.printf("\n")
}

// time judges a ratio or a duration, which -counts only prints.
func (r *report) time(section, text string, got float64, format string, met bool) string {
	return r.judge(target{section: section, text: text, got: fmt.Sprintf(format, got), met: met})
}

// count judges a number that is the same on every machine.
func (r *report) count(section, text string, got float64, met bool) string {
	return r.judge(target{section: section, text: text, got: strconv.FormatFloat(got, 'f', -1, 64), met: met, counted: true})
}

// fact judges what is so or not.
func (r *report) fact(section, text string, met bool) string {
	got := "no"
	if met {
		got = "yes"
	}
	return r.judge(target{section: section, text: text, got: got, met: met, counted: true})
}

// judge notes a target and returns its cell in a table.
func (r *report) judge(t target) string {
	t.decides = t.counted || !r.options.counts
	r.targets = append(r.targets, t)
	return fmt.Sprintf("**%s** (%s)", t.got, t.verdict())
}

func (t target) verdict() string {
	if t.met {
		return "met"
	}
	return "missed"
}

// quiet says which share of the machine other programs had meanwhile. Slices that lie side by side are disturbed alike, but
// who measures on a busy machine should know it.
func (r *report) quiet(others float64) {
	if others < 0.1 {
		return
	}
	r.printf("\nOther programs had %.0f %% of this machine meanwhile: measure times again when they have ended.\n", 100*others)
}

// end prints all targets, and reports whether those that decide were met.
func (r *report) end() bool {
	met, decide := 0, 0
	rows := make([][]string, 0, len(r.targets))
	for _, t := range r.targets {
		verdict := t.verdict()
		switch {
		case !t.decides:
			verdict += ", a time that does not decide here"
		case t.met:
			met++
		}
		if t.decides {
			decide++
		}
		rows = append(rows, []string{t.section, t.text, t.got, verdict})
	}
	r.printf("\n## Targets\n\n")
	r.table([]string{"section", "target", "measured", ""}, rows...)
	r.printf("%d of %d targets met\n", met, decide)
	return met == decide
}

func number(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
