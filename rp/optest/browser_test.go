package optest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// sites starts two servers with one handler, on two sites: http://127.0.0.1:… and http://localhost:….
func sites(t *testing.T, h http.HandlerFunc) (app, other string) {
	t.Helper()
	one, two := httptest.NewServer(h), httptest.NewServer(h)
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	return one.URL, strings.Replace(two.URL, "127.0.0.1", "localhost", 1)
}

func page(out http.ResponseWriter, body string) {
	out.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(out, body)
}

const cookies = "none=1; SameSite=None; Secure\nlax=1; SameSite=Lax\nstrict=1; SameSite=Strict"

// crossSite sets cookies at /set, shows at /show what came, and has pages that lead there.
func crossSite(target *string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/set":
			for line := range strings.SplitSeq(cookies, "\n") {
				w.Header().Add("Set-Cookie", line)
			}
		case "/show":
			_, _ = fmt.Fprintf(w, "%s %s | %s", r.Method, r.Header.Get("Cookie"), r.Header.Get("Sec-Fetch-Site"))
		case "/post":
			page(w, `<form method=post action="`+*target+`"></form><script>document.forms[0].submit()</script>`)
		case "/see-other":
			http.Redirect(w, r, "/show", http.StatusSeeOther)
		case "/keep":
			http.Redirect(w, r, "/show", http.StatusTemporaryRedirect)
		case "/out":
			http.Redirect(w, r, *target, http.StatusFound)
		}
	}
}

func TestBrowserSendsCookiesBySite(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, path, target, want string }{
		{"cross-site form", "/post", "/show", "POST none=1 | cross-site"},
		{"cross-site form, then 303", "/post", "/see-other", "GET none=1; lax=1 | cross-site"},
		{"cross-site form, then 307", "/post", "/keep", "POST none=1 | cross-site"},
		{"typed, then a redirect", "/out", "/show", "GET none=1; lax=1; strict=1 | none"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			target := ""
			app, other := sites(t, crossSite(&target))
			target = app + row.target
			b := optest.NewBrowser(nil)
			if _, err := b.Open(t.Context(), app+"/set"); err != nil {
				t.Fatal(err)
			}
			p, err := b.Open(t.Context(), other+row.path)
			if err != nil {
				t.Fatal(err)
			}
			if string(p.Body) != row.want {
				t.Errorf("%q, want %q", p.Body, row.want)
			}
		})
	}
}

func TestBrowserClicks(t *testing.T) {
	t.Parallel()
	target := ""
	app, other := sites(t, crossSite(&target))
	b := optest.NewBrowser(nil)
	if _, err := b.Open(t.Context(), app+"/set"); err != nil {
		t.Fatal(err)
	}
	from, err := b.Open(t.Context(), other+"/")
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Click(t.Context(), from, app+"/show")
	if err != nil || string(p.Body) != "GET none=1; lax=1 | cross-site" {
		t.Errorf("%v %q", err, p.Body)
	}
	p, err = b.Click(t.Context(), p, "/show")
	if err != nil || string(p.Body) != "GET none=1; lax=1; strict=1 | same-origin" {
		t.Errorf("%v %q", err, p.Body)
	}
	form := optest.Form{Action: "/show?old=1", Fields: url.Values{"q": {"x"}}}
	if p, err = b.SubmitForm(t.Context(), p, form); err != nil || !strings.HasSuffix(p.URL, "/show?q=x") {
		t.Errorf("%v %s", err, p.URL)
	}
	if _, err := b.Submit(t.Context(), p, nil); err == nil {
		t.Error("a form was submitted where there is none")
	}
	if _, err := b.Click(t.Context(), p, "javascript:alert(1)"); err == nil {
		t.Error("a script address was opened")
	}
}

func TestSubmitChoosesTheFormThatHasTheFields(t *testing.T) {
	t.Parallel()
	app, _ := sites(t, func(w http.ResponseWriter, r *http.Request) {
		page(w, `<p>`+r.URL.Path+`?`+r.URL.RawQuery+`<form action=/one><input name=a></form>
			<form action=/two><input name=a><input name=b><button name=press value=me>Go</button></form>`)
	})
	b := optest.NewBrowser(nil)
	for _, row := range []struct {
		fields url.Values
		want   string
	}{
		{url.Values{"a": {"1"}}, "/one?a=1"},
		{url.Values{"a": {"1"}, "b": {"2"}}, "/two?a=1&b=2"},
		{url.Values{"press": {"me"}}, "/two?a=&b=&press=me"},
		{url.Values{"none": {"has"}}, "/one?a=&none=has"},
	} {
		p, err := b.Open(t.Context(), app+"/")
		if err != nil {
			t.Fatal(err)
		}
		if p, err = b.Submit(t.Context(), p, row.fields); err != nil || !strings.HasPrefix(p.Text(), row.want+" ") {
			t.Errorf("%v: %v, %q, want %s", row.fields, err, p.Text(), row.want)
		}
	}
}

func TestBrowserStopsWhereItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	toApp := func(_ string, u *url.URL) bool { return strings.HasPrefix(u.String(), w.app.URL) }
	for _, mode := range []string{"form_post", "fragment"} {
		w.b.Stop = toApp
		stopped := w.open(w.request("response_mode", mode))
		if len(w.got) != 0 {
			t.Fatal("the app was asked")
		}
		if mode == "fragment" {
			if location := stopped.Header.Get("Location"); stopped.Status != http.StatusFound || !strings.Contains(location, "#code=") {
				t.Errorf("%d %s", stopped.Status, location)
			}
			continue
		}
		if fields := stopped.Forms()[0].Fields; !fields.Has("id_token") || !fields.Has("code") {
			t.Errorf("%v", fields)
		}
		victim := optest.NewBrowser(nil)
		if _, err := victim.Submit(t.Context(), stopped, url.Values{"state": {"forged"}}); err != nil {
			t.Fatal(err)
		}
		if got := w.last(); got.Get("state") != "forged" || !got.Has("code") {
			t.Errorf("%v", got)
		}
		w.got = nil
	}
}

func TestBrowserWithoutScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	w.b.NoScript = true
	p := w.open(w.request())
	if !strings.Contains(p.Text(), "Your browser runs no scripts") || len(w.got) != 0 {
		t.Fatalf("%s", p.Text())
	}
	if _, err := w.b.Submit(t.Context(), p, nil); err != nil || !w.last().Has("code") {
		t.Errorf("%v", err)
	}
}

func TestFormPostComesAsARealBrowserSendsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registered)
	p := w.open(w.request())
	h := w.got[0].Header
	for name, want := range map[string]string{
		"Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "",
		"Content-Type": "application/x-www-form-urlencoded", "Referer": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	if len(p.History) != 3 || p.History[1] != w.callback() || p.History[2] != p.URL || p.URL != w.app.URL+"/done" {
		t.Errorf("%q", p.History)
	}
}

func TestBrowserObeysFormAction(t *testing.T) {
	t.Parallel()
	target := ""
	app, other := sites(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/form":
			w.Header().Set("Content-Security-Policy", "form-action 'self'")
			page(w, `<form method=post action=/out></form>`)
		case "/out":
			http.Redirect(w, r, target, http.StatusSeeOther)
		}
	})
	target = other + "/there"
	b := optest.NewBrowser(nil)
	p, err := b.Open(t.Context(), app+"/form")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Submit(t.Context(), p, nil); !errors.Is(err, optest.ErrBlocked) {
		t.Errorf("%v", err)
	}
}

func TestBrowserEndsLoops(t *testing.T) {
	t.Parallel()
	app, _ := sites(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/redirect", http.StatusFound)
			return
		}
		page(w, `<form method=post></form><script>document.forms[0].submit()</script>`)
	})
	for path, want := range map[string]string{"/redirect": "more than 20 redirects", "/form": "no end"} {
		if _, err := optest.NewBrowser(nil).Open(t.Context(), app+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestBrowserRefreshesWhenAsked(t *testing.T) {
	t.Parallel()
	app, _ := sites(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Refresh", "5; url=/next")
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	b := optest.NewBrowser(nil)
	p, err := b.Open(t.Context(), app)
	if err != nil || string(p.Body) != "/" {
		t.Fatalf("%v %s", err, p.Body)
	}
	if p, err = b.Refresh(t.Context(), p); err != nil || string(p.Body) != "/next" {
		t.Errorf("%v %s", err, p.Body)
	}
	if _, err = b.Refresh(t.Context(), p); err == nil {
		t.Error("a page was refreshed that asks for nothing")
	}
}

func TestBrowserCookieJarIsOpenToTests(t *testing.T) {
	t.Parallel()
	now := newClock()
	b := optest.NewBrowser(nil)
	b.Now = now.Now
	const app = "http://127.0.0.1/"
	b.SetCookies(app, &http.Cookie{Name: "a", Value: "1", MaxAge: 60}, &http.Cookie{Name: "b", Value: "2"})
	names := func() (list []string) {
		for _, c := range b.Cookies(app) {
			list = append(list, c.Name+"="+c.Value)
		}
		return list
	}
	if got := names(); !slices.Equal(got, []string{"a=1", "b=2"}) {
		t.Errorf("%q", got)
	}
	now.advance(time.Minute)
	b.SetCookies(app, &http.Cookie{Name: "b", MaxAge: -1}, &http.Cookie{Name: "c", Value: "3"}, &http.Cookie{Name: "__Host-x", Value: "4"})
	if got := names(); !slices.Equal(got, []string{"c=3"}) {
		t.Errorf("%q", got)
	}
}
