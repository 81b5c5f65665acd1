package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

var tombstoneRows = []row[middleware.Tombstones]{
	{"what_nobody_buried_is_zero", notBuried},
	{"I07_the_latest_time_is_kept", latestTime},
	{"the_longest_life_is_kept", longestLife},
	{"of_many_tombs_the_latest_time_counts", manyTombs},
	{"times_are_exact_to_the_microsecond", exactTimes},
	{"names_of_any_bytes_are_kept_apart", binaryTombs},
	{"a_tomb_ends_with_its_TTL", tombEnds},
	{"a_TTL_of_nothing_is_an_error", noTombTTL},
	{"an_ended_context_is_an_error", tombContext},
	{"stores_with_other_prefixes_share_nothing", isolatedTombs},
	{"G23_a_store_that_is_down_says_so", tombsDown},
	{"I12_Load_tells_what_was_buried", loadTells},
	{"I12_a_buried_login_is_not_written", buriedIsRefused},
	{"E19_a_buried_session_is_not_replaced", buriedIsNotReplaced},
	{"I13_a_later_login_is_written", laterLogin},
	{"I12_of_Bury_and_Put_at_once_the_session_dies", buryRace},
}

// login is a time of the provider's clock, which is not the store's.
var login = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func bury(t *testing.T, s middleware.Tombstones, tomb string, at time.Time) {
	t.Helper()
	must(t, "Bury", s.Bury(t.Context(), tomb, at, life))
}

func wantBuried(t *testing.T, s middleware.Tombstones, want time.Time, tombs ...string) {
	t.Helper()
	at, err := s.Buried(t.Context(), tombs...)
	must(t, "Buried", err)
	if !at.Equal(want) {
		t.Errorf("Buried: %v, want %v", at, want)
	}
}

func notBuried(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s := open()
	wantBuried(t, s, time.Time{})
	wantBuried(t, s, time.Time{}, unique())
	wantBuried(t, s, time.Time{}, unique(), unique())
}

func latestTime(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	one, two, tomb := open(), open(), unique()
	bury(t, one, tomb, login)
	bury(t, two, tomb, login.Add(time.Second))
	bury(t, one, tomb, login.Add(-time.Hour))
	wantBuried(t, one, login.Add(time.Second), tomb)
	bury(t, two, tomb, login.Add(time.Second))
	wantBuried(t, two, login.Add(time.Second), tomb)
}

func longestLife(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s, long, short, begun := open(), unique(), unique(), now()
	must(t, "Bury", s.Bury(t.Context(), short, login, shortLife))
	bury(t, s, long, login)
	must(t, "Bury", s.Bury(t.Context(), long, login.Add(time.Second), shortLife))
	endsAfter(t, begun, shortLife, "the other tomb ends", func() bool { return isZero(t, s, short) })
	wantBuried(t, s, login.Add(time.Second), long)
}

func isZero(t *testing.T, s middleware.Tombstones, tomb string) bool {
	t.Helper()
	at, err := s.Buried(t.Context(), tomb)
	must(t, "Buried", err)
	return at.IsZero()
}

func manyTombs(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s := open()
	tombs := make([]string, 40)
	for i := range tombs {
		tombs[i] = unique()
		if i%3 == 0 {
			bury(t, s, tombs[i], login.Add(-time.Duration(i)*time.Minute))
		}
	}
	wantBuried(t, s, login, tombs...)
	wantBuried(t, s, login.Add(-3*time.Minute), tombs[1:]...)
}

func exactTimes(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s := open()
	for _, at := range []time.Time{login.Add(123456 * time.Microsecond), time.Unix(1, 0), time.Date(2200, 1, 1, 0, 0, 0, 1000, time.UTC)} {
		tomb := unique()
		bury(t, s, tomb, at.Add(999*time.Nanosecond))
		wantBuried(t, s, at, tomb)
	}
}

func binaryTombs(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s, base := open(), unique()
	names := []string{base, base + "A", base + "a", base + "\x00", base + " ", base + `"`, base + ",", base + "}", base + "{", base + "\xff", base + `\`, base + "%5C"}
	for i, name := range names {
		bury(t, s, name, login.Add(time.Duration(i)*time.Second))
	}
	for i, name := range names {
		wantBuried(t, s, login.Add(time.Duration(i)*time.Second), name)
	}
	wantBuried(t, s, login.Add(time.Duration(len(names)-1)*time.Second), names...)
}

func tombEnds(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s, tomb, begun := open(), unique(), now()
	must(t, "Bury", s.Bury(t.Context(), tomb, login, shortLife))
	endsAfter(t, begun, shortLife, "the tomb ends", func() bool { return isZero(t, s, tomb) })
	bury(t, s, tomb, login.Add(-time.Hour))
	wantBuried(t, s, login.Add(-time.Hour), tomb)
}

func noTombTTL(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s, tomb := open(), unique()
	wantDown(t, "Bury with TTL 0", s.Bury(t.Context(), tomb, login, 0))
	wantBuried(t, s, time.Time{}, tomb)
}

func tombContext(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	s, tomb := open(), unique()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "Bury", s.Bury(ctx, tomb, login, life), context.Canceled)
	_, err := s.Buried(ctx, tomb)
	wantErr(t, "Buried", err, context.Canceled)
}

func isolatedTombs(t *testing.T, s Suite, open func() middleware.Tombstones) {
	one, two, tomb := open(), other[middleware.Tombstones](t, s), unique()
	bury(t, one, tomb, login)
	wantBuried(t, two, time.Time{}, tomb)
}

func tombsDown(t *testing.T, s Suite, open func() middleware.Tombstones) {
	store, tomb := open(), unique()
	bury(t, store, tomb, login)
	mend := s.cut(t, store)
	_, err := store.Buried(t.Context(), tomb)
	wantDown(t, "Buried", err)
	wantDown(t, "Bury", store.Bury(t.Context(), tomb, login, life))
	mend()
	eventually(t, "the store recovers", func() bool {
		at, err := store.Buried(t.Context(), tomb)
		return err == nil && at.Equal(login)
	})
}

// both returns the store as a SessionStore too and ends the row if it is none.
func both(t *testing.T, open func() middleware.Tombstones) (middleware.SessionStore, middleware.Tombstones) {
	t.Helper()
	tombs := open()
	store, ok := tombs.(middleware.SessionStore)
	if !ok {
		t.Skip("the store keeps no sessions")
	}
	return store, tombs
}

func loadTells(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	store, tombs := both(t, open)
	id, sid, sub := unique(), unique(), unique()
	_, err := store.Put(t.Context(), id, []byte("x"), middleware.PutOptions{TTL: life, Tombs: []string{sid, sub}, Issued: login})
	must(t, "Put", err)
	wantLoad := func(what, id string, want time.Time, wantError error, names ...string) {
		t.Helper()
		_, _, buried, err := store.Load(t.Context(), id, names...)
		wantErr(t, what, err, wantError)
		if !buried.Equal(want) {
			t.Errorf("%s: buried %v, want %v", what, buried, want)
		}
	}
	wantLoad("nothing buried", id, time.Time{}, nil, sid, sub)
	bury(t, tombs, sub, login.Add(-time.Minute))
	wantLoad("buried before the login", id, login.Add(-time.Minute), nil, sid, sub)
	bury(t, tombs, sid, login.Add(time.Minute))
	wantLoad("buried after the login", id, login.Add(time.Minute), nil, sid, sub)
	wantLoad("only the asked tombs count", id, login.Add(-time.Minute), nil, sub)
	wantLoad("an absent session", unique(), login.Add(time.Minute), middleware.ErrNoSession, sub, sid)
}

func buriedIsRefused(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	store, tombs := both(t, open)
	sid, sub := unique(), unique()
	bury(t, tombs, sub, login)
	for what, issued := range map[string]time.Time{
		"at the login": login, "after it": login.Add(-time.Microsecond), "without Issued": {}, "in the same microsecond": login.Add(999),
	} {
		id := unique()
		_, err := store.Put(t.Context(), id, []byte("x"), middleware.PutOptions{TTL: life, Tombs: []string{sid, sub}, Issued: issued})
		wantErr(t, "Put, buried "+what, err, middleware.ErrNoSession)
		wantAbsent(t, store, id)
	}
}

func buriedIsNotReplaced(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	store, tombs := both(t, open)
	id, sid := unique(), unique()
	o := middleware.PutOptions{TTL: life, Tombs: []string{unique(), sid}, Issued: login}
	version, err := store.Put(t.Context(), id, []byte("old"), o)
	must(t, "Put", err)
	bury(t, tombs, sid, login.Add(time.Second))
	o.Version = version
	_, err = store.Put(t.Context(), id, []byte("refreshed"), o)
	wantErr(t, "Put", err, middleware.ErrNoSession)
	if data, _, _, err := store.Load(t.Context(), id); err == nil && string(data) != "old" {
		t.Errorf("Load: %q was written", data)
	}
}

func laterLogin(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	store, tombs := both(t, open)
	id, sub := unique(), unique()
	bury(t, tombs, sub, login)
	_, err := store.Put(t.Context(), id, []byte("x"), middleware.PutOptions{TTL: life, Tombs: []string{sub}, Issued: login.Add(time.Microsecond)})
	must(t, "Put of a login that is later than the logout", err)
}

// buryRace: whatever comes first, the session is not written, or Load tells that it is dead.
func buryRace(t *testing.T, _ Suite, open func() middleware.Tombstones) {
	store, tombs := both(t, open)
	for range 20 {
		id, sid := unique(), unique()
		done := make(chan error, 1)
		go func() { done <- tombs.Bury(t.Context(), sid, login, life) }()
		_, err := store.Put(t.Context(), id, []byte("x"), middleware.PutOptions{TTL: life, Tombs: []string{sid}, Issued: login})
		if err != nil && !errors.Is(err, middleware.ErrConflict) { // after a conflict the caller reads again
			wantErr(t, "Put", err, middleware.ErrNoSession)
		}
		must(t, "Bury", <-done)
		if _, _, buried, err := store.Load(t.Context(), id, sid); err == nil && buried.Before(login) {
			t.Fatal("the session lives")
		}
	}
}
