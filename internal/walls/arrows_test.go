package walls_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/twofold-auth/twofold"

// rooms lists what each package outside the standard library may import in its non-test files. A package that is not
// listed may import nothing but the standard library; examples may import everything.
var rooms = map[string][]string{
	"verify":                         {module + "/internal/base64url", module + "/internal/restore", module + "/internal/strictjson"},
	"internal/restore":               {},
	"internal/seal":                  {module + "/internal/base64url"},
	"internal/wire":                  {module + "/internal/base64url"},
	"rp/optest":                      {"github.com/go-jose/go-jose/v4"},
	"middleware":                     {module + "/rp", module + "/verify", module + "/internal/...", "github.com/gorilla/sessions", "golang.org/x/oauth2"},
	"middleware/redisstore":          stores("github.com/redis/go-redis/v9"),
	"middleware/sqlstore":            stores(),
	"middleware/storetest":           {module + "/middleware", "github.com/gorilla/sessions"},
	"middleware/internal/lease":      {},
	"middleware/internal/websession": {module + "/middleware", module + "/internal/seal", "github.com/gorilla/sessions"},
	"internal/servertest":            {},
	"internal/bubble":                {},
	"internal/canary":                {},
	"rp":                             {module + "/verify", module + "/internal/...", "github.com/coreos/go-oidc/v3/oidc", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2"},
}

// stores lists what a session store may import beside its driver.
func stores(driver ...string) []string {
	return append(driver, module+"/middleware", module+"/middleware/internal/...", "github.com/gorilla/sessions")
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	seen := 0
	for dir := range packageDirs(t) {
		if strings.HasPrefix(dir, "examples") {
			continue
		}
		p, err := build.ImportDir(filepath.Join("../..", dir), 0)
		if err != nil {
			continue // a directory with test files only
		}
		seen++
		for _, imp := range p.Imports {
			if !allowed(rooms[dir], imp) {
				t.Errorf("%s imports %s", dir, imp)
			}
		}
	}
	if seen < len(rooms) {
		t.Errorf("looked at %d packages, want at least the %d rooms", seen, len(rooms))
	}
}

// TestVerifyIsPure: the room that says yes or no opens no connection (design section 2).
func TestVerifyIsPure(t *testing.T) {
	t.Parallel()
	p, err := build.ImportDir("../../verify", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range p.Imports {
		if imp == "net" || strings.HasPrefix(imp, "net/") || imp == "os" {
			t.Errorf("verify imports %s", imp)
		}
	}
}

func allowed(list []string, imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		return true // standard library
	}
	return slices.ContainsFunc(list, func(a string) bool {
		if dir, ok := strings.CutSuffix(a, "/..."); ok {
			return strings.HasPrefix(imp, dir+"/")
		}
		return imp == a
	})
}

// packageDirs yields the directories of this module that hold Go files, relative to its root.
func packageDirs(t *testing.T) func(func(string) bool) {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != "../.." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "../.." {
			return filepath.SkipDir // a module of its own
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			rel, err := filepath.Rel("../..", path)
			dirs = append(dirs, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Values(dirs)
}

// TestTopLevelHoldsNoCode: packages live in their rooms.
func TestTopLevelHoldsNoCode(t *testing.T) {
	t.Parallel()
	if files, _ := filepath.Glob("../../*.go"); len(files) > 0 {
		t.Errorf("code at the top level: %v", files)
	}
}
