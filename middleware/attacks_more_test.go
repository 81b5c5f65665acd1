package middleware_test

import (
	"net/http"
	"testing"
	"time"
)

// TestLoginAfterLogout: a logout by sub ends what was before it, not what comes after it, even if its token comes again.
func TestLoginAfterLogout(t *testing.T) {
	t.Parallel()
	for _, kind := range fleetKinds {
		t.Run("I13_same_sub_"+kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, kind)
			before, after := f.visitor(), f.visitor()
			before.login("/auth/login", "alice")
			token := f.op.LogoutToken(map[string]any{"sub": "alice"})
			f.told(f.other.serve(backchannel(token)), http.StatusOK)
			f.clock.add(time.Second)
			after.login("/auth/login", "alice")
			f.loggedIn(after)
			f.loggedOut(before)
			f.told(f.serve(backchannel(token)), http.StatusOK)
			f.loggedIn(after)
			f.told(f.serve(backchannel(f.op.LogoutToken(map[string]any{"sub": "alice"}))), http.StatusOK) // control: a new one
			f.loggedOut(after)
		})
	}
}
