// Package wire is the compact binary form in which values leave the process: a version byte, then fields, each with
// its length. It neither encrypts nor authenticates; whoever stores the bytes seals them first.
//
// Every field has its own length, so that no two different lists of fields have the same bytes.
package wire

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/base64url"
)

// ErrFormat says that bytes were not written by this version of the [Writer].
var ErrFormat = errors.New("unknown or damaged format")

// maxSegments is how many base64url segments [Writer.Text] packs: a JWS has three, a JWE five.
const maxSegments = 5

// Writer appends fields. Its methods and those of [Reader] are called in the same order.
type Writer struct{ b []byte }

// NewWriter starts a value of a format version; capacity is the expected size in bytes.
func NewWriter(version byte, capacity int) Writer {
	return Writer{b: append(make([]byte, 0, capacity), version)}
}

// Done returns all that was written.
func (w *Writer) Done() []byte { return w.b }

// Bytes appends a field of bytes.
func (w *Writer) Bytes(v []byte) {
	w.b = binary.AppendUvarint(w.b, uint64(len(v)))
	w.b = append(w.b, v...)
}

// String appends a field of text.
func (w *Writer) String(v string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(v)))
	w.b = append(w.b, v...)
}

// Text appends a field of text as [Writer.String] does, but stores base64url segments (a JWS, a nonce, most opaque
// tokens) decoded, which saves a quarter. What is not canonical base64url is stored as it is.
func (w *Writer) Text(v string) {
	start := len(w.b)
	n := strings.Count(v, ".") + 1
	if v == "" || n > maxSegments {
		w.b = append(w.b, 0)
		w.String(v)
		return
	}
	w.b = append(w.b, byte(n)) //nolint:gosec // at most maxSegments
	for rest, more := v, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		w.b = binary.AppendUvarint(w.b, uint64(base64url.Size(len(segment)))) //nolint:gosec // a length
		var ok bool
		if w.b, ok = base64url.Append(w.b, segment); !ok {
			w.b = append(w.b[:start], 0)
			w.String(v)
			return
		}
	}
}

// Strings appends a list of texts.
func (w *Writer) Strings(v []string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(v)))
	for _, s := range v {
		w.String(s)
	}
}

// Int appends a number.
func (w *Writer) Int(v int64) { w.b = binary.AppendVarint(w.b, v) }

// Time appends a time in whole seconds; the zero time stays zero.
func (w *Writer) Time(v time.Time) {
	if v.IsZero() {
		w.Bool(false)
		return
	}
	w.Bool(true)
	w.Int(v.Unix())
}

// Bool appends a truth value.
func (w *Writer) Bool(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}
