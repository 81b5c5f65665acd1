// Command mutation breaks, one at a time, every place where a package refuses something, runs the tests that come by
// there, and lists the places that no test missed.
//
//	go run ./internal/mutation [-timeout 2m] [-parallel 2] [-files name.go,…] [-match regexp] [-list] [-open] [-v] ./verify ./rp ./middleware
//
// A place is an if or a case whose body returns an error or false or calls what refuses, or a part of such a condition
// between two || (broken: never true), a part of a returned condition between two && (broken: always true), or a return
// of another function's error (broken: nil). All places of a package are compiled into one test binary, by an overlay
// that leaves the working tree alone; an environment variable says which one is broken. Each test runs once by itself
// before, and says which places it comes by: the others cannot notice. Of the tests that come by a place those that come
// by few others are tried first.
//
// Some places cannot be noticed, because a later check refuses the same: explained.txt names them and that check. The
// command fails if a place is not noticed and not explained.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	variable    = "TWOFOLD_MUTANT"
	logVariable = "TWOFOLD_MUTANT_LOG"
)

//go:embed explained.txt
var explainedText string

// options are the flags.
type options struct {
	timeout  time.Duration
	parallel int
	files    []string       // base names; none: all
	match    *regexp.Regexp // of places' names
	list     bool
	open     bool // leave out what explained.txt names
	verbose  bool
}

var errSurvivors = errors.New("places that no test missed, and that explained.txt does not name")

func main() {
	var o options
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "a test run that takes longer has noticed")
	flag.IntVar(&o.parallel, "parallel", 1, "how many places are broken at the same time")
	files := flag.String("files", "", "only the places of these files, with commas between them")
	match := flag.String("match", "", "only the places whose names, as in explained.txt, match this expression")
	flag.BoolVar(&o.list, "list", false, "only list the places")
	flag.BoolVar(&o.open, "open", false, "do not break the places that explained.txt names")
	flag.BoolVar(&o.verbose, "v", false, "say which test noticed")
	flag.Parse()
	if *files != "" {
		o.files = strings.Split(*files, ",")
	}
	o.match = regexp.MustCompile(*match)
	if err := run(context.Background(), os.Stdout, flag.Args(), o); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, packages []string, o options) error {
	explained := parseExplained(explainedText)
	left := 0
	for _, dir := range packages {
		p, err := newPlan(dir, o.files)
		if err != nil {
			return err
		}
		chosen := p.chosen(o.match)
		say(out, "%s: %d places\n", dir, len(chosen))
		if o.list {
			for _, i := range chosen {
				say(out, "%4d %s\n", i+1, p.places[i].where)
			}
			continue
		}
		broken := chosen
		if o.open {
			broken = slices.DeleteFunc(slices.Clone(chosen), func(i int) bool { return explained[p.places[i].name] != "" })
		}
		survivors, err := p.check(ctx, out, broken, o)
		if err != nil {
			return err
		}
		named := 0
		for _, at := range survivors {
			if reason, ok := explained[at.name]; ok {
				named++
				say(out, "  explained: %s: %s\n", at.where, reason)
			}
		}
		unnoticed := len(survivors) - named
		left += unnoticed
		behind := len(chosen) - len(broken) + named
		say(out, "%s: %d places, %d noticed, %d explained, %d not noticed\n",
			dir, len(chosen), len(broken)-len(survivors), behind, unnoticed)
	}
	if left > 0 {
		return fmt.Errorf("%d %w", left, errSurvivors)
	}
	return nil
}

// parseExplained reads lines of a place's name, a tab and the check that refuses as well.
func parseExplained(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		name, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		m[name] = reason
	}
	return m
}

// say prints a line of the report; a report that cannot be written is nobody's to mend.
func say(out io.Writer, format string, a ...any) { _, _ = fmt.Fprintf(out, format, a...) }
