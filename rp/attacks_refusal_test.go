package rp_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
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

// A29: RequireIss does not depend on what the metadata says.
func TestA29_iss_is_required_though_no_metadata_says_so(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.RequireIss, s.rp.Discovery = true, rp.Lazy })
	w.lie(pathMeta, func(a *optest.Answer) { delete(a.JSON, "authorization_response_iss_parameter_supported") })
	q := w.request(rp.AuthOptions{})
	p := w.answer(q)
	p.Del("iss")
	_, err := w.client.VerifyResponse(t.Context(), q, p)
	w.want(err, rp.ErrIssuerParameter)
}

// oddSigner is a key in hardware that signs with what is no signature.
type oddSigner struct {
	crypto.Signer
	r, s *big.Int
}

func (o oddSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return asn1.Marshal(struct{ R, S *big.Int }{o.r, o.s})
}

// D34: what a signer returns is looked at before it is sent.
func TestSignaturesOutOfRange(t *testing.T) {
	t.Parallel()
	one, long := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, pair := range map[string][2]*big.Int{
		"D34_r_is_0":        {new(big.Int), one},
		"D34_s_is_0":        {one, new(big.Int)},
		"D34_r_is_negative": {big.NewInt(-1), one},
		"D34_s_is_negative": {one, big.NewInt(-1)},
		"D34_r_is_too_long": {long, one},
		"D34_s_is_too_long": {one, long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := rp.PrivateKeyJWT(oddSigner{ecKey(t, elliptic.P256()), pair[0], pair[1]}, "k")
			w := newWorld(t, func(s *setting) {
				s.rp.ClientAuth = auth
				s.op.ClientSecret, s.op.ClientKeys = "", lazyClient(t, func(c *rp.Config) { c.ClientAuth = auth }).JWKS()
			})
			_, err := w.client.Exchange(t.Context(), w.verified(rp.AuthOptions{}))
			w.want(err, rp.ErrNotSent)
			w.calls(pathToken, 0)
		})
	}
}

// E15: who names no origin, or none that is one, is told before the first request.
func TestE15_no_origin_is_told_at_once(t *testing.T) {
	t.Parallel()
	for name, origins := range map[string][]string{
		"E15_none": nil, "E15_unparsable": {"http://[::1"}, "E15_unparsable_among_good_ones": {"https://api.example", "::"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, ok := rp.Transport(nil, nil, origins...).(interface{ Err() error })
			if !ok || told.Err() == nil {
				t.Error("nobody is told")
			}
		})
	}
}

// D42: UserInfo needs a user to be about, and an endpoint to be asked at.
func TestUserInfoOfNobody(t *testing.T) {
	t.Parallel()
	p := newParser(t)
	tokens, err := p.client.ParseTokens(p.tokenBytes("access", []byte{1}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.UserInfo(t.Context(), tokens); !errors.Is(err, rp.ErrNotVerified) {
		t.Errorf("without a readable ID Token: %v", err)
	}
	w := p.writer(kindUserInfo)
	w.String("")
	w.Bytes([]byte(`{"sub":""}`))
	if _, err := p.client.ParseUserInfo(w.Done()); !errors.Is(err, rp.ErrFormat) {
		t.Errorf("G07: kept without a subject: %v", err)
	}
	without := newWorld(t, lazy)
	without.lie(pathMeta, func(a *optest.Answer) { delete(a.JSON, "userinfo_endpoint") })
	_, err = without.client.UserInfo(t.Context(), without.tokens(rp.AuthOptions{}))
	without.want(err, rp.ErrUnsupported)
}

// I23: where neither token can be revoked both refusals are told.
func TestI23_both_refusals_are_told(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.tokens(rp.AuthOptions{})
	w.lie("/revoke", func(a *optest.Answer) {
		a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "no_" + a.Request.Form.Get("token_type_hint")}
	})
	err := w.client.Revoke(t.Context(), tokens)
	if w.said.value(err); err == nil || !strings.Contains(err.Error(), "no_refresh_token") || !strings.Contains(err.Error(), "no_access_token") {
		t.Errorf("%v", err)
	}
}

// K09: certificates of one's own, or an odd transport, weaken nothing, and nobody is warned of them.
func TestK09_what_is_not_weak_is_not_logged(t *testing.T) {
	t.Parallel()
	for name, transport := range map[string]http.RoundTripper{
		"K09_roots_of_its_own": &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}},
		"K09_no_TLS_settings":  &http.Transport{},
		"K09_another_type":     http.NewFileTransport(http.Dir(".")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := &said{}
			c := lazyConfig()
			c.Logger, c.HTTPClient = logTo(heard), &http.Client{Transport: transport}
			client, err := rp.New(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			_ = client.Close()
			if heard.String() != "" {
				t.Errorf("log: %q", heard.String())
			}
		})
	}
}
