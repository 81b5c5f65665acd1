package middleware_test

import (
	"flag"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s has changed; if that is meant, run the test with -update:\n%s", file, text)
	}
}

func TestClosedLists(t *testing.T) {
	t.Parallel()
	golden(t, "codes.golden", strings.Join(middleware.Codes(), "\n")+"\n")
	golden(t, "events.golden", strings.Join(middleware.Events(), "\n")+"\n")
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`[a-z_]+`).FindAllString(string(doc), -1)
	for _, name := range append(middleware.Codes(), middleware.Events()...) {
		if !slices.Contains(words, name) {
			t.Errorf("%s is not in the package documentation", name)
		}
	}
}

// Every code and event name of the source is in the lists: a new constant cannot be forgotten there.
func TestListsAreWhole(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, list := range map[string][]string{"code": middleware.Codes(), "event": middleware.Events()} {
		constants := regexp.MustCompile(`\t`+prefix+`[A-Z]\w+ += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
		if len(constants) != len(list) {
			t.Errorf("%d constants %s…, %d in the list", len(constants), prefix, len(list))
		}
		for _, c := range constants {
			if !slices.Contains(list, c[1]) {
				t.Errorf("%s is not in the list", c[1])
			}
		}
	}
}

func TestPagesAreCalm(t *testing.T) {
	t.Parallel()
	a := newApp(t, setup{})
	nonce := regexp.MustCompile(`nonce[-=]"?([A-Z2-7]{26})`)
	for name, render := range a.auth.Pages() {
		w := httptest.NewRecorder()
		render(w)
		body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
		var used []string
		for _, m := range nonce.FindAllStringSubmatch(body+policy, -1) {
			used = append(used, m[1])
		}
		if slices.Sort(used); len(slices.Compact(used)) != 1 {
			t.Errorf("%s: nonces %v", name, used)
		}
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
			if !strings.Contains(policy, directive) {
				t.Errorf("%s: policy %q lacks %s", name, policy, directive)
			}
		}
		if m := regexp.MustCompile(`(?i)\son[a-z]+=|javascript:|src=|<link|@import|url\(|<script>`).FindString(body); m != "" {
			t.Errorf("%s: has %q", name, m)
		}
		golden(t, name+".html.golden", regexp.MustCompile(`[A-Z2-7]{26}`).ReplaceAllString(body, "NONCE"))
	}
}
