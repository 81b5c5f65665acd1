package attacks_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/attacks.md anew")

const (
	table = "../../docs/attacks.md"
	lines = 366 + 21 // the catalogue that we began with, and what it missed
)

// groups are the parts of the catalogue.
var groups = map[byte]string{
	'A': "Authorization response", 'B': "Front-channel ID Token: claims", 'C': "Front-channel ID Token: JOSE and encoding",
	'D': "Token endpoint", 'E': "Refresh and API calls", 'F': "Discovery, key set, keys", 'G': "Session and cookies",
	'H': "Middleware, redirects, headers", 'I': "Logout", 'J': "Denial of service and resources",
	'K': "Logging, metrics, configuration", 'L': "What the catalogue missed",
}

type attack struct{ id, what, must string }

// TestTable: every line of the catalogue has a test that carries its id, or an answer, and docs/attacks.md says so.
func TestTable(t *testing.T) {
	t.Parallel()
	tests := findTests(t)
	answers := readAnswers(t)
	catalogue := readCatalogue(t)
	for _, a := range catalogue {
		if len(tests[a.id]) == 0 && answers[a.id] == "" {
			t.Errorf("%s (%s): no test carries this id, and answers.txt gives no reason", a.id, a.what)
		}
	}
	known := map[string]bool{}
	for _, a := range catalogue {
		known[a.id] = true
	}
	for id := range answers {
		if !known[id] {
			t.Errorf("answers.txt: %s is not in the catalogue", id)
		}
	}
	got := render(catalogue, tests, answers)
	if *update {
		if err := os.WriteFile(table, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(table); err != nil || string(want) != got {
		t.Errorf("%s is out of date (%v): go generate ./internal/attacks", table, err)
	}
}

func readCatalogue(t *testing.T) []attack {
	t.Helper()
	var out []attack
	for _, fields := range readTabbed(t, "catalogue.txt", 3) {
		out = append(out, attack{fields[0], fields[1], fields[2]})
	}
	if len(out) != lines {
		t.Fatalf("the catalogue has %d lines, want %d", len(out), lines)
	}
	return out
}

func readAnswers(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, fields := range readTabbed(t, "answers.txt", 2) {
		out[fields[0]] = fields[1]
	}
	return out
}

func readTabbed(t *testing.T, name string, n int) [][]string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != n || slices.Contains(fields, "") {
			t.Fatalf("%s: %q has not %d fields", name, line, n)
		}
		out = append(out, fields)
	}
	return out
}

// place is a test, or a row of one.
type place struct{ dir, test, row string }

func (p place) String() string {
	if p.row == "" {
		return p.dir + " `" + p.test + "`"
	}
	return p.dir + " `" + p.test + "/" + p.row + "`"
}

var (
	rowID  = regexp.MustCompile(`^((?:[A-L][0-9]{2}_)*(?:[A-L][0-9]{2}_to_)?[A-L][0-9]{2})(?:_|$)`)
	testID = regexp.MustCompile(`(?:^Test|^Fuzz|_)((?:[A-L][0-9]{2}_?)+)`)
	oneID  = regexp.MustCompile(`[A-L][0-9]{2}`)
)

// findTests lists, by id, the tests that carry it: in the name of the function, or of a row.
func findTests(t *testing.T) map[string][]place {
	t.Helper()
	out := map[string][]place{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") && !strings.Contains(filepath.ToSlash(path), "internal/attacks/") {
			return findInFile(path, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func findInFile(path string, out map[string][]place) error {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel("../..", filepath.Dir(path))
	if err != nil {
		return err
	}
	dir := filepath.ToSlash(rel)
	for _, d := range f.Decls {
		name := filepath.Base(path) // rows in a variable: name the file
		if fn, ok := d.(*ast.FuncDecl); ok {
			name = fn.Name.Name
			for _, m := range testID.FindAllStringSubmatch(name, -1) {
				for _, id := range oneID.FindAllString(m[1], -1) {
					out[id] = append(out[id], place{dir, name, ""})
				}
			}
		}
		ast.Inspect(d, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if m := rowID.FindStringSubmatch(text); err == nil && m != nil {
				for _, id := range ids(m[1]) {
					out[id] = append(out[id], place{dir, name, text})
				}
			}
			return true
		})
	}
	return nil
}

// ids takes "H01", "H32_H33" and "H01_to_H13" apart.
func ids(names string) []string {
	first, last, ok := strings.Cut(names, "_to_")
	if !ok {
		return oneID.FindAllString(names, -1)
	}
	from, err := strconv.Atoi(first[len(first)-2:])
	to, err2 := strconv.Atoi(last[1:])
	if err != nil || err2 != nil {
		return nil
	}
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprintf("%s%02d", last[:1], n))
	}
	return out
}

func render(catalogue []attack, tests map[string][]place, answers map[string]string) string {
	var b strings.Builder
	tested := 0
	for _, a := range catalogue {
		if len(tests[a.id]) > 0 {
			tested++
		}
	}
	fmt.Fprintf(&b, "# Attacks and faults, and the tests that hold them off\n\n"+
		"Generated by `go generate ./internal/attacks`; a test fails when it is out of date. %d lines, %d with a test that\n"+
		"carries the id in its name; each of the other %d says why it has none. Who attacks, and what holds, is in\n"+
		"[security.md](security.md); what of this a provider can do, your app can try by itself with `optest.Attacks()`.\n", len(catalogue), tested, len(catalogue)-tested)
	var group byte
	for _, a := range catalogue {
		if a.id[0] != group {
			group = a.id[0]
			fmt.Fprintf(&b, "\n## %c. %s\n\n| id | attack or fault | what must happen | where |\n|---|---|---|---|\n", group, groups[group])
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.id, cell(a.what), cell(a.must), where(tests[a.id], answers[a.id]))
	}
	return b.String()
}

// where names three places at most.
func where(places []place, answer string) string {
	const most = 3
	unique := map[string]bool{}
	for _, p := range places {
		unique[p.String()] = true
	}
	names := slices.Sorted(maps.Keys(unique))
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	if answer != "" {
		names = append(names, answer)
	}
	return cell(strings.Join(names, ", "))
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
