package storetest_test

import (
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware/storetest"
)

func suite(fault string) storetest.Suite {
	all := newServer()
	other := "other "
	if fault == "prefix" {
		other = ""
	}
	return storetest.Suite{
		Open:  func(*testing.T) any { return &memory{server: all, fault: fault} },
		Other: func(*testing.T) any { return &memory{server: all, fault: fault, prefix: other} },
		Cut: func(_ *testing.T, store any) (mend func()) {
			m := store.(*memory)
			m.setDown(true)
			return sync.OnceFunc(func() { m.setDown(false) })
		},
	}
}

// TestMemory: the contract can be kept.
func TestMemory(t *testing.T) {
	t.Parallel()
	suite("").Run(t)
}

// mutants has a fault that a store can have, and the row that finds it.
var mutants = map[string]string{
	"absent":       "sessions/G23_an_absent_session_is_ErrNoSession",
	"alias":        "sessions/data_belongs_to_the_caller",
	"case":         "sessions/names_of_any_bytes_are_kept_apart",
	"nul":          "sessions/names_of_any_bytes_are_kept_apart",
	"cas":          "sessions/G21_a_write_on_an_old_version_is_ErrConflict",
	"race":         "sessions/G22_of_parallel_writes_exactly_one_wins",
	"resurrection": "sessions/G09_what_was_deleted_is_not_written_again",
	"delete":       "sessions/deleting_nothing_is_fine",
	"ttl":          "sessions/G20_a_session_ends_with_its_TTL",
	"early":        "sessions/G20_a_session_ends_with_its_TTL",
	"renew":        "sessions/G20_each_write_sets_the_TTL_anew",
	"context":      "sessions/an_ended_context_is_an_error",
	"prefix":       "sessions/stores_with_other_prefixes_share_nothing",
	"down":         "sessions/G23_a_store_that_is_down_says_so_and_recovers",
	"tombs":        "tombstones/I12_a_buried_login_is_not_written",
	"at":           "tombstones/I12_a_buried_login_is_not_written",
	"latest":       "tombstones/I07_the_latest_time_is_kept",
	"longest":      "tombstones/the_longest_life_is_kept",
	"first":        "tombstones/of_many_tombs_the_latest_time_counts",
	"seconds":      "tombstones/times_are_exact_to_the_microsecond",
	"limit":        "lister/a_limit_is_kept_and_the_longest_come_first",
	"order":        "lister/a_limit_is_kept_and_the_longest_come_first",
	"index":        "lister/G34_the_end_of_one_session_hides_no_other",
	"reindex":      "lister/a_write_with_other_tombs_moves_the_session",
	"locks":        "locker/E06_one_at_a_time_holds_a_lock",
	"renewal":      "locker/the_lease_is_renewed_until_unlock",
	"ctx":          "locker/J12_a_lock_outlives_the_context_it_was_taken_with",
	"lease":        "locker/E07_the_lock_of_a_crashed_holder_is_free_after_its_lease",
	"free":         "locker/unlock_of_a_lost_lease_frees_no_other",
}

// TestMutants runs the row on the store with the fault, in a process of its own, where it must fail.
func TestMutants(t *testing.T) {
	if fault := os.Getenv("STORETEST_FAULT"); fault != "" {
		storetest.LosePatience()
		suite(fault).Run(t)
		return
	}
	t.Parallel()
	for fault, row := range mutants {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestMutants$/^" + regexp.MustCompile("/").ReplaceAllString(regexp.QuoteMeta(row), "$$/^") + "$"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", pattern, "-test.v")
			cmd.Env = append(os.Environ(), "STORETEST_FAULT="+fault)
			out, err := cmd.CombinedOutput()
			if found, _ := regexp.Match(`--- FAIL: TestMutants/`+regexp.QuoteMeta(row), out); err == nil || !found {
				t.Errorf("row %s does not find the fault: %s", row, out)
			}
		})
	}
}

// TestFilesystemStore: what gorilla's own store can do, by name.
func TestFilesystemStore(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	dir, other := t.TempDir(), t.TempDir()
	open := func(dir string) func(*testing.T) any {
		return func(*testing.T) any {
			store := sessions.NewFilesystemStore(dir, key)
			store.MaxLength(0) // it refuses more than 4 KB otherwise
			return store
		}
	}
	storetest.Suite{
		Open:  open(dir),
		Other: open(other),
		Except: map[string]string{
			"gorilla/G01_an_ID_of_a_stranger_is_not_adopted":  "FilesystemStore saves under the ID of any cookie that it has signed",
			"gorilla/G09_what_was_deleted_is_not_saved_again": "FilesystemStore writes the file anew",
		},
	}.Run(t)
}
