package middleware_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Tokens of targets that must not go over into the session after a step-up, though the provider's ID Tokens do not tell
// the two logins apart.
func TestCarriedTargets(t *testing.T) {
	t.Parallel()
	maxAge := time.Minute
	for name, row := range map[string]struct {
		options rp.AuthOptions
		stays   bool
	}{
		"more_consent":            {rp.AuthOptions{Scopes: []string{"openid", "email", "offline_access", "read", "write", "delete"}}, true},
		"one_more_API":            {rp.AuthOptions{Resources: []string{ordersAPI, billingAPI, "https://third.example"}}, true},
		"one_more_audience":       {rp.AuthOptions{Extra: url.Values{"audience": {"https://third.example"}}}, true},
		"asked_again":             {rp.AuthOptions{Prompt: "consent"}, true},
		"X59_a_stronger_login":    {rp.AuthOptions{ACRValues: []string{"gold"}}, false},
		"X59_an_essential_acr":    {rp.AuthOptions{Claims: []byte(`{"id_token":{"acrs":{"essential":true,"value":"c1"}}}`)}, false},
		"X59_a_younger_login":     {rp.AuthOptions{MaxAge: &maxAge}, false},
		"X59_a_new_login":         {rp.AuthOptions{Prompt: "login"}, false},
		"X59_another_account":     {rp.AuthOptions{Prompt: "select_account consent"}, false},
		"X59_another_tenant":      {rp.AuthOptions{Extra: url.Values{"organization": {"two"}}}, false},
		"X59_a_tenant_and_an_API": {rp.AuthOptions{Extra: url.Values{"organization": {"two"}, "audience": {"https://third.example"}}}, false},
		"X59_somebody_expected":   {rp.AuthOptions{Expect: map[string]string{"tid": "two"}}, false},
	} {
		for _, store := range storeKinds {
			t.Run(name+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				s := newStepUps(t, store.use(t))
				s.wants = func(session *middleware.Session) error {
					if session.Value("user") == "of "+session.Subject {
						return nil
					}
					return &middleware.Challenge{Options: row.options}
				}
				s.op.Fault(func(a *optest.Answer) {
					if a.Claims != nil {
						a.Claims["tid"], a.Claims["auth_time"] = "two", s.clock.Now().Unix() // a second has passed, no more
						for _, name := range []string{"acr", "amr"} {
							delete(a.Claims, name)
						}
						if row.options.MaxAge == nil {
							delete(a.Claims, "auth_time")
						}
					}
				})
				v := s.visitor()
				v.login("/auth/login", "alice")
				token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
				s.clock.add(time.Second)
				if rep := v.answer("/more", "alice").post(); rep.Header.Get("Location") != "/more" {
					t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
				}
				if stays := v.wantAud("/apis?for="+ordersAPI, ordersAPI) == token; stays != row.stays {
					t.Errorf("the token stays: %v", stays)
				}
			})
		}
	}
}

// The user of a login for more consent may choose another organization at the provider, where one subject has several.
func TestCarriedTargetsOfAnotherOrganization(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*settings){
		"now": func(*settings) {}, "on_demand": onDemand,
		"code_token": func(s *settings) { s.rp.ResponseType = rp.CodeToken },
	} {
		for _, store := range storeKinds {
			for _, organization := range []any{"one", "two", nil} {
				t.Run(fmt.Sprintf("X59_%v_%s_%s", organization, name, store.name), func(t *testing.T) {
					t.Parallel()
					s := newStepUps(t, store.use(t), change)
					s.wants = func(session *middleware.Session) error {
						if session.Value("user") == "of "+session.Subject {
							return nil
						}
						return &middleware.Challenge{Options: rp.AuthOptions{Resources: []string{ordersAPI, billingAPI, "https://third.example"}}}
					}
					chosen := map[string]any{"org_id": "one", "auth_time": nil}
					s.op.Fault(func(a *optest.Answer) {
						for claim, value := range chosen {
							switch {
							case a.Claims == nil:
							case value == nil:
								delete(a.Claims, claim)
							default:
								a.Claims[claim] = value
							}
						}
					})
					v := s.visitor()
					v.login("/auth/login", "alice")
					token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
					s.clock.add(time.Second)
					chosen["org_id"] = organization
					if rep := v.answer("/more", "alice").post(); rep.Header.Get("Location") != "/more" {
						t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
					}
					if stays := v.wantAud("/apis?for="+ordersAPI, ordersAPI) == token; stays != (organization == "one") {
						t.Errorf("the token stays: %v", stays)
					}
				})
			}
		}
	}
}
