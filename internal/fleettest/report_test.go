package fleettest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// What requests may come to.
const (
	well         = "200"
	storeDown    = "503 session_store"
	providerDown = "503 unavailable"
	toLogin      = "302 to login"
	loginNeeded  = "401 login_required"
)

// row is a phase of the report.
type row struct {
	phase     string
	sent      int
	answers   map[string]int
	lost      map[string]bool // whose session was refused as none
	refreshes int
	slowest   time.Duration
}

// kinds of requests: pages and scripts, with and without need for tokens.
var kinds = []struct {
	path string
	page bool
}{{"/private", true}, {"/tokens", false}, {"/private", false}, {"/tokens", true}}

// ask sends one request and says what came of it.
func (f *fleet) ask(s *session, kind int) string {
	r, err := http.NewRequestWithContext(f.Context(), http.MethodGet, f.base+kinds[kind].path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	mode, dest := "cors", "empty"
	if kinds[kind].page {
		mode, dest = "navigate", "document"
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", mode)
	r.Header.Set("Sec-Fetch-Dest", dest)
	cookies := s.cookies
	if s.browser != nil {
		cookies = s.browser.Cookies(f.base)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	response, err := f.http.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	return f.outcome(s, response)
}

func (f *fleet) outcome(s *session, r *http.Response) string {
	switch r.StatusCode {
	case http.StatusOK:
		var subject string
		if err := json.NewDecoder(r.Body).Decode(&subject); err != nil || subject != s.user || subject == "" {
			return fmt.Sprintf("200 LET IN %q as %q", s.user, subject)
		}
		return well
	case http.StatusFound, http.StatusSeeOther:
		return toLogin
	case http.StatusServiceUnavailable:
		if r.Header.Get("Retry-After") == "" {
			return "503 WITHOUT Retry-After"
		}
	}
	return fmt.Sprintf("%d %s", r.StatusCode, r.Header.Get("X-Code"))
}

// What sessions send in a phase: each of four kinds, twice.
const (
	perSession = 8
	perPhase   = perSession * users
)

// stream sends requests of all sessions, f.atOnce at a time, and as many as a tenth of strangers. After a third of them it
// breaks something, if breakIt is not nil. Only the allowed outcomes may come, and each of them must.
func (f *fleet) stream(phase string, breakIt func(), allowed ...string) row {
	f.Helper()
	result := row{phase: phase, answers: map[string]int{}, lost: map[string]bool{}}
	before, _ := f.provider.counts()
	var mu sync.Mutex // guards result
	next := make(chan int)
	var asking sync.WaitGroup
	for range f.atOnce {
		asking.Go(func() {
			for i := range next {
				s := f.sessions[i/perSession] // its requests are under way at once, at all instances
				began := time.Now()
				answer := f.ask(s, i%len(kinds))
				took := time.Since(began)
				stranger := f.stranger(i)
				mu.Lock()
				result.sent++
				result.answers[answer]++
				result.slowest = max(result.slowest, took)
				if answer == toLogin || answer == loginNeeded {
					result.lost[s.user] = true
				}
				mu.Unlock()
				if strings.HasPrefix(stranger, "200") {
					f.Errorf("%s: a stranger is let in: %s", phase, stranger)
				}
			}
		})
	}
	for i := range perPhase {
		if i == perPhase/3 && breakIt != nil {
			breakIt()
		}
		next <- i
	}
	close(next)
	asking.Wait()
	after, again := f.provider.counts()
	result.refreshes = after - before
	if again != 0 {
		f.Errorf("%s: %d refresh tokens were used twice", phase, again)
	}
	f.wantOnly(result, allowed)
	f.rows = append(f.rows, result)
	return result
}

// stranger asks, each tenth time, without a session.
func (f *fleet) stranger(i int) string {
	if i%10 != 0 {
		return ""
	}
	return f.ask(f.strange[i/10%len(f.strange)], i/10%len(kinds))
}

func (f *fleet) wantOnly(r row, allowed []string) {
	f.Helper()
	for answer, n := range r.answers {
		if !slices.Contains(allowed, answer) {
			f.Errorf("%s: %d times %s; want only %q", r.phase, n, answer, allowed)
		}
	}
	for _, answer := range allowed {
		if r.answers[answer] == 0 {
			f.Errorf("%s: never %s: %v", r.phase, answer, r.answers)
		}
	}
}

// wantRefreshes wants one refresh for each session whose tokens had ended, no more.
func (f *fleet) wantRefreshes(r row, n int) {
	f.Helper()
	if r.refreshes != n {
		f.Errorf("%s: %d refreshes, want %d", r.phase, r.refreshes, n)
	}
}

// report prints the table, in Markdown.
func (f *fleet) report() {
	f.Helper()
	var b strings.Builder
	b.WriteString("\n| phase | sent | answered well | refused | sessions lost | refreshes | slowest |\n|---|---|---|---|---|---|---|\n")
	for _, r := range f.rows {
		var refused []string
		for _, answer := range slices.Sorted(maps.Keys(r.answers)) {
			if answer != well {
				refused = append(refused, fmt.Sprintf("%d × %s", r.answers[answer], answer))
			}
		}
		if refused == nil {
			refused = []string{"–"}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %d | %d | %v |\n", r.phase, r.sent, r.answers[well], strings.Join(refused, ", "), len(r.lost), r.refreshes,
			r.slowest.Round(10*time.Millisecond))
	}
	f.Log(b.String())
}
