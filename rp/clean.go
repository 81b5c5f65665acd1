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

// minSecret is the shortest secret that is looked for in texts: shorter ones are words.
const minSecret = 8

// newError takes what a provider, or a stranger in its name, said about an error. Some repeat what they were sent: a
// text with one of the secrets in it is dropped, whole, because texts end up in logs.
func newError(status int, code, description, uri string, secrets ...string) *Error {
	e := &Error{StatusCode: status}
	if e.Code = cleanCode(code); repeats(code, secrets) {
		e.Code = unreadableCode
	}
	if !repeats(description, secrets) {
		e.Description = clean(description, maxDescription)
	}
	if !repeats(uri, secrets) {
		e.URI = cleanURI(uri)
	}
	return e
}

func repeats(text string, secrets []string) bool {
	for _, secret := range secrets {
		if len(secret) >= minSecret && strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// unreadableCode stands for an error code that is none.
const unreadableCode = "unreadable_error"

// cleanCode keeps what RFC 6749, section 5.2, allows and codes are made of; anything else was no code.
func cleanCode(code string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if len(code) > maxErrorCode || strings.ContainsFunc(code, odd) {
		return unreadableCode
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
