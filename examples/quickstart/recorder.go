package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// flow is what one login looked like, kept for the page that shows it. A real app keeps none of this.
type flow struct {
	endpoint string     // where the browser was sent
	request  url.Values // with these parameters
	answer   url.Values // what came back through the browser
	attack   string     // what was changed in it on the way, "" if nothing
	first    *rp.IDToken
	tokens   *rp.Tokens
	events   []rp.Event
}

// event returns what package rp told of a step; ok is false if it was not taken.
func (f *flow) event(name string) (e rp.Event, ok bool) {
	i := slices.IndexFunc(f.events, func(e rp.Event) bool { return e.Name == name })
	if i < 0 {
		return rp.Event{}, false
	}
	return f.events[i], true
}

// flowsKept is how many logins can be looked at again.
const flowsKept = 64

// recorder stands between the browser and the app and notes what passes.
type recorder struct {
	mu      sync.Mutex
	byState map[string]*flow
	order   []string
}

func newRecorder() *recorder { return &recorder{byState: map[string]*flow{}} }

func (rec *recorder) add(f *flow) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	state := f.request.Get("state")
	rec.byState[state] = f
	rec.order = append(rec.order, state)
	if len(rec.order) > flowsKept {
		delete(rec.byState, rec.order[0])
		rec.order = rec.order[1:]
	}
}

// get returns a copy: a flow does not change once it can be seen.
func (rec *recorder) get(state string) (flow, bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	f, ok := rec.byState[state]
	if !ok {
		return flow{}, false
	}
	return *f, true
}

// recorded registers handlers in a mux so that the recorder sees their requests.
type recorded struct {
	mux *http.ServeMux
	rec *recorder
}

func (m recorded) Handle(pattern string, h http.Handler) { m.mux.Handle(pattern, m.rec.record(h)) }

type flowKey struct{}

func flowOf(ctx context.Context) *flow {
	f, _ := ctx.Value(flowKey{}).(*flow)
	return f
}

// record notes authorization requests, which are redirects, and their answers, which are forms.
func (rec *recorder) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/callback") {
			r = rec.answered(w, r)
		}
		next.ServeHTTP(w, r)
		if f := requested(w.Header().Get("Location")); f != nil {
			f.attack = r.URL.Query().Get("attack")
			rec.add(f)
		}
	})
}

func requested(location string) *flow {
	u, err := url.Parse(location)
	if err != nil || !u.Query().Has("response_type") {
		return nil
	}
	f := &flow{request: u.Query()}
	u.RawQuery = ""
	f.endpoint = u.String()
	return f
}

// answered finds the flow that a posted answer belongs to, and puts a fresh copy with it into the request's context.
func (rec *recorder) answered(w http.ResponseWriter, r *http.Request) *http.Request {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return r
	}
	form, err := url.ParseQuery(string(body))
	f, ok := rec.get(form.Get("state"))
	if err == nil && ok {
		f.answer = form
		if attack, ok := attacks[f.attack]; ok {
			attack.change(form)
			body = []byte(form.Encode())
			r.ContentLength = int64(len(body))
		}
		r = r.WithContext(context.WithValue(r.Context(), flowKey{}, &f))
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

// observe is rp.Config.Observe: it notes how long the steps took.
func observe(ctx context.Context, e rp.Event) {
	if f := flowOf(ctx); f != nil {
		f.events = append(f.events, e)
	}
}

// onIdentity runs when the first ID Token has passed every check, before the code is sent. An app would look its user up
// here, or refuse.
func onIdentity(l *middleware.Login) error {
	f := flowOf(l.Request.Context())
	if f == nil {
		return nil
	}
	f.first = l.IDToken
	if l.Values == nil {
		l.Values = map[string]string{}
	}
	l.Values["flow"] = f.request.Get("state")
	return nil
}

// onTokens runs when the second ID Token has matched the first.
func (rec *recorder) onTokens(l *middleware.Login, t *rp.Tokens) error {
	f := flowOf(l.Request.Context())
	if f == nil {
		return nil
	}
	f.tokens = t
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if state := f.request.Get("state"); rec.byState[state] != nil {
		rec.byState[state] = f
	}
	return nil
}
