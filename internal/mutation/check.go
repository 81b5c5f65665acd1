package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstTests = 8 // how many tests are tried at first
	atOnce     = 8 // tests run together: many of them wait, for a time-out or a lock
)

// chosen returns the numbers of the places whose names match.
func (p *plan) chosen(match *regexp.Regexp) (numbers []int) {
	for i, at := range p.places {
		if match.MatchString(at.name) {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// check breaks each chosen place and returns those that no test noticed, in their order.
func (p *plan) check(ctx context.Context, out io.Writer, chosen []int, o options) ([]place, error) {
	work, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	b, err := p.build(ctx, work)
	if err != nil {
		return nil, err
	}
	b.timeout = o.timeout
	reach, err := b.reach(ctx, filepath.Join(work, "places"))
	if err != nil {
		return nil, err
	}
	var (
		wait      sync.WaitGroup
		mu        sync.Mutex // guards what follows, and out
		survivors []int
		turns     = make(chan int)
	)
	for range max(1, o.parallel) {
		wait.Go(func() {
			for i := range turns {
				tests := reach[i+1]
				by := b.notices(ctx, i+1, tests)
				mu.Lock()
				if by != "" {
					if o.verbose {
						say(out, "  noticed by %s: %s\n", by, p.places[i].where)
					}
					mu.Unlock()
					continue
				}
				survivors = append(survivors, i)
				say(out, "  not noticed by %d tests: %s\n", len(tests), p.places[i].where)
				mu.Unlock()
			}
		})
	}
	for _, i := range chosen {
		turns <- i
	}
	close(turns)
	wait.Wait()
	slices.Sort(survivors)
	places := make([]place, len(survivors))
	for n, i := range survivors {
		places[n] = p.places[i]
	}
	return places, ctx.Err()
}

// binary is a package's tests with every mutation in it.
type binary struct {
	dir, file string
	timeout   time.Duration
}

// build compiles the package's test binary.
func (p *plan) build(ctx context.Context, work string) (*binary, error) {
	replace := map[string]string{}
	for name, text := range p.files {
		file := filepath.Join(work, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
		replace[name] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlayFile, file := filepath.Join(work, "overlay.json"), filepath.Join(work, "mutants.test")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlayFile, "-o", file, p.dir) //nolint:gosec // a tool of ours, arguments of ours
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", p.dir, err, text)
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%s: no tests", p.dir)
	}
	return &binary{dir: p.dir, file: file}, nil
}

// reach runs each test by itself, with nothing broken, and returns the tests that come by each place; first those that
// come by few other places, because they are the likeliest to be about this one.
func (b *binary) reach(ctx context.Context, log string) (map[int][]string, error) {
	names, err := b.command(ctx, "-test.list", ".").Output()
	if err != nil {
		return nil, err
	}
	reach, visits := map[int][]string{}, map[string]int{}
	for name := range strings.FieldsSeq(string(names)) {
		if strings.HasPrefix(name, "Benchmark") || strings.HasPrefix(name, "TestAlloc") { // the mutations cost allocations
			continue
		}
		cmd := b.command(ctx, "-test.short", "-test.timeout", b.timeout.String(), "-test.run", oneOf(name))
		cmd.Env = append(os.Environ(), logVariable+"="+log)
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %s fails without a mutation: %w\n%s", b.dir, name, err, text)
		}
		visited, err := os.ReadFile(log) //nolint:gosec // written by the test above
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for n := range strings.FieldsSeq(string(visited)) {
			i, err := strconv.Atoi(n)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(reach[i], name) { // two processes of one test may both write
				reach[i] = append(reach[i], name)
				visits[name]++
			}
		}
		_ = os.Remove(log)
	}
	for _, tests := range reach {
		slices.SortStableFunc(tests, func(a, b string) int { return visits[a] - visits[b] })
	}
	return reach, nil
}

// notices runs the tests with one place broken, some at first and always more, and names the first that fails. It has to
// fail by itself as well: on a busy machine some tests fail once for no reason.
func (b *binary) notices(ctx context.Context, mutant int, tests []string) (by string) {
	for n := firstTests; len(tests) > 0; {
		n = min(n, len(tests))
		by = b.failing(ctx, mutant, tests[:n])
		name, _, _ := strings.Cut(strings.Fields(by + " -")[0], "/")
		at := slices.Index(tests[:n], name)
		switch {
		case by == "":
			tests = tests[n:]
			n *= 4
		case at < 0 || b.failing(ctx, mutant, []string{name}) != "":
			return by
		default: // once more, without it
			tests = slices.Delete(slices.Clone(tests), at, at+1)
		}
	}
	return ""
}

// failing runs some tests with one place broken, and names the first that fails, or what else went wrong; "": all pass.
func (b *binary) failing(ctx context.Context, mutant int, tests []string) string {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	// In this form a failed subtest is told at once, not when the whole test is over.
	cmd := b.command(ctx, "-test.v=test2json", "-test.short", "-test.failfast",
		"-test.parallel", strconv.Itoa(atOnce), "-test.run", oneOf(tests...))
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(mutant))
	cmd.Stderr = io.Discard
	pipe, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return "no start"
	}
	failed := ""
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadSlice('\n')
		if _, name, ok := bytes.Cut(line, []byte("--- FAIL: ")); ok {
			failed = string(bytes.TrimSpace(name))
			cancel()
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if err := cmd.Wait(); err != nil && failed == "" {
		return err.Error() // a panic, or no time left
	}
	return failed
}

func (b *binary) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.file, args...) //nolint:gosec // built above
	cmd.Dir = b.dir
	return cmd
}

func oneOf(tests ...string) string { return "^(" + strings.Join(tests, "|") + ")$" }
