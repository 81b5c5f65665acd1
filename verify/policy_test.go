package verify_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	valid("ES256")
	for _, r := range []struct {
		name, field string
		change      func(*verify.Policy)
	}{
		{"Issuer_empty", "Issuer", func(p *verify.Policy) { p.Issuer = "" }},
		{"ClientID_empty", "ClientID", func(p *verify.Policy) { p.ClientID = "" }},
		{"Audiences_with_an_empty_value", "Audiences", func(p *verify.Policy) { p.Audiences = []string{""} }},
		{"B32_Algorithm_unknown", "Algorithm", func(p *verify.Policy) { p.Algorithm = "ES257" }},
		{"C01_Algorithm_none", "Algorithm", func(p *verify.Policy) { p.Algorithm = "none" }},
		{"Algorithm_in_another_case", "Algorithm", func(p *verify.Policy) { p.Algorithm = "es256" }},
		{"Keys_nil", "Keys", func(p *verify.Policy) { p.Keys = nil }},
		{"K06_Secret_beside_an_asymmetric_algorithm", "Secret", func(p *verify.Policy) { p.Secret = []byte(secret) }},
		{"K06_HS256_without_Secret", "Secret", func(p *verify.Policy) { p.Algorithm, p.Keys = "HS256", nil }},
		{"K06_HS256_with_a_Secret_of_31_bytes", "Secret", func(p *verify.Policy) { p.Algorithm, p.Keys, p.Secret = "HS256", nil, make([]byte, 31) }},
		{"K06_HS384_with_a_Secret_of_47_bytes", "Secret", func(p *verify.Policy) { p.Algorithm, p.Keys, p.Secret = "HS384", nil, make([]byte, 47) }},
		{"K06_HS512_with_a_Secret_of_63_bytes", "Secret", func(p *verify.Policy) { p.Algorithm, p.Keys, p.Secret = "HS512", nil, make([]byte, 63) }},
		{"K06_HS256_with_Keys", "Keys", func(p *verify.Policy) { p.Algorithm, p.Secret = "HS256", []byte(secret) }},
		{"K08_Leeway_over_5_minutes", "Leeway", func(p *verify.Policy) { p.Leeway = 5*time.Minute + 1 }},
		{"K08_Leeway_negative", "Leeway", func(p *verify.Policy) { p.Leeway = -1 }},
		{"MaxIssued_negative", "MaxIssued", func(p *verify.Policy) { p.MaxIssued = -1 }},
		{"MaxIssued_over_a_day", "MaxIssued", func(p *verify.Policy) { p.MaxIssued = 24*time.Hour + 1 }},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			tok := valid("ES256")
			if err := tok.policy.Validate(); err != nil {
				t.Fatal(err)
			}
			r.change(&tok.policy)
			err := tok.policy.Validate()
			if !errors.Is(err, verify.ErrPolicy) || !strings.Contains(err.Error(), ": "+r.field+" ") {
				t.Errorf("got %v, want ErrPolicy about %s", err, r.field)
			}
			raw := tok.raw()
			got, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
			wantRefusal(t, err, verify.ErrPolicy, raw)
			if got != nil {
				t.Error("a token of an invalid policy")
			}
		})
	}
}

func TestValidateAcceptsWhatIsAtTheLimit(t *testing.T) {
	t.Parallel()
	for alg, size := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		p := verify.Policy{Issuer: issuer, ClientID: client, Algorithm: alg, Secret: make([]byte, size), Leeway: 5 * time.Minute, MaxIssued: 24 * time.Hour}
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestNilPolicyRefuses(t *testing.T) {
	t.Parallel()
	var p *verify.Policy
	_, err := p.FrontChannel(t.Context(), "a.b.c", verify.Expect{})
	wantRefusal(t, err, verify.ErrPolicy, "")
}

// TestDefaultClock: without Now a token of the tests' moment is judged by the real time.
func TestDefaultClock(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	tok.policy.Now = nil
	today := time.Now().Unix()
	tok.claims["iat"], tok.claims["exp"], tok.claims["auth_time"] = today, today+60, today
	if _, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect); err != nil {
		t.Error(err)
	}
}

func TestLeewayOfItsOwn(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	tok.policy.Leeway = 5 * time.Minute
	tok.claims["iat"], tok.claims["auth_time"] = now.Unix()+300, now.Unix()+300
	if _, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect); err != nil {
		t.Error(err)
	}
}
