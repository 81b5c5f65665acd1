package rp_test

import (
	"net/url"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// A33: metadata of an evil issuer that sends the user to the honest provider, and the code to itself. What the user brings
// back is the honest provider's, under its name or none, and the code stays here.
func TestEndpointsOfAnotherProvider(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		set    func(*setting)
		change func(url.Values)
		want   error
	}{
		{name: "A33_honest_authorization_endpoint", want: rp.ErrIssuerParameter},
		{name: "A33_and_iss_dropped_on_the_way", change: func(p url.Values) { p.Del("iss") }, want: verify.ErrKey},
		{name: "A33_and_iss_rewritten_on_the_way", change: func(p url.Values) { p.Set("iss", evilIssuer) }, want: verify.ErrKey},
		{name: "A33_with_code", set: responseType(rp.Code), want: rp.ErrIssuerParameter},
		{name: "A33_with_code_and_iss_dropped", set: responseType(rp.Code), change: func(p url.Values) { p.Del("iss") }, want: rp.ErrIssuerParameter},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			honest, evil := evilWorld(t, func(s *setting) {
				if row.set != nil {
					row.set(s)
				}
				s.rp.Discovery = rp.Lazy
			})
			evil.lie(pathMeta, func(a *optest.Answer) { a.JSON["authorization_endpoint"] = opIssuer + "/authorize" })
			q := evil.request(rp.AuthOptions{})
			p := honest.open(q, q.Redirect().URL)
			if row.change != nil {
				row.change(p)
			}
			_, err := evil.client.VerifyResponse(t.Context(), q, p)
			evil.want(err, row.want)
			evil.calls(pathToken, 0)
			honest.calls(pathToken, 0)
		})
	}
}
