package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

var sessionRows = []row[middleware.SessionStore]{
	{"G23_an_absent_session_is_ErrNoSession", absent},
	{"a_session_comes_back_to_every_instance", comesBack},
	{"data_of_0_bytes_to_64_KB_comes_back", sizes},
	{"data_belongs_to_the_caller", ownership},
	{"names_of_any_bytes_are_kept_apart", binaryNames},
	{"each_write_has_a_version_of_its_own", versions},
	{"creating_what_exists_is_ErrConflict", createTwice},
	{"G21_a_write_on_an_old_version_is_ErrConflict", oldVersion},
	{"G22_of_parallel_writes_exactly_one_wins", parallelWrites},
	{"of_parallel_creations_exactly_one_wins", parallelCreations},
	{"G09_what_was_deleted_is_not_written_again", noResurrection},
	{"deleting_nothing_is_fine", deleteNothing},
	{"G20_a_session_ends_with_its_TTL", endsWithTTL},
	{"G20_each_write_sets_the_TTL_anew", renewsTTL},
	{"what_has_ended_can_be_created_again", createAfterEnd},
	{"a_TTL_of_nothing_is_an_error", noTTL},
	{"an_ended_context_is_an_error", endedContext},
	{"stores_with_other_prefixes_share_nothing", isolated},
	{"G23_a_store_that_is_down_says_so_and_recovers", down},
}

// opts are those of a session that nothing logs out.
func opts(version uint64) middleware.PutOptions {
	return middleware.PutOptions{Version: version, TTL: life}
}

func create(t *testing.T, s middleware.SessionStore, id, data string) uint64 {
	t.Helper()
	version, err := s.Put(t.Context(), id, []byte(data), opts(0))
	must(t, "Put", err)
	return version
}

func wantSession(t *testing.T, s middleware.SessionStore, id, want string, version uint64) {
	t.Helper()
	data, got, buried, err := s.Load(t.Context(), id)
	must(t, "Load", err)
	if string(data) != want || got != version || !buried.IsZero() {
		t.Errorf("Load: %d bytes, version %d, buried %v; want %d bytes, version %d", len(data), got, buried, len(want), version)
	}
}

func wantAbsent(t *testing.T, s middleware.SessionStore, id string) {
	t.Helper()
	_, _, _, err := s.Load(t.Context(), id)
	wantErr(t, "Load", err, middleware.ErrNoSession)
}

func absent(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	wantAbsent(t, s, id)
	_, err := s.Put(t.Context(), id, []byte("x"), opts(1))
	wantErr(t, "Put on version 1", err, middleware.ErrNoSession)
	wantAbsent(t, s, id)
}

func comesBack(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	one, two, id := open(), open(), unique()
	version := create(t, one, id, "data")
	wantSession(t, one, id, "data", version)
	wantSession(t, two, id, "data", version)
	must(t, "Delete", two.Delete(t.Context(), id))
	wantAbsent(t, one, id)
}

func sizes(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s := open()
	for _, size := range []int{0, 1, 8 << 10, 64 << 10} {
		id := unique()
		data := bytes.Repeat([]byte("\x00\xff\r\n'\"\\%"), size/8+1)[:size]
		wantSession(t, s, id, string(data), create(t, s, id, string(data)))
	}
	id := unique()
	version, err := s.Put(t.Context(), id, nil, opts(0))
	must(t, "Put of nil", err)
	wantSession(t, s, id, "", version)
}

func ownership(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id, data := open(), unique(), []byte("data")
	version, err := s.Put(t.Context(), id, data, opts(0))
	must(t, "Put", err)
	clear(data)
	wantSession(t, s, id, "data", version)
	got, _, _, err := s.Load(t.Context(), id)
	must(t, "Load", err)
	clear(got)
	wantSession(t, s, id, "data", version)
}

func binaryNames(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, base := open(), unique()
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	names := []string{
		base, base + "a", base + "A", base + " ", base + "\x00", base + "%", base + "%00", base + "+", base + "{x}",
		base + "}{", base + ":" + base, base + "*", base + "'", base + `"`, base + "\\", base + "\n", base + "ä", base + "a\u0308",
		base + "\xff\xfe", base + string(all[:]), base + strings.Repeat("long", 60),
	}
	for _, name := range names {
		create(t, s, name, name)
	}
	for _, name := range names {
		data, _, _, err := s.Load(t.Context(), name)
		if err != nil || string(data) != name {
			t.Errorf("Load(%q): %q, %v", name, data, err)
		}
	}
}

func versions(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	seen := map[uint64]bool{0: true}
	version := create(t, s, id, "0")
	for _, data := range []string{"1", "2", "2"} {
		if seen[version] {
			t.Fatalf("version %d again, or 0", version)
		}
		seen[version] = true
		var err error
		version, err = s.Put(t.Context(), id, []byte(data), opts(version))
		must(t, "Put", err)
		wantSession(t, s, id, data, version)
	}
}

func createTwice(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	version := create(t, s, id, "first")
	_, err := s.Put(t.Context(), id, []byte("second"), opts(0))
	wantErr(t, "second Put", err, middleware.ErrConflict)
	wantSession(t, s, id, "first", version)
}

func oldVersion(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	one, two, id := open(), open(), unique()
	old := create(t, one, id, "old")
	version, err := two.Put(t.Context(), id, []byte("new"), opts(old))
	must(t, "Put", err)
	_, err = one.Put(t.Context(), id, []byte("late"), opts(old))
	wantErr(t, "Put on the old version", err, middleware.ErrConflict)
	_, err = one.Put(t.Context(), id, []byte("made up"), opts(version+1))
	wantErr(t, "Put on a version that never was", err, middleware.ErrConflict)
	wantSession(t, one, id, "new", version)
}

// race lets both stores write at once, many times, and returns how many have won, lost, and the winner's version.
func race(t *testing.T, stores []middleware.SessionStore, id string, o middleware.PutOptions) (won, lost int, version uint64) {
	t.Helper()
	var wg sync.WaitGroup
	var wins, conflicts, winner atomic.Uint64
	for i := range 16 {
		wg.Go(func() {
			v, err := stores[i%len(stores)].Put(t.Context(), id, []byte("raced"), o)
			switch {
			case err == nil:
				wins.Add(1)
				winner.Store(v)
			case errors.Is(err, middleware.ErrConflict):
				conflicts.Add(1)
			default:
				t.Errorf("Put: %v", err)
			}
		})
	}
	wg.Wait()
	return int(wins.Load()), int(conflicts.Load()), winner.Load() //nolint:gosec // at most 16
}

func parallelWrites(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	stores, id := []middleware.SessionStore{open(), open()}, unique()
	version := create(t, stores[0], id, "0")
	for range 8 {
		won, lost, next := race(t, stores, id, opts(version))
		if won != 1 || lost != 15 {
			t.Fatalf("%d writes won, %d lost; want 1 and 15", won, lost)
		}
		version = next
		wantSession(t, stores[0], id, "raced", version)
	}
}

func parallelCreations(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	stores, id := []middleware.SessionStore{open(), open()}, unique()
	won, lost, version := race(t, stores, id, opts(0))
	if won != 1 || lost != 15 {
		t.Fatalf("%d creations won, %d lost; want 1 and 15", won, lost)
	}
	wantSession(t, stores[1], id, "raced", version)
}

func noResurrection(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	one, two, id := open(), open(), unique()
	version := create(t, one, id, "data")
	must(t, "Delete", two.Delete(t.Context(), id))
	_, err := one.Put(t.Context(), id, []byte("again"), opts(version))
	wantErr(t, "Put", err, middleware.ErrNoSession)
	wantAbsent(t, two, id)
}

func deleteNothing(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	must(t, "Delete", s.Delete(t.Context(), id))
	create(t, s, id, "data")
	must(t, "Delete", s.Delete(t.Context(), id))
	must(t, "Delete again", s.Delete(t.Context(), id))
	wantAbsent(t, s, id)
}

func isGone(t *testing.T, s middleware.SessionStore, id string) func() bool {
	return func() bool {
		_, _, _, err := s.Load(t.Context(), id)
		if err != nil && !errors.Is(err, middleware.ErrNoSession) {
			t.Fatalf("Load: %v", err)
		}
		return err != nil
	}
}

func endsWithTTL(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id, begun := open(), unique(), now()
	version, err := s.Put(t.Context(), id, []byte("short"), middleware.PutOptions{TTL: shortLife})
	must(t, "Put", err)
	endsAfter(t, begun, shortLife, "the session ends", isGone(t, s, id))
	_, err = s.Put(t.Context(), id, []byte("late"), opts(version))
	wantErr(t, "Put on a session that has ended", err, middleware.ErrNoSession)
	wantAbsent(t, s, id)
}

func renewsTTL(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, longer, shorter, begun := open(), unique(), unique(), now()
	version, err := s.Put(t.Context(), longer, []byte("x"), middleware.PutOptions{TTL: 10 * shortLife})
	must(t, "Put", err)
	_, err = s.Put(t.Context(), longer, []byte("y"), opts(version))
	must(t, "Put", err)
	version = create(t, s, shorter, "x")
	_, err = s.Put(t.Context(), shorter, []byte("y"), middleware.PutOptions{Version: version, TTL: shortLife})
	must(t, "Put", err)
	endsAfter(t, begun, shortLife, "the session with the shorter TTL ends", isGone(t, s, shorter))
	if isGone(t, s, longer)() {
		t.Error("the session with the longer TTL has ended")
	}
}

func createAfterEnd(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	_, err := s.Put(t.Context(), id, []byte("first"), middleware.PutOptions{TTL: shortLife})
	must(t, "Put", err)
	eventually(t, "the session ends", isGone(t, s, id))
	wantSession(t, s, id, "second", create(t, s, id, "second"))
}

func noTTL(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond} {
		_, err := s.Put(t.Context(), id, []byte("x"), middleware.PutOptions{TTL: ttl})
		wantDown(t, "Put with TTL "+ttl.String(), err)
	}
	wantAbsent(t, s, id)
}

func endedContext(t *testing.T, _ Suite, open func() middleware.SessionStore) {
	s, id := open(), unique()
	version := create(t, s, id, "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, _, err := s.Load(ctx, id)
	wantErr(t, "Load", err, context.Canceled)
	_, err = s.Put(ctx, id, []byte("x"), opts(version))
	wantErr(t, "Put", err, context.Canceled)
	wantErr(t, "Delete", s.Delete(ctx, id), context.Canceled)
	wantSession(t, s, id, "data", version)
}

func isolated(t *testing.T, s Suite, open func() middleware.SessionStore) {
	one, two, id := open(), other[middleware.SessionStore](t, s), unique()
	version := create(t, one, id, "one")
	wantAbsent(t, two, id)
	must(t, "Delete", two.Delete(t.Context(), id))
	create(t, two, id, "two")
	wantSession(t, one, id, "one", version)
}

func down(t *testing.T, s Suite, open func() middleware.SessionStore) {
	store, id := open(), unique()
	version := create(t, store, id, "data")
	mend := s.cut(t, store)
	_, _, _, err := store.Load(t.Context(), id, "a tomb")
	wantDown(t, "Load", err)
	_, _, _, err = store.Load(t.Context(), unique())
	wantDown(t, "Load of an absent session", err)
	_, err = store.Put(t.Context(), id, []byte("x"), opts(version))
	wantDown(t, "Put", err)
	wantDown(t, "Delete", store.Delete(t.Context(), id))
	mend()
	eventually(t, "the store recovers", func() bool {
		_, _, _, err := store.Load(t.Context(), id)
		if errors.Is(err, middleware.ErrNoSession) {
			t.Fatal("the session was lost, or the store said so while it was not sure")
		}
		return err == nil
	})
	wantSession(t, store, id, "data", version)
}
