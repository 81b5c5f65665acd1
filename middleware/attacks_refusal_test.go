package middleware_test

import (
	"errors"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// Refusals that nothing behind them would notice.

// plainStore is a server store that lists nothing.
type plainStore struct {
	sessions.Store
	middleware.SessionStore
}

// I11, G34: who is logged out, or listed, is a user of this provider, and somebody.
func TestWhoseSessions(t *testing.T) {
	t.Parallel()
	kinds := append(storeKinds[:len(storeKinds):len(storeKinds)], struct {
		name string
		use  func(testing.TB) func(*settings)
	}{"plain", func(t testing.TB) func(*settings) {
		return func(s *settings) { s.auth.Store = plainStore{fileStore(t), newFleetStore(s.auth.Now)} }
	}})
	for _, store := range kinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			ctx, issuer := t.Context(), w.client.Issuer()
			if err := w.auth.EndSessions(ctx, issuer+"/", "alice", ""); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: of another issuer: %v", err)
			}
			if err := w.auth.EndSession(ctx, issuer+"/", "alice", "x"); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: one of another issuer: %v", err)
			}
			if _, err := w.auth.Sessions(ctx, issuer+"/", "alice"); !errors.Is(err, rp.ErrOtherClient) {
				t.Errorf("I11: list of another issuer: %v", err)
			}
			if err := w.auth.EndSessions(ctx, issuer, "", ""); err == nil {
				t.Error("I08: of nobody: no error")
			}
			want := rp.ErrUnsupported
			if store.name == "server" {
				want = nil
			}
			if _, err := w.auth.Sessions(ctx, issuer, "alice"); !errors.Is(err, want) {
				t.Errorf("G34: list: %v, want %v", err, want)
			}
			if got := v.open("/private").who(); got.Subject != "alice" {
				t.Errorf("the session ended all the same: %+v", got)
			}
		})
	}
}
