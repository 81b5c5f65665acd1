package main

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// user names a user for ever and everywhere: subjects are the provider's.
type user struct{ issuer, subject string }

// jobs are what a real app has in its database: whom the worker works for, and what it has done. A grant is as secret
// as a password.
type jobs struct {
	mu     sync.Mutex // guards both
	grants map[user]string
	rounds []round
}

// round is what the worker did at one time, newest first in jobs.
type round struct {
	At      time.Time
	Entries []entry
}

// entry is one thing that it did.
type entry struct {
	As     string // whose token it was
	What   string
	Answer string
	Failed bool
}

const maxRounds = 4

func newJobs() *jobs { return &jobs{grants: map[user]string{}} }

func (j *jobs) add(u user, grant string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.grants[u] = grant
}

func (j *jobs) remove(u user) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.grants, u)
}

// grantOf is "" for a user who has not allowed anything.
func (j *jobs) grantOf(u user) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.grants[u]
}

// users are sorted, so that a page is the same each time.
func (j *jobs) users() []user {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []user
	for u := range j.grants {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b user) int { return strings.Compare(a.subject+" "+a.issuer, b.subject+" "+b.issuer) })
	return all
}

func (j *jobs) done(r round) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.rounds = slices.Insert(j.rounds, 0, r)
	j.rounds = j.rounds[:min(len(j.rounds), maxRounds)]
}

func (j *jobs) log() []round {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.rounds)
}
