// Package storetest is the contract of a session store as tests: what package middleware relies on, each line of it a
// subtest with a name. redisstore and sqlstore pass it; run it on a store of your own before you use it:
//
//	func TestStore(t *testing.T) {
//		storetest.Suite{Open: func(t *testing.T) any { return mystore.New(dial(t)) }}.Run(t)
//	}
//
// What the store implements is tested: [middleware.SessionStore], [middleware.SessionLister], [middleware.Locker],
// [middleware.Tombstones], and gorilla's sessions.Store. Unlike testing/slogtest, whose one test function returns its
// errors, this suite imports testing: rows run in parallel, have names to select and to except, and take time, because
// they wait for time to live to pass on the store's own clock (five seconds in all).
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

// Suite says which store is tested, and how.
type Suite struct {
	// Open returns a store with connections of its own, as another instance of the app has, on the same data as every
	// store that Open returns. The suite leaves nothing that outlives a minute, and disturbs no sessions of others.
	// Required.
	Open func(t *testing.T) any
	// Other returns a store on the same server that must share nothing with Open's: another prefix, another schema.
	// nil: isolation is not tested.
	Other func(t *testing.T) any
	// Cut separates a store that Open returned from its server, until mend is called. nil: it is not tested what the
	// store does then.
	Cut func(t *testing.T, store any) (mend func())
	// Except has the names of rows, such as "gorilla/G01_an_ID_of_a_stranger_is_not_adopted", that the store cannot
	// pass, and why. They are skipped with that reason; a name that is no row's fails the suite.
	Except map[string]string
}

// row is one test of the contract.
type row[S any] struct {
	name string
	test func(t *testing.T, s Suite, open func() S)
}

// Run tests everything that the store implements. It fails if that is nothing.
func (s Suite) Run(t *testing.T) {
	unknown := map[string]bool{}
	for name := range s.Except {
		unknown[name] = true
	}
	groups := 0
	groups += run(t, s, unknown, "sessions", sessionRows)
	groups += run(t, s, unknown, "lister", listerRows)
	groups += run(t, s, unknown, "locker", lockerRows)
	groups += run(t, s, unknown, "tombstones", tombstoneRows)
	groups += run(t, s, unknown, "gorilla", gorillaRows)
	if groups == 0 {
		t.Errorf("%T implements none of the interfaces", s.Open(t))
	}
	for name := range unknown {
		t.Errorf("Except: there is no row %q", name)
	}
}

// lister is what the rows about lists need.
type lister interface {
	middleware.SessionStore
	middleware.SessionLister
}

// run runs one group if the store implements S.
func run[S any](t *testing.T, s Suite, unknown map[string]bool, group string, rows []row[S]) int {
	t.Helper()
	for _, r := range rows {
		delete(unknown, group+"/"+r.name)
	}
	if _, ok := s.Open(t).(S); !ok {
		t.Logf("not tested: %s, the store does not implement %T", group, (*S)(nil))
		return 0
	}
	t.Run(group, func(t *testing.T) {
		t.Parallel()
		for _, r := range rows {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				if why, ok := s.Except[group+"/"+r.name]; ok {
					t.Skip(why)
				}
				r.test(t, s, func() S { return open[S](t, s.Open) })
			})
		}
	})
	return 1
}

// open returns a store as S.
func open[S any](t *testing.T, f func(*testing.T) any) S {
	t.Helper()
	store, ok := f(t).(S)
	if !ok {
		t.Fatalf("a store does not implement %T as the first one did", (*S)(nil))
	}
	return store
}

const (
	shortLife = 500 * time.Millisecond // waited for
	life      = time.Minute            // not waited for
	beat      = 10 * time.Millisecond
)

// patience is the longest wait for what must happen.
var patience = time.Minute

// unique returns a name that no other row has.
func unique() string { return rand.Text() }

// now is the clock by which the suite measures.
func now() time.Time { return time.Now() } //nolint:forbidigo // time to live passes on a real clock

// eventually waits for what must happen.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for !happened() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %v still waiting: %s", patience, what)
		case <-tick.C:
		}
	}
}

// slack is by how much two clocks may disagree about a short life.
const slack = 10 * time.Millisecond

// endsAfter waits until gone reports true, and fails if that is earlier than life after begun.
func endsAfter(t *testing.T, begun time.Time, life time.Duration, what string, gone func() bool) {
	t.Helper()
	eventually(t, what, gone)
	if took := now().Sub(begun); took < life-slack {
		t.Errorf("%s after %v, want at least %v", what, took, life)
	}
}

// wantErr fails unless err is want.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// wantDown fails unless err says that nobody knows.
func wantDown(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, middleware.ErrNoSession) || errors.Is(err, middleware.ErrConflict) {
		t.Errorf("%s: error %v, want one that is neither ErrNoSession nor ErrConflict", what, err)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// cut separates store from its server and ends the row if the suite cannot.
func (s Suite) cut(t *testing.T, store any) (mend func()) {
	t.Helper()
	if s.Cut == nil {
		t.Skip("Suite.Cut is nil")
	}
	return s.Cut(t, store)
}

// other returns a store that shares nothing and ends the row if the suite has none.
func other[S any](t *testing.T, s Suite) S {
	t.Helper()
	if s.Other == nil {
		t.Skip("Suite.Other is nil")
	}
	return open[S](t, s.Other)
}
