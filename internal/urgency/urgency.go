// Package urgency says how badly an access token needs a successor. Sessions and token sources follow the same rule.
package urgency

import "time"

// Level says how badly a token needs a successor.
type Level uint8

// A token is Live, then Ending: good, and its successor is fetched meanwhile; then Over.
const (
	Live Level = iota
	Ending
	Over
)

// early is how long before its end a token is replaced, or a quarter of its life if that is less.
const early = 30 * time.Second

// Of decides by the token's end and by when it came, which may be unknown. A token without an end is live as far as
// anybody knows.
func Of(expiry, obtained, now time.Time) Level {
	if expiry.IsZero() {
		return Live
	}
	before := early
	if life := expiry.Sub(obtained); !obtained.IsZero() && life/4 < before {
		before = max(0, life/4)
	}
	switch {
	case !now.Before(expiry):
		return Over
	case !now.Before(expiry.Add(-before)):
		return Ending
	default:
		return Live
	}
}
