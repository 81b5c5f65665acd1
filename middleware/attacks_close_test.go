package middleware_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
)

// TestCloseBesideUse closes an Auth while requests and workers still use it, as when a server's shutdown has run out of
// time. The race detector looks on.
func TestCloseBesideUse(t *testing.T) {
	t.Parallel()
	for range 10 {
		f := newFleet(t, "server", onDemand, shortTokens)
		f.page = reportTokens
		var users []*visitor
		for range 8 {
			v := f.visitor()
			v.login("/auth/login", "alice")
			users = append(users, v)
		}
		var grant string
		f.page = grants(t, &grant)
		users[0].open("/tokens")
		f.page = reportTokens
		f.clock.add(26 * time.Second)
		worker := f.offline(grant)
		var group sync.WaitGroup
		for i, v := range users {
			path := []string{"/private", "/tokens"}[i%2]
			group.Go(func() { v.open(path) })
			group.Go(func() { _ = f.auth.Close() })
			group.Go(func() { _, _ = worker.Token(t.Context()) })
		}
		group.Wait()
		_ = f.auth.Close()
		for _, v := range users[1:] {
			if got := v.open("/private").tokens(); got.State != "ready" {
				t.Errorf("what was under way was not waited for: %+v", got)
			}
		}
	}
}

// grants is a page that moves the refresh token into a grant.
func grants(t *testing.T, id *string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if *id, err = middleware.FromContext(r.Context()).Grant(r.Context()); err != nil {
			t.Error(err)
		}
	}
}
