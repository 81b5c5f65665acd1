package rp

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the provider's texts, in bytes.
const (
	maxErrorCode   = 64
	maxDescription = 256
	maxErrorURI    = 512
)

// newError takes what a provider, or a stranger in its name, said about an error.
func newError(status int, code, description, uri string) *Error {
	return &Error{
		StatusCode: status, Code: cleanCode(code), Description: clean(description, maxDescription), URI: cleanURI(uri),
	}
}

// cleanCode keeps what RFC 6749, section 5.2, allows and codes are made of; anything else was no code.
func cleanCode(code string) string {
	if len(code) > maxErrorCode || strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return "unreadable_error"
	}
	return code
}

// clean cuts text to limit bytes and replaces what is not printable: control characters, line breaks, characters that
// change the direction of writing, invalid UTF-8.
func clean(text string, limit int) string {
	if len(text) > limit {
		for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(text[limit]); back++ {
			limit--
		}
		text = text[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// cleanURI keeps an address of a web page and nothing else.
func cleanURI(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxErrorURI || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
