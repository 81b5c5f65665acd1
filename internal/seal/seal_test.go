package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/seal"
)

func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return key
}

func newBox(t testing.TB, owner, purpose string, keys ...[]byte) *seal.Box {
	t.Helper()
	ring, err := seal.NewRing(keys, owner)
	if err != nil {
		t.Fatal(err)
	}
	box, err := ring.Box(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestOnlyTheSameBoxOpens(t *testing.T) {
	t.Parallel()
	key, other := newKey(), newKey()
	sealed, err := newBox(t, "owner", "identity", key).Seal([]byte("plain"), "name", "1")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		box   *seal.Box
		bound []string
		opens bool
	}{
		{"the same", newBox(t, "owner", "identity", key), []string{"name", "1"}, true},
		{"G06_old_key_still_opens", newBox(t, "owner", "identity", other, key), []string{"name", "1"}, true},
		{"G06_unknown_key", newBox(t, "owner", "identity", other), []string{"name", "1"}, false},
		{"A08_other_purpose", newBox(t, "owner", "transaction", key), []string{"name", "1"}, false},
		{"K12_other_owner", newBox(t, "another", "identity", key), []string{"name", "1"}, false},
		{"G05_other_name", newBox(t, "owner", "identity", key), []string{"names", "1"}, false},
		{"G10_other_index", newBox(t, "owner", "identity", key), []string{"name", "2"}, false},
		{"G30_texts_run_together", newBox(t, "owner", "identity", key), []string{"nam", "e1"}, false},
		{"fewer texts", newBox(t, "owner", "identity", key), []string{"name"}, false},
		{"more texts", newBox(t, "owner", "identity", key), []string{"name", "1", ""}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for form, open := range map[string]func() ([]byte, error){
				"Open":      func() ([]byte, error) { return tc.box.Open(sealed, tc.bound...) },
				"OpenBytes": func() ([]byte, error) { return tc.box.OpenBytes(raw, tc.bound...) },
			} {
				plain, err := open()
				if tc.opens != (err == nil) || tc.opens && string(plain) != "plain" {
					t.Fatalf("%s = %q, %v", form, plain, err)
				}
				if !tc.opens && !errors.Is(err, seal.ErrOpen) {
					t.Fatalf("%s: err = %v", form, err)
				}
			}
		})
	}
}

func TestG05_any_changed_byte_is_found(t *testing.T) {
	t.Parallel()
	box := newBox(t, "owner", "identity", newKey())
	raw, _ := box.SealBytes([]byte("plain"))
	opens := func(raw []byte) bool {
		_, err := box.OpenBytes(raw)
		_, errText := box.Open(base64.RawURLEncoding.EncodeToString(raw))
		return err == nil || errText == nil
	}
	for i := range raw {
		raw[i] ^= 1
		if opens(raw) {
			t.Errorf("byte %d may be changed", i)
		}
		raw[i] ^= 1
		if opens(raw[:i]) {
			t.Errorf("opens when cut after %d bytes", i)
		}
	}
	before := bytes.Clone(raw)
	if plain, err := box.OpenBytes(raw); err != nil || string(plain) != "plain" || !bytes.Equal(raw, before) {
		t.Errorf("%q, %v; what was opened is now %x, was %x", plain, err, raw, before)
	}
}

func TestG05_a_value_has_one_spelling(t *testing.T) {
	t.Parallel()
	box := newBox(t, "owner", "identity", newKey())
	for _, plain := range []string{"plain", "plain1", "plain22", "plain333"} { // every length of the last quantum
		sealed, _ := box.Seal([]byte(plain))
		for _, bad := range []string{sealed + "=", sealed + "\n", "\r\n" + sealed, sealed + "AAAA", ""} {
			if _, err := box.Open(bad); err == nil {
				t.Errorf("a second spelling opens: %q", bad)
			}
		}
	}
}

func TestG31_nonces_differ(t *testing.T) {
	t.Parallel()
	box := newBox(t, "owner", "identity", newKey())
	seen := map[string]bool{}
	for range 20_000 {
		sealed, err := box.Seal(nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := base64.RawURLEncoding.DecodeString(sealed)
		nonce := string(raw[5:17])
		if seen[nonce] {
			t.Fatal("nonce used twice")
		}
		seen[nonce] = true
	}
}

func TestG31_a_key_is_used_up_at_last(t *testing.T) {
	t.Parallel()
	box := newBox(t, "owner", "identity", newKey())
	seal.SetSeals(box, seal.MaxSeals-1)
	if _, err := box.Seal(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Seal(nil); !errors.Is(err, seal.ErrExhausted) {
		t.Fatalf("err = %v", err)
	}
}

func TestTextSizeIsTheLength(t *testing.T) {
	t.Parallel()
	box := newBox(t, "owner", "identity", newKey())
	for _, n := range []int{0, 1, 2, 3, 100} {
		sealed, _ := box.Seal(make([]byte, n))
		if len(sealed) != seal.TextSize(n) {
			t.Errorf("%d bytes take %d, not %d", n, len(sealed), seal.TextSize(n))
		}
	}
}

func TestMACChecksOnlyItsOwn(t *testing.T) {
	t.Parallel()
	key, other := newKey(), newKey()
	mac := func(owner, purpose string, keys ...[]byte) (func(string) string, func(string, string) bool) {
		ring, err := seal.NewRing(keys, owner)
		if err != nil {
			t.Fatal(err)
		}
		return ring.MAC(purpose)
	}
	sign, check := mac("owner", "csrf", key)
	_, rotated := mac("owner", "csrf", other, key)
	_, elsewhere := mac("another", "csrf", key)
	_, another := mac("owner", "other", key)
	m := sign("session")
	if !check("session", m) || !rotated("session", m) {
		t.Error("own MAC refused")
	}
	if check("sessions", m) || check("session", m+"A") || check("session", "") || elsewhere("session", m) || another("session", m) {
		t.Error("foreign MAC accepted")
	}
}

func TestK04_weak_keys_are_refused(t *testing.T) {
	t.Parallel()
	counter := make([]byte, 32)
	for i := range counter {
		counter[i] = byte(i)
	}
	short := newKey()[:31]
	for name, key := range map[string][]byte{
		"nil":                   nil,
		"31 random bytes":       short,
		"all zero":              make([]byte, 32),
		"all the same":          bytes.Repeat([]byte{0xa5}, 64),
		"counter":               counter,
		"pattern":               []byte(strings.Repeat("s3cr3t-K", 4)),
		"long pattern":          []byte(strings.Repeat("Tr0ub4dor&3xyzQW", 2)),
		"changeme":              []byte("changeme-changeme-changeme-chang"),
		"ChangeMe among others": []byte("kJ8#ChangeMe9!mQzX7vB2nL5pR4tYw1"),
		"digits":                []byte("0123456789012345678901234567890123456789"),
		"a handful of letters":  []byte("abacdebecadbaeceddabcbeacdaebdcce"),
		"hex digits in order":   []byte("0123456789abcdef0123456789abcdef"),
	} {
		if err := seal.CheckKey(key); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := seal.NewRing([][]byte{newKey(), key}, ""); err == nil {
			t.Errorf("%s: accepted as a second key", name)
		}
	}
	if _, err := seal.NewRing(nil, ""); err == nil {
		t.Error("no key: accepted")
	}
}

func TestK04_random_keys_are_accepted(t *testing.T) {
	t.Parallel()
	for range 2000 {
		key := newKey()
		for _, k := range [][]byte{key, []byte(hex.EncodeToString(key)), []byte(base64.StdEncoding.EncodeToString(key))} {
			if err := seal.CheckKey(k); err != nil {
				t.Fatalf("%x: %v", k, err)
			}
		}
	}
}

// Laws: open∘seal is the identity, and nothing else opens.
func FuzzOpenSeal(f *testing.F) {
	box := newBox(f, "owner", "identity", newKey())
	sealed, _ := box.Seal([]byte("plain"), "name")
	f.Add([]byte("plain"), "name", sealed)
	f.Add([]byte{}, "", "")
	f.Fuzz(func(t *testing.T, plain []byte, name, random string) {
		sealed, err := box.Seal(plain, name)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := box.Open(sealed, name); err != nil || !bytes.Equal(opened, plain) {
			t.Fatalf("Open = %q, %v", opened, err)
		}
		if _, err := box.Open(sealed, name+"x"); err == nil {
			t.Fatal("opens under another name")
		}
		if _, err := box.Open(random, name+"never"); err == nil {
			t.Fatalf("%q opens", random)
		}
	})
}

func TestAllocations(t *testing.T) {
	box := newBox(t, "owner", "identity", newKey())
	sealed, _ := box.Seal(make([]byte, 300), "name")
	raw, _ := box.SealBytes(make([]byte, 300), "name")
	for name, open := range map[string]func(){
		"Open":      func() { _, _ = box.Open(sealed, "name") },
		"OpenBytes": func() { _, _ = box.OpenBytes(raw, "name") },
	} {
		if n := testing.AllocsPerRun(200, open); n > 1 && !raceEnabled {
			t.Errorf("%s takes %.0f allocations", name, n)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	box := newBox(b, "owner", "identity", newKey())
	sealed, _ := box.Seal(make([]byte, 300), "name")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = box.Open(sealed, "name")
	}
}
