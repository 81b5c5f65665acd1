package rp_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Refusals that nothing behind them would notice.

// J10: a memory that is full of codes refuses new ones, and sends nothing.
func TestJ10_a_full_memory_of_codes_refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.verified(rp.AuthOptions{})
	rp.FillSpent(w.client)
	_, err := w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrUnavailable)
	w.calls(pathToken, 0)
}

// A provider without a token endpoint is asked for nothing, whatever tokens say.
func TestNoTokenEndpoint(t *testing.T) {
	t.Parallel()
	p := newParserOf(t, func(c *rp.Config) {
		c.ResponseType, c.ResponseMode, c.Endpoints.Token = rp.ImplicitIDToken, rp.FormPost, ""
	})
	tokens, err := p.client.ParseTokens(p.tokenBytes("access", []byte{1}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.Refresh(t.Context(), tokens, rp.Target{}); rp.ErrorCode(err) != "unsupported" {
		t.Error(err)
	}
}

// A provider that is asked too often is there again later: its 429 is no answer, wherever it comes.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		endpoint string
		ask      func(*world, *rp.Tokens) error
	}{
		"F04_metadata": {pathMeta, func(w *world, _ *rp.Tokens) error { return w.client.Ready(t.Context()) }},
		"F04_keys":     {pathKeys, func(w *world, _ *rp.Tokens) error { return w.client.Ready(t.Context()) }},
		"D43_userinfo": {"/userinfo", func(w *world, tokens *rp.Tokens) error { _, err := w.client.UserInfo(t.Context(), tokens); return err }},
		"E09_refresh": {pathToken, func(w *world, tokens *rp.Tokens) error {
			_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lazy)
			var tokens *rp.Tokens
			if row.endpoint != pathMeta && row.endpoint != pathKeys {
				tokens = w.tokens(rp.AuthOptions{})
			}
			w.lie(row.endpoint, func(a *optest.Answer) { a.Status = http.StatusTooManyRequests })
			err := row.ask(w, tokens)
			if w.said.value(err); !errors.Is(err, rp.ErrUnavailable) || errors.Is(err, rp.ErrMetadata) || rp.ErrorCode(err) != "unavailable" {
				t.Errorf("%v", err)
			}
		})
	}
}

// K06: what a client authentication lacks or has too much is said in words that help.
func TestClientAuthThatContradictsItself(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		auth rp.ClientAuth
		want string
	}{
		"K06_none_chosen":               {rp.ClientAuth{}, "rp.Public()"},
		"K06_certificate_with_a_secret": {rp.SecretBasic(clientSecret).WithCertificate(&x509.Certificate{}), "takes no key or certificate"},
		"K06_certificate_with_nothing":  {rp.Public().WithCertificate(&x509.Certificate{}), "takes no key or certificate"},
		"K06_no_secret":                 {rp.SecretPost(""), "needs a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lazyConfig()
			c.ClientAuth = row.auth
			_, err := rp.New(t.Context(), c)
			if rp.ErrorCode(err) != "config" || !strings.Contains(err.Error(), "ClientAuth") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want one that says %q", err, row.want)
			}
		})
	}
}
