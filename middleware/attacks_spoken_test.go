package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/twofold-auth/twofold/rp"
)

// wiretap is the network between the app and the provider.
type wiretap struct {
	base   *http.Transport
	spoken *spoken

	mu     sync.Mutex // guards what follows
	before func(*http.Request)
	after  func(*http.Request)
	down   bool // nothing gets through to the token endpoint
	tried  int  // how often that was tried
}

func (t *wiretap) cut(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

func (t *wiretap) isDown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		t.tried++
	}
	return t.down
}

// gate sets functions that run before a request to the token endpoint leaves, and before its answer arrives. They may
// wait.
func (t *wiretap) gate(before, after func(*http.Request)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.after = before, after
}

func (t *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	before, after := t.before, t.after
	t.mu.Unlock()
	token := strings.HasSuffix(r.URL.Path, "/oauth/token")
	if token && before != nil {
		before(r)
	}
	if token && t.isDown() {
		return nil, errors.New("connection refused")
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body))
		for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret", "client_assertion"} {
			t.spoken.secret(name, form.Get(name))
		}
	}
	t.spoken.secret("credentials", r.Header.Get("Authorization"))
	resp, err := t.base.RoundTrip(r)
	if err == nil && token {
		t.hear(resp)
	}
	if token && after != nil {
		after(r)
	}
	return resp, err
}

// hear learns the tokens of an answer.
func (t *wiretap) hear(resp *http.Response) {
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var tokens map[string]any
	_ = json.Unmarshal(body, &tokens)
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		text, _ := tokens[name].(string)
		t.spoken.secret(name, text)
	}
}

// spoken is everything that left the app by a way that is not meant for secrets, and all secrets that it has heard.
type spoken struct {
	mu      sync.Mutex        // guards what follows
	secrets map[string]string // their kinds by their values
	texts   []string
	cookies []string // Set-Cookie lines
	values  []string // of cookies
}

func (s *spoken) secret(kind, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(value) >= finderKey {
		s.secrets[value] = kind
	}
	if i := strings.LastIndexByte(value, '.'); i > 0 && len(value)-i > 40 {
		s.secrets[value[i+1:]] = kind + "'s signature"
	}
}

func (s *spoken) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

// Write is for the logger.
func (s *spoken) Write(b []byte) (int, error) {
	s.say("log: " + string(b))
	return len(b), nil
}

func (s *spoken) observe(ctx context.Context, e rp.Event) {
	s.say(fmt.Sprintf("event: %+v %#v %v", e, e, e.Err))
	if rep, ok := ctx.Value(replyKey{}).(*reply); ok {
		rep.mu.Lock()
		defer rep.mu.Unlock()
		rep.events = append(rep.events, e)
	}
}

// reply takes down what a browser gets. Requests to the provider are meant to carry state, nonce and hint.
func (s *spoken) reply(issuer string, r *reply) {
	if !strings.Contains(r.body, "twofold_repost") { // our page that posts an answer again
		s.say("body: " + r.body)
	}
	for name, values := range r.Header {
		for _, value := range values {
			switch {
			case name == "Set-Cookie":
				s.cookie(value)
			case name == "Location" && strings.HasPrefix(value, issuer):
			default:
				s.say(name + ": " + value)
			}
		}
	}
}

// cookie takes down a Set-Cookie line, whose value is a secret itself.
func (s *spoken) cookie(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cookies = append(s.cookies, line)
	first, _, _ := strings.Cut(line, ";")
	if _, value, _ := strings.Cut(first, "="); len(value) >= finderKey {
		s.values = append(s.values, value)
	}
}

// noSecretWasSpoken searches everything for every secret.
func (w *world) noSecretWasSpoken() {
	w.spoken.mu.Lock()
	defer w.spoken.mu.Unlock()
	everywhere, inTexts := newFinder(), newFinder()
	for value, kind := range w.spoken.secrets {
		everywhere.add(value, kind)
	}
	for _, value := range w.spoken.values {
		inTexts.add(value, "cookie")
	}
	for _, text := range w.spoken.texts {
		everywhere.search(w, text)
		inTexts.search(w, text)
	}
	for _, line := range w.spoken.cookies {
		everywhere.search(w, line)
	}
}

// finder looks for many values at once, by their first bytes.
type finder map[string][][2]string

const finderKey = 12 // bytes; shorter values are no secrets

func newFinder() finder { return finder{} }

func (f finder) add(value, kind string) {
	f[value[:finderKey]] = append(f[value[:finderKey]], [2]string{value, kind})
}

func (f finder) search(tb testing.TB, text string) {
	for i := 0; i+finderKey <= len(text); i++ {
		for _, s := range f[text[i:i+finderKey]] {
			if strings.HasPrefix(text[i:], s[0]) {
				tb.Errorf("a secret was spoken: %s %.20s… in %.400s", s[1], s[0], text)
			}
		}
	}
}
