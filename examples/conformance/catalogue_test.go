package main

import (
	"errors"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

// TestCatalogue runs optest's catalogue of attacks against this program: code id_token, form_post. It discovers lazily, so
// it starts under each of them.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	shared := start(t, optest.Config{}, nil)
	shared.status("/discover", 200)
	target := func(w *world) optest.Target {
		return optest.Target{Provider: w.op.Handler, Login: w.base + "/login", Private: w.base + "/protected"}
	}
	tried := 0
	for _, attack := range optest.Attacks() {
		w := shared
		if attack.Cold {
			w = start(t, optest.Config{}, nil)
			w.op.Fault(attack.Fault)
		}
		err := attack.Try(t.Context(), target(w))
		switch {
		case errors.Is(err, optest.ErrNotTried): // it is about an access token in the answer, or about ES256
		case err != nil:
			t.Error(err)
		default:
			tried++
		}
	}
	if tried < 200 {
		t.Errorf("only %d attacks took place", tried)
	}
}
