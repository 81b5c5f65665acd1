package middleware_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

// Law: whatever name a gorilla store gives its session, if we take it, a browser keeps exactly our cookie with exactly our
// attributes, sends back what we find again, and drops it when we say so.
func FuzzSetCookie(f *testing.F) {
	seeds := map[string]bool{ // whether it is taken
		"app=MTc5NTI1NjQ5NHxOd3dB": true, "app=MTc5NTI1NjQ5NHxOd3dB; Path=/; Max-Age=2592000": true, "app=a=b==; Secure": true,
		"app=; Path=/": false, `app="quoted"`: false, "app=a b": false, "app=a,b": false, `app=a\b`: false, "other=a": false,
		"app=a\tb": false, "app=a\x01b": false, "app=a\r\nX: y": false, "app=a\x7f": false, "app=ä": false, "app=\x00": false,
		"app=a;Domain=example.com": true, "app": false, "=app=a": false, "app =a": false,
	}
	for line, taken := range seeds {
		if _, err := middleware.InnerCookie("app", line); (err == nil) != taken {
			f.Errorf("%q: %v", line, err)
		}
		f.Add(line, int64(3600), false)
		f.Add(line, int64(-1), true)
	}
	f.Fuzz(func(t *testing.T, line string, seconds int64, none bool) {
		inner, err := middleware.InnerCookie("app", line)
		if err != nil {
			return
		}
		const name = "__Host-app-s"
		mode, want := http.SameSiteLaxMode, "lax"
		if none {
			mode, want = http.SameSiteNoneMode, "none"
		}
		age := time.Duration(seconds%(1<<31)) * time.Second
		set, ok := readSetCookie(middleware.SetCookie(name, "id."+inner, age, mode))
		if !ok || set.name != name || set.value != "id."+inner {
			t.Fatalf("%q: a browser reads %+v, %v", line, set, ok)
		}
		dropped, ok := readSetCookie(middleware.DropCookie(name, mode))
		if !ok || dropped.name != name || dropped.attributes["max-age"] != "0" {
			t.Fatalf("%q: a browser does not drop it: %+v", line, dropped)
		}
		for _, c := range []browserCookie{set, dropped} {
			_, secure := c.attributes["secure"]
			_, httpOnly := c.attributes["httponly"]
			_, domain := c.attributes["domain"]
			if !secure || !httpOnly || domain || c.attributes["path"] != "/" || c.attributes["samesite"] != want {
				t.Fatalf("%q: attributes %v", line, c.attributes)
			}
		}
		if n, err := strconv.Atoi(set.attributes["max-age"]); err != nil || n < 1 {
			t.Fatalf("%q: Max-Age %q", line, set.attributes["max-age"])
		}
		if got, ok := middleware.Cookie("app", name, cookieHeader("x=y; "+name+"="+set.value+"; z=")); !ok || got != set.value {
			t.Fatalf("%q: comes back as %q", line, got)
		}
	})
}

type browserCookie struct {
	name, value string
	attributes  map[string]string // names and SameSite's value in lower case
}

// readSetCookie reads a Set-Cookie line as browsers do (RFC 6265bis section 5.6); it shares nothing with the code under
// test. It reports false for a line that a browser ignores.
func readSetCookie(line string) (c browserCookie, ok bool) {
	for _, b := range []byte(line) {
		if (b < ' ' && b != '\t') || b == 0x7f {
			return c, false
		}
	}
	pair, rest, more := strings.Cut(line, ";")
	name, value, isPair := strings.Cut(pair, "=")
	if !isPair {
		name, value = "", pair
	}
	c = browserCookie{strings.Trim(name, " \t"), strings.Trim(value, " \t"), map[string]string{}}
	if c.name+c.value == "" || len(c.name)+len(c.value) > 4096 {
		return c, false
	}
	for more {
		var attribute string
		attribute, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(attribute, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if len(value) > 1024 {
			continue
		}
		if name == "samesite" {
			value = strings.ToLower(value)
		}
		c.attributes[name] = value
	}
	return c, true
}
