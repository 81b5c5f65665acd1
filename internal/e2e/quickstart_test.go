package e2e_test

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestQuickstart is what somebody does who has just typed go run ./examples/quickstart: it clicks through the program
// in a real browser. Its pages complain about nothing, and fit on a phone.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "quickstart", "-provider", "127.0.0.1:0")
	b := w.profile(t)
	b.open(base)
	b.looks("quickstart-landing")
	b.click("a.button.main")
	b.see("#username")
	b.looks("quickstart-login")
	b.click("button[value=login]")
	b.see("#s7")
	b.looks("quickstart-flow")
	text := strings.ToLower(read(b, visible))
	for _, want := range []string{"nonce", "c_hash", "3.3.2.10", "3.3.3.6", "bearer", "second"} {
		if !strings.Contains(text, want) {
			t.Errorf("the flow page says nothing of %q", want)
		}
	}
	read(b, chromedp.Reload())
	b.see("#s7")
	b.quiet()

	b.attack(base)
	b.open(base)
	b.see("h1")
	b.click("form[method=post] button")
	b.see("a.button[href^='/auth/login']") // logged out here and at the provider, and back
	if got := b.where(); got != base+"/" {
		t.Errorf("the logout ended at %s", got)
	}
	for name := range b.cookies(base) {
		if strings.HasSuffix(name, "-s") || strings.Contains(name, "-t") {
			t.Errorf("cookie %s is still there", name)
		}
	}
	b.quiet()
}

// attack tries each attack that the flow page offers: every one ends on a page that says what refused it, with the
// user logged in as before.
func (b *tab) attack(base string) {
	b.t.Helper()
	links := read(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll("a[href*='attack=']")].map(a => a.href)`))
	if len(links) == 0 {
		b.t.Error("the flow page offers no attack")
	}
	for i, link := range links {
		b.open(link)
		b.see(".refusal") // the provider remembers the user: it asks nothing
		if got := b.text("h1"); got != "Attack refused" {
			b.t.Errorf("%s ends with %q", link, got)
		}
		if i == 0 {
			b.looks("quickstart-attack")
		}
		b.forget() // the console reports the status of the refused callback
		b.open(base + "/flow")
		b.see("#s7")
	}
}

var address = regexp.MustCompile(`http://localhost:\d+`)

// example builds and starts one of the programs on free ports and returns the address that it prints.
func example(t *testing.T, name string, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./examples/"+name)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	program := exec.CommandContext(ctx, binary, append([]string{"-listen", "localhost:0"}, flags...)...)
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	program.Stderr = program.Stdout
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = program.Wait() })
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if a := address.FindString(lines.Text()); a != "" {
				found <- a
				_, _ = io.Copy(io.Discard, out)
				return
			}
		}
	}()
	select {
	case a, ok := <-found:
		if !ok {
			t.Fatal("the program ended without an address")
		}
		return a
	case <-time.After(time.Minute):
		t.Fatal("the program prints no address")
	}
	return ""
}

// looks takes pictures of the page on a desktop and, light and dark, on a phone, and fails the test if the page is
// wider than the phone.
func (b *tab) looks(name string) {
	b.t.Helper()
	read(b, chromedp.EmulateViewport(1280, 900))
	b.screenshot(name + "-desktop")
	for _, scheme := range []string{"light", "dark"} {
		read(b, chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2)))
		read(b, scheming(scheme))
		b.screenshot(name + "-phone-" + scheme)
		wide := 0
		for wide == 0 { // a page that loads itself again is none for a moment
			b.see("body")
			wide = read(b, chromedp.Evaluate[int](`document.documentElement?.scrollWidth ?? 0`))
		}
		if wide > 390 {
			b.t.Errorf("%s is %d pixels wide on a phone of 390\n%s", name, wide, read(b, chromedp.Evaluate[string](widest)))
		}
	}
	read(b, scheming(""))
	read(b, chromedp.EmulateViewport(1280, 900))
}

// widest names the elements that stick out.
const widest = `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 390)
	.map(e => e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 60)).slice(0, 8).join("\n")`

func scheming(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		p := emulation.SetEmulatedMediaParams{}
		if scheme != "" {
			p.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, p)
		return err //nolint:wrapcheck // chromedp names the command
	})
}
