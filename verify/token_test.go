package verify_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/restore"
	"github.com/twofold-auth/twofold/verify"
)

func TestReceipt(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	tok.policy.Now = ticking(time.Millisecond)
	tok.expect.Claims, tok.expect.ACR, tok.expect.MaxAge = map[string]string{"sub": "alice"}, []string{"urn:example:gold"}, new(time.Hour)
	tok.claims["nbf"], tok.claims["azp"] = now.Unix(), client
	got, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
	if err != nil {
		t.Fatal(err)
	}
	r := got.Receipt()
	var names []string
	for _, rule := range r.Rules {
		names = append(names, rule.Name)
		if rule.Section == "" {
			t.Errorf("%s has no section", rule.Name)
		}
	}
	want := "size compact base64url header typ alg kid signature claims events iss sub aud azp exp iat iat_age nbf " +
		"nonce c_hash at_hash s_hash auth_time max_age acr amr sid requested_claims"
	if strings.Join(names, " ") != want {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(names, " "), want)
	}
	if r.Signature != time.Millisecond || r.Total != 3*time.Millisecond {
		t.Errorf("took %v of %v", r.Signature, r.Total)
	}
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, nonce) || strings.Contains(text, code) {
		t.Errorf("a secret in %s", text)
	}
}

// TestReceiptListsOnlyWhatWasChecked: a rule that had nothing to look at is not claimed.
func TestReceiptListsOnlyWhatWasChecked(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	tok.expect.AccessToken, tok.expect.Code = "", ""
	tok.claims = map[string]any{"iss": issuer, "sub": "alice", "aud": client, "exp": now.Unix() + 60, "iat": now.Unix(), "nonce": nonce}
	delete(tok.header, "kid")
	delete(tok.header, "typ")
	got, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range got.Receipt().Rules {
		switch rule.Name {
		case "typ", "kid", "azp", "nbf", "c_hash", "at_hash", "s_hash", "auth_time", "max_age", "acr", "amr", "sid", "requested_claims":
			t.Errorf("the receipt claims %s", rule.Name)
		}
	}
}

// ticking is a clock that goes on by d whenever it is read.
func ticking(d time.Duration) func() time.Time {
	at := now.Add(-d)
	return func() time.Time {
		at = at.Add(d)
		return at
	}
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	tok := valid("HS256")
	id, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		ID     *verify.IDToken
		value  verify.IDToken
		hidden *verify.IDToken
		Expect verify.Expect
		Policy *verify.Policy
	}
	h := holder{id, *id, id, tok.expect, &tok.policy}
	values := map[string]any{
		"IDToken": id, "IDToken_value": *id, "Expect": tok.expect, "Expect_pointer": &tok.expect,
		"Policy": &tok.policy, "Policy_value": tok.policy, "holder": h, "holder_pointer": &h, "list": []any{id, tok.expect},
	}
	hide := append(strings.Split(tok.raw(), "."), nonce, state, code, accessToken, secret, "alice@example.com")
	for name, v := range values {
		t.Run("K02_"+name, func(t *testing.T) {
			t.Parallel()
			for _, text := range renderings(v) {
				for _, s := range hide {
					if strings.Contains(text, s) || strings.Contains(text, fmt.Sprintf("%x", s)) || strings.Contains(text, fmt.Sprintf("%d", []byte(s))) {
						t.Errorf("%q holds %.20q", text, s)
					}
				}
			}
		})
	}
}

// renderings prints v in every way that a log might.
func renderings(v any) []string {
	var all []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all = append(all, fmt.Sprintf(verb, v))
	}
	if b, err := json.Marshal(v); err == nil {
		all = append(all, string(b))
	}
	var log, enc bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
	_ = gob.NewEncoder(&enc).Encode(v) // fails, and must not have written a secret before
	return append(all, log.String(), enc.String())
}

func TestGobIsRefused(t *testing.T) {
	t.Parallel()
	tok := valid("HS256")
	for _, v := range []any{&verify.IDToken{Subject: "alice"}, tok.expect, &tok.policy} {
		if err := gob.NewEncoder(&bytes.Buffer{}).Encode(v); err == nil {
			t.Errorf("gob takes %T", v)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	moreClaims(`,"NAME":"Mallory","ſub":"mallory","SUB":"mallory","__proto__":{"name":"Mallory"},"Address":{"country":"XX"},"address":{"COUNTRY":"XX","country":"US"}`)(tok)
	id, err := tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("B39_only_exact_names_fill_a_struct", func(t *testing.T) {
		t.Parallel()
		var v struct {
			Sub, Name string // field names without tags: Sub is not sub
			Subject   string `json:"sub"`
			Full      string `json:"name"`
			Address   struct {
				Country string `json:"country"`
			} `json:"address"`
			Numbers map[string]json.RawMessage `json:"nothing"`
		}
		if err := id.Claims(&v); err != nil {
			t.Fatal(err)
		}
		if v.Sub != "" || v.Name != "" || v.Subject != "alice" || v.Full != "Alice" || v.Address.Country != "US" {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("a_map_gets_all_of_them", func(t *testing.T) {
		t.Parallel()
		var v map[string]any
		if err := id.Claims(&v); err != nil || v["sub"] != "alice" || v["NAME"] != "Mallory" || len(v) != len(tok.claims)+6 {
			t.Errorf("got %v, %v", v, err)
		}
	})
	t.Run("RawMessage_gets_the_payload_byte_for_byte", func(t *testing.T) {
		t.Parallel()
		var v json.RawMessage
		if err := id.Claims(&v); err != nil || string(v) != tok.rawClaims {
			t.Errorf("got %s, %v", v, err)
		}
	})
	t.Run("what_cannot_be_filled_is_an_error", func(t *testing.T) {
		t.Parallel()
		for _, v := range []any{nil, 7, verify.Expect{}, new(int), (*map[string]any)(nil)} {
			if err := id.Claims(v); err == nil {
				t.Errorf("%T was filled", v)
			}
		}
	})
}

func TestZeroToken(t *testing.T) {
	t.Parallel()
	for _, id := range []*verify.IDToken{nil, {}} {
		var v map[string]any
		if id.Raw() != "" || len(id.Receipt().Rules) != 0 || id.Claims(&v) == nil {
			t.Errorf("a zero token says something")
		}
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	tok := valid("ES256")
	raw := tok.raw()
	want, err := tok.policy.FrontChannel(t.Context(), raw, tok.expect)
	if err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]string{"whole": raw, "claims_alone": tok.json()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := restore.IDToken(kept)
			if err != nil {
				t.Fatal(err)
			}
			got := v.(*verify.IDToken)
			if got.Subject != want.Subject || got.Issuer != want.Issuer || !got.AuthTime.Equal(want.AuthTime) || !reflect.DeepEqual(got.AMR, want.AMR) {
				t.Error("the fields differ")
			}
			if name == "whole" != (got.Raw() == raw) || len(got.Receipt().Rules) != 0 {
				t.Errorf("Raw or receipt of something else")
			}
			if diff, err := verify.Match(got, want, verify.MatchStrict); err != nil || len(diff) > 0 {
				t.Errorf("%v, %v", diff, err)
			}
		})
	}
	for _, kept := range []string{"", "{", "{}", "a.b.c", `{"iss":"x"}`, `{"sub":"x"}`, raw + ".", `[]`, `{"iss":"x","sub":"y","sub":"z"}`} {
		if v, err := restore.IDToken(kept); err == nil || v != nil {
			t.Errorf("%.20q was restored", kept)
		}
	}
}
