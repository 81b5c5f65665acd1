package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// plan is one package with all its places.
type plan struct {
	dir    string
	files  map[string][]byte // absolute name to mutated text
	places []place           // place i is mutant i+1
}

// place is one refusal.
type place struct {
	where string // line and function, and what is broken
	name  string // the same without the line, and once only: for explained.txt
}

// edit is text to put in at an offset.
type edit struct {
	at   int
	text string
}

// helper is added to the package. It allocates nothing once a place was seen: some tests count allocations.
const helper = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	theMutant, _ = strconv.Atoi(os.Getenv(%q))
	mutantLog, _ = os.OpenFile(os.Getenv(%q), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	mutantsSeen  [%d]atomic.Bool
)

func isMutant(n int) bool {
	if mutantLog != nil && !mutantsSeen[n].Swap(true) {
		mutantLog.WriteString(strconv.Itoa(n) + "\n")
	}
	return n == theMutant
}
`

// newPlan finds the places of a package: of the files with these base names, if there are any.
func newPlan(dir string, only []string) (*plan, error) {
	p := &plan{dir: dir, files: map[string][]byte{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	pkg := ""
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if pkg, err = p.file(name, only); err != nil {
			return nil, err
		}
	}
	if pkg == "" {
		return nil, fmt.Errorf("%s: no Go files", dir)
	}
	abs, err := filepath.Abs(filepath.Join(dir, "zz_mutant.go"))
	if err != nil {
		return nil, err
	}
	p.files[abs] = fmt.Appendf(nil, helper, pkg, variable, logVariable, len(p.places)+1)
	return p, nil
}

// file finds the places of one file.
func (p *plan) file(name string, only []string) (pkg string, err error) {
	src, err := os.ReadFile(name) //nolint:gosec // a file of the package that was named
	if err != nil {
		return "", err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	if len(only) > 0 && !slices.Contains(only, filepath.Base(name)) {
		return f.Name.Name, nil
	}
	w := &walker{plan: p, set: set, src: src}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			w.in = fn.Name.Name
			w.function(fn.Type, fn.Body)
		}
	}
	if len(w.edits) > 0 {
		p.files[abs] = apply(src, w.edits)
	}
	return f.Name.Name, nil
}

// apply puts the edits in; of two at one offset the first stays in front.
func apply(src []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, e := range edits {
		out = append(append(out, src[last:e.at]...), e.text...)
		last = e.at
	}
	return append(out, src[last:]...)
}

// walker looks through one function after the other.
type walker struct {
	plan  *plan
	set   *token.FileSet
	src   []byte
	in    string // the function's name
	edits []edit
}

// function looks for places in a body; function literals in it have results of their own.
func (w *walker) function(t *ast.FuncType, body *ast.BlockStmt) {
	kind := resultKind(t)
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			w.function(n.Type, n.Body)
			return false
		case *ast.IfStmt:
			if refuses(n.Body.List, kind) {
				w.never(n.Cond)
			}
		case *ast.SwitchStmt:
			if n.Tag == nil {
				w.cases(n, kind)
			}
		case *ast.ReturnStmt:
			switch {
			case t.Results.NumFields() != 1:
			case kind == "error" && isCheck(n.Results[0]):
				w.nilInstead(n)
			case kind == "bool":
				w.always(n.Results[0])
			}
		}
		return true
	})
}

func (w *walker) cases(s *ast.SwitchStmt, kind string) {
	for _, c := range s.Body.List {
		clause, ok := c.(*ast.CaseClause)
		if !ok || !refuses(clause.Body, kind) {
			continue
		}
		for _, e := range clause.List {
			w.never(e)
		}
	}
}

// resultKind is the type of a function's last result as far as it matters here.
func resultKind(t *ast.FuncType) string {
	if t.Results == nil || len(t.Results.List) == 0 {
		return ""
	}
	switch last := t.Results.List[len(t.Results.List)-1].Type.(type) {
	case *ast.Ident:
		return last.Name
	case *ast.StarExpr:
		if id, ok := last.X.(*ast.Ident); ok && strings.HasSuffix(id.Name, "Error") {
			return "error"
		}
	}
	return ""
}

// refuses says whether a body ends by refusing: an error, false, or an answer that says no.
func refuses(body []ast.Stmt, kind string) bool {
	for _, s := range body {
		if e := lastValue(s); e != nil && isRefusalCall(e) {
			return true
		}
	}
	if len(body) == 0 {
		return false
	}
	r, ok := body[len(body)-1].(*ast.ReturnStmt)
	if !ok || len(r.Results) == 0 {
		return false
	}
	last := r.Results[len(r.Results)-1]
	id, isIdent := last.(*ast.Ident)
	switch kind {
	case "error":
		// An err that is passed on belongs to the place that made it.
		return !isIdent || id.Name != "nil" && id.Name != "err" && id.Name != "errNotApplicable"
	case "bool":
		return isIdent && id.Name == "false"
	}
	return false
}

// lastValue is what a statement computes, assigns or returns; nil for any other.
func lastValue(s ast.Stmt) ast.Expr {
	switch s := s.(type) {
	case *ast.ExprStmt:
		return s.X
	case *ast.AssignStmt:
		return s.Rhs[len(s.Rhs)-1]
	case *ast.ReturnStmt:
		if len(s.Results) > 0 {
			return s.Results[len(s.Results)-1]
		}
	}
	return nil
}

// isRefusalCall knows the calls that answer no: a method refuse or storeDown, and a function whose name begins with
// refuse, unless it passes an err on.
func isRefusalCall(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name == "refuse" || f.Sel.Name == "storeDown"
	case *ast.Ident:
		if len(call.Args) == 0 || !strings.HasPrefix(f.Name, "refuse") {
			return false
		}
		last, ok := call.Args[len(call.Args)-1].(*ast.Ident)
		return !ok || last.Name != "err"
	}
	return false
}

// isCheck: a call of one of our own checks, which could be left out. Calls that only make an error are not.
func isCheck(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, isIdent := sel.X.(*ast.Ident)
	return isIdent && len(x.Name) == 1 && sel.Sel.Name != "fail" // a method of our own receiver
}

// never makes a condition false for one mutant: each part of it, where it has several with || between them.
func (w *walker) never(cond ast.Expr) {
	if b, ok := ast.Unparen(cond).(*ast.BinaryExpr); ok && b.Op == token.LOR {
		w.never(b.X)
		w.never(b.Y)
		return
	}
	n := w.place("never", cond)
	w.edits = append(w.edits,
		edit{w.offset(cond.Pos()), fmt.Sprintf("!isMutant(%d) && (", n)}, edit{w.offset(cond.End()), ")"})
}

// always makes each part of an answer that wants several to be true, with && between them, true for one mutant.
func (w *walker) always(answer ast.Expr) {
	b, ok := ast.Unparen(answer).(*ast.BinaryExpr)
	if !ok || b.Op != token.LAND {
		return
	}
	for _, e := range []ast.Expr{b.X, b.Y} {
		if inner, ok := ast.Unparen(e).(*ast.BinaryExpr); ok && inner.Op == token.LAND {
			w.always(e)
			continue
		}
		n := w.place("always", e)
		w.edits = append(w.edits,
			edit{w.offset(e.Pos()), fmt.Sprintf("(isMutant(%d) || (", n)}, edit{w.offset(e.End()), "))"})
	}
}

// nilInstead returns nil for one mutant.
func (w *walker) nilInstead(r *ast.ReturnStmt) {
	n := w.place("nil for", r.Results[0])
	w.edits = append(w.edits, edit{w.offset(r.Pos()), fmt.Sprintf("if isMutant(%d) { return nil }; ", n)})
}

// place records a place and returns its number.
func (w *walker) place(how string, e ast.Expr) int {
	text := strings.Join(strings.Fields(string(w.src[w.offset(e.Pos()):w.offset(e.End())])), " ")
	at := w.set.Position(e.Pos())
	what := fmt.Sprintf("%s: %s %s", w.in, how, text)
	name := filepath.ToSlash(filepath.Clean(at.Filename)) + " " + what
	n := 1
	for _, other := range w.plan.places {
		if plain, _, _ := strings.Cut(other.name, " #"); plain == name {
			n++
		}
	}
	if n > 1 {
		name += fmt.Sprintf(" #%d", n)
	}
	w.plan.places = append(w.plan.places, place{where: fmt.Sprintf("%s %s", at, what), name: name})
	return len(w.plan.places)
}

func (w *walker) offset(p token.Pos) int { return w.set.Position(p).Offset }
