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
	redactedToken  = "verify.IDToken(redacted)"
	redactedExpect = "verify.Expect(redacted)"
	redactedPolicy = "verify.Policy(redacted)"
)

// Format writes a fixed text.
func (t IDToken) Format(f fmt.State, _ rune) { redact(f, redactedToken) }

// LogValue returns a fixed text.
func (t IDToken) LogValue() slog.Value { return slog.StringValue(redactedToken) }

// MarshalText returns a fixed text.
func (t IDToken) MarshalText() ([]byte, error) { return []byte(redactedToken), nil }

// GobEncode fails.
func (t IDToken) GobEncode() ([]byte, error) { return nil, errGob }

// Format writes a fixed text.
func (e Expect) Format(f fmt.State, _ rune) { redact(f, redactedExpect) }

// LogValue returns a fixed text.
func (e Expect) LogValue() slog.Value { return slog.StringValue(redactedExpect) }

// MarshalText returns a fixed text.
func (e Expect) MarshalText() ([]byte, error) { return []byte(redactedExpect), nil }

// GobEncode fails.
func (e Expect) GobEncode() ([]byte, error) { return nil, errGob }

// Format writes a fixed text.
func (p Policy) Format(f fmt.State, _ rune) { redact(f, redactedPolicy) }

// LogValue returns a fixed text.
func (p Policy) LogValue() slog.Value { return slog.StringValue(redactedPolicy) }

// MarshalText returns a fixed text.
func (p Policy) MarshalText() ([]byte, error) { return []byte(redactedPolicy), nil }

// GobEncode fails.
func (p Policy) GobEncode() ([]byte, error) { return nil, errGob }

func redact(w io.Writer, text string) {
	_, _ = io.WriteString(w, text) // fmt.State never fails
}
