package middleware_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

func cookieHeader(lines ...string) http.Header { return http.Header{"Cookie": lines} }

func TestWhichCookiesAreOurs(t *testing.T) {
	t.Parallel()
	const name = "__Host-app-s"
	for _, tc := range []struct {
		name  string
		lines []string
		value string
		ok    bool
	}{
		{"alone", []string{name + "=v"}, "v", true},
		{"among others", []string{"a=1; " + name + "=v; b=2"}, "v", true},
		{"in the second header", []string{"a=1", name + "=v"}, "v", true},
		{"a value with equal signs", []string{name + "=v=="}, "v==", true},
		{"absent", []string{"a=1"}, "", false},
		{"no header", nil, "", false},
		{"without a value", []string{name}, "", false},
		{"G14_tossed_by_a_sibling", []string{name + "=theirs; " + name + "=ours"}, "", false},
		{"G15_twice_the_same", []string{name + "=v; " + name + "=v"}, "", false},
		{"G15_in_two_headers", []string{name + "=v", name + "=w"}, "", false},
		{"G16_unicode_space_before", []string{"\u2000" + name + "=v"}, "", false},
		{"G16_no_break_space_before", []string{"\u00a0" + name + "=v"}, "", false},
		{"G16_nameless", []string{"=" + name + "=v"}, "", false},
		{"G16_legacy_version", []string{"$Version=1, " + name + "=v"}, "", false},
		{"G16_another_case", []string{"__host-app-s=v"}, "", false},
		{"G16_quoted_name", []string{`"` + name + `"=v`}, "", false},
		{"another app's", []string{"__Host-app2-s=v; __Host-ap-s=w"}, "", false},
	} {
		value, ok := middleware.Cookie("app", name, cookieHeader(tc.lines...))
		if value != tc.value || ok != tc.ok {
			t.Errorf("%s: %q, %v", tc.name, value, ok)
		}
	}
}

func TestJ08_endless_cookie_headers(t *testing.T) {
	many := strings.Repeat("__Host-app-x=1; ", 10_000)
	if n := len(middleware.ReadCookies("app", cookieHeader(many, many))); n != middleware.MaxCookies {
		t.Errorf("%d cookies are kept", n)
	}
	long := cookieHeader(strings.Repeat("a=b;", 16<<10), strings.Repeat(";", 64<<10))
	if n := testing.AllocsPerRun(10, func() { middleware.ReadCookies("app", long) }); n > 20 {
		t.Errorf("a header of 128 KB without a cookie of ours takes %.0f allocations", n)
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	names := middleware.TokenCookieNames("app")
	join := func(pairs ...string) (string, int, bool) {
		var parts []string
		for i := 0; i < len(pairs); i += 2 {
			parts = append(parts, pairs[i]+"="+pairs[i+1])
		}
		return middleware.JoinChunks("app", cookieHeader(strings.Join(parts, "; ")))
	}
	one := middleware.SplitChunks("abc", 1)
	text := strings.Repeat("x", middleware.ChunkSize) + "yz"
	two := middleware.SplitChunks(text, 2)
	for _, tc := range []struct {
		name  string
		pairs []string
		text  string
		count int
		ok    bool
	}{
		{"none", nil, "", 0, true},
		{"one", []string{names[0], one[0]}, "abc", 1, true},
		{"two", []string{names[0], two[0], names[1], two[1]}, text, 2, true},
		{"two in another order", []string{names[1], two[1], names[0], two[0]}, text, 2, true},
		{"G10_first_missing", []string{names[1], two[1]}, "", 0, false},
		{"G10_last_missing", []string{names[0], two[0]}, "", 0, false},
		{"G10_swapped", []string{names[0], two[1], names[1], two[0]}, "", 0, false},
		{"G10_first_twice", []string{names[0], two[0], names[0], two[0], names[1], two[1]}, "", 0, false},
		{"G10_last_twice", []string{names[0], two[0], names[1], two[1], names[1], two[1]}, "", 0, false},
		{"G10_stale_one_behind", []string{names[0], one[0], names[1], two[1]}, "", 0, false},
		{"G10_count_lies", []string{names[0], "02" + one[0][2:]}, "", 0, false},
		{"G10_counts_differ", []string{names[0], two[0], names[1], "11" + two[1][2:]}, "", 0, false},
		{"G11_count_of_99999", []string{names[0], "099999" + one[0][2:]}, "", 0, false},
		{"G11_count_of_nine", []string{names[0], "09x"}, "", 0, false},
		{"empty", []string{names[0], ""}, "", 0, false},
		{"no more than its head", []string{names[0], "01"}, "", 0, false},
	} {
		got, count, ok := join(tc.pairs...)
		if ok != tc.ok || ok && (got != tc.text || count != tc.count) {
			t.Errorf("%s: %d bytes, %d, %v", tc.name, len(got), count, ok)
		}
	}
}

func TestG12_lengths_around_a_chunk(t *testing.T) {
	t.Parallel()
	names := middleware.TokenCookieNames("app")
	for _, n := range []int{1, middleware.ChunkSize - 1, middleware.ChunkSize, middleware.ChunkSize + 1, 2 * middleware.ChunkSize} {
		text := strings.Repeat("x", n)
		var parts []string
		for i, c := range middleware.SplitChunks(text, (n+middleware.ChunkSize-1)/middleware.ChunkSize) {
			parts = append(parts, names[i]+"="+c)
		}
		if got, _, ok := middleware.JoinChunks("app", cookieHeader(strings.Join(parts, "; "))); !ok || got != text {
			t.Errorf("%d bytes come back as %d, %v", n, len(got), ok)
		}
	}
}

func TestG20_limits_to_the_second(t *testing.T) {
	t.Parallel()
	const s = time.Second
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name      string
		used, abs time.Duration // from at
		ended     bool
	}{
		{"just used", 0, time.Hour, false},
		{"a second before idle", -time.Hour + s, time.Hour, false},
		{"at idle", -time.Hour, time.Hour, true},
		{"a second after idle", -time.Hour - s, time.Hour, true},
		{"a second before absolute", 0, s, false},
		{"at absolute", 0, 0, true},
		{"a second after absolute", 0, -s, true},
	} {
		if got := middleware.SessionEnded(at.Add(tc.used), at.Add(tc.abs), at, time.Hour); got != tc.ended {
			t.Errorf("%s: ended %v", tc.name, got)
		}
	}
	for _, tc := range []struct {
		name             string
		expiry, obtained time.Duration
		want             int
	}{
		{"fresh", time.Hour, 0, 0},
		{"31 s left", 31 * s, -time.Hour, 0},
		{"30 s left", 30 * s, -time.Hour, 1},
		{"1 s left", s, -time.Hour, 1},
		{"at its end", 0, -time.Hour, 2},
		{"a second over", -s, -time.Hour, 2},
		{"a short life, fresh", 10 * s, 0, 0},
		{"a short life, a quarter left", 2 * s, -6 * s, 1},
		{"E17_obtained_in_the_future", 10 * s, time.Hour, 0},
	} {
		if got := middleware.UrgencyOf(at.Add(tc.expiry), at.Add(tc.obtained), at); got != tc.want {
			t.Errorf("%s: %d, not %d", tc.name, got, tc.want)
		}
	}
	if middleware.UrgencyOf(time.Time{}, at, at) != 0 {
		t.Error("a token without an end is not live")
	}
	if middleware.SessionStale(at.Add(-6*time.Minute+s), at, time.Hour) || !middleware.SessionStale(at.Add(-6*time.Minute), at, time.Hour) {
		t.Error("renewal is not at a tenth of idle")
	}
}

// Laws: what is read has our prefix and stands in the header as it was sent, and a name counts only if it is there
// once.
func FuzzCookieHeader(f *testing.F) {
	f.Add("__Host-app-s=v; a=b", "__Host-app-s=w")
	f.Add("=__Host-app-s=v;;; ;", " \t__Host-app-t0=01x")
	f.Fuzz(func(t *testing.T, first, second string) {
		count := map[string]int{}
		found := middleware.ReadCookies("app", cookieHeader(first, second))
		for _, c := range found {
			if !strings.HasPrefix(c[0], "__Host-app-") || strings.ContainsAny(c[0], "=;") || strings.Contains(c[1], ";") {
				t.Fatalf("%q is not ours", c)
			}
			if pair := c[0] + "=" + c[1]; !strings.Contains(first, pair) && !strings.Contains(second, pair) {
				t.Fatalf("%q was not sent", pair)
			}
			count[c[0]]++
		}
		for name, n := range count {
			if _, ok := middleware.Cookie("app", name, cookieHeader(first, second)); ok != (n == 1) {
				t.Fatalf("%q is there %d times and counts: %v", name, n, ok)
			}
		}
	})
}

// Law: a set of chunks that joins is exactly the set that its text splits into.
func FuzzChunks(f *testing.F) {
	f.Add("01abc", "", true, false)
	f.Add("02"+strings.Repeat("x", middleware.ChunkSize), "12y", true, true)
	f.Fuzz(func(t *testing.T, first, second string, hasFirst, hasSecond bool) {
		if strings.ContainsAny(first+second, "; \t") {
			return
		}
		names := middleware.TokenCookieNames("app")
		sent := map[string]string{}
		var parts []string
		for i, has := range []bool{hasFirst, hasSecond} {
			if value := []string{first, second}[i]; has {
				sent[names[i]] = value
				parts = append(parts, names[i]+"="+value)
			}
		}
		text, count, ok := middleware.JoinChunks("app", cookieHeader(strings.Join(parts, "; ")))
		if !ok {
			return
		}
		if count != len(sent) {
			t.Fatalf("%d chunks of %d are joined", count, len(sent))
		}
		whole := ""
		for i := range count {
			if !strings.HasPrefix(sent[names[i]], strconv.Itoa(i)+strconv.Itoa(count)) {
				t.Fatalf("chunk %d of %d is %q", i, count, sent[names[i]])
			}
			whole += sent[names[i]][2:]
		}
		if whole != text {
			t.Fatalf("%q is joined to %q", sent, text)
		}
	})
}
