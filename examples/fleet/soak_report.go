package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// What an instance may use more at the end than in the middle. Its connections come and go, and so do the sessions that
// it has renewed in the last minute or two, which it remembers: with 2,000 sessions about 2 MB, more or less.
const (
	moreHeap       = 4 << 20
	moreGoroutines = 24
	moreFiles      = 16
)

// measure asks each instance what it uses when nothing is under way.
func (s *soak) measure(ctx context.Context) ([]figures, error) {
	s.http.CloseIdleConnections()
	s.fleet.balancer.transport.CloseIdleConnections()
	timer := time.NewTimer(time.Second) // for the other ends to notice
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	var all []figures
	for _, i := range s.fleet.instances {
		f, err := i.figures()
		if err != nil {
			return nil, fmt.Errorf("instance %s: %w", i.Name, err)
		}
		all = append(all, f)
	}
	return all, nil
}

// report prints what came of it, and returns an error unless all of it was right.
func (s *soak) report(w io.Writer, took time.Duration) error {
	total, refused := 0, 0
	for _, name := range slices.Sorted(maps.Keys(s.good)) {
		_, _ = fmt.Fprintf(w, "%7d good   %s\n", s.good[name], name)
		total += s.good[name]
	}
	for _, name := range slices.Sorted(maps.Keys(s.refused)) {
		_, _ = fmt.Fprintf(w, "%7d REFUSED %s\n", s.refused[name], name)
		refused += s.refused[name]
	}
	for _, text := range s.lost[:min(10, len(s.lost))] {
		_, _ = fmt.Fprintf(w, "LOST    %s\n", text)
	}
	for _, text := range s.letIn[:min(10, len(s.letIn))] {
		_, _ = fmt.Fprintf(w, "LET IN  %s\n", text)
	}
	_, _ = fmt.Fprintf(w, "%d requests and %d calls of the token endpoint in %v; of %d operations %d were good, %d refused by an error;\n"+
		"sessions lost: %d; let in after a logout: %d\n", s.requests.Load(), s.fleet.op.Calls("/oauth/token"), took.Round(time.Second),
		total+refused+len(s.lost)+len(s.letIn), total, refused, len(s.lost), len(s.letIn))
	err := s.growth(w)
	if refused+len(s.lost)+len(s.letIn) > 0 {
		err = errors.Join(errors.New("not every operation was good"), err)
	}
	return err
}

// growth prints what each instance used, and returns an error if it grew.
func (s *soak) growth(w io.Writer) (err error) {
	_, _ = fmt.Fprintf(w, "instance            heap   resident  goroutines  files\n")
	for i, name := range names {
		for when, word := range []string{"start", "middle", "end"} {
			f := s.figures[when][i]
			_, _ = fmt.Fprintf(w, "%-8s  %-6s %4d KiB  %5d KiB  %10d  %5d\n", name, word, f.Heap>>10, f.Resident>>10, f.Goroutines, f.Files)
		}
		middle, end := s.figures[1][i], s.figures[2][i]
		if end.Heap > middle.Heap+middle.Heap/10+moreHeap || end.Goroutines > middle.Goroutines+moreGoroutines || end.Files > middle.Files+moreFiles {
			err = errors.Join(err, fmt.Errorf("instance %s grew", name))
		}
	}
	if err == nil {
		_, _ = fmt.Fprintln(w, "memory, goroutines and files are flat")
	}
	return err
}
