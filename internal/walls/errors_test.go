package walls_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestErrorCodesAreExplained: docs/errors.md has a row for each code of both closed lists, and for no other.
func TestErrorCodesAreExplained(t *testing.T) {
	t.Parallel()
	codes := append(strings.Fields(read(t, "../../rp/testdata/codes.golden")), strings.Fields(read(t, "../../middleware/testdata/codes.golden"))...)
	var explained []string
	code := regexp.MustCompile("`([a-z0-9_]+)`")
	for line := range strings.Lines(read(t, "../../docs/errors.md")) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok {
			for _, m := range code.FindAllStringSubmatch(first, -1) {
				explained = append(explained, m[1])
			}
		}
	}
	for _, c := range codes {
		if !slices.Contains(explained, c) {
			t.Errorf("docs/errors.md does not explain %s", c)
		}
	}
	for _, c := range explained {
		if !slices.Contains(codes, c) {
			t.Errorf("docs/errors.md explains %s, which is no code", c)
		}
	}
	if len(codes) < 70 {
		t.Errorf("only %d codes", len(codes))
	}
}
