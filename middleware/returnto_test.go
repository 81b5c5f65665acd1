package middleware_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
)

func newSite(t testing.TB, redirectURL, prefix string) middleware.Site {
	t.Helper()
	s, err := middleware.NewSite(redirectURL, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const testOrigin = "https://app.example.com"

func TestReturnToOfThisApp(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+"/auth/callback", "")
	for _, tc := range []struct{ in, want string }{
		{"/", "/"},
		{"/account", "/account"},
		{"/account?tab=1&x=%2F#top", "/account?tab=1&x=%2F#top"},
		{"/files/a%2Fb", "/files/a%2Fb"},
		{"/a//b", "/a//b"},
		{"/search?q=https://example.org//", "/search?q=https://example.org//"},
		{"/grüße?q=ü#ü", "/gr%C3%BC%C3%9Fe?q=%C3%BC#%C3%BC"},
		{"/a b?c d", "/a%20b?c%20d"},
		{`/q?"<>`, "/q?%22%3C%3E"},
		{"/auth/callbacks", "/auth/callbacks"},
		{"/login", "/login"},
		{"/@evil.example", "/@evil.example"},
		{"/a:b", "/a:b"},
		{"/...", "/..."},
	} {
		if got := s.Resolve(tc.in); got != tc.want {
			t.Errorf("%q leads to %q, not %q", tc.in, got, tc.want)
		}
	}
}

// H13: our own list, by kind.
func TestReturnToOfAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+"/auth/callback", "")
	rows := map[string][]string{
		"H01_two_slashes":       {"//evil.example", "///evil.example", "////evil.example", "//evil.example/%2e%2e", "//app.example.com", "//app.example.com@evil.example"},
		"H02_backslashes":       {`/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`, `\evil.example`, `//\evil.example`, `/a\..\\evil.example`},
		"H04_encoded_slashes":   {"/%2fevil.example", "/%2Fevil.example", "/%2f%2fevil.example", "%2f%2fevil.example"},
		"H05_encoded_backslash": {"/%5cevil.example", "/%5Cevil.example", "/%5c%5cevil.example"},
		"H06_encoded_control":   {"/%09/evil.example", "/%0a/evil.example", "/%0d%0aLocation:x", "/%00", "/a%7f"},
		"H07_no_slashes":        {"https:evil.example", "https:/evil.example", "http:evil.example", "evil.example", "account", "", " ", "?x", "#x", "."},
		"H09_whole_URLs":        {"https://evil.example", "HTTPS://evil.example", "http://app@evil.example", "http://app.evil.example", "https://app.example.com.evil.example", "https://app.example.com@evil.example", "ftp://app.example.com/", "https://app.example.com/account"},
		"H11_other_schemes":     {"javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "mailto:a@b", "blob:x", "//javascript:alert(1)"},
		"H12_white_space":       {" //evil.example", "\t//evil.example", "\n/account", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "/ /evil\x00", "\u00a0/a\u0085", "\u2028//evil.example"},
		"H14_line_ends":         {"/a\r\nSet-Cookie: x=1", "/a\nb", "/a\x00b", "/a\tb", "/a\u2028b", "/a\u2029b", "/a\u0085b"},
		"H15_too_long":          {"/" + strings.Repeat("a", middleware.MaxReturnTo), "/?return_to=" + strings.Repeat("%2F", 700)},
		"H16_our_own_routes":    {"/auth/login", "/auth/logout", "/auth/callback", "/auth/callback?code=1", "/auth/logged-out", "/auth/initiate", "/auth/jwks", "/auth/./login", "/x/../auth/login", "/auth//login", "/AUTH/Login", "/auth/login/", "/auth/%6cogin", "/auth/backchannel-logout"},
		"H17_dots_then_slashes": {"/..//evil.example", "/.//evil.example", "/a/..//evil.example", "/%2e%2e//evil.example", "/./%2fevil.example"},
		"not UTF-8":             {"/\xff", "/%ff\xfe"},
		"not a URL":             {"/%", "/%zz", "/%u002f"},
	}
	for name, payloads := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range payloads {
				got := s.Resolve(p)
				if off := danger(got); off != "" {
					t.Errorf("%q leads to %q: %s", p, got, off)
				}
				if got != s.Home() {
					t.Errorf("%q leads to %q, not home", p, got)
				}
			}
		})
	}
}

func TestH17_request_target_with_two_slashes(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+"/auth/callback", "")
	for _, target := range []string{"//evil.example/x", "/%2fevil.example", "/%5cevil.example", "/..//evil.example"} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Here(&http.Request{URL: u}); got != "/" {
			t.Errorf("%q leads to %q", target, got)
		}
	}
}

func TestH18_absolute_request_target(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+"/auth/callback", "")
	u, _ := url.Parse("http://evil.example/account?x=1")
	if got := s.Here(&http.Request{URL: u, Host: "evil.example"}); got != "/account?x=1" {
		t.Errorf("leads to %q", got)
	}
}

func TestPublicPrefix(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+"/app/auth/callback", "/app")
	if s.Home() != "/app/" || s.Public("login") != "/app/auth/login" {
		t.Errorf("home %s, login %s", s.Home(), s.Public("login"))
	}
	u, _ := url.Parse("/account")
	if got := s.Here(&http.Request{URL: u}); got != "/app/account" {
		t.Errorf("page leads to %q", got)
	}
	if got := s.Resolve("/app/auth/login"); got != "/app/" {
		t.Errorf("H16: login leads to %q", got)
	}
}

func TestH30_target_link_uri(t *testing.T) {
	t.Parallel()
	s := newSite(t, testOrigin+":443/auth/callback", "")
	for in, want := range map[string]string{
		testOrigin + "/account?x=1":           "/account?x=1",
		testOrigin:                            "/",
		"/account":                            "/account",
		testOrigin + "@evil.example":          "/",
		testOrigin + ".evil.example/":         "/",
		testOrigin + "//evil.example/":        "/",
		testOrigin + `\evil.example`:          "/",
		"https://evil.example/":               "/",
		"http://app.example.com/account":      "/",
		testOrigin + ":8443/account":          "/",
		testOrigin + "/auth/logout":           "/",
		"":                                    "/",
		"javascript:alert(1)//" + testOrigin:  "/",
		" " + testOrigin + "/account":         "/",
		testOrigin + "/a\r\nSet-Cookie: x=1":  "/",
		testOrigin + "/%0d%0aSet-Cookie:%20x": "/",
	} {
		if got := s.Absolute(in); got != want {
			t.Errorf("%q leads to %q, not %q", in, got, want)
		}
	}
}

func TestSitesThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string][2]string{
		"K05_http_off_loopback":    {"http://app.example.com/auth/callback", ""},
		"no path":                  {"https://app.example.com", ""},
		"root":                     {"https://app.example.com/", ""},
		"a directory":              {"https://app.example.com/auth/", ""},
		"another prefix":           {"https://app.example.com/auth/callback", "/app"},
		"prefix with end slash":    {"https://app.example.com/app/auth/callback", "/app/"},
		"prefix without slash":     {"https://app.example.com/app/auth/callback", "app"},
		"the name of a route":      {"https://app.example.com/auth/login", ""},
		"a pattern of the mux":     {"https://app.example.com/auth/{id}", ""},
		"an encoded slash":         {"https://app.example.com/auth%2Fcallback", ""},
		"a path that is not clean": {"https://app.example.com/auth/../callback", ""},
	} {
		if _, err := middleware.NewSite(tc[0], tc[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for in, origin := range map[string]string{
		"https://APP.example.com:443/cb": "https://app.example.com",
		"http://localhost:80/cb":         "http://localhost",
		"http://127.0.0.1:8080/cb":       "http://127.0.0.1:8080",
		"http://[::1]:8080/cb":           "http://[::1]:8080",
		"http://app.localhost:8080/cb":   "http://app.localhost:8080",
	} {
		if got := newSite(t, in, "").Origin(); got != origin {
			t.Errorf("%s has the origin %s", in, got)
		}
	}
}

// Law: whatever comes in, a browser stays on our host and reaches none of the routes.
func FuzzReturnTo(f *testing.F) {
	for _, seed := range []string{
		"/", "/account?x=1#y", "//evil", `/\evil`, "/%2f%2fevil", "/\t/evil", "https:evil", "javascript:x", "/..//evil",
		"/auth/login", "/a/../auth/%6cogin", "/ü",
	} {
		f.Add(seed)
	}
	s := newSite(f, testOrigin+"/auth/callback", "")
	f.Fuzz(func(t *testing.T, in string) {
		for _, got := range []string{s.Resolve(in), s.Absolute(in), s.Absolute(testOrigin + in), s.Here(&http.Request{URL: &url.URL{Path: in}})} {
			if off := danger(got); off != "" {
				t.Fatalf("%q leads to %q: %s", in, got, off)
			}
			if again := s.Resolve(got); again != got {
				t.Fatalf("%q leads to %q, and that to %q", in, got, again)
			}
		}
	})
}

// danger says why a Location is dangerous; "" if it is not. It reads URLs as browsers do (WHATWG URL Standard, basic
// URL parser, against a base with a special scheme) and shares nothing with the code under test.
func danger(location string) string {
	for _, c := range []byte(location) {
		if c <= ' ' || c >= 0x7f {
			return "a byte that does not belong into a header"
		}
	}
	once, _, _ := strings.Cut(strings.SplitN(location, "#", 2)[0], "?")
	twice, err := url.PathUnescape(once)
	if err != nil {
		return err.Error()
	}
	for _, l := range []string{location, twice} { // also after a decoding that somebody does behind us
		host, p := asBrowser(l)
		if host != "app.example.com" {
			return "host " + host
		}
		dir, name := path.Split(path.Clean("/" + strings.ToLower(p)))
		switch name {
		case "login", "logout", "callback", "logged-out", "initiate", "jwks":
			if dir == "/auth/" {
				return "our own route " + name
			}
		}
	}
	return ""
}

// asBrowser resolves a reference against https://app.example.com/auth/login and returns host and path.
func asBrowser(ref string) (host, pathname string) {
	ref = strings.TrimFunc(ref, func(r rune) bool { return r <= ' ' })
	ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	if i := strings.IndexAny(ref, ":/\\?#"); i > 0 && ref[i] == ':' && schemeLike(ref[:i]) {
		scheme, rest := strings.ToLower(ref[:i]), ref[i+1:]
		switch scheme {
		case "https":
			if !strings.HasPrefix(rest, "//") {
				return asBrowser(rest) // relative, with the base's scheme
			}
			return hostAndPath(rest)
		case "http", "ftp", "ws", "wss":
			host, pathname = hostAndPath(rest)
			return scheme + "://" + host, pathname
		}
		return scheme + ":", rest
	}
	if len(ref) > 1 && slashLike(ref[0]) && slashLike(ref[1]) {
		return hostAndPath(ref)
	}
	ref = strings.SplitN(strings.SplitN(ref, "#", 2)[0], "?", 2)[0]
	if ref != "" && slashLike(ref[0]) {
		return "app.example.com", strings.ReplaceAll(ref, `\`, "/")
	}
	return "app.example.com", "/auth/" + ref
}

// hostAndPath reads "//user@host:port/path", with as many slashes of either kind as there are.
func hostAndPath(rest string) (host, pathname string) {
	rest = strings.TrimLeft(rest, `/\`)
	end := strings.IndexAny(rest, `/\?#`)
	if end < 0 {
		end = len(rest)
	}
	host = rest[:end]
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	return strings.ToLower(host), rest[end:]
}

func slashLike(c byte) bool { return c == '/' || c == '\\' }

func schemeLike(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return false
		}
	}
	return s != ""
}
