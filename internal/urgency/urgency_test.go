package urgency_test

import (
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/urgency"
)

func TestOf(t *testing.T) {
	t.Parallel()
	at := func(s int64) time.Time { return time.Unix(1_700_000_000+s, 0) }
	for _, row := range []struct {
		name                  string
		expiry, obtained, now time.Time
		want                  urgency.Level
	}{
		{"without an end", time.Time{}, at(0), at(1 << 30), urgency.Live},
		{"an hour's token at its start", at(3600), at(0), at(0), urgency.Live},
		{"an hour's token before its last 30 seconds", at(3600), at(0), at(3569), urgency.Live},
		{"an hour's token in its last 30 seconds", at(3600), at(0), at(3570), urgency.Ending},
		{"a second before the end", at(3600), at(0), at(3599), urgency.Ending},
		{"at the end", at(3600), at(0), at(3600), urgency.Over},
		{"a minute's token lives three quarters of it", at(60), at(0), at(44), urgency.Live},
		{"a minute's token in its last quarter", at(60), at(0), at(45), urgency.Ending},
		{"nobody knows when it came", at(60), time.Time{}, at(29), urgency.Live},
		{"nobody knows when it came, 30 seconds before the end", at(60), time.Time{}, at(30), urgency.Ending},
		{"over when it came", at(0), at(10), at(10), urgency.Over},
		{"E17 the clock went back before it came", at(3600), at(0), at(-7200), urgency.Live},
		{"E17 the clock went forth", at(3600), at(0), at(1 << 30), urgency.Over},
	} {
		if got := urgency.Of(row.expiry, row.obtained, row.now); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}
