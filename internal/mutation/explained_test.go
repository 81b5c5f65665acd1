package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Every explained place is one that there is, and has a reason.
func TestExplainedPlacesAreThere(t *testing.T) {
	t.Chdir("../..")
	there := map[string]map[string]bool{}
	for name, reason := range parseExplained(explainedText) {
		file, _, _ := strings.Cut(name, " ")
		dir := "./" + filepath.ToSlash(filepath.Dir(file))
		if there[dir] == nil {
			p, err := newPlan(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			there[dir] = map[string]bool{}
			for _, at := range p.places {
				there[dir][at.name] = true
			}
		}
		if !there[dir][name] || reason == "" {
			t.Errorf("no such place, or no reason: %s", name)
		}
	}
}

// Places are found in what refuses, each part of it, and in nothing else.
func TestPlaces(t *testing.T) {
	t.Parallel()
	p, err := newPlan("testdata", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`check: never a == ""`, `check: never strings.Contains(a, " ")`, `check: nil for r.deeper(a)`,
		`isGood: always a != ""`, `isGood: always b`, `choose: never a == "b"`,
		`parse: never a == "c"`, `serve: never method != "GET"`, `serve: never method == ""`,
	}
	var got []string
	for _, at := range p.places {
		got = append(got, strings.TrimPrefix(at.name, "testdata/places.go "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
