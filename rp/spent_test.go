package rp_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

func TestJ10_codes_are_remembered_for_ten_minutes_and_then_forgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	s := rp.NewSpender(func() time.Time { return now })
	if !s.Spend("a") || s.Spend("a") {
		t.Fatal("a passes not once")
	}
	now = now.Add(9 * time.Minute)
	for i := range 1000 {
		if !s.Spend(fmt.Sprint(i)) {
			t.Fatal("a new code is refused")
		}
	}
	now = now.Add(time.Minute - 1)
	if s.Spend("a") {
		t.Error("a passes again within ten minutes")
	}
	now = now.Add(1)
	if s.Spend("999") {
		t.Error("a code of a minute ago passes again when the generation turns")
	}
	if !s.Spend("a") {
		t.Error("a is remembered longer than ten minutes")
	}
	now = now.Add(20 * time.Minute)
	_ = s.Spend("b")
	now = now.Add(20 * time.Minute)
	_ = s.Spend("c")
	if n := s.Len(); n > 2 {
		t.Errorf("%d codes are remembered", n)
	}
}

// What was not sent is forgotten also if a generation has passed meanwhile.
func TestD02_a_code_that_was_not_sent_is_forgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	s := rp.NewSpender(func() time.Time { return now })
	if !s.Spend("first") {
		t.Fatal("the first code is refused")
	}
	now = now.Add(10*time.Minute - 1)
	for _, code := range []string{"a", "b"} {
		if !s.Spend(code) {
			t.Fatal("a new code is refused")
		}
	}
	now = now.Add(1)
	_ = s.Spend("c") // turns the generation
	s.Forget("a")
	s.Forget("c")
	if !s.Spend("a") || s.Spend("b") || !s.Spend("c") {
		t.Error("what was forgotten is refused, or what was sent passes")
	}
}

func TestACodePassesOnceHoweverManyTry(t *testing.T) {
	t.Parallel()
	s := rp.NewSpender(time.Now)
	var passed atomic.Int64
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			if s.Spend("code") {
				passed.Add(1)
			}
		})
	}
	running.Wait()
	if passed.Load() != 1 {
		t.Errorf("it passed %d times", passed.Load())
	}
}
