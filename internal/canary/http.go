package canary

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// The fields that carry secrets, by direction.
var (
	answerFields  = []string{"code", "id_token", "access_token", "state", "logout_token"}
	requestFields = []string{
		"code", "code_verifier", "refresh_token", "client_secret", "client_assertion", "token", "access_token", "subject_token", "actor_token",
	}
	tokenFields = []string{"access_token", "refresh_token", "id_token"}
	askedFields = []string{"state", "nonce", "id_token_hint"}
)

// Handler listens to the browsers of an app: next is the app. What its own pages say with status 200 is not looked at
// outside of /auth/: they may show what they like.
func (r *Recorder) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, c := range req.Cookies() {
			r.cookie(c.Value)
		}
		if strings.HasSuffix(req.URL.Path, "/callback") {
			r.fields(req.URL.RawQuery, answerFields)
		}
		heard := &tap{ReadCloser: req.Body}
		req.Body = heard
		answer := &listener{ResponseWriter: w}
		defer func() {
			r.fields(heard.text(), answerFields)
			r.answer(req, answer)
		}()
		next.ServeHTTP(answer, req)
	})
}

// answer takes down what a browser got.
func (r *Recorder) answer(req *http.Request, a *listener) {
	for _, line := range a.Header()["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		_, value, _ := strings.Cut(pair, "=")
		r.cookie(value)
		r.mu.Lock()
		r.lines = append(r.lines, line)
		r.mu.Unlock()
	}
	for name, values := range a.Header() {
		for _, value := range values {
			u, err := url.Parse(value)
			switch {
			case name == "Set-Cookie":
			case name == "Location" && err == nil && u.Host != "" && u.Host != req.Host: // to the provider
				r.fields(u.RawQuery, askedFields)
			default:
				r.Say(name + ": " + value)
			}
		}
	}
	page := a.body.String()
	if a.status != http.StatusOK && a.status != 0 || strings.HasPrefix(req.URL.Path, "/auth/") {
		if !strings.Contains(page, "twofold_repost") { // our page that posts an answer again
			r.Say(page)
		}
	}
}

// fields learns the secrets of a form or query.
func (r *Recorder) fields(encoded string, names []string) {
	form, _ := url.ParseQuery(encoded)
	for _, name := range names {
		for _, value := range form[name] {
			r.Secret(name, value)
		}
	}
}

// Network is a transport for tests: httptest closes the idle connections of http.DefaultTransport with each server, and
// so breaks redirects of other tests that run at the same time.
var Network http.RoundTripper = &http.Transport{MaxIdleConnsPerHost: 100}

// Transport listens to what an app and its provider say to each other; base is what carries it, nil is [Network].
func (r *Recorder) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = Network
	}
	return transport{r, base}
}

type transport struct {
	*Recorder
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper]. The bodies are heard as they are read, not before.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, credentials, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		t.Secret("credentials", credentials)
	}
	sent := &tap{}
	if req.Body != nil && req.Body != http.NoBody {
		req = req.Clone(req.Context())
		sent.ReadCloser = req.Body
		req.Body = sent
	}
	resp, err := t.base.RoundTrip(req)
	t.fields(sent.text(), requestFields)
	if err != nil {
		return nil, err
	}
	resp.Body = &tap{ReadCloser: resp.Body, closed: func(text string) {
		var members map[string]any
		_ = json.Unmarshal([]byte(text), &members)
		for _, name := range tokenFields {
			if token, ok := members[name].(string); ok {
				t.Secret(name, token)
			}
		}
	}}
	return resp, nil
}
