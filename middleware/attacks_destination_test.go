package middleware_test

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"
)

// destination says where a browser would go: the scheme, host and path that the URL standard's parser
// (https://url.spec.whatwg.org/#url-parsing) finds in a reference on a page of https://app.example. It is written from
// the standard and shares nothing with net/url; ok is false where a browser would not go at all.
func destination(ref string) (origin, p string, ok bool) {
	ref = strings.TrimFunc(ref, func(r rune) bool { return r <= ' ' })
	ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	scheme, rest, found := schemeOf(ref)
	switch {
	case !found:
		return relativeOf(ref)
	case scheme == "https" && strings.HasPrefix(rest, "//"):
		return authorityOf(scheme, rest)
	case scheme == "https":
		return relativeOf(rest)
	case scheme == "http" || scheme == "ws" || scheme == "wss" || scheme == "ftp":
		return authorityOf(scheme, rest)
	default:
		return scheme + ":", rest, true
	}
}

func schemeOf(ref string) (scheme, rest string, ok bool) {
	for i, c := range []byte(ref) {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(ref[:i]), ref[i+1:], true
		default:
			return "", ref, false
		}
	}
	return "", ref, false
}

func slash(c byte) bool { return c == '/' || c == '\\' }

func relativeOf(ref string) (origin, p string, ok bool) {
	if len(ref) > 1 && slash(ref[0]) && slash(ref[1]) {
		return authorityOf("https", ref)
	}
	p = ref
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	p = strings.ReplaceAll(p, `\`, "/")
	if !strings.HasPrefix(p, "/") {
		p = "/auth/" + p
	}
	return site, p, true
}

func authorityOf(scheme, rest string) (origin, p string, ok bool) {
	rest = strings.TrimLeft(rest, `/\`)
	end := strings.IndexAny(rest, `/\?#`)
	if end < 0 {
		end = len(rest)
	}
	host, p := rest[:end], rest[end:]
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if decoded, err := url.PathUnescape(host); err == nil {
		host = decoded
	}
	host = strings.ToLower(host)
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host, p, host != ""
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"/a": site, "a": site, "": site, "?a": site, "#//a": site, "/a//b": site, "/:a": site, "https:a": site, "https:/a": site, "/a:b@c": site,
		"//evil": "https://evil", `/\evil`: "https://evil", `\/evil`: "https://evil", `\\evil`: "https://evil", "/\t/evil": "https://evil",
		"\x01 //evil": "https://evil", "///evil": "https://evil", "https:\\\\evil": "https://evil", "https://evil": "https://evil", "hTTp:evil": "http://evil",
		"http:/\\/evil": "http://evil", "//app.example@evil": "https://evil", "//app.example:443": site, "https://APP.example/": site,
		"javascript:alert(1)": "javascript:", "java\nscript:x": "javascript:", "data:text/html,x": "data:", "//a:b@%65vil:8443\\@app.example": "https://evil:8443",
	} {
		if got, _, _ := destination(ref); got != want {
			t.Errorf("%q leads to %s, want %s", ref, got, want)
		}
	}
}

// stays checks that a redirect stays on the app's pages, for a browser and for somebody who decodes it once more.
func stays(location string) error {
	for i := range len(location) {
		if location[i] <= ' ' || location[i] >= 0x7f {
			return fmt.Errorf("byte %#x at %d", location[i], i)
		}
	}
	decoded, err := url.PathUnescape(location)
	if err != nil {
		return err
	}
	for _, l := range []string{location, decoded} {
		if origin, _, ok := destination(l); !ok || origin != site {
			return fmt.Errorf("leads to %s", origin)
		}
	}
	_, p, _ := destination(location)
	p, err = url.PathUnescape(p)
	for _, name := range []string{"login", "logout", "callback", "logged-out", "initiate", "jwks"} {
		if err == nil && strings.EqualFold(path.Clean(p), "/auth/"+name) {
			return fmt.Errorf("leads to our own route %s", p)
		}
	}
	return err
}

// payloads are what an attacker would have us redirect to.
func payloads() []string {
	list := []string{ // H14 to H16, and what has no host in it
		"", "/", ".", "..", "/..", "/../..", "/.", "?", "#", "/?", "/#", "/private", "/private?a=b&c=d#e", "/priv%61te", "/ä", "/\xff", "/%ff", "/%", "/%2", "/%zz",
		"/x\r\nSet-Cookie: a=b", "/x%0d%0aSet-Cookie:%20a=b", "/x\x00", "/x%00", "/x\ty", "/x\u2028y", "/x\u0085y", "/x\u00a0y", "/x y", `/x"y<z>`, "/x`y", "/x|y^z{}",
		"/x;y", "/x,y", "/*", "*", "/x?a=\r\nb", "/x#a\r\nb", "/x?\u2028", "/x?ä", "/x?a b", "/x?\"<>`", "/x#\"<>` ä", "/x?%0d%0a",
		"/auth/login", "/auth/logout", "/auth/callback", "/auth/logged-out", "/auth/initiate", "/auth/LOGIN", "/auth/login/", "/auth//login", "/auth/./login",
		"/x/../auth/login", "/auth/%6cogin", "/%61uth/login", "/auth%2flogin", "/auth/x/..%2flogin", "/auth/%2e/logout", "/auth/login?return_to=/auth/login",
		"/auth/login#x", "/auth/login;x", "/auth/login%20", "/auth/logout?x", "/auth\\login", "/x/%2e%2e/auth/callback?code=1", "//auth/login",
		"/" + strings.Repeat("a", 8<<10), "/" + strings.Repeat("../", 2000), "/?" + strings.Repeat("a", 8<<10), "/#" + strings.Repeat("ä", 1000), strings.Repeat("/", 8<<10),
		"return_to=/x", "/?return_to=//evil.example", "/x?return_to=/x?return_to=/x", "/x&scope=evil&prompt=none", "/x?state=evil&redirect_uri=https://evil.example",
		"\u202e/x", "/\u202e", "\ufeff/x", "/\ufeffx", "%2fx", "%2f%2fx", "\x7f/x", "/\x1b[2J",
	}
	prefixes := []string{
		"//", `/\`, `\/`, `\\`, "///", "////", `/\/`, `/\\`, "/%2f", "/%2f%2f", "/%2F", "/%5c", "/%5C%5c", `/%2f\`, "/%09/", "/%0a/", "/%0d/", "/%0d%0a/", "/\t/", "/\n/", "/\r/",
		"\t//", "\n//", " //", "\x00//", "/\x00/", "/ /", "/%20/", "/%00/", "/.//", "/..//", "/%2e//", "/%2e%2e//", "/./\\", "/x/..//", "/x/../\\", "/;//", "/;@", "/@", "/:", "/:80//",
		"https:", "https:/", "https://", "https:///", `https:\`, `https:\\`, "HTTPS://", "hTTps:", "http:", "http:/", "http://", "ftp://", "ws://", "file://", "file:///", "javascript:",
		"javascript://", "java\nscript:", "JaVaScRiPt:", "\x01javascript:", "data:text/html,", "vbscript:", "blob:https://", "view-source:https://", "about:", "mailto:", "@", ":@", "?//",
		"#//", "/?//", "/#//", "~//", "/~/", "/\uff0f", "\uff0f\uff0f", "\u2044\u2044", "/\u2028/", "/\u00a0/", "/\ufeff/", "\ufeff//", "/%E2%80%A8/", "/\u0085/", "%2f%2f", "%252f%252f",
		"/%252f", "/%u002f", "&#47;&#47;", "//%0d%0aLocation:", "/\u3002/", "/\u200b/", "/\u00ad/", "\u00a0//", "/%c0%af", "/%e0%80%af", "/\xc0\xaf", "//;@", "//:@", "//@", "//%40", "//\\@",
		site + "//", site + "@", site + ".", site + ":443//", site + ":8443/", site + `\@`, site + "%2f@", site + "/../..//", "//app.example@", "//app.example%2f@", "//app.example%00.",
	}
	hosts := []string{
		"evil.example", "app.example@evil.example", "app.example.evil.example", `evil.example\@app.example`, "evil.example%23@app.example", "evil%E3%80%82example", "evil\u3002example",
		"0x7f000001", "2130706433", "[::1]", "evil.example:443", "evil.example?app.example", "evil.example#app.example", "%65vil.example", "evil.example%00.app.example", "\u24d4vil.example",
	}
	for i, prefix := range prefixes {
		list = append(list, prefix+hosts[0], prefix+hosts[0]+"/private")
		for j := range 4 { // each host with other prefixes
			list = append(list, prefix+hosts[1+(i+4*j)%(len(hosts)-1)])
		}
	}
	return append(list, randomPayloads(400)...)
}

// randomPayloads puts together what parsers disagree about.
func randomPayloads(n int) (list []string) {
	parts := []string{
		"/", "/", `\`, "//", ":", "@", "?", "#", "%2f", "%5c", "%09", "%0a", "%00", "%2e", "%25", "\t", "\n", "\r", " ", "\x00", ".", "..", ";", "&", "=", "evil.example", "app.example",
		"https", "http", "javascript", "x", "[", "]", "\uff0f", "\u2028", "\xff", "%", "auth/login", "AUTH", "callback", "443",
	}
	seed := uint32(1)
	next := func(n int) int { seed = seed*1664525 + 1013904223; return int(seed>>16) % n }
	for range n {
		var b strings.Builder
		if next(2) == 0 {
			b.WriteByte('/')
		}
		for range 1 + next(7) {
			b.WriteString(parts[next(len(parts))])
		}
		list = append(list, b.String())
	}
	return list
}
