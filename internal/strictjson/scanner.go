package strictjson

import (
	"slices"
	"strings"
)

// scanner walks once over a text that is known to be valid UTF-8. peek, space, first and next move over white space;
// every other method begins at the first byte of what it reads and ends behind its last.
type scanner struct {
	text string
	pos  int
}

func (s *scanner) fail(reason string) error {
	return &SyntaxError{Reason: reason, Offset: s.pos}
}

// peek returns the byte at the position, 0 at the end. (A zero byte in the text is no part of any value either.)
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value reads any value inside depth open arrays and objects.
func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '"':
		_, err := s.str()
		return err
	case c == '{':
		return s.object(depth + 1)
	case c == '[':
		return s.array(depth + 1)
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("no value")
}

func (s *scanner) word(w string) error {
	if !strings.HasPrefix(s.text[s.pos:], w) {
		return s.fail("no value")
	}
	s.pos += len(w)
	return nil
}

func (s *scanner) object(depth int) error {
	if depth > MaxDepth {
		return s.fail("too deep")
	}
	var names nameSet
	s.pos++ // {
	for more := s.first('}'); more; {
		_, err := s.name(&names)
		if err != nil {
			return err
		}
		if err := s.value(depth); err != nil {
			return err
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return s.fail("too deep")
	}
	s.pos++ // [
	for more := s.first(']'); more; {
		err := s.value(depth)
		if err != nil {
			return err
		}
		if more, err = s.next(']'); err != nil {
			return err
		}
	}
	return nil
}

// first reports whether a first element follows, and moves behind the closing byte if not.
func (s *scanner) first(closing byte) bool {
	s.space()
	if s.peek() == closing {
		s.pos++
		return false
	}
	return true
}

// next moves behind a comma, to the next element, or behind the closing byte.
func (s *scanner) next(closing byte) (more bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.fail("no comma and no end")
}

// name reads a name that is new in names, the colon, and the white space before the value.
func (s *scanner) name(names *nameSet) (string, error) {
	if s.peek() != '"' {
		return "", s.fail("no name")
	}
	start := s.pos
	escaped, err := s.str()
	if err != nil {
		return "", err
	}
	name := s.text[start+1 : s.pos-1]
	if escaped {
		name = unquote(s.text[start:s.pos])
	}
	if !names.add(name) {
		return "", s.fail("the same name twice in an object")
	}
	s.space()
	if s.peek() != ':' {
		return "", s.fail("no colon")
	}
	s.pos++
	s.space()
	return name, nil
}

// str reads a string literal with its quotes, and reports whether anything in it is escaped.
func (s *scanner) str() (escaped bool, err error) {
	s.pos++ // "
	for {
		s.plain()
		switch s.peek() {
		case '"':
			s.pos++
			return escaped, nil
		case '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return escaped, err
			}
		default:
			return escaped, s.fail("control character in a string, or no end of it")
		}
	}
}

// plain moves over the bytes of a string that need no thought. It is where the time goes, hence the local variables.
func (s *scanner) plain() {
	text, i := s.text, s.pos
	for i < len(text) && isPlain[text[i]] {
		i++
	}
	s.pos = i
}

// isPlain tells of each byte whether it stands for itself in a string. (Above 127: the text is valid UTF-8.)
var isPlain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return plain
}()

// escape reads \n and the like, \uXXXX, or the two halves of a surrogate pair.
func (s *scanner) escape() error {
	if s.pos+1 >= len(s.text) {
		return s.fail("unfinished string")
	}
	switch s.text[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
		return s.unicode()
	}
	return s.fail("unknown escape")
}

func (s *scanner) unicode() error {
	r, n := decodeUnicode(s.text[s.pos:])
	switch {
	case n == 0:
		return s.fail("malformed or unpaired \\u escape")
	case r == 0:
		return s.fail("U+0000 in a string")
	}
	s.pos += n
	return nil
}

// number reads a number as RFC 8259 section 6 has it: [ minus ] int [ frac ] [ exp ].
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	leadingZero := s.peek() == '0'
	switch n := s.digits(); {
	case n == 0:
		return s.fail("no digit")
	case leadingZero && n > 1:
		return s.fail("leading zero")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.fail("no digit after the point")
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.pos++
	if c := s.peek(); c == '+' || c == '-' {
		s.pos++
	}
	if s.digits() == 0 {
		return s.fail("no digit in the exponent")
	}
	return nil
}

func (s *scanner) digits() (n int) {
	for start := s.pos; ; s.pos++ {
		if !isDigit(s.peek()) {
			return s.pos - start
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// nameSet is the names of one object. The first few are compared one by one, which is faster than hashing and needs
// no memory; with more, a map keeps the cost linear.
type nameSet struct {
	few  [48]string
	n    int
	seen uint64 // bit mark(name) of each of the few: most new names are told by it alone
	many map[string]struct{}
}

// add reports whether name was new.
func (s *nameSet) add(name string) bool {
	if s.many != nil {
		before := len(s.many)
		s.many[name] = struct{}{}
		return len(s.many) > before
	}
	bit := mark(name)
	if s.seen&bit != 0 && slices.Contains(s.few[:s.n], name) {
		return false
	}
	s.seen |= bit
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]struct{}, 4*len(s.few))
	for _, have := range s.few {
		s.many[have] = struct{}{}
	}
	s.many[name] = struct{}{}
	return true
}

// mark returns one of 64 bits, the same for the same name.
func mark(name string) uint64 {
	h := uint(len(name))
	if h > 0 {
		h += 5*uint(name[0]) + 11*uint(name[h-1]) + 3*uint(name[h/2])
	}
	return 1 << (h % 64)
}
