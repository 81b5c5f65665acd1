package wire

import (
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Reader reads the fields of a [Writer] in the same order. After the first mistake every field is empty and
// [Reader.Close] reports it, so that callers check once, at the end, before they believe any field.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads b, which it neither copies nor changes. Another version is [ErrFormat] at Close.
func NewReader(b []byte, version byte) Reader {
	if len(b) == 0 || b[0] != version {
		return Reader{bad: true}
	}
	return Reader{b: b[1:]}
}

// Close returns [ErrFormat] unless every field was there and nothing is left.
func (r *Reader) Close() error {
	if r.bad || len(r.b) > 0 {
		return ErrFormat
	}
	return nil
}

// Bytes returns a field of bytes, which shares the memory of what is read; an empty one is nil.
func (r *Reader) Bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
	}
	if n == 0 || r.bad {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// String returns a field of text.
func (r *Reader) String() string { return string(r.Bytes()) }

// Text returns what [Writer.Text] wrote, byte for byte.
func (r *Reader) Text() string {
	n := int(r.byte())
	if n == 0 {
		return r.String()
	}
	if n > maxSegments {
		r.fail()
		return ""
	}
	var scratch [2048]byte // on the stack: most tokens fit
	text := scratch[:0]
	for i := range n {
		if i > 0 {
			text = append(text, '.')
		}
		text = base64.RawURLEncoding.AppendEncode(text, r.Bytes())
	}
	if r.bad {
		return ""
	}
	return string(text)
}

// Strings returns a list of texts; an empty list is nil.
func (r *Reader) Strings() []string {
	n := r.uint()
	if n > uint64(len(r.b)) { // each text takes a byte at least
		r.fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	v := make([]string, 0, n)
	for range n {
		v = append(v, r.String())
	}
	return v
}

// Int returns a number.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Time returns a time, in UTC.
func (r *Reader) Time() time.Time {
	if !r.Bool() {
		return time.Time{}
	}
	v := r.Int()
	if r.bad {
		return time.Time{}
	}
	return time.Unix(v, 0).UTC()
}

// Bool returns a truth value.
func (r *Reader) Bool() bool {
	v := r.byte()
	if v > 1 {
		r.fail()
	}
	return v == 1 && !r.bad
}

func (r *Reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *Reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *Reader) fail() { r.b, r.bad = nil, true }
