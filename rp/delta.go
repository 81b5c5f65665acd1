package rp

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/verify"
)

// Two ID Tokens of one login say mostly the same. A session that lives in a cookie has no room to say it twice: of the
// first token it keeps, claim by claim, "as in the newest" or the value.

const formatDelta = 1

// packToken returns t with its signature.
func packToken(t *verify.IDToken) []byte {
	if t == nil {
		return nil
	}
	w := wire.NewWriter(formatDelta, 1024)
	w.Text(t.Raw())
	return w.Done()
}

func unpackToken(packed []byte) (string, error) {
	r := wire.NewReader(packed, formatDelta)
	raw := r.Text()
	return raw, r.Close()
}

// packDelta returns the claims of first, as far as they differ from those of newest.
func packDelta(first, newest *verify.IDToken) []byte {
	if first == nil {
		return nil
	}
	claims, base := claimsOf(first, nil), claimsOf(newest, nil)
	names := slices.Sorted(maps.Keys(base))
	w := wire.NewWriter(formatDelta, 512)
	w.Int(int64(len(claims)))
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		place, known := slices.BinarySearch(names, name)
		if known && bytes.Equal(base[name], claims[name]) {
			w.Int(int64(place))
			continue
		}
		w.Int(-1)
		w.String(name)
		w.Bytes(claims[name])
	}
	return w.Done()
}

// unpackDelta returns the claims of the first token as one JSON object.
func unpackDelta(packed []byte, newest *verify.IDToken) (string, error) {
	base := claimsOf(newest, nil)
	names := slices.Sorted(maps.Keys(base))
	claims := loginClaims{}
	r := wire.NewReader(packed, formatDelta)
	for n := r.Int(); n > 0; n-- {
		place := r.Int()
		switch {
		case place >= 0 && place < int64(len(names)):
			claims[names[place]] = base[names[place]]
		case place == -1:
			name := r.String()
			claims[name] = json.RawMessage(r.Bytes())
		default:
			return "", wire.ErrFormat
		}
	}
	if err := r.Close(); err != nil {
		return "", err
	}
	text, err := json.Marshal(claims)
	return string(text), err
}
