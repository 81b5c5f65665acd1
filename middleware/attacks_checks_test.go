package middleware_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The ready-made checks: H40, claims that are missing or of another type, and H41, logins that are not strong or young
// enough.

// checked starts a world with a page /checked behind a check, whose user has these claims.
func checked(t *testing.T, check middleware.Check, claims map[string]any, changes ...func(*settings)) *world {
	t.Helper()
	w := newWorld(t, append([]func(*settings){func(s *settings) {
		s.auth.SessionClaims = []string{"c", "other"}
	}}, changes...)...)
	w.mux.Handle("/checked", w.auth.Require(check, http.HandlerFunc(whoami)))
	w.op.Fault(func(a *optest.Answer) {
		for name, value := range claims {
			if a.Claims != nil && value == nil {
				delete(a.Claims, name)
			} else if a.Claims != nil {
				a.Claims[name] = value
			}
		}
	})
	return w
}

// null is a claim that is there and null; a nil in the rows is one that is not there.
type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// verbatim is a claim as it is written.
type verbatim string

func (v verbatim) MarshalJSON() ([]byte, error) { return []byte(v), nil }

func TestHasClaim(t *testing.T) {
	t.Parallel()
	text := func(v string, more ...string) middleware.Check { return middleware.HasClaim("c", v, more...) }
	number := func(v int) middleware.Check { return middleware.HasClaim("c", v) }
	truth := func(v bool) middleware.Check { return middleware.HasClaim("c", v) }
	for _, row := range []struct {
		name  string
		check middleware.Check
		claim any
		pass  bool
	}{
		{"the_value", text("admin"), "admin", true},
		{"one_of_two", text("admin", "boss"), "boss", true},
		{"in_an_array", text("admin"), []any{"user", "admin"}, true},
		{"in_an_array_of_many_types", text("admin"), []any{1, nil, true, map[string]any{"a": 1}, "admin"}, true},
		{"a_number", number(3), 3, true},
		{"a_number_in_an_array", number(3), []any{1, 3}, true},
		{"true", truth(true), true, true},
		{"false", truth(false), false, true},
		{"an_escaped_spelling", text("admin"), verbatim(`"\u0061dmin"`), true},
		{"the_empty_string", text(""), "", true},

		{"H40_missing", text("admin"), nil, false},
		{"H40_missing_is_not_the_empty_string", text(""), nil, false},
		{"H40_missing_is_not_false", truth(false), nil, false},
		{"H40_missing_is_not_zero", number(0), nil, false},
		{"H40_null", text("admin"), null{}, false},
		{"H40_null_is_not_the_empty_string", text(""), null{}, false},
		{"H40_null_is_not_the_word", text("null"), null{}, false},
		{"H40_null_is_not_false", truth(false), null{}, false},
		{"H40_null_is_not_zero", number(0), null{}, false},
		{"H40_another_value", text("admin"), "user", false},
		{"H40_another_case", text("admin"), "Admin", false},
		{"H40_a_part_of_it", text("admin"), "admin2", false},
		{"H40_words_are_no_list", text("admin"), "not admin", false},
		{"H40_commas_are_no_list", text("admin"), "user,admin", false},
		{"H40_text_of_an_array", text("admin"), `["admin"]`, false},
		{"H40_array_asked_for_as_text", text(`["admin"]`), []any{"admin"}, false},
		{"H40_empty_array", text("admin"), []any{}, false},
		{"H40_empty_array_is_not_the_empty_string", text(""), []any{}, false},
		{"H40_array_in_an_array", text("admin"), []any{[]any{"admin"}}, false},
		{"H40_object_in_an_array", text("admin"), []any{map[string]any{"admin": true}}, false},
		{"H40_object_with_that_name", text("admin"), map[string]any{"admin": true}, false},
		{"H40_object_with_that_value", text("admin"), map[string]any{"role": "admin"}, false},
		{"H40_object_like_an_array", text("admin"), map[string]any{"0": "admin"}, false},
		{"H40_a_blank_before", text("admin"), " admin", false},
		{"H40_a_zero_byte_after", text("admin"), "admin\u200b", false},
		{"H40_a_look_alike", text("admin"), "аdmin", false}, // Cyrillic
		{"H40_not_normalised", text("é"), "e\u0301", false},
		{"H40_text_is_no_number", number(1), "1", false},
		{"H40_number_is_no_text", text("1"), 1, false},
		{"H40_number_with_a_fraction", number(1), verbatim("1.0"), false},
		{"H40_number_with_an_exponent", number(10), verbatim("1e1"), false},
		{"H40_number_that_a_float_rounds", number(math.MaxInt), verbatim(strconv.Itoa(math.MaxInt - 1)), false},
		{"H40_number_beyond_an_int", number(-1), verbatim("18446744073709551615"), false},
		{"H40_true_is_not_one", number(1), true, false},
		{"H40_one_is_not_true", truth(true), 1, false},
		{"H40_text_is_not_true", truth(true), "true", false},
		{"H40_true_is_no_text", text("true"), true, false},
		{"H40_array_of_true", text("true"), []any{true}, false},
		{"H40_zero_is_not_false", truth(false), 0, false},
		{"H40_true_is_not_false", truth(false), true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := checked(t, row.check, map[string]any{"c": row.claim})
			v := w.visitor()
			v.login("/auth/login", "")
			rep := v.open("/checked")
			if row.pass && (rep.StatusCode != http.StatusOK || rep.who().Subject != "alice") {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
			if !row.pass {
				w.refused(rep, 403, "forbidden")
			}
		})
	}
}

func TestHasClaimOfEverySession(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		check middleware.Check
		pass  bool
	}{
		{"sub", middleware.HasClaim("sub", "alice", "bob"), true},
		{"sid", middleware.HasClaim("sid", "S1"), true},
		{"acr", middleware.HasClaim("acr", "gold"), true},
		{"amr", middleware.HasClaim("amr", "otp"), true},
		{"H40_sub", middleware.HasClaim("sub", "bob"), false},
		{"H40_sub_is_no_number", middleware.HasClaim("sub", 0), false},
		{"H40_amr_is_a_list", middleware.HasClaim("amr", "pwd otp"), false},
		{"H40_acr_that_is_not_there", middleware.HasClaim("acr", ""), false},
		{"H40_amr_that_is_not_there", middleware.HasClaim("amr", ""), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			claims := map[string]any{"sub": "alice", "iss": "https://op.example", "sid": "S1", "acr": "gold", "amr": []string{"pwd", "otp"}}
			if strings.HasSuffix(row.name, "not_there") {
				claims = map[string]any{"sub": "alice"}
			}
			if err := row.check(nil, middleware.NewSession(claims, nil)); (err == nil) != row.pass {
				t.Errorf("%v", err)
			}
		})
	}
}

// What every session keeps of a login's first ID Token, though the second has none.
func TestHasClaimOfTheFirstIDToken(t *testing.T) {
	t.Parallel()
	w := checked(t, middleware.HasClaim("amr", "otp"), nil)
	w.op.Fault(func(a *optest.Answer) {
		switch {
		case a.Claims == nil:
		case a.Endpoint == "/authorize":
			a.Claims["amr"] = []string{"pwd", "otp"}
		default:
			delete(a.Claims, "amr")
		}
	})
	v := w.visitor()
	v.login("/auth/login", "")
	if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
		t.Errorf("%d %s", rep.StatusCode, rep.code())
	}
}

func TestChecksThatNeverPass(t *testing.T) {
	t.Parallel()
	t.Run("H40_claim_that_no_session_keeps", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("groups", "admin"), map[string]any{"groups": []any{"admin"}})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		w.refused(rep, 500, "internal")
		if got := errorOf(rep); !strings.Contains(got, `HasClaim("groups")`) || !strings.Contains(got, "Config.SessionClaims") {
			t.Errorf("log says %q", got)
		}
		wantLevel(t, w, "ERROR")
		wantText(t, rep, "This page cannot be shown to anybody")
		if strings.Contains(rep.body, "groups") {
			t.Error("the page says so, too")
		}
	})
	t.Run("H40_claim_that_did_not_fit", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), map[string]any{"c": []any{"admin", strings.Repeat("x", 1024)}})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		w.refused(rep, 403, "forbidden")
		if got := errorOf(rep); !strings.Contains(got, "beyond the 1 KB") {
			t.Errorf("log says %q", got)
		}
	})
	t.Run("H40_mistake_inside_All", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.All(middleware.HasACR("gold"), middleware.HasClaim("groups", "admin")), nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 500, "internal")
	})
	t.Run("H40_classes_that_contradict", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.All(middleware.HasACR("gold"), middleware.HasACR("iron")), nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 500, "internal")
	})
	t.Run("H40_essential_classes_that_contradict", func(t *testing.T) {
		t.Parallel()
		want := func(acr string) middleware.Check {
			return func(*http.Request, *middleware.Session) error {
				return &middleware.Challenge{Options: rp.AuthOptions{EssentialACR: []string{acr}}}
			}
		}
		w := checked(t, middleware.All(want("gold"), want("iron")), nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 500, "internal")
	})
	t.Run("H40_the_value_is_not_logged", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasClaim("c", "admin"), map[string]any{"c": "canary-role"})
		v := w.visitor()
		v.login("/auth/login", "")
		rep := v.open("/checked")
		w.refused(rep, 403, "forbidden")
		if strings.Contains(errorOf(rep)+rep.body, "canary-role") {
			t.Errorf("%s", errorOf(rep))
		}
	})
	t.Run("H40_a_challenge_that_is_nil", func(t *testing.T) {
		t.Parallel()
		w := checked(t, func(*http.Request, *middleware.Session) error {
			var none *middleware.Challenge
			return none
		}, nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden")
	})
}

func TestChecksThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(){
		"HasACR of nothing":            func() { middleware.HasACR("") },
		"HasACR of two in one":         func() { middleware.HasACR("gold silver") },
		"HasACR of a line":             func() { middleware.HasACR("gold", "a\nb") },
		"MaxAge of nothing":            func() { middleware.MaxAge(0) },
		"MaxAge that is below nothing": func() { middleware.MaxAge(-time.Hour) },
		"MaxAge below a minute":        func() { middleware.MaxAge(59 * time.Second) },
		"MaxAge with a fraction":       func() { middleware.MaxAge(time.Minute + time.Millisecond) },
		"HasScopes of nothing":         func() { middleware.HasScopes("") },
		"HasScopes of two in one":      func() { middleware.HasScopes("read write") },
		"All of nothing":               func() { middleware.All() },
		"All with a nil":               func() { middleware.All(middleware.HasACR("gold"), nil) },
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.HasPrefix(v, "middleware: ") {
					t.Errorf("%s: %s", name, v)
				}
			}()
			make()
		}()
	}
}

// A login is asked for what a check wants.
func TestStepUpOfAReadyMadeCheck(t *testing.T) {
	t.Parallel()
	type asked struct{ acr, maxAge, scope string }
	base := "openid email offline_access"
	for _, row := range []struct {
		name   string
		check  middleware.Check
		claims map[string]any
		want   asked
	}{
		{"H41_no_acr", middleware.HasACR("gold", "silver"), nil, asked{"gold silver", "", base}},
		{"H41_another_acr", middleware.HasACR("gold"), map[string]any{"acr": "iron"}, asked{"gold", "", base}},
		{"H41_acr_of_another_case", middleware.HasACR("gold"), map[string]any{"acr": "Gold"}, asked{"gold", "", base}},
		{"H41_two_acrs_in_one", middleware.HasACR("gold"), map[string]any{"acr": "gold iron"}, asked{"gold", "", base}},
		{"H41_no_auth_time", middleware.MaxAge(time.Minute), map[string]any{"auth_time": nil}, asked{"", "60", base}},
		{"H41_old", middleware.MaxAge(5 * time.Minute), map[string]any{"auth_time": at(-301 * time.Second)}, asked{"", "300", base}},
		{"H41_scope", middleware.HasScopes("orders"), nil, asked{"", "", base + " orders"}},
		{
			"H41_all", middleware.All(middleware.HasACR("gold", "silver"), middleware.MaxAge(time.Hour), middleware.MaxAge(time.Minute), middleware.HasScopes("orders"), middleware.HasACR("silver", "iron")),
			map[string]any{"auth_time": nil},
			asked{"silver", "60", base + " orders"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := checked(t, row.check, row.claims)
			v := w.visitor()
			v.login("/auth/login", "")
			rep := v.open("/checked")
			to, err := rep.Location()
			if err != nil || rep.StatusCode != http.StatusFound {
				t.Fatalf("%d %s\n%s", rep.StatusCode, rep.code(), rep.body)
			}
			q := to.Query()
			if got := (asked{q.Get("acr_values"), q.Get("max_age"), q.Get("scope")}); got != row.want {
				t.Errorf("asks for %+v, want %+v", got, row.want)
			}
			if rep.body != "" {
				t.Errorf("H26: %q comes with the redirect", rep.body)
			}
		})
	}
	t.Run("H41_nobody_is_challenged_who_is_refused_anyway", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.All(middleware.HasACR("gold"), middleware.HasClaim("c", "admin")), nil)
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "forbidden")
	})
}

func TestChecksPass(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		check  middleware.Check
		claims map[string]any
	}{
		{"acr", middleware.HasACR("gold"), map[string]any{"acr": "gold"}},
		{"one of two acrs", middleware.HasACR("gold", "silver"), map[string]any{"acr": "silver"}},
		{"young", middleware.MaxAge(time.Minute), map[string]any{"auth_time": at(-time.Minute)}},
		{"a clock that is ahead", middleware.MaxAge(time.Minute), map[string]any{"auth_time": at(30 * time.Second)}},
		{"scopes", middleware.HasScopes("openid", "email"), nil},
		{"all", middleware.All(middleware.HasACR("gold"), middleware.HasScopes("email")), map[string]any{"acr": "gold"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := checked(t, row.check, row.claims)
			v := w.visitor()
			v.login("/auth/login", "")
			if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
				t.Errorf("%d %s: %s", rep.StatusCode, rep.code(), errorOf(rep))
			}
		})
	}
}

func TestHasScopes(t *testing.T) {
	t.Parallel()
	granted := func(scope any) func(*optest.Answer) {
		return func(a *optest.Answer) {
			if a.Endpoint != "/oauth/token" {
				return
			}
			if a.JSON["scope"] = scope; scope == nil {
				delete(a.JSON, "scope")
			}
		}
	}
	for _, row := range []struct {
		name  string
		check middleware.Check
		scope any
		pass  bool
	}{
		{"granted", middleware.HasScopes("orders"), "openid orders", true},
		{"not_said_is_as_asked", middleware.HasScopes("email"), nil, true},
		{"H40_less_was_granted", middleware.HasScopes("email"), "openid", false},
		{"H40_not_said_and_not_asked", middleware.HasScopes("orders"), nil, false},
		{"H40_a_part_of_a_scope", middleware.HasScopes("orders"), "openid orders.read", false},
		{"H40_commas", middleware.HasScopes("orders"), "openid,orders", false},
		{"H40_one_of_two", middleware.HasScopes("orders", "bills"), "openid orders", false},
		{"H40_another_case", middleware.HasScopes("orders"), "openid Orders", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := checked(t, row.check, nil)
			w.op.Fault(granted(row.scope))
			v := w.visitor()
			v.login("/auth/login", "")
			rep := v.open("/checked")
			if want := map[bool]int{true: 200, false: 302}[row.pass]; rep.StatusCode != want {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		})
	}
	t.Run("H41_consent_that_is_not_given_is_asked_for_once", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasScopes("orders"), nil)
		w.op.Fault(granted("openid email"))
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.answer("/checked", "").post(); rep.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		w.refused(v.open("/checked"), 403, "challenge_unmet")
	})
	t.Run("session_without_tokens", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasScopes("orders"), nil, func(s *settings) { s.auth.Exchange = middleware.ExchangeNever })
		v := w.visitor()
		v.login("/auth/login", "")
		w.refused(v.open("/checked"), 403, "no_tokens")
	})
	t.Run("tokens_that_have_ended", func(t *testing.T) {
		t.Parallel()
		w := checked(t, middleware.HasScopes("email"), nil, func(s *settings) { s.rp.Scopes = []string{"openid", "email"} })
		v := w.visitor()
		v.login("/auth/login", "")
		w.clock.add(59 * time.Minute)
		if rep := v.open("/checked"); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.clock.add(2 * time.Minute)
		if rep := v.open("/checked"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("in_a_test", func(t *testing.T) {
		t.Parallel()
		token := (&oauth2.Token{AccessToken: "t"}).WithExtra(map[string]any{"scope": "orders"})
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if err := middleware.HasScopes("orders")(r, middleware.NewSession(nil, token)); err != nil {
			t.Error(err)
		}
		var challenge *middleware.Challenge
		if err := middleware.HasScopes("bills")(r, middleware.NewSession(nil, token)); !errors.As(err, &challenge) || !slices.Equal(challenge.Options.Scopes, []string{"openid", "bills"}) {
			t.Error(err)
		}
		if err := middleware.HasScopes("bills")(r, middleware.NewSession(nil, nil)); !errors.Is(err, middleware.ErrNoTokens) {
			t.Error(err)
		}
	})
}

func TestMaxAgeOfAnotherClock(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		authTime int64
		pass     bool
	}{
		"now":               {time.Now().Unix(), true},
		"H41_in_the_future": {time.Now().Add(2 * time.Minute).Unix(), false},
		"H41_long_ago":      {1, false},
		"H41_not_said":      {0, false},
	} {
		err := middleware.MaxAge(time.Minute)(nil, middleware.NewSession(map[string]any{"auth_time": row.authTime}, nil))
		if (err == nil) != row.pass {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a check returns is its own: who changes it changes no other request's.
func TestChallengesAreCopies(t *testing.T) {
	t.Parallel()
	s := middleware.NewSession(map[string]any{"sub": "alice"}, nil)
	for name, check := range map[string]middleware.Check{
		"HasACR": middleware.HasACR("gold"), "MaxAge": middleware.MaxAge(time.Hour), "All": middleware.All(middleware.HasACR("gold"), middleware.MaxAge(time.Hour)),
	} {
		ask := func() rp.AuthOptions {
			var c *middleware.Challenge
			if err := check(nil, s); !errors.As(err, &c) {
				t.Fatalf("%s: %v", name, err)
			}
			return c.Options
		}
		first := ask()
		if first.ACRValues != nil {
			first.ACRValues[0] = "iron"
		}
		if first.MaxAge != nil {
			*first.MaxAge = 0
		}
		if o := ask(); o.ACRValues != nil && o.ACRValues[0] != "gold" || o.MaxAge != nil && *o.MaxAge != time.Hour {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
