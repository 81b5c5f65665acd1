package main

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// endpoint is the provider's token endpoint on a good or a bad day.
type endpoint struct {
	provider *optest.Server
	day      atomic.Pointer[string] // a key of days
}

// days are what can be chosen on the page.
var days = map[string]func(*optest.Answer){
	"fine": func(*optest.Answer) {},
	"slow": func(a *optest.Answer) { a.Delay = slowness },
	"down": func(a *optest.Answer) { a.Status, a.Body = http.StatusServiceUnavailable, []byte("down") },
}

const slowness = 4 * time.Second

func newEndpoint(op *optest.Server) *endpoint {
	e := &endpoint{provider: op}
	e.choose("slow")
	op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			days[e.today()](a)
		}
	})
	return e
}

func (e *endpoint) today() string     { return *e.day.Load() }
func (e *endpoint) choose(day string) { e.day.Store(&day) }

// calls is how often it was asked.
func (e *endpoint) calls() int { return e.provider.Calls("/oauth/token") }

// ServeHTTP chooses another day.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	day := r.PostFormValue("day")
	if days[day] == nil {
		http.Error(w, "no such day", http.StatusBadRequest)
		return
	}
	e.choose(day)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
