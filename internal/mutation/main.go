// Command mutation breaks, one at a time, every place where a package refuses something, runs the package's tests each
// time, and lists the places that no test missed.
//
//	go run ./internal/mutation [-timeout 2m] [-list] ./verify ./rp ./middleware
//
// A place is an if or a case whose body returns an error, false or a refusal (broken: never entered), or a return of
// another function's error (broken: nil). All places of a package are compiled into one test binary, by an overlay that
// leaves the working tree alone; an environment variable says which one is broken.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const variable = "TWOFOLD_MUTANT"

func main() {
	timeout := flag.Duration("timeout", 2*time.Minute, "a test run that takes longer has noticed")
	list := flag.Bool("list", false, "only list the places")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, flag.Args(), *timeout, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, packages []string, timeout time.Duration, list bool) error {
	total, survived := 0, 0
	for _, dir := range packages {
		p, err := newPlan(dir)
		if err != nil {
			return err
		}
		say(out, "%s: %d places\n", dir, len(p.places))
		if list {
			for i, at := range p.places {
				say(out, "%4d %s\n", i+1, at)
			}
			continue
		}
		alive, err := p.check(ctx, out, timeout)
		if err != nil {
			return err
		}
		total += len(p.places)
		survived += alive
	}
	if !list {
		say(out, "%d places broken, %d noticed by a test, %d not\n", total, total-survived, survived)
	}
	return nil
}

// say prints a line of the report; a report that cannot be written is nobody's to mend.
func say(out io.Writer, format string, a ...any) { _, _ = fmt.Fprintf(out, format, a...) }

// check runs the tests once for each place and returns how many were not noticed.
func (p *plan) check(ctx context.Context, out io.Writer, timeout time.Duration) (alive int, err error) {
	work, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	binary, err := p.build(ctx, work)
	if err != nil {
		return 0, err
	}
	if passed, text := p.test(ctx, binary, 0, timeout); !passed {
		return 0, fmt.Errorf("%s: the tests fail without a mutation:\n%s", p.dir, text)
	}
	for i, at := range p.places {
		if passed, _ := p.test(ctx, binary, i+1, timeout); passed {
			alive++
			say(out, "  not noticed: %s\n", at)
		}
	}
	say(out, "%s: %d of %d noticed\n", p.dir, len(p.places)-alive, len(p.places))
	return alive, nil
}

// build compiles the package's test binary with every mutation in it.
func (p *plan) build(ctx context.Context, work string) (string, error) {
	replace := map[string]string{}
	n := 0
	for name, text := range p.files {
		n++
		file := filepath.Join(work, strconv.Itoa(n)+".go")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return "", err
		}
		replace[name] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlayFile, binary := filepath.Join(work, "overlay.json"), filepath.Join(work, "mutants.test")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlayFile, "-o", binary, p.dir) //nolint:gosec // a tool of ours, arguments of ours
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", p.dir, err, text)
	}
	return binary, nil
}

// test runs the binary with one place broken; 0 breaks none.
func (p *plan) test(ctx context.Context, binary string, mutant int, timeout time.Duration) (passed bool, text string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.short", "-test.timeout", timeout.String()) //nolint:gosec // built above
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(mutant))
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	return err == nil && !strings.Contains(b.String(), "FAIL"), b.String()
}
