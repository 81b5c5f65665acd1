package walls_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fuzzed are the targets that must be there: what a stranger writes and we read.
var fuzzed = []string{
	"FuzzVerifyResponse", "FuzzFrontChannel", "FuzzRaw", "FuzzLogoutToken", "FuzzMetadata", "FuzzKeys", "FuzzOpenSeal", "FuzzChunks",
	"FuzzCookieHeader", "FuzzSetCookie", "FuzzReturnTo", "FuzzOracle", "FuzzParse", "FuzzUnmarshal", "FuzzRead",
}

// TestFuzzTargetsHaveSeeds: each target adds its seeds by itself, in its own body, and no folder of inputs has lost its
// target.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	var targets, folders []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case d.IsDir() && filepath.Base(filepath.Dir(path)) == "fuzz":
			folders = append(folders, d.Name())
		case strings.HasSuffix(path, "_test.go"):
			found, err := fuzzTargets(t, path)
			targets = append(targets, found...)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(folders, fuzzed...) {
		if !slices.Contains(targets, name) {
			t.Errorf("there is no target %s", name)
		}
	}
}

func fuzzTargets(t *testing.T, path string) (names []string, err error) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		names = append(names, fn.Name.Name)
		seeds := false
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Add" {
				id, ok := sel.X.(*ast.Ident)
				seeds = seeds || ok && id.Name == "f"
			}
			return true
		})
		if !seeds {
			t.Errorf("%s: %s has no seeds", path, fn.Name.Name)
		}
	}
	return names, nil
}
