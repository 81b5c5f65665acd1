package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestTwoTabs starts two logins at once in one profile and finishes them in the other order.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "two-tabs", options{})
	one := w.profile(t)
	two := one.another()
	one.open(a.url + "/account?tab=1")
	two.open(a.url + "/account?tab=2")
	a.atProvider(one)
	a.atProvider(two)
	a.identify(two, "alice")
	two.click("#allow")
	two.see("#sub")
	one.fill("#username", "alice")
	one.click("#continue")
	one.see("#sub") // the consent of the other tab counts
	if got := one.where(); got != a.url+"/account?tab=1" {
		t.Errorf("the first tab ends at %s", got)
	}
	if got := two.where(); got != a.url+"/account?tab=2" {
		t.Errorf("the second tab ends at %s", got)
	}
	if got := len(a.tokenCalls()); got != 2 {
		t.Errorf("%d token calls, want one for each tab", got)
	}
	one.quiet()
	two.quiet()
}

// TestReloadAndBack: after a login, reload and the back button never end on an error, and never spend a code again.
func TestReloadAndBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "back", options{})
	b := w.profile(t)
	b.open(a.url + "/")
	b.see("#title")
	a.signIn(b, "/account", "alice")
	read(b, chromedp.Reload())
	b.see("#sub")
	entries := read(b, chromedp.NavigationEntries())
	for i := len(entries.Entries) - 2; i >= 0; i-- {
		if _, err := try(b, chromedp.NavigateToHistoryEntry(entries.Entries[i].ID)); err != nil {
			t.Fatalf("back to %s: %v", entries.Entries[i].URL, err)
		}
		if got := b.where(); strings.Contains(got, "/auth/callback") {
			t.Errorf("back to %s ends at %s\n%s", entries.Entries[i].URL, got, read(b, visible))
		}
	}
	b.open(a.url + "/account")
	if got := b.text("#sub"); got != "alice" {
		t.Errorf("after going back the app sees %q", got)
	}
	if got := len(a.tokenCalls()); got != 1 {
		t.Errorf("%d token calls, want 1", got)
	}
}

// TestCallbackTwice posts the same authorization response again, as a browser does that reloads a callback whose answer
// it lost: the user ends where the first answer led, and the code is spent once.
func TestCallbackTwice(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "twice", options{})
	b := w.profile(t)
	form := a.capture(b)
	for range 2 {
		b.open(a.url + "/")
		leave(b, chromedp.Evaluate[any](form))
		b.see("#sub")
		if got := b.where(); got != a.url+"/account" {
			t.Errorf("the callback ends at %s", got)
		}
	}
	if got := len(a.tokenCalls()); got != 1 {
		t.Errorf("%d token calls, want 1", got)
	}
}

// capture logs in up to the authorization response and returns a script that posts it.
func (a *app) capture(b *tab) string {
	a.t.Helper()
	hold := make(chan string, 1)
	a.w.apps.intercept(a.name, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || r.URL.Path != "/auth/callback" {
			return false
		}
		_ = r.ParseForm()
		hold <- script(r.PostForm)
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<p id="lost">the answer was lost</p>`))
		return true
	})
	b.open(a.url + "/account")
	a.identify(b, "alice")
	b.click("#allow")
	b.see("#lost")
	form := <-hold
	a.w.apps.intercept(a.name, nil)
	b.forget()
	return form
}

// script is JavaScript that posts a form to the callback.
func script(form url.Values) string {
	fields, _ := json.Marshal(form)
	return fmt.Sprintf(`(() => {
		const f = document.body.appendChild(document.createElement("form"));
		f.method = "post"; f.action = "/auth/callback";
		for (const [k, v] of Object.entries(%s)) {
			const i = f.appendChild(document.createElement("input")); i.type = "hidden"; i.name = k; i.value = v[0];
		}
		f.submit();
	})()`, fields)
}

// TestConsentDenied: the user says no. The app shows a calm page with a way on, and nobody is logged in.
func TestConsentDenied(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "denied", options{})
	b := w.profile(t)
	b.open(a.url + "/account")
	a.identify(b, "alice")
	b.click("#deny")
	b.see("a[href]")
	if got := b.where(); got != a.url+"/auth/callback" {
		t.Errorf("the browser is at %s", got)
	}
	if text := read(b, visible); strings.Contains(text, "the user said no") || len(text) < 40 {
		t.Errorf("the error page says:\n%s", text)
	}
	b.looks("error-denied")
	if len(a.tokenCalls()) != 0 || len(a.logins) != 0 {
		t.Error("a refused login went on")
	}
	if got := a.session(b); len(got) > 0 {
		t.Errorf("cookies %q are there", got)
	}
	b.forget()
	b.click("a[href]") // the way on
	b.see("#allow")
	a.atProvider(b)
}

// TestCookieLost: a browser that does not bring the transaction cookie back (Safari over plain http, an odd proxy) gets
// a page that says so. The answer is not used.
func TestCookieLost(t *testing.T) {
	t.Parallel()
	w := start(t)
	a := w.app(t, "lost", options{})
	b := w.profile(t)
	b.open(a.url + "/account")
	a.identify(b, "alice")
	for name := range b.cookies(a.url) {
		if _, err := chromedp.Call(b.ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: name, URL: a.url}); err != nil {
			t.Fatal(err)
		}
	}
	b.click("#allow")
	b.see("a[href]")
	if text := strings.ToLower(read(b, visible)); !strings.Contains(text, "cookie") {
		t.Errorf("the page does not name the cause:\n%s", text)
	}
	b.looks("error-cookie")
	if len(a.tokenCalls()) != 0 || len(a.session(b)) != 0 {
		t.Error("an answer without its transaction was used")
	}
}
