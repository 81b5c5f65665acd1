package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// soakPlan says how long a soak lasts, with how many sessions and operations a second.
type soakPlan struct {
	length         time.Duration
	sessions, rate int
}

// workers are how many operations may be under way at once.
const workers = 8

// soak is a fleet under a load that it should bear for ever.
type soak struct {
	soakPlan
	fleet    *fleet
	users    []*user
	http     *http.Client
	requests atomic.Int64

	mu      sync.Mutex // guards what follows
	good    map[string]int
	refused map[string]int // by operation and reason
	lost    []string       // sessions that should have lived
	letIn   []string       // sessions that should have been over
	figures [3][]figures   // start, middle, end: of each instance
}

// runSoak starts a fleet on free ports, logs in as many sessions as p says, and then uses them: requests, refreshes,
// logouts of all kinds, and logins again. It returns an error unless every session lived as long as it should, none
// longer, nothing else was refused, and no instance uses more at the end than in the middle.
func runSoak(ctx context.Context, w io.Writer, p soakPlan) (err error) {
	if p.sessions < 2 || p.rate < 1 || p.length < 5*time.Second {
		return errors.New("-soak: at least 5s, with at least 2 -sessions and 1 operation a second (-rate)")
	}
	f, err := plan{
		listen: "localhost:0", provider: "127.0.0.1:0", quiet: true,
		config: optest.Config{AccessTokenLifetime: min(time.Minute, max(4*time.Second, p.length/10))},
	}.start(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	s := newSoak(f, p)
	_, _ = fmt.Fprintf(w, "Three instances, sessions in %s. %d sessions of %d users, %d operations a second, %v.\n",
		f.what, p.sessions, len(s.users), p.rate, p.length)
	began := time.Now()
	s.fill(ctx)
	s.use(ctx, p.length/10) // connections and caches are there after that
	_, _ = fmt.Fprintf(w, "All logged in after %v.\n", time.Since(began).Round(time.Second))
	for i, part := range []time.Duration{0, p.length * 9 / 20, p.length * 9 / 20} {
		s.use(ctx, part)
		if s.figures[i], err = s.measure(ctx); err != nil {
			return err
		}
	}
	s.last(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.report(w, time.Since(began))
}

func newSoak(f *fleet, p soakPlan) *soak {
	s := &soak{soakPlan: p, fleet: f, good: map[string]int{}, refused: map[string]int{}}
	s.http = &http.Client{
		Transport:     counted{&http.Transport{MaxIdleConnsPerHost: 4 * workers}, &s.requests},
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for i := range p.sessions / 2 {
		u := &user{soak: s, name: "user" + strconv.Itoa(i)}
		for range 2 {
			u.devices = append(u.devices, &visit{browser: optest.NewBrowser(s.http)})
		}
		s.users = append(s.users, u)
	}
	return s
}

// counted counts requests.
type counted struct {
	*http.Transport
	n *atomic.Int64
}

// RoundTrip implements [http.RoundTripper].
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.Transport.RoundTrip(r)
}

// fill logs everybody in.
func (s *soak) fill(ctx context.Context) {
	next := 0
	s.paced(ctx, func() (op func(), ok bool) {
		if next == len(s.users)*2 {
			return nil, false
		}
		u, device := s.users[next/2], next%2
		next++
		return func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.logIn(ctx, u.devices[device])
		}, true
	})
}

// use does one operation after the other for so long.
func (s *soak) use(ctx context.Context, length time.Duration) {
	end := time.Now().Add(length)
	s.paced(ctx, func() (op func(), ok bool) {
		if !time.Now().Before(end) {
			return nil, false
		}
		u := s.users[random(len(s.users))]
		return func() {
			if u.mu.TryLock() { // else another operation of this user is under way
				defer u.mu.Unlock()
				u.act(ctx)
			}
		}, true
	})
}

// last asks for every session once more.
func (s *soak) last(ctx context.Context) {
	next := 0
	s.paced(ctx, func() (op func(), ok bool) {
		if next == len(s.users) {
			return nil, false
		}
		u := s.users[next]
		next++
		return func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			for _, v := range u.devices {
				u.ask(ctx, v, "last look")
			}
		}, true
	})
}

// paced runs operations, at most rate a second and workers at once, until next has no more or ctx ends.
func (s *soak) paced(ctx context.Context, next func() (op func(), ok bool)) {
	pace := time.NewTicker(time.Second / time.Duration(s.rate))
	defer pace.Stop()
	var working sync.WaitGroup
	defer working.Wait()
	places := make(chan struct{}, workers)
	for ctx.Err() == nil {
		op, ok := next()
		if !ok {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		places <- struct{}{}
		working.Go(func() {
			defer func() { <-places }()
			op()
		})
	}
}

// random is a number below n, for the choice of an operation.
func random(n int) int {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n)) //nolint:gosec // n is small and positive
}

// count notes how an operation ended; reason is "" if it ended well.
func (s *soak) count(operation, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason == "" {
		s.good[operation]++
		return
	}
	s.refused[operation+": "+reason]++
}
