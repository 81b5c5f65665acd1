// Package challenge reads WWW-Authenticate headers (RFC 9110, section 11.6.1), which come from APIs: strictly, and within
// limits. What is malformed says nothing.
package challenge

import (
	"net/http"
	"strings"
)

// Challenge is what a server wants: a scheme and its parameters.
type Challenge struct {
	Scheme string // as it was written; schemes are compared without regard to case
	Params []Param
}

// Param is a parameter of a challenge. Names are in lower case, values without their quotes.
type Param struct{ Name, Value string }

// Is reports whether the challenge is of a scheme.
func (c Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// Get returns a parameter's value; "" if it is not there.
func (c Challenge) Get(name string) string {
	for _, p := range c.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// The limits. A header beyond them says nothing.
const (
	maxLines  = 8
	maxLine   = 4 << 10
	maxParams = 32 // of one line
)

// Of returns the challenges of an answer. Each header line counts for itself: one that breaks the grammar, or in which a
// challenge has a parameter twice ("parameters … MUST only occur once per challenge", section 11.2), is left out whole.
func Of(h http.Header) []Challenge {
	var all []Challenge
	lines := h.Values("WWW-Authenticate")
	if len(lines) > maxLines {
		return nil
	}
	for _, line := range lines {
		if len(line) > maxLine {
			continue
		}
		p := parser{text: line}
		if list, ok := p.list(); ok {
			all = append(all, list...)
		}
	}
	return all
}

// parser walks over one line.
type parser struct {
	text   string
	pos    int
	params int
}

// list reads 1#challenge.
func (p *parser) list() ([]Challenge, bool) {
	var list []Challenge
	for p.separators(); p.pos < len(p.text); p.separators() {
		c, ok := p.challenge()
		if !ok {
			return nil, false
		}
		list = append(list, c)
	}
	return list, true
}

// challenge reads auth-scheme [ 1*SP ( token68 / #auth-param ) ], and stands behind the comma or at the end.
func (p *parser) challenge() (c Challenge, ok bool) {
	if c.Scheme = p.token(); c.Scheme == "" {
		return c, false
	}
	if p.atComma() {
		return c, true
	}
	if p.text[p.pos] != ' ' {
		return c, false
	}
	p.blanks()
	if p.token68() {
		return c, true
	}
	for {
		param, ok := p.param()
		if !ok || has(c.Params, param.Name) {
			return c, false
		}
		c.Params = append(c.Params, param)
		if !p.atComma() {
			return c, false
		}
		p.separators()
		if !p.paramFollows() {
			return c, true
		}
	}
}

func has(params []Param, name string) bool {
	for _, p := range params {
		if p.Name == name {
			return true
		}
	}
	return false
}

// param reads token BWS "=" BWS ( token / quoted-string ).
func (p *parser) param() (Param, bool) {
	if p.params++; p.params > maxParams {
		return Param{}, false
	}
	name := strings.ToLower(p.token())
	p.blanks()
	if name == "" || p.pos == len(p.text) || p.text[p.pos] != '=' {
		return Param{}, false
	}
	p.pos++
	p.blanks()
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		value, ok := p.quoted()
		return Param{name, value}, ok
	}
	value := p.token()
	return Param{name, value}, value != ""
}

// quoted reads a quoted-string (section 5.6.4).
func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == '"':
			p.pos++
			return b.String(), true
		case c == '\\':
			if p.pos++; p.pos == len(p.text) || !isText(p.text[p.pos]) {
				return "", false
			}
			c = p.text[p.pos]
		case !isText(c):
			return "", false
		}
		b.WriteByte(c)
	}
	return "", false
}

// isText reports whether a byte may stand in a quoted-string: no control but the tab.
func isText(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f }

// token68 moves over one, if it is all that the challenge has.
func (p *parser) token68() bool {
	start := p.pos
	end := start
	for end < len(p.text) && (isAlphanumeric(p.text[end]) || strings.IndexByte("-._~+/", p.text[end]) >= 0) {
		end++
	}
	if end == start {
		return false
	}
	for end < len(p.text) && p.text[end] == '=' {
		end++
	}
	p.pos = end
	if p.atComma() {
		return true
	}
	p.pos = start
	return false
}

// paramFollows reports whether a parameter stands here, and not the next challenge.
func (p *parser) paramFollows() bool {
	ahead := *p
	name := ahead.token()
	ahead.blanks()
	return name != "" && ahead.pos < len(ahead.text) && ahead.text[ahead.pos] == '='
}

// atComma moves over blanks and reports whether a comma or the end follows.
func (p *parser) atComma() bool {
	start := p.pos
	p.blanks()
	if p.pos == len(p.text) || p.text[p.pos] == ',' {
		return true
	}
	p.pos = start
	return false
}

func (p *parser) separators() {
	for p.pos < len(p.text) && strings.IndexByte(" \t,", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) blanks() {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t') {
		p.pos++
	}
}

// token reads a token (section 5.6.2); "" if there is none.
func (p *parser) token() string {
	start := p.pos
	for p.pos < len(p.text) && (isAlphanumeric(p.text[p.pos]) || strings.IndexByte("!#$%&'*+-.^_`|~", p.text[p.pos]) >= 0) {
		p.pos++
	}
	return p.text[start:p.pos]
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
