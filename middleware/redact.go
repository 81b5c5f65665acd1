package middleware

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// redacted is how values of this package that hold secrets are printed.
type redacted struct {
	Type     string `json:"type"`
	Issuer   string `json:"issuer,omitempty"`
	ClientID string `json:"client_id,omitempty"`
}

func (c *Config) redacted() redacted {
	r := redacted{Type: "middleware.Config"}
	if c.Client != nil {
		r.Issuer, r.ClientID = c.Client.Issuer(), c.Client.ClientID()
	}
	return r
}

func (r redacted) String() string {
	return fmt.Sprintf("%s{Issuer:%q ClientID:%q}", r.Type, r.Issuer, r.ClientID)
}

func (r redacted) value() slog.Value {
	return slog.GroupValue(slog.String("type", r.Type), slog.String("issuer", r.Issuer), slog.String("client_id", r.ClientID))
}

// Format writes whose configuration it is, and no key.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.redacted().String()) }

// MarshalJSON returns whose configuration it is, and no key.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }

// LogValue returns whose configuration it is, and no key.
func (c Config) LogValue() slog.Value { return c.redacted().value() }

func (a *Auth) redacted() redacted {
	r := a.config.redacted()
	r.Type = "middleware.Auth"
	return r
}

// Format writes whose logins these are, and no key.
func (a *Auth) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, a.redacted().String()) }

// MarshalJSON returns whose logins these are, and no key.
func (a *Auth) MarshalJSON() ([]byte, error) { return json.Marshal(a.redacted()) }

// LogValue returns whose logins these are, and no key.
func (a *Auth) LogValue() slog.Value { return a.redacted().value() }

// Format writes who the session belongs to, and no token.
func (s *Session) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "middleware.Session{Issuer:%q Subject:%q}", s.Issuer, s.Subject)
}

// MarshalJSON returns who the session belongs to, and no token.
func (s *Session) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"type": "middleware.Session", "issuer": s.Issuer, "sub": s.Subject})
}

// LogValue returns who the session belongs to, and no token.
func (s *Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", s.Issuer), slog.String("sub", s.Subject))
}

// fmt prints what has no Format field by field, with a verb that does not fit also what a pointer among them points to, and
// asks no field that is not exported for its own Format. So a source of tokens has one: there are an Auth and a grant's ID
// behind it.

const hidden = "[redacted]"

// Format writes a fixed text.
func (*offline) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// Format writes a fixed text.
func (sessionSource) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// Format writes a fixed text.
func (targetSource) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// Format writes which session it is, and nothing of what it holds.
func (s SessionInfo) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "middleware.SessionInfo{ID:%q SessionID:%q Current:%v}", s.ID, s.SessionID, s.Current)
}
