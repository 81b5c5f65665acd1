package optest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// csp is one Content-Security-Policy, as far as a navigation needs it: sources by directive.
type csp map[string][]string

// policies of a page; never nil, for it also tells that a navigation comes from a form.
func (p *Page) policies() []csp {
	list := []csp{}
	for value := range strings.SplitSeq(strings.Join(p.Header.Values("Content-Security-Policy"), ","), ",") {
		policy := csp{}
		for directive := range strings.SplitSeq(value, ";") {
			words := strings.Fields(directive)
			if len(words) == 0 {
				continue
			}
			if name := strings.ToLower(words[0]); policy[name] == nil {
				policy[name] = append([]string{}, words[1:]...)
			}
		}
		list = append(list, policy)
	}
	return list
}

// permitsScript tells if an inline script or event handler runs (CSP level 3, section 6.7.3).
func (c csp) permitsScript(t tag, code string) bool {
	sources, ok := c["script-src-elem"]
	if !ok || t.name != "script" {
		sources, ok = c["script-src"]
	}
	if !ok {
		sources, ok = c["default-src"]
	}
	if !ok {
		return true
	}
	strict := false
	for _, source := range sources {
		quoted := strings.Trim(source, "'")
		nonce, isNonce := strings.CutPrefix(quoted, "nonce-")
		isHash := strings.HasPrefix(quoted, "sha256-") || strings.HasPrefix(quoted, "sha384-") || strings.HasPrefix(quoted, "sha512-")
		strict = strict || isNonce || isHash
		if t.name == "script" && ((isNonce && nonce != "" && nonce == t.attrs["nonce"]) || (isHash && hashFits(quoted, code))) {
			return true
		}
	}
	return !strict && slices.Contains(sources, "'unsafe-inline'")
}

func hashFits(source, code string) bool {
	two56, three84, five12 := sha256.Sum256([]byte(code)), sha512.Sum384([]byte(code)), sha512.Sum512([]byte(code))
	name, value, _ := strings.Cut(source, "-")
	sum := map[string][]byte{"sha256": two56[:], "sha384": three84[:], "sha512": five12[:]}[name]
	value = strings.NewReplacer("-", "+", "_", "/").Replace(value)
	return base64.StdEncoding.EncodeToString(sum) == value
}

// permitsForm tells if form-action lets a form of a page go to a target. It has no fallback.
func (c csp) permitsForm(page, target *url.URL, redirected bool) bool {
	sources, ok := c["form-action"]
	return !ok || slices.ContainsFunc(sources, func(s string) bool { return sourceFits(s, page, target, redirected) })
}

// sourceFits matches a source expression (CSP level 3, section 6.7.2.8).
func sourceFits(source string, page, target *url.URL, redirected bool) bool {
	switch {
	case source == "*":
		return true
	case strings.EqualFold(source, "'self'"):
		return originOf(page) == originOf(target)
	case strings.HasSuffix(source, ":"):
		return strings.EqualFold(source, target.Scheme+":")
	case strings.HasPrefix(source, "'"):
		return false
	}
	scheme, rest, found := strings.Cut(source, "://")
	if !found {
		scheme, rest = page.Scheme, source
	}
	if !strings.EqualFold(scheme, target.Scheme) && !(strings.EqualFold(scheme, "http") && target.Scheme == "https") {
		return false
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	return hostFits(strings.ToLower(host), target) && (redirected || pathFits(path, target.Path))
}

func hostFits(host string, target *url.URL) bool {
	port := ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	if suffix, ok := strings.CutPrefix(host, "*"); ok {
		if !strings.HasSuffix(target.Hostname(), suffix) {
			return false
		}
	} else if strings.Trim(host, "[]") != target.Hostname() {
		return false
	}
	standard := map[string]string{"http": "80", "https": "443"}[target.Scheme]
	actual := target.Port()
	if actual == "" {
		actual = standard
	}
	return port == "*" || port == actual || (port == "" && actual == standard)
}

func pathFits(path, target string) bool {
	if path == "" || path == "/" {
		return true
	}
	if strings.HasSuffix(path, "/") {
		return strings.HasPrefix(target, path)
	}
	return path == target
}
