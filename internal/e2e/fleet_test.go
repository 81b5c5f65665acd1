package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestFleet clicks through the example of three instances: whichever serves, the browser is logged in, and logged out.
func TestFleet(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "fleet", "-provider", "127.0.0.1:0")
	b := w.profile(t)
	b.open(base)
	b.looks("fleet-landing")
	b.click("a.button.main")
	b.see("#username")
	b.click("button[value=login]")
	b.see("#devices")
	b.looks("fleet-page")
	served := map[string]bool{}
	for range 6 {
		read(b, chromedp.Reload())
		b.see("#devices")
		served[b.text("#instance")] = true
	}
	if len(served) != 3 {
		t.Errorf("served by %v, want three instances", served)
	}
	b.click("form[action='/refresh'] button")
	b.see("#devices")

	other := w.profile(t)
	other.open(base)
	other.click("a.button.main")
	other.see("#username")
	other.click("button[value=login]")
	other.see("form[action='/end']")
	if text := strings.ToLower(read(other, visible)); !strings.Contains(text, "2 logged in") {
		t.Errorf("the page shows not both devices: %s", text)
	}
	b.open(base)
	b.click("form[action='/everywhere'] button")
	b.see("a.button.main")
	for _, v := range []*tab{b, other} {
		v.open(base)
		v.see("a.button.main") // nobody is logged in, at the instance that serves this
		v.quiet()
	}
}

// TestFleetLogout leads from the page by the provider to the app's own landing page.
func TestFleetLogout(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "fleet", "-provider", "127.0.0.1:0")
	b := w.profile(t)
	b.open(base)
	b.click("a.button.main")
	b.see("#username")
	b.click("button[value=login]")
	b.see("#devices")
	b.click("form[action='/auth/logout'] button")
	b.see("#instance") // where the landing page has led back to
	for range 3 {
		b.open(base)
		b.see("a.button.main")
	}
	b.quiet()
}
