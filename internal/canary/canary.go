// Package canary listens to an app under test and finds secrets where none may be said: in logs, events, errors, answers
// to the browser and redirects within the app.
package canary

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// shortest is the length in bytes below which a value is no secret.
const shortest = 12

// longest is how much of one text is kept: more than any log line or page of ours.
const longest = 256 << 10

// Recorder knows all secrets that it has heard of, and all that was said in the open. It is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex        // guards what follows
	secrets map[string]string // kinds by values
	cookies map[string]bool   // values of cookies, which only Set-Cookie lines may hold
	texts   []string
	lines   []string // Set-Cookie
}

// Listen returns a Recorder that fails tb, at its end, for each secret that was said.
func Listen(tb testing.TB) *Recorder {
	tb.Helper()
	r := New()
	tb.Cleanup(func() {
		for _, leak := range r.Leaks() {
			tb.Error("K01: a secret was said: " + leak)
		}
	})
	return r
}

// New returns a Recorder that knows nothing.
func New() *Recorder {
	return &Recorder{secrets: map[string]string{}, cookies: map[string]bool{}}
}

// Secret is a value that must not be said.
func (r *Recorder) Secret(kind, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(value) >= shortest {
		r.secrets[value] = kind
	}
	parts := strings.Split(value, ".")
	if len(parts) == 3 && len(parts[1]) >= shortest && len(parts[2]) >= shortest { // a token is secret in parts, too
		r.secrets[parts[1]], r.secrets[parts[2]] = kind+"'s payload", kind+"'s signature"
	}
}

func (r *Recorder) cookie(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(value) >= shortest {
		r.cookies[value] = true
	}
}

// Say takes down a text that anybody may read.
func (r *Recorder) Say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, text[:min(len(text), longest)])
}

// Value says v in each way that a program might.
func (r *Recorder) Value(v any) { r.Say(fmt.Sprintf("%v %+v %#v", v, v, v)) }

// Write says b: for log handlers.
func (r *Recorder) Write(b []byte) (int, error) {
	r.Say(string(b))
	return len(b), nil
}

// Logger logs everything to r.
func (r *Recorder) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Leaks returns where which kind of secret was said.
func (r *Recorder) Leaks() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets, cookies := finder{}, finder{}
	for value, kind := range r.secrets {
		secrets.add(value, kind)
	}
	for value := range r.cookies {
		cookies.add(value, "cookie")
	}
	var leaks []string
	for _, text := range r.texts {
		leaks = append(leaks, secrets.search(text)...)
		leaks = append(leaks, cookies.search(text)...)
	}
	for _, line := range r.lines {
		leaks = append(leaks, secrets.search(line)...)
	}
	return leaks
}

// finder looks for many values at once, by their first bytes.
type finder map[string][][2]string

func (f finder) add(value, kind string) {
	f[value[:shortest]] = append(f[value[:shortest]], [2]string{value, kind})
}

func (f finder) search(text string) (leaks []string) {
	for i := 0; i+shortest <= len(text); i++ {
		for _, secret := range f[text[i:i+shortest]] {
			if strings.HasPrefix(text[i:], secret[0]) {
				leaks = append(leaks, fmt.Sprintf("%s %.20s… in …%s…", secret[1], secret[0], text[max(0, i-200):min(len(text), i+50)]))
			}
		}
	}
	return leaks
}
