package main

import (
	"bytes"
	"testing"

	"github.com/twofold-auth/twofold/examples/internal/demo"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := demo.RunCheck(t.Context(), &out, program); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}
