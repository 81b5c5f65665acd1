package seal

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	keySize     = 32
	minDistinct = 10 // 32 random bytes have 30 distinct ones; 32 random hex digits still 14
	minSteps    = 8  // distinct differences between neighbours
)

var placeholders = [][]byte{
	[]byte("changeme"), []byte("change-me"), []byte("change_me"), []byte("change me"),
	[]byte("password"), []byte("secret"), []byte("example"),
}

// CheckKey refuses a key that nobody drew at random: shorter than 32 bytes, all zero or one repeated pattern, a
// counter, a placeholder. It cannot tell a good key from a bad one that looks random.
func CheckKey(key []byte) error {
	if len(key) < keySize {
		return fmt.Errorf("has %d bytes, at least %d random ones are needed", len(key), keySize)
	}
	lower := bytes.ToLower(key)
	for _, p := range placeholders {
		if bytes.Contains(lower, p) {
			return fmt.Errorf("contains the placeholder %q", p)
		}
	}
	if repeats(key) || distinct(key) < minDistinct || distinct(steps(key)) < minSteps {
		return errors.New("is not random")
	}
	return nil
}

// repeats reports whether key is a shorter pattern, again and again.
func repeats(key []byte) bool {
	for period := 1; period <= len(key)/2; period++ {
		if bytes.Equal(key[period:], key[:len(key)-period]) {
			return true
		}
	}
	return false
}

func distinct(b []byte) int {
	var seen [256]bool
	n := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

func steps(key []byte) []byte {
	out := make([]byte, len(key)-1)
	for i := range out {
		out[i] = key[i+1] - key[i]
	}
	return out
}
