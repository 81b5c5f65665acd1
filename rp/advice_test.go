package rp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Errors that an operator can mend say what to mend.

func TestIssuerErrorsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"op.example": `"op.example": not an absolute URL; an issuer looks like https://login.example.com`,
		"https://op.example/.well-known/openid-configuration":  "leave out /.well-known/openid-configuration",
		"https://op.example/.well-known/openid-configuration/": "leave out /.well-known/openid-configuration",
		"https://op.example?tenant=1":                          `"https://op.example?tenant=1": has a query`,
	} {
		_, err := rp.New(t.Context(), rp.Config{Issuer: issuer, ClientID: "app", ClientAuth: rp.Public(), RedirectURL: "https://app.example/cb", Discovery: rp.Lazy})
		if !errors.Is(err, rp.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", issuer, err, want)
		}
	}
	const password = "hunter2"
	_, err := rp.New(t.Context(), rp.Config{Issuer: "https://op:" + password + "@op.example", ClientID: "app"})
	if err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("the password is shown: %v", err)
	}
}

func TestTokenErrorsNameTheField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("evil", 5000)
	for name, row := range map[string]struct {
		lie  func(*optest.Answer)
		want string
	}{
		"algorithm": {func(a *optest.Answer) { a.Header["alg"] = "ES256" }, "; Config.IDTokenAlgorithm is RS256"},
		"issuer":    {func(a *optest.Answer) { a.Claims["iss"] = "https://" + long }, "; Config.Issuer is \""},
		"audience":  {func(a *optest.Answer) { a.Claims["aud"] = long }, "; Config.ClientID is \"app\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.lie("/authorize", row.lie)
			q := w.request(rp.AuthOptions{})
			_, err := w.client.VerifyResponse(t.Context(), q, w.answer(q))
			if err == nil || !strings.Contains(err.Error(), row.want) || len(err.Error()) > 500 || strings.Contains(err.Error(), "evil") {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}
