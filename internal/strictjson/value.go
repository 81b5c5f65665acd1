package strictjson

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is one value of a checked text. The zero Value stands for a member that is not there: every conversion of it
// fails, as does each conversion to another type than the value has. There are no conversions between types: "1" is
// no number, and null is nothing but null.
type Value struct{ raw string }

// kind is the type of a [Value], told by the first byte of its text.
type kind byte

const (
	absent kind = iota
	null
	boolean
	number
	text
	array
	object
)

func (v Value) kind() kind {
	if v.raw == "" {
		return absent
	}
	switch v.raw[0] {
	case 'n':
		return null
	case 't', 'f':
		return boolean
	case '"':
		return text
	case '[':
		return array
	case '{':
		return object
	}
	return number
}

// Raw returns the value's JSON text as it stands, "" if absent.
func (v Value) Raw() string { return v.raw }

// Exists reports whether there is a value, null included.
func (v Value) Exists() bool { return v.raw != "" }

// Text returns the string that v is, unescaped. It shares memory with the text that was parsed, if there was nothing
// to unescape.
func (v Value) Text() (s string, ok bool) {
	if v.kind() != text {
		return "", false
	}
	return unquote(v.raw), true
}

// Bool returns the truth value that v is.
func (v Value) Bool() (value, ok bool) {
	return v.raw == "true", v.kind() == boolean
}

// Float64 returns the number that v is, rounded to the nearest float64. It fails for a number beyond their range.
func (v Value) Float64() (f float64, ok bool) {
	if v.kind() != number {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.raw, 64) // an error for what is not finite
	return f, err == nil
}

// Int64 returns the number that v is, if it is written as an integer and in range: 10, but not 1e1 or 10.0.
func (v Value) Int64() (i int64, ok bool) {
	if v.kind() != number {
		return 0, false
	}
	i, err := strconv.ParseInt(v.raw, 10, 64)
	return i, err == nil
}

// Object returns the members of the object that v is.
func (v Value) Object() (Object, bool) {
	if v.kind() != object {
		return nil, false
	}
	o, err := Parse(v.raw)
	return o, err == nil
}

// Array returns the elements of the array that v is.
func (v Value) Array() ([]Value, bool) {
	if v.kind() != array {
		return nil, false
	}
	var list []Value
	ok := v.each(func(element Value) bool {
		list = append(list, element)
		return true
	})
	return list, ok
}

// Texts returns the strings of the array that v is; it fails if an element is anything else.
func (v Value) Texts() ([]string, bool) {
	if v.kind() != array {
		return nil, false
	}
	list := make([]string, 0, 4) // most have no more
	ok := v.each(func(element Value) bool {
		s, ok := element.Text()
		list = append(list, s)
		return ok
	})
	if !ok || len(list) == 0 {
		return nil, ok
	}
	return list, true
}

// each calls yield for the elements of an array until it returns false.
func (v Value) each(yield func(Value) bool) bool {
	s := scanner{text: v.raw, pos: 1}
	for more := s.first(']'); more; {
		start := s.pos
		err := s.value(1)
		if err != nil || !yield(Value{s.text[start:s.pos]}) {
			return false
		}
		if more, err = s.next(']'); err != nil {
			return false
		}
	}
	return true
}

// Equal reports whether a and b are the same value: objects in any order of members, strings however they are
// escaped, numbers that are written alike or are the same within the integers that float64 holds exactly.
func Equal(a, b Value) bool {
	if a.raw == b.raw {
		return true
	}
	if a.kind() != b.kind() {
		return false
	}
	switch a.kind() {
	case text:
		return unquote(a.raw) == unquote(b.raw)
	case number:
		x, okX := a.Float64()
		y, okY := b.Float64()
		return okX && okY && x == y && math.Abs(x) < 1<<53
	case array:
		x, okX := a.Array()
		y, okY := b.Array()
		return okX && okY && slices.EqualFunc(x, y, Equal)
	case object:
		x, okX := a.Object()
		y, okY := b.Object()
		return okX && okY && slices.EqualFunc(sorted(x), sorted(y), equalMember)
	case absent, null, boolean: // written in one way only
	}
	return false
}

func equalMember(a, b Member) bool { return a.Name == b.Name && Equal(a.Value, b.Value) }

func sorted(o Object) Object {
	slices.SortFunc(o, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return o
}

// unquote returns the string that a checked literal stands for.
func unquote(literal string) string {
	s := literal[1 : len(literal)-1]
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; i >= 0; i = strings.IndexByte(s, '\\') {
		b.WriteString(s[:i])
		r, n := decodeEscape(s[i:])
		b.WriteRune(r)
		s = s[i+n:]
	}
	b.WriteString(s)
	return b.String()
}

// decodeEscape returns the character of the checked escape that s begins with, and the length of the escape.
func decodeEscape(s string) (rune, int) {
	switch c := s[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return decodeUnicode(s)
	default: // " \ /
		return rune(c), 2
	}
}

// decodeUnicode returns the character of a \uXXXX escape or of a pair of them, and the length: 6 or 12 bytes, 0 if it
// is malformed or half a pair.
func decodeUnicode(s string) (rune, int) {
	r, ok := hex4(s)
	if !ok {
		return utf8.RuneError, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(s[6:])
	if !ok {
		return utf8.RuneError, 0
	}
	if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 0
}

// hex4 reads the \uXXXX that s begins with.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
