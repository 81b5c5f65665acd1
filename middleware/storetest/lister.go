package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

var listerRows = []row[lister]{
	{"nobody_has_no_sessions", listNone},
	{"G34_all_sessions_of_a_tomb_and_no_others", listAll},
	{"a_limit_is_kept_and_the_longest_come_first", listLimit},
	{"G34_the_end_of_one_session_hides_no_other", listSurvivor},
	{"G34_a_rewritten_session_is_listed_once", listRewritten},
	{"a_write_with_other_tombs_moves_the_session", listMoved},
	{"names_of_any_bytes_are_kept_apart", listBinary},
	{"an_ended_context_is_an_error", listContext},
	{"stores_with_other_prefixes_share_nothing", listIsolated},
	{"G23_a_store_that_is_down_says_so", listDown},
}

// device creates a session of tombs.
func device(t *testing.T, s middleware.SessionStore, id string, ttl time.Duration, tombs ...string) uint64 {
	t.Helper()
	version, err := s.Put(t.Context(), id, []byte("data of "+id), middleware.PutOptions{TTL: ttl, Tombs: tombs, Issued: login})
	must(t, "Put", err)
	return version
}

// listed returns the IDs of a tomb's sessions, and checks what else is known of them.
func listed(t *testing.T, s lister, tomb string) []string {
	t.Helper()
	found, err := s.Sessions(t.Context(), tomb, 1000)
	must(t, "Sessions", err)
	var ids []string
	for _, one := range found {
		ids = append(ids, one.ID)
		if one.Version == 0 || len(one.Data) == 0 {
			t.Errorf("Sessions: version %d, %d bytes of data", one.Version, len(one.Data))
		}
	}
	slices.Sort(ids)
	return ids
}

func wantListed(t *testing.T, s lister, tomb string, ids ...string) {
	t.Helper()
	slices.Sort(ids)
	if got := listed(t, s, tomb); !slices.Equal(got, ids) {
		t.Errorf("Sessions: %q, want %q", got, ids)
	}
}

func listNone(t *testing.T, _ Suite, open func() lister) { wantListed(t, open(), unique()) }

func listAll(t *testing.T, _ Suite, open func() lister) {
	one, two, sub, friend := open(), open(), unique(), unique()
	phone, laptop, foreign := unique(), unique(), unique()
	version := device(t, one, phone, life, unique(), sub)
	device(t, two, laptop, life, sub)
	device(t, two, foreign, life, friend)
	device(t, two, unique(), life)
	wantListed(t, one, sub, phone, laptop)
	wantListed(t, two, friend, foreign)
	found, err := two.Sessions(t.Context(), friend, 1)
	must(t, "Sessions", err)
	if len(found) != 1 || string(found[0].Data) != "data of "+foreign {
		t.Errorf("Sessions: %v", found)
	}
	wantSession(t, two, phone, "data of "+phone, version)
}

func listLimit(t *testing.T, _ Suite, open func() lister) {
	s, sub := open(), unique()
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("%s-%d", sub, i)
		device(t, s, id, life+time.Duration(i)*time.Second, sub)
		want = append([]string{id}, want...)
	}
	for limit := range 6 {
		found, err := s.Sessions(t.Context(), sub, limit)
		must(t, "Sessions", err)
		var got []string
		for _, one := range found {
			got = append(got, one.ID)
		}
		if !slices.Equal(got, want[:limit]) {
			t.Errorf("Sessions with limit %d: %q, want %q", limit, got, want[:limit])
		}
	}
}

// listSurvivor: a short session that is saved after a long one must not take the list with it when it ends.
func listSurvivor(t *testing.T, _ Suite, open func() lister) {
	s, sub := open(), unique()
	survivor, deleted, short := unique(), unique(), unique()
	device(t, s, survivor, life, sub)
	device(t, s, deleted, life, sub)
	device(t, s, short, shortLife, sub)
	must(t, "Delete", s.Delete(t.Context(), deleted))
	if got := listed(t, s, sub); !slices.Contains(got, survivor) || slices.Contains(got, deleted) {
		t.Errorf("Sessions: %q", got)
	}
	eventually(t, "the short session ends", isGone(t, s, short))
	wantListed(t, s, sub, survivor)
	late := unique()
	device(t, s, late, life, sub)
	wantListed(t, s, sub, survivor, late)
}

func listRewritten(t *testing.T, _ Suite, open func() lister) {
	s, sub, id := open(), unique(), unique()
	version := device(t, s, id, life, sub)
	o := middleware.PutOptions{Version: version, TTL: life, Tombs: []string{sub}, Issued: login}
	version, err := s.Put(t.Context(), id, []byte("new"), o)
	must(t, "Put", err)
	found, err := s.Sessions(t.Context(), sub, 10)
	must(t, "Sessions", err)
	if len(found) != 1 || found[0].ID != id || string(found[0].Data) != "new" || found[0].Version != version {
		t.Errorf("Sessions: %v, want the session of version %d once", found, version)
	}
}

func listMoved(t *testing.T, _ Suite, open func() lister) {
	s, before, after, id := open(), unique(), unique(), unique()
	version := device(t, s, id, life, before)
	_, err := s.Put(t.Context(), id, []byte("x"), middleware.PutOptions{Version: version, TTL: life, Tombs: []string{after}, Issued: login})
	must(t, "Put", err)
	wantListed(t, s, before)
	wantListed(t, s, after, id)
}

func listBinary(t *testing.T, _ Suite, open func() lister) {
	s, base := open(), unique()
	for _, tail := range []string{"", " ", "\x00", "\xff", "{}", `"`, "\\", "%20", ","} {
		device(t, s, "id"+base+tail, life, base+tail)
	}
	for _, tail := range []string{"", " ", "\x00", "\xff", "{}", `"`, "\\", "%20", ","} {
		wantListed(t, s, base+tail, "id"+base+tail)
	}
}

func listContext(t *testing.T, _ Suite, open func() lister) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open().Sessions(ctx, unique(), 10)
	wantErr(t, "Sessions", err, context.Canceled)
}

func listIsolated(t *testing.T, s Suite, open func() lister) {
	one, two, sub := open(), other[lister](t, s), unique()
	device(t, one, unique(), life, sub)
	wantListed(t, two, sub)
}

func listDown(t *testing.T, s Suite, open func() lister) {
	store, sub := open(), unique()
	device(t, store, unique(), life, sub)
	defer s.cut(t, store)()
	_, err := store.Sessions(t.Context(), sub, 10)
	wantDown(t, "Sessions", err)
}
