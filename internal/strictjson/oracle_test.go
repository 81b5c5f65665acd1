//go:build goexperiment.jsonv2

package strictjson_test

import (
	"encoding/json/jsontext"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// FuzzOracle compares with encoding/json/jsontext, the strict parser that comes with GOEXPERIMENT=jsonv2: it accepts
// what Check accepts, and the other way round except for what Check is stricter in: depth and U+0000.
func FuzzOracle(f *testing.F) {
	for _, r := range refused {
		if len(r.text) < 2000 {
			f.Add(r.text)
		}
	}
	for _, text := range accepted {
		if len(text) < 2000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, want := strictjson.Check(text), oracle(text)
		if got == nil && want != nil {
			t.Errorf("%q: only the oracle refuses: %v", text, want)
		}
		if got != nil && want == nil && !stricter(got) {
			t.Errorf("%q: only we refuse: %v", text, got)
		}
	})
}

// oracle reads one value and wants nothing after it. Its defaults refuse duplicate names and invalid UTF-8.
func oracle(text string) error {
	d := jsontext.NewDecoder(strings.NewReader(text))
	if _, err := d.ReadValue(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more")
	}
	return nil
}

func stricter(err error) bool {
	var e *strictjson.SyntaxError
	return errors.As(err, &e) && (e.Reason == "too deep" || e.Reason == "too long" || e.Reason == "U+0000 in a string")
}
