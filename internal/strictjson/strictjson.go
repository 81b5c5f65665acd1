// Package strictjson is the one decoder of what a provider signs or says. It reads JSON as RFC 8259 defines it and as
// two parsers cannot read differently (I-JSON, RFC 7493): where encoding/json is generous, it refuses.
//
//   - Names are exact: Sub, SUB and ſub are three names, and none of them is sub.
//   - A name that occurs twice in one object is refused, at every depth, however it is escaped.
//   - The text is UTF-8 without byte order mark; escaped surrogates come in pairs; U+0000 is refused, escaped too.
//   - Nothing follows the value: no second value, no comment. There is no NaN and no Infinity.
//   - Depth and size are bounded ([MaxDepth], [MaxBytes]).
//
// [Parse] checks the whole text before it hands out anything. A [Value] is a piece of the checked text, unescaped
// only when somebody asks for it, so that reading twenty claims allocates next to nothing. [Unmarshal] is for values
// of a type that the caller brings. Everything here is a pure function, safe for concurrent use.
package strictjson

import (
	"strconv"
	"unicode/utf8"
)

const (
	// MaxDepth is how many arrays and objects may be open at once.
	MaxDepth = 32
	// MaxBytes is the longest text. Callers with a tighter limit check it themselves.
	MaxBytes = 8 << 20
)

// SyntaxError says why a text was refused. It holds no part of the text.
type SyntaxError struct {
	Reason string
	Offset int // in bytes
}

// Error names the reason and the place.
func (e *SyntaxError) Error() string {
	return "strictjson: " + e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// Object is the members of a JSON object in the order of the text. Every name occurs once.
type Object []Member

// Member is one member of an [Object]; Name is unescaped.
type Member struct {
	Name  string
	Value Value
}

// Parse checks that text is exactly one JSON object and returns its members. On an error, a [*SyntaxError], nothing
// of the text has been handed out.
func Parse(text string) (Object, error) {
	return AppendObject(nil, text)
}

// AppendObject is [Parse] into the memory of dst, which may be on the caller's stack.
func AppendObject(dst Object, text string) (Object, error) {
	s := scanner{text: text}
	if err := s.start(); err != nil {
		return nil, err
	}
	if s.peek() != '{' {
		return nil, s.fail("not an object")
	}
	dst, err := s.members(dst)
	if err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	return dst, nil
}

// Check reports whether text is exactly one JSON value of any kind.
func Check(text string) error {
	s := scanner{text: text}
	if err := s.start(); err != nil {
		return err
	}
	if err := s.value(0); err != nil {
		return err
	}
	return s.end()
}

// Get returns the member's value, or the zero [Value] if there is none.
func (o Object) Get(name string) Value {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return Value{}
}

// start looks at the text as a whole.
func (s *scanner) start() error {
	if len(s.text) > MaxBytes {
		return s.fail("too long")
	}
	if !utf8.ValidString(s.text) {
		return s.fail("invalid UTF-8")
	}
	s.space()
	return nil
}

// end wants nothing but white space after the value.
func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.text) {
		return s.fail("data after the value")
	}
	return nil
}

// members reads the outermost object and keeps its members.
func (s *scanner) members(dst Object) (Object, error) {
	var names nameSet
	s.pos++ // {
	for more := s.first('}'); more; {
		name, err := s.name(&names)
		if err != nil {
			return nil, err
		}
		start := s.pos
		if err := s.value(1); err != nil {
			return nil, err
		}
		dst = append(dst, Member{name, Value{s.text[start:s.pos]}})
		if more, err = s.next('}'); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// Map returns the values by name, for many lookups.
func (o Object) Map() map[string]Value {
	m := make(map[string]Value, len(o))
	for _, member := range o {
		m[member.Name] = member.Value
	}
	return m
}
