package e2e_test

import (
	"strings"
	"testing"
)

// enter logs in at the provider of an example, whose page is open.
func (b *tab) enter() {
	b.t.Helper()
	b.click("a.button.main")
	b.see("#username")
	b.click("button[value=login]")
}

// TestDeferred clicks through the example of a login that waits for no token: with the token endpoint down the user is
// in, and what needs a token works when it is up again.
func TestDeferred(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "deferred")
	b := w.profile(t)
	b.open(base)
	b.looks("deferred-landing")
	b.click("button[value=down]")
	b.enter()
	if got := b.text("#state"); got != "pending" {
		t.Errorf("tokens are %q with the token endpoint down", got)
	}
	b.looks("deferred-pending")
	b.fill("#text", "kept before there were tokens")
	b.click("form[action='/note'] button")
	b.see("#state")
	if text := read(b, visible); !strings.Contains(text, "kept before there were tokens") {
		t.Errorf("the note is not there: %s", text)
	}
	b.click("button[value=fine]")
	b.click("a[href='/orders']")
	b.see("#orders")
	if got := b.text("#state"); got != "ready" {
		t.Errorf("tokens are %q after the redemption", got)
	}
	b.looks("deferred-ready")
	b.quiet()
}

// TestMultiresource clicks through the example of several APIs, with one more that the login had not asked for.
func TestMultiresource(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "multiresource")
	b := w.profile(t)
	b.open(base)
	b.enter()
	b.see("table.apis")
	b.looks("multiresource-two")
	b.click("a[href='/three']")
	b.see("a[href='/two'].button")
	if text := strings.ToLower(read(b, visible)); !strings.Contains(text, "3 tokens") {
		t.Errorf("the page says %s", text)
	}
	b.looks("multiresource-three")
	b.quiet()
}

// TestWorker clicks through the example of a worker that goes on after the logout.
func TestWorker(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "worker")
	b := w.profile(t)
	b.open(base)
	b.enter()
	b.click("form[action='/allow'] button")
	b.click("form[action='/round'] button")
	b.see("form[action='/withdraw']")
	b.looks("worker-allowed")
	b.click("form[action='/auth/logout'] button")
	b.see("a.button[href^='/auth/login']")
	b.click("form[action='/round'] button")
	b.see("#rounds")
	b.looks("worker-logged-out")
	if text := strings.ToLower(read(b, visible)); !strings.Contains(text, "for alice, who is logged in nowhere") {
		t.Errorf("the worker does not go on after the logout: %s", text)
	}
	b.quiet()
}
