package optest

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// headers of a navigation, with the page's policy and the addresses that redirected here.
func TestNavigationHeaders(t *testing.T) {
	t.Parallel()
	const (
		op   = "http://localhost:1/authorize?x=1#f"
		app  = "http://127.0.0.1:2/callback"
		tls  = "https://op.example.com/authorize?x=1"
		home = "https://app.example.com/"
	)
	rows := []struct {
		name, method, from, policy, to string
		passed                         []string
		site, origin, referer          string
	}{
		{"typed", "GET", "", "", app, nil, "none", "", ""},
		{"typed and redirected", "GET", "", "", app, []string{op}, "none", "", ""},
		{"same-origin link", "GET", "http://localhost:1/x", "", op, nil, "same-origin", "", "http://localhost:1/x"},
		{"same-site link", "GET", "http://localhost:2/x", "", op, nil, "same-site", "", "http://localhost:2/"},
		{"cross-site link", "GET", op, "", app, nil, "cross-site", "", "http://localhost:1/"},
		{"cross-site POST", "POST", op, "", app, nil, "cross-site", "http://localhost:1", "http://localhost:1/"},
		{"cross-site POST of a page with no-referrer", "POST", op, "no-referrer", app, nil, "cross-site", "null", ""},
		{"same-origin POST of a page with no-referrer", "POST", app, "no-referrer", app, nil, "same-origin", "null", ""},
		{"cross-site POST of a page with same-origin", "POST", op, "same-origin", app, nil, "cross-site", "null", ""},
		{"same-origin POST of a page with same-origin", "POST", app, "same-origin", app, nil, "same-origin", "http://127.0.0.1:2", app},
		{"a page with origin", "POST", op, "origin", app, nil, "cross-site", "http://localhost:1", "http://localhost:1/"},
		{"a page with unsafe-url", "POST", op, "unsafe-url", app, nil, "cross-site", "http://localhost:1", "http://localhost:1/authorize?x=1"},
		{"a page with strict-origin", "GET", op, "strict-origin", op, nil, "same-origin", "", "http://localhost:1/"},
		{"a page with origin-when-cross-origin", "GET", op, "origin-when-cross-origin", app, nil, "cross-site", "", "http://localhost:1/"},
		{"a page with no-referrer-when-downgrade", "GET", op, "no-referrer-when-downgrade", app, nil, "cross-site", "", "http://localhost:1/authorize?x=1"},
		{"same registrable domain", "POST", tls, "", home, nil, "same-site", "https://op.example.com", "https://op.example.com/"},
		{"https to http on loopback", "POST", tls, "", app, nil, "cross-site", "null", "https://op.example.com/"},
		{"back through a foreign host", "GET", app, "", app, []string{op}, "cross-site", "", app},
		{"POST redirected once across", "POST", app, "", op, []string{app}, "cross-site", "http://127.0.0.1:2", "http://127.0.0.1:2/"},
		{"POST redirected from a foreign origin", "POST", app, "", home, []string{op}, "cross-site", "null", "http://127.0.0.1:2/"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			n := &navigation{method: row.method, target: at(t, row.to), policy: row.policy}
			if row.from != "" {
				n.from = at(t, row.from)
			}
			for _, address := range row.passed {
				n.passed = append(n.passed, at(t, address))
			}
			r, err := n.request(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := []string{r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin"), r.Header.Get("Referer")}
			if want := []string{row.site, row.origin, row.referer}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestNoFetchMetadataWithoutTrust(t *testing.T) {
	t.Parallel()
	r, err := (&navigation{method: "GET", target: at(t, "http://a.example/")}).request(t.Context())
	if err != nil || r.Header.Get("Sec-Fetch-Mode") != "" {
		t.Errorf("%v %v", err, r.Header)
	}
}

func TestRedirectMethods(t *testing.T) {
	t.Parallel()
	rows := []struct {
		status       int
		method, want string
	}{
		{301, "POST", "GET"},
		{302, "POST", "GET"},
		{303, "POST", "GET"},
		{307, "POST", "POST"},
		{308, "POST", "POST"},
		{301, "GET", "GET"},
		{303, "GET", "GET"},
		{307, "GET", "GET"},
	}
	for _, row := range rows {
		n := &navigation{method: row.method, body: "a=b", target: at(t, "http://localhost/a#frag")}
		if row.method == "GET" {
			n.body = ""
		}
		next, err := n.redirected(&Page{Status: row.status, Header: http.Header{}}, "/b")
		if err != nil {
			t.Fatal(err)
		}
		if next.method != row.want || (next.body == "a=b") != (row.want == "POST") || next.target.String() != "http://localhost/b#frag" {
			t.Errorf("%d %s: %s %q %s", row.status, row.method, next.method, next.body, next.target)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	base := at(t, "https://a.example/x/y?q")
	rows := map[string]string{
		"z": "https://a.example/x/z", "?p": "https://a.example/x/y?p", "//b.example": "https://b.example/", `\\b.example\z`: "https://b.example/z",
		"/\t/b.example/": "https://b.example/", "HTTPS://B.example": "https://b.example/", "": "https://a.example/x/y?q",
		`/z?a=\`: `https://a.example/z?a=\`,
	}
	for address, want := range rows {
		u, err := parseAddress(base, address)
		if err != nil || u.String() != want {
			t.Errorf("%q: %v %v, want %s", address, u, err, want)
		}
	}
	for _, address := range []string{"javascript:alert(1)", "data:text/html,x", "ftp://a.example/", "http:///"} {
		if u, err := parseAddress(base, address); err == nil {
			t.Errorf("%q became %s", address, u)
		}
	}
}

func TestFormAction(t *testing.T) {
	t.Parallel()
	page := at(t, "https://op.example.com/login")
	rows := []struct {
		policy, target string
		want           bool
	}{
		{"", "https://x.example/", true},
		{"default-src 'none'", "https://x.example/", true},
		{"form-action 'none'", "https://op.example.com/", false},
		{"form-action", "https://op.example.com/", false},
		{"form-action 'self'", "https://op.example.com/x", true},
		{"form-action 'self'", "https://app.example.com/x", false},
		{"form-action 'self' https://app.example.com", "https://app.example.com/x", true},
		{"form-action https://app.example.com", "https://evil.example.com/", false},
		{"form-action https://localhost", "http://localhost/", false},
		{"form-action https://app.example.com:8443", "https://app.example.com/", false},
		{"form-action https://app.example.com:*", "https://app.example.com:8443/", true},
		{"form-action http://app.example.com", "https://app.example.com/", true},
		{"form-action https://*.example.com", "https://app.example.com/", true},
		{"form-action https://*.example.com", "https://example.com/", false},
		{"form-action https:", "https://any.example/", true},
		{"form-action https:", "http://localhost/", false},
		{"form-action *", "https://any.example/", true},
		{"form-action https://app.example.com/cb", "https://app.example.com/other", false},
		{"form-action https://app.example.com/cb/", "https://app.example.com/cb/x", true},
		{"form-action app.example.com", "https://app.example.com/", true},
		{"form-action http://[::1]:8080", "http://[::1]:8080/", true},
		{"form-action 'self', form-action *", "https://app.example.com/", false},
		{"FORM-ACTION 'self'; form-action *", "https://app.example.com/", false},
	}
	for _, row := range rows {
		p := &Page{Header: http.Header{"Content-Security-Policy": {row.policy}}}
		n := &navigation{method: "POST", from: page, target: at(t, row.target), forms: p.policies()}
		if got := n.blocked() == nil; got != row.want {
			t.Errorf("%q to %s: %v", row.policy, row.target, got)
		}
	}
	mixed := &navigation{method: "POST", from: page, target: at(t, "http://app.example.com/"), forms: []csp{}}
	if mixed.blocked() == nil {
		t.Error("a form went from https to http")
	}
}

func page(body string, header ...string) *Page {
	p := &Page{URL: "https://a.example/x", Status: 200, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		p.Header.Add(header[i], header[i+1])
	}
	return p
}

func TestSelfSubmittingPages(t *testing.T) {
	t.Parallel()
	const (
		form   = `<form method=post action=/cb><input type=hidden name=a value=1></form>`
		script = `<script>document.forms[0].submit()</script>`
		csp    = "Content-Security-Policy"
	)
	rows := []struct {
		name string
		page *Page
		want bool
	}{
		{"script", page(form + script), true},
		{"onload", page(`<body onload="document.forms[0].submit()">` + form), true},
		{"requestSubmit", page(form + `<SCRIPT>f.requestSubmit()</SCRIPT>`), true},
		{"submit taken from the prototype", page(form + `<script>HTMLFormElement.prototype.submit.call(f)</script>`), true},
		{"no script", page(form), false},
		{"two forms", page(form + form + script), false},
		{"the word in a text", page(form + `<p>document.forms[0].submit()</p>`), false},
		{"the script in a comment", page(form + `<!--` + script + `-->`), false},
		{"nonce that fits", page(form+`<script nonce="n1">f.submit()</script>`, csp, "script-src 'nonce-n1'"), true},
		{"nonce that does not fit", page(form+`<script nonce="n2">f.submit()</script>`, csp, "script-src 'nonce-n1'"), false},
		{"no nonce", page(form+script, csp, "default-src 'none'; script-src 'nonce-n1'"), false},
		{"default-src none", page(form+script, csp, "default-src 'none'"), false},
		{"default-src and unsafe-inline", page(form+script, csp, "default-src 'unsafe-inline'"), true},
		{"unsafe-inline beside a nonce", page(form+script, csp, "script-src 'unsafe-inline' 'nonce-x'"), false},
		{"onload under a nonce", page(`<body onload="f.submit()">`+form, csp, "script-src 'nonce-x'"), false},
		{"hash that fits", page(form+`<script>f.submit()</script>`, csp, "script-src 'sha256-wcYmsxOr+1WcoLPCsSkuwa4Ee0kUAuq6qCFYe5d0aq8='"), false},
		{"second policy refuses", page(form+script, csp, "script-src 'unsafe-inline'", csp, "script-src 'none'"), false},
	}
	for _, row := range rows {
		if _, got := row.page.selfSubmitting(); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	off := page(form + script)
	off.noScript = true
	if _, got := off.selfSubmitting(); got {
		t.Error("a script ran without scripts")
	}
	for contentType, want := range map[string]bool{
		"text/plain": false, "application/xhtml+xml": true, "TEXT/HTML": true, "text/html; charset": true, "": false,
	} {
		p := page(form + script)
		p.Header.Set("Content-Type", contentType)
		if _, got := p.selfSubmitting(); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
	hash := page(form+`<script>f.submit()</script>`, csp, "script-src '"+hashSource("f.submit()")+"'")
	if _, got := hash.selfSubmitting(); !got {
		t.Error("a script with its hash did not run")
	}
}

func TestRelayPages(t *testing.T) {
	t.Parallel()
	p := page(`<form method=post action=/cb><input type=hidden name=marker value=1></form>
		<script>for (const [k, v] of new URLSearchParams(location.hash.slice(1))) add(k, v); f.submit()</script>`)
	if _, ok := p.selfSubmitting(); ok {
		t.Error("a relay without fragment submitted")
	}
	p.URL += "#code=a+b&state=%26&code=c"
	form, ok := p.selfSubmitting()
	want := url.Values{"marker": {"1"}, "code": {"a b", "c"}, "state": {"&"}}
	if !ok || form.Fields.Encode() != want.Encode() {
		t.Errorf("%v %v", ok, form.Fields)
	}
}

func TestReferrerPolicyOfAPage(t *testing.T) {
	t.Parallel()
	rows := map[string]*Page{
		"":                           page("", "Referrer-Policy", "nonsense"),
		"no-referrer":                page("", "Referrer-Policy", "origin, no-referrer, later"),
		"same-origin":                page(`<meta name="Referrer" content="same-origin">`, "Referrer-Policy", "origin"),
		"strict-origin":              page("", "Referrer-Policy", "origin", "Referrer-Policy", "Strict-Origin"),
		"no-referrer-when-downgrade": page("", "Referrer-Policy", "no-referrer-when-downgrade"),
	}
	for want, p := range rows {
		if got := p.referrerPolicy(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRefreshOfAPage(t *testing.T) {
	t.Parallel()
	rows := []struct {
		page *Page
		want string
		ok   bool
	}{
		{page(""), "", false},
		{page("", "Refresh", "0"), "https://a.example/x", true},
		{page("", "Refresh", "3; url=/y"), "/y", true},
		{page("", "Refresh", "3,URL='/y'"), "/y", true},
		{page(`<meta http-equiv=refresh content="0;url=/z?a=1&amp;b=2">`), "/z?a=1&b=2", true},
	}
	for _, row := range rows {
		if got, ok := row.page.refresh(); got != row.want || ok != row.ok {
			t.Errorf("%q %v, want %q", got, ok, row.want)
		}
	}
}
