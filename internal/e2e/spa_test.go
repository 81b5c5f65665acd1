package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSPA clicks through the front end without tokens, under its strict policy: the script learns who is logged in,
// calls the API through the proxy, and is sent to a stronger login when the API wants one.
func TestSPA(t *testing.T) {
	t.Parallel()
	w := start(t)
	base := example(t, "spa")
	b := w.profile(t)
	b.expect(base+"/auth/me", base+"/api?acr_values=gold")
	b.open(base)
	b.see("a.button.main")
	b.looks("spa-landing")
	b.click("a.button.main")
	b.see("#username")
	b.click("button[value=login]")
	b.see("#read")
	if got := b.where(); got != base+"/" {
		t.Errorf("the login ended at %s", got)
	}
	if who := b.text("#who"); !strings.Contains(who, `"sub": "alice"`) || strings.Contains(who, "ey") {
		t.Errorf("/auth/me says %s", who)
	}
	if loot := b.text("#loot"); loot != "nothing" {
		t.Errorf("the script can read %s", loot)
	}
	for button, want := range map[string]string{"#read": `"method": "GET"`, "#write": `"method": "POST"`} {
		b.press(button)
		if got := b.answer("200"); !strings.Contains(got, want) || !strings.Contains(got, `"sub": "alice"`) {
			t.Errorf("%s: the API answers %s", button, got)
		}
	}
	b.press("#more")
	b.answer("401")
	b.looks("spa-page")
	b.click("#again")
	b.see("#username") // the provider asks again
	b.click("button[value=login]")
	b.see("#read")
	b.press("#more")
	if got := b.answer("200"); !strings.Contains(got, `"acr": "gold"`) {
		t.Errorf("the API answers %s after the stronger login", got)
	}
	b.click("form[action='/auth/logout'] button")
	b.see("a.button.main")
	for name := range b.cookies(base) {
		if strings.HasSuffix(name, "-s") || strings.Contains(name, "-t") {
			t.Errorf("cookie %s is still there", name)
		}
	}
	b.quiet()
}

// press presses a button that leads nowhere else.
func (b *tab) press(selector string) {
	b.t.Helper()
	read(b, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// answer waits until the front end shows an answer of that status.
func (b *tab) answer(status string) string {
	b.t.Helper()
	return read(b, chromedp.Evaluate[string](`new Promise(done => {
		const place = document.querySelector("#answer")
		const look = () => { if (place.textContent.startsWith("`+status+`\n")) done(place.textContent) }
		new MutationObserver(look).observe(place, { childList: true, characterData: true, subtree: true })
		look()
	})`, chromedp.EvalAwaitPromise))
}
