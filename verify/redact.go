package verify

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// The types that hold a secret print, log and marshal themselves as a fixed text, in every verb of package fmt, in
// JSON (and whatever else asks for a text) and in slog. They refuse gob, which would otherwise drop what is unexported
// and write the rest.

var errGob = errors.New("verify: not encodable with gob, because it holds a secret")

const (
	instead       = "(redacted)"
	insteadToken  = "verify.IDToken" + instead
	insteadExpect = "verify.Expect" + instead
	insteadPolicy = "verify.Policy" + instead
	insteadLogout = "verify.LogoutToken" + instead
)

// Format writes a fixed text.
func (t IDToken) Format(f fmt.State, _ rune) { redact(f, insteadToken) }

// LogValue returns a fixed text.
func (t IDToken) LogValue() slog.Value { return slog.StringValue(insteadToken) }

// MarshalText returns a fixed text.
func (t IDToken) MarshalText() ([]byte, error) { return []byte(insteadToken), nil }

// GobEncode fails.
func (t IDToken) GobEncode() ([]byte, error) { return nil, errGob }

// Format writes a fixed text.
func (e Expect) Format(f fmt.State, _ rune) { redact(f, insteadExpect) }

// LogValue returns a fixed text.
func (e Expect) LogValue() slog.Value { return slog.StringValue(insteadExpect) }

// MarshalText returns a fixed text.
func (e Expect) MarshalText() ([]byte, error) { return []byte(insteadExpect), nil }

// GobEncode fails.
func (e Expect) GobEncode() ([]byte, error) { return nil, errGob }

// Format writes a fixed text.
func (p Policy) Format(f fmt.State, _ rune) { redact(f, insteadPolicy) }

// LogValue returns a fixed text.
func (p Policy) LogValue() slog.Value { return slog.StringValue(insteadPolicy) }

// MarshalText returns a fixed text.
func (p Policy) MarshalText() ([]byte, error) { return []byte(insteadPolicy), nil }

// GobEncode fails.
func (p Policy) GobEncode() ([]byte, error) { return nil, errGob }

// Format writes a fixed text.
func (t LogoutToken) Format(f fmt.State, _ rune) { redact(f, insteadLogout) }

// LogValue returns a fixed text.
func (t LogoutToken) LogValue() slog.Value { return slog.StringValue(insteadLogout) }

// MarshalText returns a fixed text.
func (t LogoutToken) MarshalText() ([]byte, error) { return []byte(insteadLogout), nil }

// GobEncode fails.
func (t LogoutToken) GobEncode() ([]byte, error) { return nil, errGob }

func redact(w io.Writer, text string) {
	_, _ = io.WriteString(w, text) // fmt.State never fails
}
