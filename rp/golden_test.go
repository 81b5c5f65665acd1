package rp_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
)

// Codes and names are what others build dashboards and alerts on: a change of these files is a decision.
func TestClosedLists(t *testing.T) {
	t.Parallel()
	for file, list := range map[string][]string{
		"testdata/codes.golden": rp.Codes(), "testdata/events.golden": rp.Events(),
	} {
		slices.Sort(list)
		got := strings.Join(slices.Compact(list), "\n") + "\n"
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s", file, got)
		}
	}
}

func TestErrorCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("anything"), "internal"},
		{fmt.Errorf("x: %w", rp.ErrState), "state"},
		{&rp.Error{Code: "access_denied"}, "provider_error"},
		{fmt.Errorf("%w: %w", rp.ErrUnavailable, &rp.Error{StatusCode: 503}), "unavailable"},
	} {
		if got := rp.ErrorCode(tc.err); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestA24_texts_of_the_provider_are_cleaned(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":                        "plain",
		"<script>":                     "<script>", // escaping is for whoever shows it
		"a\r\nSet-Cookie: x\x00":       "a??Set-Cookie: x?",
		"\u202egnp.exe\u2066":          "?gnp.exe?",
		"bad \xff UTF-8":               "bad ? UTF-8",
		"äöü":                          "äöü",
		strings.Repeat("x", 1000):      strings.Repeat("x", 256),
		strings.Repeat("ä", 1000):      strings.Repeat("ä", 128),
		"x" + strings.Repeat("ä", 200): "x" + strings.Repeat("ä", 127),
	} {
		if got := rp.Clean(text, 256); got != want {
			t.Errorf("%.40q: %.60q, want %.60q", text, got, want)
		}
	}
}
