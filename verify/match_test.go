package verify_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/verify"
)

// both verifies a login's two tokens after each was changed.
func both(t *testing.T, first, second func(*token)) (a, b *verify.IDToken) {
	t.Helper()
	for i, change := range []func(*token){first, second} {
		tok := valid("ES256")
		tok.policy.Audiences = []string{"api"}
		change(tok)
		var err error
		if i == 0 {
			a, err = tok.policy.FrontChannel(t.Context(), tok.raw(), tok.expect)
		} else {
			b, err = tok.policy.TokenEndpoint(t.Context(), tok.raw(), tok.expect)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func same(*token) {}

func TestMatch(t *testing.T) {
	t.Parallel()
	const auth, strict = "Report", "Authentication Report" // the levels at which a row is still accepted
	const never, always = "never", "Authentication Strict Report"
	for _, r := range []struct {
		name          string
		first, second func(*token)
		accepted      string
		diff          string
	}{
		{"D26_the_same_claims", same, same, always, ""},
		{"D15_sub_differs", same, set("sub", "bob"), never, "sub"},
		{"D18_nonce_differs", same, func(t *token) { t.claims["nonce"], t.expect.Nonce = "another", "another" }, never, ""},
		{"D16_iss_differs", same, func(t *token) {
			t.claims["iss"], t.policy.Issuer = "https://other.example.com/", "https://other.example.com/"
		}, never, "iss"},
		{"D17_aud_as_array", same, set("aud", []string{client}), always, ""},
		{"D17_aud_with_a_trusted_audience_more", set("azp", client), func(t *token) {
			t.claims["aud"], t.claims["azp"] = []string{"api", client}, client
		}, strict, "aud"},
		{"D17_aud_in_another_order", func(t *token) {
			t.claims["aud"], t.claims["azp"] = []string{client, "api"}, client
		}, func(t *token) {
			t.claims["aud"], t.claims["azp"] = []string{"api", client}, client
		}, always, ""},
		{"azp_in_one_only", same, set("azp", client), strict, "azp"},
		{"D19_auth_time_differs", same, set("auth_time", now.Unix()-9), auth, "auth_time"},
		{"D19_auth_time_written_otherwise", same, claimText("auth_time", "1799999990.0"), always, ""},
		{"D19_acr_differs", same, set("acr", "urn:example:silver"), auth, "acr"},
		{"D19_amr_differs", same, set("amr", []string{"pwd"}), auth, "amr"},
		{"D19_amr_in_another_order", same, set("amr", []string{"otp", "pwd"}), always, ""},
		{"D19_sid_differs", same, set("sid", "session-2"), auth, "sid"},
		{"D19_auth_time_in_the_first_only", same, without("auth_time"), strict, "auth_time"},
		{"D19_acr_in_the_second_only", without("acr"), same, strict, "acr"},
		{"D19_amr_in_the_first_only", same, without("amr"), strict, "amr"},
		{"D19_sid_in_the_second_only", without("sid"), same, strict, "sid"},
		{"D20_email_differs", same, set("email", "mallory@example.com"), strict, "email"},
		{"D20_name_in_the_first_only", same, without("name"), strict, "name"},
		{"D20_claim_in_the_second_only", same, set("phone_number", "+1"), strict, "phone_number"},
		{"D20_null_is_not_absence", same, set("phone_number", nil), strict, "phone_number"},
		{"D20_object_in_another_order", moreClaims(`,"address":{"a":1,"b":[1,"\u0078"]}`), moreClaims(`,"address":{"b":[1.0,"x"],"a":1}`), always, ""},
		{"D20_list_in_another_order", set("groups", []int{1, 2}), set("groups", []int{2, 1}), strict, "groups"},
		{"what_differs_by_nature", set("jti", "1"), func(t *token) {
			t.claims["exp"], t.claims["iat"], t.claims["nbf"], t.claims["jti"] = now.Unix()+60, now.Unix()-1, now.Unix()-1, "2"
			delete(t.claims, "c_hash")
			delete(t.claims, "at_hash")
			delete(t.claims, "s_hash")
		}, always, ""},
		{"two_differences_in_the_order_of_the_first", same, func(t *token) {
			t.claims["email"], t.claims["aaa"] = "x@example.com", 1
			delete(t.claims, "name")
		}, strict, "email name aaa"},
		{"huge_integers_are_compared_exactly", claimText("n", "9007199254740993"), claimText("n", "9007199254740992"), strict, "n"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			first, second := both(t, r.first, r.second)
			for name, level := range map[string]verify.Strictness{
				"Authentication": verify.MatchAuthentication, "Strict": verify.MatchStrict, "Report": verify.MatchReport, "Strict ": 7,
			} {
				diff, err := verify.Match(first, second, level)
				if strings.Contains(r.accepted, strings.TrimSpace(name)) {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				} else {
					wantRefusal(t, err, verify.ErrMismatch, first.Raw())
				}
				var names []string
				for _, d := range diff {
					names = append(names, d.Claim)
				}
				if got := strings.Join(names, " "); got != r.diff {
					t.Errorf("%s: the diff names %q, want %q", name, got, r.diff)
				}
			}
		})
	}
}

func TestMatchDiffHoldsBothValues(t *testing.T) {
	t.Parallel()
	first, second := both(t, set("address", map[string]string{"country": "US"}), set("phone", nil))
	diff, err := verify.Match(first, second, verify.MatchAuthentication)
	want := verify.Diff{{"address", `{"country":"US"}`, ""}, {"phone", "", "null"}}
	if err != nil || !reflect.DeepEqual(diff, want) {
		t.Errorf("got %q, %v; want %q", diff, err, want)
	}
}

func TestMatchRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	tok, _ := both(t, same, same)
	for _, pair := range [][2]*verify.IDToken{{nil, tok}, {tok, nil}, {nil, nil}, {{}, tok}, {tok, {}}, {{}, {}}, {{Issuer: issuer, Subject: "alice"}, tok}} {
		diff, err := verify.Match(pair[0], pair[1], verify.MatchReport)
		wantRefusal(t, err, verify.ErrMismatch, "")
		if diff != nil {
			t.Error("a diff of nothing")
		}
	}
}

func TestMatchNamesNoHostileClaim(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"evil\r\nlog line", strings.Repeat("x", 1000), "\u202e"} {
		first, second := both(t, same, moreClaims(","+string(must(json.Marshal(name)))+":1"))
		_, err := verify.Match(first, second, verify.MatchStrict)
		var e *verify.Error
		if !errors.As(err, &e) || strings.Contains(e.Claim, name) {
			t.Errorf("K03: got %+v", e)
		}
	}
}
