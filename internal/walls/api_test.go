package walls_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api.txt anew")

// public are the packages whose exported surface api.txt fixes.
var public = []string{"verify", "rp", "rp/optest", "middleware"}

// TestAPI compares the exported surface with api.txt: a change of it is a decision, not an accident.
// After a decision: go test ./internal/walls -run TestAPI -update
func TestAPI(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, dir := range public {
		lines = append(lines, surface(t, dir)...)
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("../../api.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("../../api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the exported surface differs from api.txt:\n%s", difference(string(want), got))
	}
}

func difference(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range w {
		if !slices.Contains(g, line) {
			b.WriteString("- " + line + "\n")
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			b.WriteString("+ " + line + "\n")
		}
	}
	return b.String()
}

// surface lists the exported declarations of a package, one a line.
func surface(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no Go files (%v)", dir, err)
	}
	s := &lister{prefix: "pkg " + dir + ", "}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			s.decl(d)
		}
	}
	return s.lines
}

type lister struct {
	prefix string
	lines  []string
}

func (s *lister) add(format string, a ...any) {
	s.lines = append(s.lines, s.prefix+fmt.Sprintf(format, a...))
}

func (s *lister) decl(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		s.function(d)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			s.spec(d.Tok, spec)
		}
	}
}

func (s *lister) function(d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	signature := strings.TrimPrefix(source(d.Type), "func")
	if d.Recv == nil {
		s.add("func %s%s", d.Name, signature)
		return
	}
	recv := source(d.Recv.List[0].Type)
	if ast.IsExported(strings.TrimPrefix(recv, "*")) {
		s.add("method (%s) %s%s", recv, d.Name, signature)
	}
}

func (s *lister) spec(tok token.Token, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			s.typeSpec(spec)
		}
	case *ast.ValueSpec:
		for i, name := range spec.Names {
			if !name.IsExported() {
				continue
			}
			line := fmt.Sprintf("%s %s", tok, name)
			if spec.Type != nil {
				line += " " + source(spec.Type)
			}
			if tok == token.CONST && i < len(spec.Values) {
				line += " = " + source(spec.Values[i])
			}
			s.add("%s", line)
		}
	}
}

func (s *lister) typeSpec(spec *ast.TypeSpec) {
	if spec.Assign.IsValid() {
		s.add("type %s = %s", spec.Name, source(spec.Type))
		return
	}
	switch x := spec.Type.(type) {
	case *ast.StructType:
		s.add("type %s struct", spec.Name)
		s.members(spec.Name.Name+" struct", x.Fields)
	case *ast.InterfaceType:
		s.add("type %s interface", spec.Name)
		s.members(spec.Name.Name+" interface", x.Methods)
	default:
		s.add("type %s %s", spec.Name, source(spec.Type))
	}
}

func (s *lister) members(owner string, list *ast.FieldList) {
	for _, f := range list.List {
		if len(f.Names) == 0 {
			s.add("type %s, %s", owner, source(f.Type))
		}
		for _, name := range f.Names {
			if !name.IsExported() {
				continue
			}
			if _, ok := f.Type.(*ast.FuncType); ok && strings.HasSuffix(owner, "interface") {
				s.add("type %s, %s%s", owner, name, strings.TrimPrefix(source(f.Type), "func"))
				continue
			}
			s.add("type %s, %s %s", owner, name, source(f.Type))
		}
	}
}

func source(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
