package middleware

import "encoding/binary"

// DecodeIdentity decodes an identity with that ID and that state, which may be one that there is not: between -64 and 63.
func DecodeIdentity(id string, state int64) error {
	text, other := (&identity{id: id}).encode(), (&identity{id: id, state: TokensLost}).encode()
	for at := range text {
		if text[at] != other[at] {
			text[at] = binary.AppendVarint(nil, state)[0]
		}
	}
	return new(identity).decode(text)
}
