package attacks_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesRealTests: every test that docs/security.md calls a proof is there, in the package that stands before
// it or before the tests left of it.
func TestSecurityNamesRealTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there, named := testFunctions(t), 0
	proof := regexp.MustCompile("(?:([a-z]+) )?`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	for line := range strings.Lines(string(text)) {
		room := ""
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range proof.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				room = m[1]
			}
			if !there[room+" "+m[2]] {
				t.Errorf("docs/security.md: there is no %s %s", room, m[2])
			}
			named++
		}
	}
	if named < 80 {
		t.Errorf("only %d tests are named", named)
	}
}

// testFunctions has "room TestName" for each test, by the last part of the directory.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.Contains(path, "node_modules") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				there[filepath.Base(filepath.Dir(path))+" "+fn.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
