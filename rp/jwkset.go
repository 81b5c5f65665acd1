package rp

import (
	"encoding/json"
	"strings"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// withoutOddKeys returns the text of a JWK Set with null for each key that strictjson does not take: one with a member
// twice, or text that is none. "JWK parsers MUST either reject JWKs with duplicate member names or use […] the last" (RFC
// 7517, section 4): we reject the JWK, and keep its neighbours.
func withoutOddKeys(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	if !findKeys(d) {
		return text
	}
	var b strings.Builder
	written := 0
	for d.More() {
		var key json.RawMessage
		if d.Decode(&key) != nil {
			return text
		}
		if end := int(d.InputOffset()); strictjson.Check(string(key)) != nil {
			b.WriteString(text[written : end-len(key)])
			b.WriteString("null")
			written = end
		}
	}
	return b.String() + text[written:]
}

// findKeys reads up to the first key, if there is an array of keys.
func findKeys(d *json.Decoder) bool {
	if begin, _ := d.Token(); begin != json.Delim('{') {
		return false
	}
	for d.More() {
		if name, _ := d.Token(); name == "keys" {
			begin, _ := d.Token()
			return begin == json.Delim('[')
		}
		var other json.RawMessage
		if d.Decode(&other) != nil {
			return false
		}
	}
	return false
}
