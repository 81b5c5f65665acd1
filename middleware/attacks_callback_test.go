package middleware_test

import (
	"testing"
)

func TestCallbackControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	rep := v.login("/auth/login?return_to=/private", "")
	t.Log(rep.Header)
	t.Log(v.open("/private").body, v.open("/tokens").body)
}
