package verify_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// Law: decodeText accepts exactly what the strict encoding of the standard library accepts and writes the same way.
func FuzzBase64URL(f *testing.F) {
	for _, seed := range []string{
		"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AAAAA", "AAAAAA", "-_-_", "+/+/", "AA==", "AAA=", "AA\nAA", "\r", "A.AA", "AAA\x00", "AAA\xff",
		strings.Repeat("QUJD", 127), strings.Repeat("QUJD", 128), strings.Repeat("QUJD", 129) + "QQ", strings.Repeat("QUJD", 300) + "Q", strings.Repeat("QUJD", 128) + "QR",
	} {
		f.Add(seed)
	}
	strict := base64.RawURLEncoding.Strict()
	f.Fuzz(func(t *testing.T, part string) {
		got, ok := verify.DecodeText(part)
		want, err := strict.DecodeString(part)
		same := err == nil && !strings.ContainsAny(part, "\r\n")
		if ok != same {
			t.Fatalf("%q: accepted %v, want %v", part, ok, same)
		}
		if ok && (got != string(want) || strict.EncodeToString([]byte(got)) != part) {
			t.Fatalf("%q: %q, want %q", part, got, want)
		}
	})
}
