package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
)

const version = 7

func TestEveryFieldComesBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	w := wire.NewWriter(version, 64)
	w.Bytes([]byte{0, 1, 255})
	w.String("text")
	w.Text("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.AAEC")
	w.Strings([]string{"a", "", "c"})
	w.Strings(nil)
	w.Int(-5)
	w.Time(at)
	w.Time(time.Time{})
	w.Bool(true)
	r := wire.NewReader(w.Done(), version)
	if got := r.Bytes(); !bytes.Equal(got, []byte{0, 1, 255}) {
		t.Errorf("Bytes = %v", got)
	}
	if got := r.String(); got != "text" {
		t.Errorf("String = %q", got)
	}
	if got := r.Text(); got != "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.AAEC" {
		t.Errorf("Text = %q", got)
	}
	if got := r.Strings(); !slices.Equal(got, []string{"a", "", "c"}) {
		t.Errorf("Strings = %q", got)
	}
	if got := r.Strings(); got != nil {
		t.Errorf("empty Strings = %q", got)
	}
	if got := r.Int(); got != -5 {
		t.Errorf("Int = %d", got)
	}
	if got := r.Time(); !got.Equal(at) {
		t.Errorf("Time = %v", got)
	}
	if got := r.Time(); !got.IsZero() {
		t.Errorf("zero Time = %v", got)
	}
	if !r.Bool() {
		t.Error("Bool = false")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestTextComesBackByteForByte(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		packed     bool
	}{
		{"empty", "", false},
		{"a JWS is packed", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.AAECAwQF", true},
		{"a nonce is packed", "n-0S6_WzA2Mj-Qcb0Orv1zh30vL1MPRs", true},
		{"an unsigned JWS keeps its last dot", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.", true},
		{"C29_trailing_bits_are_kept", "AAEB.AB", false},
		{"C29_padding_is_kept", "AA==", false},
		{"C29_line_breaks_are_kept", "AA\nAA\r\nAAAA", false},
		{"C29_a_lone_line_break_is_kept", "\r", false},
		{"C29_a_line_break_where_the_length_still_fits_is_kept", "AAAA\n", false},
		{"the standard alphabet is kept", "A+/A", false},
		{"six segments are kept", "AAAA.AAAA.AAAA.AAAA.AAAA.AAAA", false},
		{"a lone dot", ".", true},
		{"a long one", strings.Repeat("QUJD", 4000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := wire.NewWriter(version, 0)
			w.Text(tc.text)
			if packed := w.Done()[1] != 0; packed != tc.packed {
				t.Errorf("packed = %v", packed)
			}
			r := wire.NewReader(w.Done(), version)
			if got := r.Text(); got != tc.text || r.Close() != nil {
				t.Errorf("Text = %q, %v; want %q", got, r.Close(), tc.text)
			}
		})
	}
}

func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	w := wire.NewWriter(version, 0)
	w.String("text")
	w.Strings([]string{"a"})
	w.Bool(true)
	good := w.Done()
	read := func(b []byte) error {
		r := wire.NewReader(b, version)
		_, _, _ = r.String(), r.Strings(), r.Bool()
		return r.Close()
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if err := read(good[:n]); !errors.Is(err, wire.ErrFormat) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"G07_another_version":     append([]byte{version + 1}, good[1:]...),
		"a byte too many":         append(slices.Clone(good), 0),
		"an endless length":       append([]byte{version}, bytes.Repeat([]byte{255}, 12)...),
		"a list longer than data": {version, 0, 255, 255, 3},
		"a truth value of two":    append(slices.Clone(good[:len(good)-1]), 2),
	} {
		if err := read(b); !errors.Is(err, wire.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each field by itself, of bytes that do not hold it: nothing is returned and the end is reached.
func TestAMistakeLeavesNothing(t *testing.T) {
	t.Parallel()
	endless := bytes.Repeat([]byte{255}, 12)
	huge := []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}
	field := func(read func(r *wire.Reader) bool) func(b []byte) (bool, error) {
		return func(b []byte) (bool, error) {
			r := wire.NewReader(append([]byte{version}, b...), version)
			return read(&r), r.Close()
		}
	}
	text := field(func(r *wire.Reader) bool { return r.Text() == "" })
	list := field(func(r *wire.Reader) bool { return r.Strings() == nil })
	number := field(func(r *wire.Reader) bool { return r.Int() == 0 })
	for name, row := range map[string]struct {
		read func([]byte) (bool, error)
		b    []byte
	}{
		"bytes: no length":                         {field(func(r *wire.Reader) bool { return r.Bytes() == nil }), nil},
		"bytes: fewer than the length says":        {field(func(r *wire.Reader) bool { return r.Bytes() == nil }), []byte{3, 1, 2}},
		"text: no number of segments":              {text, nil},
		"text: its second segment is missing":      {text, []byte{2, 1, 'a'}},
		"text: six segments":                       {text, []byte{6, 0, 0, 0, 0, 0, 0}},
		"text: six segments, and none there":       {text, []byte{6}},
		"list: no length":                          {list, nil},
		"list: longer than memory":                 {list, huge},
		"list: five texts, and a byte is left":     {field(func(r *wire.Reader) bool { return r.Strings() == nil && !r.Bool() }), []byte{5, 1}},
		"number: nothing there":                    {number, nil},
		"number: larger than 64 bits":              {number, endless},
		"number: does not end":                     {number, endless[:3]},
		"time: no number":                          {field(func(r *wire.Reader) bool { return r.Time().IsZero() }), []byte{1}},
		"truth value: nothing there":               {field(func(r *wire.Reader) bool { return !r.Bool() }), nil},
		"what follows a mistake is nothing either": {field(func(r *wire.Reader) bool { return r.Int() == 0 && !r.Bool() && r.String() == "" }), []byte{128}},
	} {
		if empty, err := row.read(row.b); !empty || !errors.Is(err, wire.ErrFormat) {
			t.Errorf("%s: empty %v, %v", name, empty, err)
		}
	}
}

func TestEmptyBytesAreNil(t *testing.T) {
	t.Parallel()
	w := wire.NewWriter(version, 0)
	w.Bytes([]byte{})
	r := wire.NewReader(w.Done(), version)
	if got := r.Bytes(); got != nil || r.Close() != nil {
		t.Errorf("%v, %v", got, r.Close())
	}
}

// Law: whatever is read without an error is written again to something that reads the same.
func FuzzRead(f *testing.F) {
	w := wire.NewWriter(version, 0)
	w.Text("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.AAEC")
	w.Strings([]string{"a", "b"})
	w.Time(time.Unix(1, 0))
	f.Add(w.Done())
	f.Add([]byte{version, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := wire.NewReader(b, version)
		text, list, at := r.Text(), r.Strings(), r.Time()
		if r.Close() != nil {
			return
		}
		w := wire.NewWriter(version, len(b))
		w.Text(text)
		w.Strings(list)
		w.Time(at)
		again := wire.NewReader(w.Done(), version)
		if again.Text() != text || !slices.Equal(again.Strings(), list) || !again.Time().Equal(at) || again.Close() != nil {
			t.Fatalf("%q does not survive a second time", b)
		}
	})
}
