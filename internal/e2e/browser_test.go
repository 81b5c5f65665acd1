package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chrome is one Chromium process. Each test has a profile of its own in it, like a private window.
type chrome struct {
	root   context.Context //nolint:containedctx // chromedp keeps its browser in a context
	cancel []context.CancelFunc
	dir    string
}

var chromiumNames = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

func chromium() string {
	for _, name := range chromiumNames {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func missingChromium() string {
	if chromium() == "" {
		return "Chromium"
	}
	return ""
}

// newChrome starts Chromium with the default behaviour for cookies; every name is this machine.
func newChrome(pin string) (*chrome, error) {
	dir, err := os.MkdirTemp("", "twofold-e2e-")
	if err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium()), chromedp.UserDataDir(dir), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU, chromedp.NoSandbox, // as root there is no sandbox to have; the pages are our own
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", pin),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-prompt-on-repost", true), chromedp.Flag("password-store", "basic"),
		chromedp.Flag("disable-backgrounding-occluded-windows", true), chromedp.Flag("disable-renderer-backgrounding", true),
	}
	c := &chrome{dir: dir}
	options = append(options, chromedp.WSURLReadTimeout(2*time.Minute)) // a cold start
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	root, cancel := chromedp.NewContext(allocator)
	c.root, c.cancel = root, []context.CancelFunc{stop, cancel}
	if err := chromedp.Do(root); err != nil {
		c.close()
		return nil, fmt.Errorf("chromium: %w", err)
	}
	return c, nil
}

func (c *chrome) close() {
	for _, cancel := range slices.Backward(c.cancel) {
		cancel()
	}
	_ = os.RemoveAll(c.dir)
}

// tab is one tab of a profile.
type tab struct {
	t        *testing.T
	ctx      context.Context //nolint:containedctx // chromedp keeps its tab in a context
	mu       sync.Mutex
	problems []string // guarded by mu: what the browser complained about
	expected []string // guarded by mu: addresses whose 401 is no problem
}

// profile opens the first tab of a new, empty profile.
func (w *world) profile(t *testing.T) *tab {
	t.Helper()
	return newTab(t, w.chrome.root, chromedp.WithNewBrowserContext())
}

// another opens a further tab of the same profile.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

func newTab(t *testing.T, parent context.Context, o ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, o...)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("new tab: %v", err)
	}
	return b
}

// listen collects errors: exceptions, console errors, and what Chromium logs itself (security policies, failed loads).
func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") && !b.expects(e.Entry) {
			b.problems = append(b.problems, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.problems = append(b.problems, fmt.Sprintf("console.error with %d arguments", len(e.Args)))
		}
	}
}

// expects reports whether an entry is the console's word on a 401 that a script handles. b.mu is held.
func (b *tab) expects(e *log.Entry) bool {
	return strings.Contains(e.Text, "status of 401") && slices.Contains(b.expected, e.URL)
}

// expect says which addresses may answer a script with 401.
func (b *tab) expect(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, addresses...)
}

// quiet fails the test if the browser complained about anything.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("the browser complains: %s", p)
	}
}

// forget drops the complaints so far: the test caused them on purpose.
func (b *tab) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = nil
}

// read performs an action within a minute, for a busy machine, and returns what it yields.
func read[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := try(b, action)
	if err != nil {
		where, _ := try(b, chromedp.Location())
		text, _ := try(b, visible)
		b.t.Fatalf("browser: %v\nat %s\n%s", err, where, text)
	}
	return v
}

func try[T any](b *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, action)
}

var visible = chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`)

// here is a selector in a page that the tab was not about to leave.
func here(selector string) chromedp.CSS {
	return chromedp.CSS("html:not([data-left]) " + strings.ReplaceAll(selector, ", ", ", html:not([data-left]) "))
}

func (b *tab) open(url string)     { b.t.Helper(); read(b, chromedp.Navigate(url)) }
func (b *tab) see(selector string) { b.t.Helper(); read(b, chromedp.WaitVisible(here(selector))) }

func (b *tab) fill(selector, val string) {
	b.t.Helper()
	read(b, chromedp.SendKeys(here(selector), val))
}
func (b *tab) where() string { b.t.Helper(); return read(b, chromedp.Location()) }

// click presses a button or a link that leads to another page. It does not wait for that page; see, text, fill and the
// next click do.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.see(selector)
	leave(b, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// leave performs what leads to another page.
func leave[T any](b *tab, action chromedp.Action[T]) {
	b.t.Helper()
	read(b, chromedp.Evaluate[any](`document.documentElement.dataset.left = "", null`))
	read(b, action)
}

// text waits for an element and returns its text.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return read(b, chromedp.Text(here(selector), chromedp.NodeVisible))
}

// cookies are the names of the profile's cookies for a URL, with what Chromium knows of each.
func (b *tab) cookies(url string) map[string]*network.Cookie {
	b.t.Helper()
	got, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]*network.Cookie{}
	for _, c := range got.Cookies {
		found[c.Name] = c
	}
	return found
}

// screenshot writes the whole page as PNG to the directory in TWOFOLD_SCREENSHOTS, or to one of the test's own.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("TWOFOLD_SCREENSHOTS")
	if dir == "" {
		dir = b.t.TempDir()
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), read(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
		b.t.Fatal(err)
	}
}
