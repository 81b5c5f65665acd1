package middleware_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// The second ID Token of a code that is spent on demand is held against the first as in the callback: lines D15 to D28.
// Who does not pass loses the session that the first one began.

// lieRow is one change of a valid token response.
type lieRow struct {
	name string
	lie  func(*optest.Answer)
	code string // of the refusal; "" if the tokens are accepted
	set  func(*settings)
}

func claimLie(name string, value any) func(*optest.Answer) {
	return func(a *optest.Answer) {
		if value == nil {
			delete(a.Claims, name)
			return
		}
		a.Claims[name] = value
	}
}

func matching(s verify.Strictness) func(*settings) { return func(o *settings) { o.rp.Match = s } }

// withClaims lets the provider say more of the user, in both tokens.
func withClaims(claims map[string]any) func(*settings) {
	return func(s *settings) { s.op.Claims = claims }
}

// at is a time of the rows' clock, which starts at noon.
func at(d time.Duration) int64 { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).Add(d).Unix() }

var secondLies = []lieRow{
	{name: "D15_another_sub", lie: claimLie("sub", "bob"), code: "id_token_mismatch"},
	{name: "D15_sub_in_another_case", lie: claimLie("sub", "Alice"), code: "id_token_mismatch"},
	{name: "D15_sub_missing", lie: claimLie("sub", nil), code: "id_token_subject"},
	{name: "D15_another_sub_that_is_only_reported", lie: claimLie("sub", "bob"), code: "id_token_mismatch", set: matching(verify.MatchReport)},
	{name: "D16_another_iss", lie: claimLie("iss", "https://evil.example"), code: "id_token_issuer"},
	{name: "D17_aud_of_another_client", lie: claimLie("aud", "other"), code: "id_token_audience"},
	{name: "D17_aud_with_an_untrusted_one", lie: claimLie("aud", []string{"app", "other"}), code: "id_token_audience"},
	{name: "D17_azp_of_another_client", lie: claimLie("azp", "other"), code: "id_token_authorized_party"},
	{name: "D17_aud_as_a_list_of_one", lie: claimLie("aud", []string{"app"})},
	{name: "D18_another_nonce", lie: claimLie("nonce", "other"), code: "id_token_nonce"},
	{name: "D18_nonce_missing", lie: claimLie("nonce", nil), code: "id_token_nonce"},
	{name: "D19_acr_differs", set: withClaims(map[string]any{"acr": "gold"}), lie: claimLie("acr", "silver"), code: "id_token_mismatch"},
	{name: "D19_auth_time_differs", lie: claimLie("auth_time", at(-time.Hour)), code: "id_token_mismatch"},
	{name: "D19_sid_differs", lie: claimLie("sid", "other"), code: "id_token_mismatch"},
	{name: "D19_acr_differs_and_is_only_reported", set: func(s *settings) {
		matching(verify.MatchReport)(s)
		withClaims(map[string]any{"acr": "gold"})(s)
	}, lie: claimLie("acr", "silver")},
	{name: "D20_email_differs", set: withClaims(map[string]any{"email": "a@example.com"}), lie: claimLie("email", "b@example.com")},
	{name: "D20_email_differs_strictly", set: func(s *settings) {
		matching(verify.MatchStrict)(s)
		withClaims(map[string]any{"email": "a@example.com"})(s)
	}, lie: claimLie("email", "b@example.com"), code: "id_token_mismatch"},
	{name: "D21_at_hash_wrong", lie: claimLie("at_hash", optest.HalfHash("ES256", "other")), code: "id_token_access_token_hash"},
	{name: "D21_access_token_swapped", lie: func(a *optest.Answer) { a.JSON["access_token"] = "another-access-token" }, code: "id_token_access_token_hash"},
	{name: "D22_at_hash_and_c_hash_missing", lie: func(a *optest.Answer) { delete(a.Claims, "at_hash"); delete(a.Claims, "c_hash") }},
	{name: "D23_c_hash_wrong", lie: claimLie("c_hash", optest.HalfHash("ES256", "other")), code: "id_token_code_hash"},
	{name: "D24_unsigned", lie: func(a *optest.Answer) { a.Header["alg"] = "none" }, code: "id_token_algorithm"},
	{name: "D25_another_algorithm", lie: func(a *optest.Answer) { a.Header["alg"] = "RS256" }, code: "id_token_algorithm"},
	{name: "D25_signature_of_something_else", lie: func(a *optest.Answer) {
		a.Sign = func(header, claims []byte) string {
			honest := a.JWS(header, claims)
			other := a.JWS(header, []byte(`{}`))
			return honest[:strings.LastIndex(honest, ".")] + other[strings.LastIndex(other, "."):]
		}
	}, code: "id_token_signature"},
	{name: "D27_expired", lie: claimLie("exp", at(-time.Minute)), code: "id_token_expired"},
	{name: "D27_issued_11_minutes_ago", lie: claimLie("iat", at(-11*time.Minute)), code: "id_token_issued_at"},
}

func TestOnDemandSecondToken(t *testing.T) {
	t.Parallel()
	for i, row := range secondLies {
		store := storeKinds[i%len(storeKinds)] // what the store is makes no difference to what is believed
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			set := row.set
			if set == nil {
				set = func(*settings) {}
			}
			w, v := pendingLogin(t, store.use(t), set)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "authorization_code" {
					row.lie(a)
				}
			})
			old, rep := v.clone(), v.open("/tokens")
			w.op.Fault(nil)
			w.wantSent(1)
			if row.code == "" {
				if rep.tokens().Access == "" {
					t.Errorf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
				}
				v.wantTokens("ready", "")
				return
			}
			if rep.StatusCode != http.StatusBadRequest || rep.code() != row.code || rep.Header.Get("Location") != "" {
				t.Errorf("%d %s, want %s", rep.StatusCode, rep.code(), row.code)
			}
			for _, b := range []*visitor{old, v} {
				w.wantLogin(b.open("/private"), "")
			}
		})
	}
	t.Run("D15_a_script_learns_it_too", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["sub"] = "bob"
			}
		})
		r := script("/tokens")
		r.Header.Set("Accept", "application/json")
		rep := v.send(r)
		if set, dropped := rep.sets(cookiePrefix); rep.StatusCode != http.StatusBadRequest || rep.code() != "id_token_mismatch" || set != nil || len(dropped) != 3 {
			t.Errorf("%d %s, sets %v, drops %v", rep.StatusCode, rep.code(), set, dropped)
		}
	})
	for name, mode := range map[string]middleware.ExchangeMode{"now": middleware.ExchangeNow, "on_demand": middleware.ExchangeOnDemand} {
		t.Run("D15_tokens_that_nobody_gets_are_revoked_"+name, func(t *testing.T) {
			t.Parallel()
			told := make(chan error, 1)
			w := newWorld(t, func(s *settings) {
				s.auth.Exchange = mode
				observe := s.rp.Observe
				s.rp.Observe = func(ctx context.Context, e rp.Event) {
					observe(ctx, e)
					if e.Name == "revoke" {
						told <- e.Err
					}
				}
			})
			var came []string
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "authorization_code" {
					a.Claims["sub"] = "bob"
					came = append(came, a.JSON["refresh_token"].(string), a.JSON["access_token"].(string))
				}
			})
			v := w.visitor()
			v.answer("/auth/login", "alice").post()
			v.open("/tokens")
			if err := <-told; err != nil {
				t.Fatal(err)
			}
			var revoked []string
			for _, r := range w.op.Requests("/revoke") {
				revoked = append(revoked, r.Form.Get("token"))
			}
			if !slices.Equal(revoked, came) {
				t.Errorf("%d tokens were revoked, %d came, or others", len(revoked), len(came))
			}
		})
	}
	t.Run("D26_the_same_token_twice", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, onDemand)
		w.page = reportTokens
		v := w.visitor()
		a := v.answer("/auth/login", "alice")
		same := a.form.Get("id_token")
		w.op.Fault(func(o *optest.Answer) {
			if o.Grant == "authorization_code" {
				o.Sign = func(_, _ []byte) string { return same }
			}
		})
		a.post()
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
		}
	})
	t.Run("D28_the_granted_scope_is_seen", func(t *testing.T) {
		t.Parallel()
		for _, granted := range []any{"openid", "openid email extra", nil} {
			w, v := pendingLogin(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant != "authorization_code" {
					return
				}
				if granted == nil {
					delete(a.JSON, "scope")
					return
				}
				a.JSON["scope"] = granted
			})
			want, _ := granted.(string)
			if got := v.open("/tokens").tokens(); got.Access == "" || got.Scope != want {
				t.Errorf("granted %v: %+v", granted, got)
			}
		}
	})
	t.Run("G03_a_front_channel_token_is_not_kept", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, onDemand, func(s *settings) { s.rp.ResponseType = rp.CodeIDTokenToken })
		w.page = reportTokens
		v := w.visitor()
		a := v.answer("/auth/login", "alice")
		front := a.form.Get("access_token")
		a.post()
		if got := v.open("/tokens").tokens(); got.Access == "" || strings.HasPrefix(front, got.Access) {
			t.Errorf("%+v, the front-channel token is %s…", got, front[:8])
		}
	})
}
