package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Tokens for several APIs: each target has a token of its own.

const (
	ordersAPI  = "https://orders.example"
	billingAPI = "https://billing.example"
)

// api is resource number i.
func api(i int) string { return fmt.Sprintf("https://api%d.example", i) }

// severalAPIs makes an app that asks for two resources at each login.
func severalAPIs(s *settings) {
	s.op.AccessTokenLifetime = 5 * time.Minute
	s.rp.Resources = []string{ordersAPI, billingAPI}
	s.rp.Scopes = []string{"openid", "email", "offline_access", "read", "write"}
}

// manyAPIs makes an app that asks for n.
func manyAPIs(n int) func(*settings) {
	return func(s *settings) {
		severalAPIs(s)
		s.rp.Resources = nil
		for i := range n {
			s.rp.Resources = append(s.rp.Resources, api(i))
		}
	}
}

// targetOf reads a target from a query: for, audience, scope.
func targetOf(r *http.Request) rp.Target {
	q := r.URL.Query()
	return rp.Target{Resource: q.Get("for"), Audience: q.Get("audience"), Scopes: q["scope"]}
}

// audiences is a page that gives a token for a target, or says why not.
func audiences(w http.ResponseWriter, r *http.Request) {
	token, err := middleware.FromContext(r.Context()).For(targetOf(r)).Token(r.Context())
	var challenge *middleware.Challenge
	switch {
	case errors.As(err, &challenge) && errors.Is(err, middleware.ErrConsentRequired):
		_, _ = fmt.Fprint(w, "consent ", challenge.Options.Resources, challenge.Options.Scopes, challenge.Options.Extra)
	case err != nil:
		_, _ = fmt.Fprint(w, "no token: ", err)
	default:
		if token.RefreshToken != "" {
			_, _ = io.WriteString(w, "a refresh token")
		}
		describe(w, token)
	}
}

// describe writes what a token is for, and what tells it from others: no page shows a token.
func describe(w io.Writer, token *oauth2.Token) {
	sum := sha256.Sum256([]byte(token.AccessToken))
	_, payload, _ := strings.Cut(token.AccessToken, ".")
	payload, _, _ = strings.Cut(payload, ".")
	_, _ = fmt.Fprintf(w, "token %s %x", payload, sum[:8])
}

// grantOf reads what an access token is for; "" if the page gave none.
func grantOf(rep *reply) (aud, scope string) {
	parts := strings.Split(rep.body, " ")
	if len(parts) != 3 || parts[0] != "token" {
		return "", ""
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Aud   any    `json:"aud"`
		Scope string `json:"scope"`
	}
	_ = json.Unmarshal(payload, &claims)
	return fmt.Sprint(claims.Aud), claims.Scope
}

// wantAud opens a page that gives a token, and returns that.
func (v *visitor) wantAud(path, aud string) string {
	v.w.Helper()
	rep := v.open(path)
	if got, _ := grantOf(rep); got != aud || rep.StatusCode != http.StatusOK {
		v.w.Errorf("%s: a token for %q, want %q: %d %s", path, got, aud, rep.StatusCode, rep.body)
	}
	return rep.body
}

func TestTargets(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		start := func(t *testing.T, changes ...func(*settings)) (*world, *visitor) {
			t.Helper()
			w := newWorld(t, append([]func(*settings){severalAPIs, store.use(t)}, changes...)...)
			w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
			v := w.visitor()
			v.login("/auth/login", "alice")
			return w, v
		}
		t.Run("E16_each_target_has_its_own_token_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			first := map[string]string{}
			for range 3 {
				for path, aud := range map[string]string{
					"/apis":                                    "[" + ordersAPI + " " + billingAPI + "]",
					"/apis?for=" + ordersAPI:                   ordersAPI,
					"/apis?for=" + billingAPI:                  billingAPI,
					"/apis?for=" + ordersAPI + "&scope=read":   ordersAPI,
					"/apis?audience=" + billingAPI:             billingAPI,
					"/apis?scope=read":                         "[" + ordersAPI + " " + billingAPI + "]",
					"/apis?for=" + billingAPI + "&scope=write": billingAPI,
				} {
					token := v.wantAud(path, aud)
					if first[path] != "" && first[path] != token {
						t.Errorf("%s: another token, though the first one lives", path)
					}
					first[path] = token
				}
			}
			if n := w.refreshes(); n != 6 {
				t.Errorf("%d refreshes for 6 targets", n)
			}
			if _, scope := grantOf(v.open("/apis?for=" + ordersAPI + "&scope=read")); scope != "read" {
				t.Errorf("scope %q", scope)
			}
		})
		t.Run("E16_a_target_has_many_spellings_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			token := v.wantAud("/apis?for="+ordersAPI+"&scope=read&scope=write", ordersAPI)
			for _, query := range []string{"&scope=write&scope=read", "&scope=write&scope=read&scope=write"} {
				if v.open("/apis?for="+ordersAPI+query).body != token {
					t.Errorf("%s: another token", query)
				}
			}
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E05_hundred_at_once_for_one_target_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			arrive := newBarrier(100)
			w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
			w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
			replies := make([]*reply, 100)
			var group sync.WaitGroup
			for i := range replies {
				group.Go(func() { replies[i] = v.clone().open("/apis?for=" + ordersAPI) })
			}
			group.Wait()
			for _, rep := range replies {
				if aud, _ := grantOf(rep); aud != ordersAPI || rep.body != replies[0].body {
					t.Fatalf("%d %s", rep.StatusCode, rep.body)
				}
			}
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E05_ten_targets_at_once_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t, manyAPIs(10))
			arrive := newBarrier(50)
			w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
			w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() { v.clone().wantAud("/apis?for="+api(i%10), api(i%10)) })
			}
			group.Wait()
			if n := w.refreshes(); n != 10 {
				t.Errorf("%d refreshes", n)
			}
		})
		t.Run("E05_the_main_token_stays_and_can_be_refreshed_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			before := v.open("/apis").body
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			if v.open("/apis").body != before {
				t.Error("the target's token took the place of the main one")
			}
			w.clock.add(4 * time.Minute)
			v.wantAud("/apis?for="+billingAPI, billingAPI) // it is younger than the main token
			w.clock.add(2 * time.Minute)
			after := v.open("/apis").body
			if after == before || !strings.HasPrefix(after, "token ") {
				t.Errorf("not refreshed: %s", after)
			}
			fresh := w.refreshes()
			v.wantAud("/apis?for="+billingAPI, billingAPI)
			if w.refreshes() != fresh {
				t.Error("the main refresh forgot a target that lives")
			}
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			if w.refreshes() != fresh+1 {
				t.Error("a target that has ended is not refreshed")
			}
		})
		t.Run("E08_invalid_grant_ends_all_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
				}
			})
			for _, query := range []string{"?for=" + billingAPI, "?for=" + ordersAPI, ""} {
				if rep := v.open("/apis" + query); !strings.HasPrefix(rep.body, "no token: middleware: tokens are lost") {
					t.Errorf("%q: %s", query, rep.body)
				}
			}
			if n := w.refreshes(); n != 2 {
				t.Errorf("%d refreshes: a grant that has ended is not tried again", n)
			}
		})
		t.Run("E09_provider_is_down_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			w.wire.cut(true)
			w.clock.add(5*time.Minute - 5*time.Second) // ending
			if v.open("/apis?for="+ordersAPI).body != token {
				t.Error("a token that still serves is not used")
			}
			for range 5 {
				if rep := v.open("/apis?for=" + billingAPI); !strings.Contains(rep.body, rp.ErrUnavailable.Error()) {
					t.Errorf("%s", rep.body)
				}
			}
			if w.wire.tried != 1 {
				t.Errorf("asked %d times, a provider that is down", w.wire.tried)
			}
			w.wire.cut(false)
			w.clock.add(time.Minute)
			v.wantAud("/apis?for="+billingAPI, billingAPI)
		})
		t.Run("E01_refreshed_ID_Token_of_another_user_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Claims["sub"] = "mallory"
				}
			})
			if rep := v.open("/apis?for=" + ordersAPI); !strings.HasPrefix(rep.body, "no token: ") {
				t.Errorf("%s", rep.body)
			}
			if rep := v.open("/apis"); rep.StatusCode != http.StatusFound {
				t.Errorf("the session lives: %d", rep.StatusCode)
			}
		})
		t.Run("E18_after_the_absolute_limit_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t, func(s *settings) { s.auth.Idle, s.auth.Absolute = time.Hour, time.Hour })
			w.clock.add(time.Hour)
			if rep := v.open("/apis?for=" + ordersAPI); rep.StatusCode != http.StatusFound || w.refreshes() != 0 {
				t.Errorf("%d, %d refreshes", rep.StatusCode, w.refreshes())
			}
		})
		t.Run("E19_logout_in_between_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			other, once := v.clone(), first()
			w.wire.gate(nil, func(*http.Request) {
				if once() {
					other.send(formPost("/auth/logout", nil))
				}
			})
			rep := v.open("/apis?for=" + ordersAPI)
			if !strings.Contains(rep.body, middleware.ErrNoSession.Error()) {
				t.Errorf("%s", rep.body)
			}
			if v.id() != "" {
				t.Error("the session is back")
			}
		})
		t.Run("D28_without_a_refresh_token_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t, func(s *settings) { s.rp.Scopes = []string{"openid"} })
			if rep := v.open("/apis?for=" + ordersAPI); !strings.Contains(rep.body, "login required: there is no refresh token") {
				t.Errorf("%s", rep.body)
			}
			if w.refreshes() != 0 {
				t.Error("the provider was asked")
			}
		})
		t.Run("D28_a_session_without_tokens_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t, func(s *settings) { s.auth.Exchange = middleware.ExchangeNever })
			if rep := v.open("/apis?for=" + ordersAPI); !strings.Contains(rep.body, "tokens are none") && !strings.Contains(rep.body, middleware.ErrNoTokens.Error()) {
				t.Errorf("%s", rep.body)
			}
		})
		t.Run("G03_a_code_that_waits_is_redeemed_first_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t, func(s *settings) { s.auth.Exchange = middleware.ExchangeOnDemand })
			before := v.id()
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			v.wantAud("/apis?for="+billingAPI, billingAPI)
			if n := w.op.Calls("/oauth/token"); n != 3 || v.id() != before {
				t.Errorf("%d requests at the token endpoint", n)
			}
		})
		t.Run("E16_an_odd_target_is_not_sent_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			for _, query := range []string{"for=/orders", "for=https://a.example/%23x", "scope=a+b", "scope=", "audience=a%20b"} {
				if rep := v.open("/apis?" + query); !strings.HasPrefix(rep.body, "no token: ") {
					t.Errorf("%s: %s", query, rep.body)
				}
			}
			if w.refreshes() != 0 {
				t.Error("the provider was asked")
			}
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
		})
	}
}

// TestTargetConsent is about targets that the provider gives only after it has asked the user.
func TestTargetConsent(t *testing.T) {
	t.Parallel()
	const fresh = "https://fresh.example"
	for _, store := range storeKinds {
		start := func(t *testing.T, changes ...func(*settings)) (*world, *visitor) {
			t.Helper()
			w := newWorld(t, append([]func(*settings){severalAPIs, store.use(t)}, changes...)...)
			w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
			w.mux.Handle("/fresh", w.auth.RequireLogin(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				token, err := middleware.FromContext(r.Context()).For(rp.Target{Resource: fresh, Scopes: r.URL.Query()["scope"]}).Token(r.Context())
				switch {
				case w.auth.StepUp(rw, r, err):
				case err != nil:
					http.Error(rw, err.Error(), http.StatusInternalServerError)
				default:
					describe(rw, token)
				}
			})))
			v := w.visitor()
			v.login("/auth/login", "alice")
			return w, v
		}
		t.Run("E16_the_error_says_what_to_ask_for_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			main := v.open("/apis").body
			kept := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			for range 3 {
				rep := v.open("/apis?for=" + fresh + "&scope=admin")
				want := fmt.Sprint("consent ", []string{ordersAPI, billingAPI, fresh}, []string{"openid", "email", "offline_access", "read", "write", "admin"}, map[string][]string{})
				if rep.body != want {
					t.Errorf("%s\nwant %s", rep.body, want)
				}
			}
			if n := w.refreshes(); n != 2 {
				t.Errorf("%d refreshes: a refusal is not asked for again at once", n)
			}
			if v.open("/apis").body != main || v.open("/apis?for="+ordersAPI).body != kept {
				t.Error("the session is not as it was")
			}
			w.clock.add(31 * time.Second)
			v.open("/apis?for=" + fresh + "&scope=admin")
			if n := w.refreshes(); n != 3 {
				t.Errorf("%d refreshes: for ever is too long", n)
			}
		})
		for _, code := range []string{
			"invalid_target", "invalid_scope", "consent_required", "interaction_required", "login_required", "account_selection_required", "mfa_required",
		} {
			t.Run("E16_"+code+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := start(t)
				w.op.Fault(func(a *optest.Answer) {
					if a.Grant == "refresh_token" {
						a.Status, a.JSON = 400, map[string]any{"error": code}
					}
				})
				if rep := v.open("/apis?audience=x"); !strings.HasPrefix(rep.body, "consent ") || !strings.HasSuffix(rep.body, "map[audience:[x]]") {
					t.Errorf("%s", rep.body)
				}
				if v.id() == "" {
					t.Error("the session has ended")
				}
			})
		}
		for _, suberror := range []string{"consent_required", "basic_action", "bad_token", ""} {
			t.Run("E08_invalid_grant_"+suberror+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := start(t)
				w.op.Fault(func(a *optest.Answer) {
					if a.Grant == "refresh_token" {
						a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant", "suberror": suberror}
					}
				})
				mends := strings.HasSuffix(suberror, "_required") || strings.HasSuffix(suberror, "_action")
				if rep := v.open("/apis?scope=read"); strings.HasPrefix(rep.body, "consent ") != mends {
					t.Errorf("%s", rep.body)
				}
				if rep := v.open("/apis"); strings.HasPrefix(rep.body, "token ") != mends {
					t.Errorf("the other tokens: %s", rep.body)
				}
			})
		}
		for name, status := range map[string]int{"unavailable": 503, "unauthorized_client": 400, "invalid_client": 401} {
			t.Run("E09_"+name+"_is_no_matter_of_the_user_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := start(t)
				w.op.Fault(func(a *optest.Answer) {
					if a.Grant == "refresh_token" {
						a.Status, a.JSON = status, map[string]any{"error": name}
					}
				})
				if rep := v.open("/apis?for=" + fresh); !strings.HasPrefix(rep.body, "no token: ") {
					t.Errorf("%s", rep.body)
				}
			})
		}
		t.Run("H41_step_up_brings_the_target_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t, func(s *settings) {
				s.auth.OnIdentity = func(l *middleware.Login) error { l.Values["user"] = l.IDToken.Subject; return nil }
			})
			id := v.id()
			a := v.begin("/fresh?scope=admin")
			if got := a.to.Query()["resource"]; !slices.Equal(got, []string{ordersAPI, billingAPI, fresh}) {
				t.Errorf("resource %q", got)
			}
			if got := a.to.Query().Get("scope"); got != "openid email offline_access read write admin" {
				t.Errorf("scope %q", got)
			}
			a.ask("alice")
			if rep := a.post(); rep.Header.Get("Location") != "/fresh?scope=admin" {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
			if again := v.id(); again == "" || again == id {
				t.Error("not a new session")
			}
			v.wantAud("/fresh?scope=admin", fresh)
			v.wantAud("/apis?for="+ordersAPI, ordersAPI)
			// One more, and nothing of what was asked for is forgotten.
			if rep := v.open("/apis?for=https://third.example"); !strings.HasPrefix(rep.body, fmt.Sprint("consent ", []string{ordersAPI, billingAPI, fresh, "https://third.example"})) {
				t.Errorf("%s", rep.body)
			}
			if v.open("/private").who().Values["user"] != "alice" {
				t.Error("no values")
			}
		})
		t.Run("H41_a_provider_that_does_not_give_it_is_asked_once_"+store.name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			refuse := func(a *optest.Answer) {
				if a.Grant == "refresh_token" {
					a.Status, a.JSON = 400, map[string]any{"error": "invalid_target"}
				}
			}
			w.op.Fault(refuse)
			a := v.begin("/fresh")
			a.ask("alice")
			a.post()
			w.refused(v.open("/fresh"), http.StatusForbidden, "challenge_unmet")
			if v.id() == "" {
				t.Error("the session has ended")
			}
		})
		t.Run("H41_a_script_gets_401_"+store.name, func(t *testing.T) {
			t.Parallel()
			_, v := start(t)
			r := navigation("/fresh")
			r.Header.Set("Sec-Fetch-Mode", "cors")
			if rep := v.send(r); rep.StatusCode != http.StatusUnauthorized || rep.code() != "login_required" {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		})
	}
}

// TestTargetAudience is about providers that know audiences: a login has one.
func TestTargetAudience(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, configured ...string) *visitor {
		t.Helper()
		w := newWorld(t, func(c *settings) {
			severalAPIs(c)
			c.rp.Resources = nil
			if configured != nil {
				c.auth.AuthOptions.Extra = url.Values{"audience": configured}
			}
		})
		w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
		v := w.visitor()
		v.login("/auth/login", "alice")
		return v
	}
	t.Run("E16_another_than_the_configured_is_not_asked_for", func(t *testing.T) {
		t.Parallel()
		v := start(t, ordersAPI)
		v.wantAud("/apis", ordersAPI)
		if rep := v.open("/apis?audience=" + billingAPI); !strings.HasPrefix(rep.body, "no token: middleware: the provider wants to ask the user") {
			t.Errorf("%s", rep.body)
		}
		v.wantAud("/apis", ordersAPI)
	})
	t.Run("E16_the_configured_stays", func(t *testing.T) {
		t.Parallel()
		v := start(t, ordersAPI)
		if rep := v.open("/apis?audience=" + ordersAPI + "&scope=admin"); !strings.HasPrefix(rep.body, "consent ") || !strings.HasSuffix(rep.body, "map[]") {
			t.Errorf("%s", rep.body)
		}
	})
	t.Run("E16_where_none_is_configured", func(t *testing.T) {
		t.Parallel()
		if rep := start(t).open("/apis?audience=" + billingAPI); !strings.HasSuffix(rep.body, "map[audience:["+billingAPI+"]]") {
			t.Errorf("%s", rep.body)
		}
	})
}

// TestTargetsInOneRequest: goroutines of one handler want ten targets, and overtake each other (E05).
func TestTargetsInOneRequest(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run("E05_"+store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, manyAPIs(10), store.use(t))
			w.mux.Handle("/all", w.auth.RequireLogin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var group sync.WaitGroup
				for i := range 40 {
					group.Go(func() {
						token, err := middleware.FromContext(r.Context()).For(rp.Target{Resource: api(i % 10)}).Token(r.Context())
						if err != nil || token.AccessToken == "" {
							t.Errorf("%d: %v", i, err)
						}
					})
				}
				group.Wait()
			})))
			v := w.visitor()
			v.login("/auth/login", "alice")
			for range 3 {
				v.open("/all")
				w.clock.add(10 * time.Minute)
			}
			w.page = fingerprint
			if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK || strings.HasPrefix(rep.body, "no token") {
				t.Errorf("%d %s", rep.StatusCode, rep.body)
			}
		})
	}
}

// TestTransportFor keeps apart what belongs to two users and two APIs.
func TestTransportFor(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) *world {
		t.Helper()
		w := newWorld(t, append([]func(*settings){severalAPIs}, changes...)...)
		clients := map[string]*http.Client{} // one for each API and process
		for _, name := range []string{ordersAPI, billingAPI} {
			clients[name] = &http.Client{Transport: w.auth.TransportFor(rp.Target{Resource: name}, canary.Network, w.op.URL)}
		}
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, w.op.URL+"/api", nil)
			resp, err := clients[r.URL.Query().Get("for")].Do(request)
			if err != nil {
				_, _ = fmt.Fprint(rw, err)
				return
			}
			defer resp.Body.Close()
			rw.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(rw, resp.Body)
		}
		return w
	}
	is := func(rep *reply, user, aud string) bool {
		return strings.Contains(rep.body, `"sub":"`+user+`"`) && strings.Contains(rep.body, `"aud":["`+aud+`"]`)
	}
	t.Run("E11_two_users_and_two_APIs_at_once", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		users := map[string]*visitor{"alice": w.visitor(), "bob": w.visitor()}
		for name, v := range users {
			v.login("/auth/login", name)
		}
		for range 2 {
			var group sync.WaitGroup
			for name, v := range users {
				for _, aud := range []string{ordersAPI, billingAPI} {
					for range 20 {
						group.Go(func() {
							if rep := v.open("/private?for=" + aud); !is(rep, name, aud) {
								t.Errorf("%s at %s: %d %s", name, aud, rep.StatusCode, rep.body)
							}
						})
					}
				}
			}
			group.Wait()
			w.clock.add(10 * time.Minute) // the second round refreshes
		}
	})
	t.Run("E12_login_as_another_user", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		v := w.visitor()
		for _, user := range []string{"alice", "bob", "alice"} {
			v.login("/auth/login", user)
			if rep := v.open("/private?for=" + ordersAPI); !is(rep, user, ordersAPI) {
				t.Errorf("%s got: %s", user, rep.body)
			}
		}
	})
	t.Run("E12_step_up_as_another_user", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.open("/private?for=" + ordersAPI)
		w.mux.Handle("/checked", w.auth.Require(func(_ *http.Request, s *middleware.Session) error {
			if s.Subject != "bob" {
				return &middleware.Challenge{Options: rp.AuthOptions{Prompt: "login"}}
			}
			return nil
		}, http.HandlerFunc(whoami)))
		v.answer("/checked", "bob").post()
		if rep := v.open("/private?for=" + ordersAPI); !is(rep, "bob", ordersAPI) {
			t.Errorf("bob got: %s", rep.body)
		}
	})
	t.Run("E14_API_rejects_the_token", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.open("/private?for=" + ordersAPI)
		reject := true
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/api" && reject {
				reject = false
				a.Status = 401
				a.HTTPHeader.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			}
		})
		if rep := v.open("/private?for=" + ordersAPI); rep.StatusCode != 401 || w.refreshes() != 1 {
			t.Errorf("a token that has just come is not refreshed: %d, %d refreshes", rep.StatusCode, w.refreshes())
		}
		reject = true
		w.clock.add(31 * time.Second)
		if rep := v.open("/private?for=" + ordersAPI); !is(rep, "alice", ordersAPI) || w.refreshes() != 2 {
			t.Errorf("%d %s, %d refreshes", rep.StatusCode, rep.body, w.refreshes())
		}
	})
	t.Run("E15_another_origin", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, severalAPIs)
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request left") }))
		defer other.Close()
		client := &http.Client{Transport: w.auth.TransportFor(rp.Target{Resource: ordersAPI}, canary.Network, ordersAPI)}
		var err error
		w.page = func(_ http.ResponseWriter, r *http.Request) {
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, other.URL, nil)
			_, err = client.Do(request)
		}
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.open("/private")
		if !errors.Is(err, rp.ErrOrigin) || w.refreshes() != 0 {
			t.Errorf("%v, %d refreshes", err, w.refreshes())
		}
	})
	t.Run("E12_without_a_session", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, severalAPIs)
		client := &http.Client{Transport: w.auth.TransportFor(rp.Target{Resource: ordersAPI}, canary.Network, ordersAPI)}
		if _, err := client.Get(ordersAPI); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("%v", err)
		}
	})
	t.Run("E16_a_target_that_its_maker_changes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, severalAPIs)
		scopes := []string{"read"}
		client := &http.Client{Transport: w.auth.TransportFor(rp.Target{Resource: ordersAPI, Scopes: scopes}, canary.Network, w.op.URL)}
		scopes[0] = "write"
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, w.op.URL+"/api", nil)
			resp, err := client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			_, _ = io.Copy(rw, resp.Body)
		}
		v := w.visitor()
		v.login("/auth/login", "alice")
		if rep := v.open("/private"); !strings.Contains(rep.body, `"scope":"read"`) {
			t.Errorf("%s", rep.body)
		}
	})
	t.Run("E16_consent_is_told_through_the_client", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, severalAPIs)
		client := &http.Client{Transport: w.auth.TransportFor(rp.Target{Resource: "https://fresh.example"}, canary.Network, w.op.URL)}
		var err error
		w.page = func(_ http.ResponseWriter, r *http.Request) {
			request, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, w.op.URL+"/api", nil)
			_, err = client.Do(request)
		}
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.open("/private")
		var challenge *middleware.Challenge
		if !errors.Is(err, middleware.ErrConsentRequired) || !errors.As(err, &challenge) || w.op.Calls("/api") != 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestTargetOfATestSession(t *testing.T) {
	t.Parallel()
	s := middleware.NewSession(map[string]any{"sub": "alice"}, &oauth2.Token{AccessToken: "at"})
	source := s.For(rp.Target{Resource: ordersAPI})
	if token, err := source.Token(t.Context()); err != nil || token.AccessToken != "at" {
		t.Errorf("%v, %v", token, err)
	}
	renewer, ok := source.(interface {
		Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error)
	})
	if !ok {
		t.Fatal("it cannot renew")
	}
	if _, err := renewer.Renew(t.Context(), &oauth2.Token{}); !errors.Is(err, middleware.ErrNoTokens) {
		t.Errorf("%v", err)
	}
}
