package middleware_test

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Checks of a session whose code is not spent (H40, H41): what the second ID Token may say is not refused before it was
// asked for, and what it denies does not pass because the first one said so.

// acrPage says which acr its handler sees.
func acrPage(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	_ = json.NewEncoder(w).Encode(map[string]string{"acr": s.ACR, "subject": s.Subject})
}

// onlySecond lets the provider say claims in ID Tokens of the token endpoint alone; nil takes a claim out of those.
func onlySecond(claims map[string]any) func(*optest.Answer) {
	return func(a *optest.Answer) {
		for name, value := range claims {
			switch {
			case a.Claims == nil:
			case a.Grant == "":
				delete(a.Claims, name)
			case value == nil:
				delete(a.Claims, name)
			default:
				a.Claims[name] = value
			}
		}
	}
}

func TestCheckThatTheCodeMayPass(t *testing.T) {
	t.Parallel()
	gold, scope := middleware.HasACR("gold"), middleware.HasScopes("email")
	own := func(_ *http.Request, s *middleware.Session) error {
		if s.ACR != "gold" {
			return &middleware.Refusal{Text: "gold only"}
		}
		return nil
	}
	for _, row := range []struct {
		name  string
		check middleware.Check
	}{
		{"H41_acr_of_the_second_token", gold},
		{"H41_acr_of_the_second_token_after_a_scope", middleware.All(scope, gold)},
		{"H41_acr_of_the_second_token_before_a_scope", middleware.All(gold, scope)},
		{"H40_claim_of_the_second_token", middleware.HasClaim("c", "admin")},
		{"H40_claim_of_every_session", middleware.HasClaim("acr", "gold")},
		{"H41_check_of_the_app", own},
	} {
		for _, store := range storeKinds {
			t.Run(row.name+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w := checked(t, row.check, nil, onDemand, store.use(t))
				w.mux.Handle("/acr", w.auth.Require(row.check, http.HandlerFunc(acrPage)))
				w.op.Fault(onlySecond(map[string]any{"acr": "gold", "c": "admin"}))
				v := w.visitor()
				v.login("/auth/login", "")
				w.wantSent(0)
				rep := v.open("/acr")
				var saw struct{ ACR string }
				_ = json.Unmarshal([]byte(rep.body), &saw)
				if rep.StatusCode != http.StatusOK || saw.ACR != "gold" {
					t.Errorf("%d %s, the handler saw acr %q", rep.StatusCode, rep.code(), saw.ACR)
				}
				w.wantSent(1)
				if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
					t.Errorf("again: %d %s", rep.StatusCode, rep.code())
				}
				w.wantSent(1)
			})
		}
	}
}

func TestCheckOfAWaitingCode(t *testing.T) {
	t.Parallel()
	t.Run("H41_the_first_page_after_a_step_up", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.All(middleware.HasScopes("email"), middleware.HasACR("gold")), nil, onDemand, func(s *settings) {
			s.op.ACRValues = []string{"iron", "gold"}
		})
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil && a.Grant == "" {
				delete(a.Claims, "acr")
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.answer("/checked", "").post()
		if rep.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		if rep = v.open(rep.Header.Get("Location")); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(2)
	})
	t.Run("H41_what_the_first_token_has_spends_no_code", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasACR("gold"), map[string]any{"acr": "gold"}, onDemand)
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(0)
	})
	t.Run("H41_the_second_token_takes_it_back", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.All(middleware.HasACR("gold"), middleware.HasScopes("email")), nil, onDemand, matching(verify.MatchReport))
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["acr"] = map[bool]string{true: "gold", false: "iron"}[a.Grant == ""]
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		if to, err := rep.Location(); err != nil || to.Query().Get("acr_values") != "gold" {
			t.Errorf("%d %s %s", rep.StatusCode, rep.code(), rep.body)
		}
	})
	t.Run("H40_nobody_who_is_refused_is_asked_for_more_than_once", func(t *testing.T) {
		t.Parallel()
		var calls atomic.Int32
		w := checked(t, func(*http.Request, *middleware.Session) error {
			calls.Add(1)
			return &middleware.Refusal{Text: "no"}
		}, nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden")
		if n := calls.Load(); n != 1 {
			t.Errorf("with the tokens there the check ran %d times", n)
		}
	})
	t.Run("H40_the_code_does_not_help", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), map[string]any{"c": "user"}, onDemand, storeKinds[1].use(t))
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden")
		w.refused(v.open("/checked"), 403, "forbidden")
		w.wantSent(1)
	})
	t.Run("H40_nobody_can_ask", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), nil, onDemand, storeKinds[1].use(t))
		w.op.Fault(onlySecond(map[string]any{"c": "admin"}))
		v := w.visitor()
		v.login("/auth/login", "")
		w.wire.cut(true)
		w.refused(v.open("/checked"), 503, "unavailable")
		w.wire.cut(false)
		w.clock.add(5 * time.Second)
		if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(1)
	})
	t.Run("H40_who_has_waited_hears_why", func(t *testing.T) {
		t.Parallel()
		for _, check := range []middleware.Check{middleware.HasScopes("email"), middleware.HasACR("gold")} {
			w := checked(t, check, nil, onDemand, storeKinds[2].use(t))
			w.grantFails(http.StatusServiceUnavailable, "temporarily_unavailable")
			v := w.visitor()
			v.login("/auth/login", "")
			w.refused(v.open("/checked"), 503, "unavailable")
			w.wantSent(1)
		}
	})
	t.Run("H40_the_code_is_lost", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), nil, onDemand, storeKinds[1].use(t))
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden") // by what the first token says
		w.wantSent(1)
	})
	t.Run("D15_the_second_token_is_another_users", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), nil, onDemand, storeKinds[1].use(t))
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["sub"], a.Claims["c"] = "bob", "admin"
			}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		if rep.StatusCode != http.StatusBadRequest || rep.code() != "id_token_mismatch" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantLogin(v.open("/private"), "")
	})
	t.Run("H40_a_mistake_of_the_program_spends_no_code", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("nobody_keeps_it", "admin"), nil, onDemand)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 500, "internal")
		w.wantSent(0)
	})
	t.Run("H40_a_session_that_never_has_tokens", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), nil, func(s *settings) { s.auth.Exchange = middleware.ExchangeNever })
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden")
	})
	t.Run("H40_a_session_of_a_test", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), nil)
		for role, status := range map[string]int{"admin": http.StatusOK, "user": http.StatusForbidden} {
			r := navigation("/checked")
			s := middleware.NewSession(map[string]any{"sub": "alice", "c": role}, nil)
			if rep := w.serve(r.WithContext(middleware.NewContext(r.Context(), s))); rep.StatusCode != status {
				t.Errorf("%s: %d %s", role, rep.StatusCode, rep.code())
			}
		}
	})
	t.Run("H41_a_script_waits_too", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasACR("gold"), nil, onDemand, func(s *settings) { s.rp.ResponseType = rp.CodeIDTokenToken })
		w.op.Fault(onlySecond(map[string]any{"acr": "gold"}))
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.send(script("/checked")); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.wantSent(1)
	})
}
