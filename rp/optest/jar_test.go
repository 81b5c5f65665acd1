package optest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := parseAddress(nil, address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func put(t *testing.T, j *jar, address, line string, now time.Time) {
	t.Helper()
	c, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatal(err)
	}
	j.set(at(t, address), c, now)
}

func TestJarKeepsAndSends(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, set, line, open, want string
	}{
		{"a host's cookie goes to the host", "https://a.example/x/y", "c=1", "https://a.example/x/z", "c=1"},
		{"ports do not matter", "http://localhost:1/", "c=1", "http://localhost:2/", "c=1"},
		{"another host gets nothing", "https://a.example/", "c=1", "https://b.example/", ""},
		{"a subdomain gets no host-only cookie", "https://a.example/", "c=1", "https://x.a.example/", ""},
		{"a subdomain gets a Domain cookie", "https://a.example/", "c=1; Domain=a.example", "https://x.a.example/", "c=1"},
		{"a foreign Domain is refused", "https://a.example/", "c=1; Domain=b.example", "https://b.example/", ""},
		{"a foreign Domain is refused, and goes to no host with a dot", "https://a.example/", "c=1; Domain=b.example", "https://b.example./", ""},
		{"another host gets no Domain cookie", "https://a.example/", "c=1; Domain=a.example", "https://ba.example/", ""},
		{"a top-level Domain is refused", "https://a.example/", "c=1; Domain=example", "https://b.example/", ""},
		{"Domain on an address", "http://127.0.0.1/", "c=1; Domain=127.0.0.1", "http://127.0.0.1/", "c=1"},
		{"localhost is not 127.0.0.1", "http://localhost/", "c=1", "http://127.0.0.1/", ""},
		{"the default path is the directory", "https://a.example/x/y", "c=1", "https://a.example/", ""},
		{"a path holds below it", "https://a.example/", "c=1; Path=/auth", "https://a.example/auth/x", "c=1"},
		{"a path holds at it", "https://a.example/", "c=1; Path=/auth", "https://a.example/auth", "c=1"},
		{"a path is no prefix of a name", "https://a.example/", "c=1; Path=/auth", "https://a.example/authors", ""},
		{"Secure does not go over http", "https://a.example/", "c=1; Secure", "http://a.example/", ""},
		{"Secure is refused over http", "http://a.example/", "c=1; Secure", "https://a.example/", ""},
		{"Secure on http://localhost", "http://localhost/", "c=1; Secure", "http://localhost/", "c=1"},
		{"Secure on http://127.0.0.1", "http://127.0.0.1/", "c=1; Secure", "http://127.0.0.1/", "c=1"},
		{"None without Secure is refused", "https://a.example/", "c=1; SameSite=None", "https://a.example/", ""},
		{"None with Secure", "https://a.example/", "c=1; SameSite=None; Secure", "https://a.example/", "c=1"},
		{"__Host- as it should be", "https://a.example/", "__Host-c=1; Secure; Path=/", "https://a.example/", "__Host-c=1"},
		{"__Host- on http://localhost", "http://localhost:8/", "__Host-c=1; Secure; Path=/; SameSite=None", "http://localhost:8/", "__Host-c=1"},
		{"__Host- on http elsewhere", "http://a.example/", "__Host-c=1; Secure; Path=/", "http://a.example/", ""},
		{"__Host- without Secure", "https://a.example/", "__Host-c=1; Path=/", "https://a.example/", ""},
		{"__Host- with another path", "https://a.example/", "__Host-c=1; Secure; Path=/x", "https://a.example/x", ""},
		{"__Host- without a path", "https://a.example/", "__Host-c=1; Secure", "https://a.example/", ""},
		{"__Host- with a Domain", "https://a.example/", "__Host-c=1; Secure; Path=/; Domain=a.example", "https://a.example/", ""},
		{"__Host- with a Domain that is the host's address", "http://127.0.0.1/", "__Host-c=1; Secure; Path=/; Domain=127.0.0.1", "http://127.0.0.1/", ""},
		{"__hOsT- in any case", "https://a.example/", "__hOsT-c=1; Path=/", "https://a.example/", ""},
		{"__Secure- without Secure", "https://a.example/", "__Secure-c=1", "https://a.example/", ""},
		{"__Secure- with Secure", "https://a.example/", "__Secure-c=1; Secure", "https://a.example/", "__Secure-c=1"},
		{"Max-Age wins over Expires", "https://a.example/", "c=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example/", "c=1"},
		{"Max-Age=0 is gone", "https://a.example/", "c=1; Max-Age=0", "https://a.example/", ""},
		{"Expires in the past is gone", "https://a.example/", "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example/", ""},
		{"4096 bytes", "https://a.example/", "c=" + strings.Repeat("x", 4095), "https://a.example/", "c=" + strings.Repeat("x", 4095)},
		{"4097 bytes", "https://a.example/", "c=" + strings.Repeat("x", 4096), "https://a.example/", ""},
		{"a quoted value stays quoted", "https://a.example/", `c="1 2"`, "https://a.example/", `c="1 2"`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var j jar
			put(t, &j, row.set, row.line, noon)
			if got := j.header(&navigation{method: "GET", target: at(t, row.open)}, noon); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestSameSite(t *testing.T) {
	t.Parallel()
	const app = "http://127.0.0.1:8080/"
	lines := []string{"none=1; SameSite=None; Secure", "lax=1; SameSite=Lax", "strict=1; SameSite=Strict", "plain=1"}
	rows := []struct {
		name, method, from, to string
		after                  time.Duration
		want                   string
	}{
		{"typed", "GET", "", app, 0, "none lax strict plain"},
		{"same site, another port", "POST", "http://127.0.0.1:9/", app, time.Hour, "none lax strict plain"},
		{"cross-site link", "GET", "http://localhost:8080/", app, 0, "none lax plain"},
		{"cross-site POST", "POST", "http://localhost:8080/", app, time.Hour, "none"},
		{"cross-site POST at once: no attribute goes along for two minutes", "POST", "http://localhost:8080/", app, 2 * time.Minute, "none plain"},
		{"cross-site POST after two minutes", "POST", "http://localhost:8080/", app, 121 * time.Second, "none"},
		{"same name with another scheme is cross-site", "POST", "https://127.0.0.1/", app, time.Hour, "none"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var j jar
			for _, line := range lines {
				put(t, &j, app, line, noon)
			}
			n := &navigation{method: row.method, target: at(t, row.to)}
			if row.from != "" {
				n.from = at(t, row.from)
			}
			if got := strings.ReplaceAll(strings.ReplaceAll(j.header(n, noon.Add(row.after)), "=1", ""), ";", ""); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestJarReplacesOrdersAndProtects(t *testing.T) {
	t.Parallel()
	var j jar
	const app = "https://a.example/x/"
	put(t, &j, app, "old=1; Path=/", noon)
	put(t, &j, app, "deep=1; Path=/x", noon)
	put(t, &j, app, "new=1; Path=/", noon)
	put(t, &j, app, "old=2; Path=/; Secure; HttpOnly; SameSite=Lax", noon)
	n := &navigation{method: "GET", target: at(t, app)}
	if got := j.header(n, noon); got != "deep=1; new=1; old=2" {
		t.Errorf("%q", got)
	}
	put(t, &j, "http://a.example/", "old=evil; Path=/", noon)
	if got := j.header(n, noon); strings.Contains(got, "evil") {
		t.Errorf("http has replaced a Secure cookie: %q", got)
	}
	list := j.list(at(t, app), noon)
	last := list[len(list)-1]
	if last.Name != "old" || !last.HttpOnly || !last.Secure || last.SameSite != http.SameSiteLaxMode || last.Path != "/" {
		t.Errorf("%v", last)
	}
	put(t, &j, app, "gone=1; Max-Age=10", noon)
	if got := j.header(n, noon.Add(10*time.Second)); strings.Contains(got, "gone") {
		t.Errorf("%q", got)
	}
	put(t, &j, app, "long=1; Max-Age=99999999", noon)
	if got := j.header(n, noon.Add(maxLife)); strings.Contains(got, "long") {
		t.Errorf("a cookie lives longer than 400 days: %q", got)
	}
}

// A Secure cookie is safe from http, and nothing else is refused for its sake.
func TestSecureCookiesAreNotShadowed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, set, line, want string }{
		{"its name, host and path", "http://a.example/", "c=evil; Path=/", "c=1"},
		{"its name, from a subdomain", "http://x.a.example/", "c=evil; Path=/; Domain=a.example", "c=1"},
		{"its name, below its path", "http://a.example/x/", "c=evil; Path=/x", "c=1"},
		{"another name", "http://a.example/", "d=2; Path=/", "c=1; d=2"},
		{"https", "https://a.example/", "c=2; Path=/", "c=2"},
	} {
		var j jar
		put(t, &j, "https://a.example/", "c=1; Secure; Path=/", noon)
		put(t, &j, row.set, row.line, noon)
		if got := j.header(&navigation{method: "GET", target: at(t, "https://a.example/x/y")}, noon); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	for _, row := range []struct{ name, first, set, line, open, want string }{
		{"what is not Secure", "c=1; Path=/", "http://a.example/", "c=2; Path=/", "https://a.example/", "c=2"},
		{"another host's", "c=1; Secure; Path=/", "http://b.example/", "c=2; Path=/", "http://b.example/", "c=2"},
		{"at another path", "c=1; Secure; Path=/x", "http://a.example/", "c=2; Path=/y", "http://a.example/y", "c=2"},
	} {
		var j jar
		put(t, &j, "https://a.example/", row.first, noon)
		put(t, &j, row.set, row.line, noon)
		if got := j.header(&navigation{method: "GET", target: at(t, row.open)}, noon); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// A cookie without a name is sent as its value alone, and must not look like one with a prefix.
func TestNamelessCookies(t *testing.T) {
	t.Parallel()
	for value, kept := range map[string]bool{"plain": true, "": false, "__Host-c=1": false, "__SECURE-c=1": false, "_Host-c=1": true} {
		var j jar
		j.set(at(t, "https://a.example/"), &http.Cookie{Value: value, Secure: true, Path: "/"}, noon)
		if got := len(j.list(at(t, "https://a.example/"), noon)) == 1; got != kept {
			t.Errorf("%q: kept %v, want %v", value, got, kept)
		}
	}
}

func TestSites(t *testing.T) {
	t.Parallel()
	rows := []struct {
		a, b string
		same bool
	}{
		{"http://localhost:1/", "http://localhost:2/", true},
		{"http://localhost/", "http://127.0.0.1/", false},
		{"https://app.example.com/", "https://op.example.com/", true},
		{"https://app.example.com/", "http://app.example.com/", false},
		{"https://example.com/", "https://example.org/", false},
		{"https://app.localhost/", "https://op.localhost/", false},
		{"https://x.app.localhost/", "https://app.localhost/", true},
		{"http://127.0.0.1/", "http://127.0.0.2/", false},
		{"http://[::1]/", "http://[::1]:2/", true},
	}
	for _, row := range rows {
		if got := site(at(t, row.a)) == site(at(t, row.b)); got != row.same {
			t.Errorf("%s and %s: %v", row.a, row.b, got)
		}
	}
}
