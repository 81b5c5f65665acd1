package verify

import (
	"encoding/base64"
	"strings"
)

// strictBase64 is for what is short: hashes.
var strictBase64 = base64.RawURLEncoding.Strict()

// A token is mostly base64url, and four tables decode it in half the time that encoding/base64 takes. They accept what
// its strict encoding accepts, but for line breaks, which it skips.
const (
	alphabet   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	noSextet   = 1 << 31 // in a table: no character of the alphabet
	chunkBytes = 384     // decoded at once; a multiple of three
)

// sextets are the values of a character at each of the four places of a group.
var sextets = func() (tables [4][256]uint32) {
	for place := range tables {
		for i := range tables[place] {
			tables[place][i] = noSextet
		}
		for value, c := range []byte(alphabet) {
			tables[place][c] = uint32(value) << (18 - 6*place) //nolint:gosec // 0 to 63
		}
	}
	return tables
}()

// decodeText decodes base64url into a string, with one allocation.
func decodeText(part string) (string, bool) {
	var text strings.Builder
	text.Grow(strictBase64.DecodedLen(len(part)))
	var chunk [chunkBytes]byte
	for {
		n := decodeGroups(&chunk, part)
		text.Write(chunk[:n])
		part = part[n/3*4:]
		if n == 0 || len(part) < 4 {
			break
		}
	}
	n, ok := decodeRest(chunk[:], part)
	text.Write(chunk[:n])
	return text.String(), ok
}

// decodeBytes decodes base64url into bytes.
func decodeBytes(part string) ([]byte, bool) {
	text, ok := decodeText(part)
	return []byte(text), ok
}

// decodeGroups decodes whole groups of four characters until dst is full, and returns the number of bytes. It stops
// before a group with a character that is none of the alphabet.
func decodeGroups(dst *[chunkBytes]byte, part string) (n int) {
	for len(part) >= 4 && n < len(dst)-2 {
		v := sextets[0][part[0]] | sextets[1][part[1]] | sextets[2][part[2]] | sextets[3][part[3]]
		if v >= noSextet {
			break
		}
		dst[n], dst[n+1], dst[n+2] = byte(v>>16), byte(v>>8), byte(v)
		n, part = n+3, part[4:]
	}
	return n
}

// decodeRest decodes what is behind the whole groups: nothing, or two or three characters whose last bits are zero.
func decodeRest(dst []byte, part string) (n int, ok bool) {
	switch len(part) {
	case 0:
		return 0, true
	case 2:
		v := sextets[0][part[0]] | sextets[1][part[1]]
		dst[0] = byte(v >> 16)
		return 1, v < noSextet && v&0xffff == 0
	case 3:
		v := sextets[0][part[0]] | sextets[1][part[1]] | sextets[2][part[2]]
		dst[0], dst[1] = byte(v>>16), byte(v>>8)
		return 2, v < noSextet && v&0xff == 0
	}
	return 0, false
}
