// Package limitbody reads what a stranger sends, up to a limit.
package limitbody

import (
	"errors"
	"io"
)

// ErrTooLarge says that a body holds more bytes than its reader allows.
var ErrTooLarge = errors.New("body is too large")

// Read returns all of r, at most limit bytes. A longer body is [ErrTooLarge] and none of it is returned: half an
// answer must never be taken for a whole one. r is the decompressed stream, so that a small bomb is counted at its
// full size.
func Read(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, ErrTooLarge
	}
	return body, nil
}
