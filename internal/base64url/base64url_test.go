package base64url_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/base64url"
)

var strict = base64.RawURLEncoding.Strict()

// Law: exactly what the strict encoding of the standard library accepts is accepted, but for line breaks; it stands for
// the same bytes, and these are written in this way only.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AAAAA", "AAAAAA", "-_-_", "+/+/", "AA==", "AAA=", "AA\nAA", "\r", "A.AA", "AAA\x00", "AAA\xff",
		strings.Repeat("QUJD", 127), strings.Repeat("QUJD", 128), strings.Repeat("QUJD", 129) + "QQ", strings.Repeat("QUJD", 300) + "Q",
		strings.Repeat("QUJD", 128) + "QR", strings.Repeat("QUJD", 128) + "====", strings.Repeat("QUJD", 127) + "QUJ",
		"QUI", strings.Repeat("QUJD", 127) + "QUI", "QU=D" + strings.Repeat("QUJD", 200), strings.Repeat("QUJD", 127) + "Q.JD" + "QUJD",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := strict.DecodeString(text)
		right := err == nil && !strings.ContainsAny(text, "\r\n")
		got, ok := base64url.Text(text)
		before := []byte("before")
		appended, okAppend := base64url.Append(before, text)
		if ok != right || okAppend != right {
			t.Fatalf("%q: accepted %v and %v, want %v", text, ok, okAppend, right)
		}
		if !right {
			return
		}
		if got != string(want) || !bytes.Equal(appended, append([]byte("before"), want...)) || strict.EncodeToString(want) != text {
			t.Fatalf("%q: %q and %q, want %q", text, got, appended, want)
		}
		if base64url.Size(len(text)) != len(want) {
			t.Fatalf("%q: size %d, want %d", text, base64url.Size(len(text)), len(want))
		}
	})
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	buf := make([]byte, 2, 64)
	copy(buf, "ab")
	got, ok := base64url.Append(buf, "QUJD")
	if !ok || string(got) != "abABC" || &got[0] != &buf[0] {
		t.Errorf("%q, %v", got, ok)
	}
}

func TestAllocText(t *testing.T) {
	text := strict.EncodeToString(bytes.Repeat([]byte("x"), 2000))
	if n := testing.AllocsPerRun(100, func() { _, _ = base64url.Text(text) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkText(b *testing.B) {
	text := strict.EncodeToString(bytes.Repeat([]byte("x"), 825))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = base64url.Text(text)
	}
}

func BenchmarkStandard(b *testing.B) {
	text := strict.EncodeToString(bytes.Repeat([]byte("x"), 825))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = strict.DecodeString(text)
	}
}
