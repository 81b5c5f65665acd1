package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/twofold-auth/twofold/middleware"
)

// TestHostileRecords: what somebody else has written under our keys is an error of the store. It is no session, not the
// fact that there is none, and nothing is written over it.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	var server *miniredis.Miniredis
	const session, tomb, index = "twofold:session:id", "twofold:tomb:t", "twofold:index:t"
	for name, change := range map[string]func() error{
		"session_of_another_type": func() error { server.Del(session); return server.Set(session, "x") },
		"version_no_number":       func() error { server.HSet(session, "v", "x"); return nil },
		"version_negative":        func() error { server.HSet(session, "v", "-1"); return nil },
		"version_too_large":       func() error { server.HSet(session, "v", "18446744073709551616"); return nil },
		"tomb_of_another_type":    func() error { server.HSet(tomb, "a", "b"); return nil },
		"tomb_no_number":          func() error { return server.Set(tomb, "soon") },
	} {
		t.Run("X4c_"+name, func(t *testing.T) {
			server = miniredis.RunT(t)
			store := (&suite{connect: single(server.Addr())}).open(t, "")
			o := middleware.PutOptions{TTL: time.Minute, Tombs: []string{"t"}, Issued: time.Unix(1e9, 0)}
			if _, err := store.Put(t.Context(), "id", []byte("data"), o); err != nil {
				t.Fatal(err)
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			_, _, _, err := store.Load(t.Context(), "id", "t")
			isDown(t, err)
			if strings.HasPrefix(name, "tomb") {
				_, err = store.Buried(t.Context(), "t")
			} else {
				_, err = store.Sessions(t.Context(), "t", 10)
			}
			isDown(t, err)
			if _, err := store.Put(t.Context(), "id", []byte("mine"), o); err == nil {
				t.Error("written over it")
			}
			if strings.Contains(server.Dump(), "mine") {
				t.Error("the record was replaced")
			}
		})
	}
	t.Run("X4c_index_of_another_type", func(t *testing.T) {
		server = miniredis.RunT(t)
		store := (&suite{connect: single(server.Addr())}).open(t, "")
		if err := server.Set(index, "x"); err != nil {
			t.Fatal(err)
		}
		_, err := store.Sessions(t.Context(), "t", 10)
		isDown(t, err)
		_, err = store.Put(t.Context(), "id", []byte("data"), middleware.PutOptions{TTL: time.Minute, Tombs: []string{"t"}})
		isDown(t, err)
	})
	t.Run("X4c_index_of_another_type_at_a_logout", func(t *testing.T) {
		server = miniredis.RunT(t)
		store := (&suite{connect: single(server.Addr())}).open(t, "")
		if _, err := store.Put(t.Context(), "id", []byte("data"), middleware.PutOptions{TTL: time.Minute, Tombs: []string{"t"}}); err != nil {
			t.Fatal(err)
		}
		server.Del(index)
		if err := server.Set(index, "x"); err != nil {
			t.Fatal(err)
		}
		isDown(t, store.Delete(t.Context(), "id"))
		if server.Exists(session) {
			t.Error("the session is still there")
		}
	})
	t.Run("X4c_names_with_separators", func(t *testing.T) {
		server = miniredis.RunT(t)
		store := (&suite{connect: single(server.Addr())}).open(t, "")
		for _, name := range []string{"a b", "a:b", "a%20b", "a\x00b", "{a}b", "a\r\nDEL x", "é\xff"} {
			o := middleware.PutOptions{TTL: time.Minute, Tombs: []string{name}, Issued: time.Unix(1e9, 0)}
			if _, err := store.Put(t.Context(), name, []byte(name), o); err != nil {
				t.Fatal(err)
			}
			found, err := store.Sessions(t.Context(), name, 10)
			if err != nil || len(found) != 1 || found[0].ID != name || string(found[0].Data) != name {
				t.Errorf("%q: %v %v", name, found, err)
			}
		}
	})
}

// isDown checks that err says that nobody knows.
func isDown(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, middleware.ErrNoSession) || errors.Is(err, middleware.ErrConflict) {
		t.Errorf("%v, want an error of the store", err)
	}
}
