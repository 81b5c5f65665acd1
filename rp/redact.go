package rp

import (
	"fmt"
	"io"
	"log/slog"
)

const redactedText = "[redacted]"

// redacted is embedded by every type that holds a secret: no verb of fmt, no JSON and no log handler shows its fields.
// encoding/gob refuses such types by itself, because they have no exported field.
type redacted struct{}

// Format writes a fixed text for every verb.
func (redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redactedText) }

// MarshalJSON returns a fixed text.
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedText + `"`), nil }

// LogValue returns a fixed text.
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }

// Format writes the method, never the secret.
func (a ClientAuth) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, a.describe()) }

// MarshalJSON returns the method, never the secret.
func (a ClientAuth) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", a.describe()), nil }

// LogValue returns the method, never the secret.
func (a ClientAuth) LogValue() slog.Value { return slog.StringValue(a.describe()) }

func (a ClientAuth) describe() string {
	if a.method == "" {
		return "none chosen"
	}
	return a.method
}

// Format writes what names the client, and no secret.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.describe()) }

// MarshalJSON returns what names the client, and no secret.
func (c Config) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", c.describe()), nil }

// LogValue returns what names the client, and no secret.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("client_id", c.ClientID),
		slog.String("redirect_url", c.RedirectURL), slog.String("response_type", string(c.ResponseType)),
		slog.String("client_auth", c.ClientAuth.describe()))
}

func (c Config) describe() string {
	return fmt.Sprintf("rp.Config{Issuer: %s, ClientID: %s, RedirectURL: %s, ResponseType: %s, ClientAuth: %s}",
		c.Issuer, c.ClientID, c.RedirectURL, c.ResponseType, c.ClientAuth.describe())
}
