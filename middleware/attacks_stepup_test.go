package middleware_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// APIs that want another login (RFC 9470), and Auth.StepUp (H41).

// insufficient is the error that RFC 9470 adds.
const insufficient = `error="insufficient_user_authentication"`

// apiWorld is an app whose page /call asks an API, and passes its errors to StepUp.
type apiWorld struct {
	*world
	api    *httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	calls  atomic.Int32
}

func newAPIWorld(t *testing.T, answer http.HandlerFunc, changes ...func(*settings)) *apiWorld {
	t.Helper()
	w := &apiWorld{world: newWorld(t, changes...)}
	w.answer.Store(&answer)
	w.api = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.calls.Add(1)
		(*w.answer.Load())(rw, r)
	}))
	t.Cleanup(w.api.Close)
	client := &http.Client{Transport: w.auth.Transport(canary.Network, w.api.URL)}
	w.mux.Handle("/call", w.auth.RequireTokens(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.call(rw, r, client)
	})))
	w.mux.Handle("/own", w.auth.RequireTokens(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.call(rw, r, middleware.FromContext(r.Context()).HTTPClient(w.api.URL))
	})))
	return w
}

func (w *apiWorld) call(rw http.ResponseWriter, r *http.Request, client *http.Client) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, w.api.URL+"/orders", nil)
	if err != nil {
		w.Error(err)
		return
	}
	resp, err := client.Do(req)
	if w.auth.StepUp(rw, r, err) {
		return
	}
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	rw.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(rw, resp.Body)
}

// wants answers 401 with these WWW-Authenticate lines.
func wants(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Www-Authenticate"] = lines
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "the API's own words")
	}
}

// TestDemandOfAnAPI: what a header says, and what comes of it. A header that is not understood changes nothing: the app
// gets the API's answer.
func TestDemandOfAnAPI(t *testing.T) {
	t.Parallel()
	type asked struct{ acr, maxAge string }
	for _, row := range []struct {
		name  string
		lines []string
		want  asked // zero: the answer passes
	}{
		{"acr", []string{`Bearer ` + insufficient + `, acr_values="gold silver"`}, asked{"gold silver", ""}},
		{"max_age", []string{`Bearer ` + insufficient + `, max_age="5"`}, asked{"", "5"}},
		{"both, unquoted", []string{`bearer error=insufficient_user_authentication, max_age=0, acr_values=gold`}, asked{"gold", "0"}},
		{"among others", []string{`Basic realm="x"`, `Negotiate, Bearer realm="r", ` + insufficient + `, acr_values="gold", scope="a b"`}, asked{"gold", ""}},
		{"an acr that is a URI", []string{`Bearer ` + insufficient + `, acr_values="urn:mace:incommon:iap:silver https://x.example/a?b#c"`}, asked{"urn:mace:incommon:iap:silver https://x.example/a?b#c", ""}},

		{"X52_nothing_is_said", []string{`Bearer ` + insufficient}, asked{}},
		{"X52_empty_values", []string{`Bearer ` + insufficient + `, acr_values="", max_age=""`}, asked{}},
		{"X52_another_error", []string{`Bearer error="insufficient_scope", acr_values="gold"`}, asked{}},
		{"X52_error_of_another_case", []string{`Bearer error="Insufficient_User_Authentication", acr_values="gold"`}, asked{}},
		{"X52_another_scheme", []string{`Basic ` + insufficient + `, acr_values="gold"`}, asked{}},
		{"X52_scheme_that_begins_so", []string{`BearerX ` + insufficient + `, acr_values="gold"`}, asked{}},
		{"X52_in_the_description_of_another", []string{`Bearer error="invalid_request", error_description="x, error=insufficient_user_authentication, acr_values=gold"`}, asked{}},
		{"X52_error_twice", []string{`Bearer ` + insufficient + `, error="invalid_token", acr_values="gold"`}, asked{}},
		{"X52_acr_values_twice", []string{`Bearer ` + insufficient + `, acr_values="gold", acr_values="iron"`}, asked{}},
		{"X52_over_two_lines", []string{`Bearer ` + insufficient, `acr_values="gold"`}, asked{}},
		{"X52_broken_quotes", []string{`Bearer ` + insufficient + `, acr_values="gold`}, asked{}},
		{"X52_two_blanks_between", []string{`Bearer ` + insufficient + `, acr_values="gold  iron"`}, asked{}},
		{"X52_a_quote_in_a_value", []string{`Bearer ` + insufficient + `, acr_values="go\"ld"`}, asked{}},
		{"X52_a_backslash_in_a_value", []string{`Bearer ` + insufficient + `, acr_values="go\\ld"`}, asked{}},
		{"X52_a_tab_in_a_value", []string{"Bearer " + insufficient + ", acr_values=\"gold\tiron\""}, asked{}},
		{"X52_not_ASCII", []string{`Bearer ` + insufficient + `, acr_values="gôld"`}, asked{}},
		{"X52_a_long_value", []string{`Bearer ` + insufficient + `, acr_values="` + strings.Repeat("g", 129) + `"`}, asked{}},
		{"X52_many_values", []string{`Bearer ` + insufficient + `, acr_values="1 2 3 4 5 6 7 8 9"`}, asked{}},
		{"X52_negative_age", []string{`Bearer ` + insufficient + `, max_age="-1"`}, asked{}},
		{"X52_signed_age", []string{`Bearer ` + insufficient + `, max_age="+1"`}, asked{}},
		{"X52_age_with_a_fraction", []string{`Bearer ` + insufficient + `, max_age="1.5"`}, asked{}},
		{"X52_age_that_overflows", []string{`Bearer ` + insufficient + `, max_age="99999999999999999999"`}, asked{}},
		{"X52_age_of_three_centuries", []string{`Bearer ` + insufficient + `, max_age="9999999999"`}, asked{}}, // more than a Duration holds
		{"X52_one_of_two_is_wrong", []string{`Bearer ` + insufficient + `, acr_values="gold", max_age="soon"`}, asked{}},
		{"X52_more_parameters_of_the_login", []string{`Bearer ` + insufficient + `, acr_values="gold&prompt=none&redirect_uri=https://evil.example"`}, asked{"gold&prompt=none&redirect_uri=https://evil.example", ""}},
		{"X52_a_megabyte", []string{`Bearer ` + insufficient + `, acr_values="gold", x="` + strings.Repeat("x", 8<<10) + `"`}, asked{}},
	} {
		for _, path := range []string{"/call", "/own"} {
			t.Run(row.name+path, func(t *testing.T) {
				t.Parallel()
				w := newAPIWorld(t, wants(row.lines...))
				v := w.visitor()
				v.login("/auth/login", "")
				rep := v.open(path)
				if row.want == (asked{}) {
					if rep.StatusCode != http.StatusUnauthorized || rep.body != "the API's own words" || rep.Header["Set-Cookie"] != nil {
						t.Errorf("%d %s", rep.StatusCode, rep.body)
					}
					return
				}
				to, err := rep.Location()
				if err != nil || rep.StatusCode != http.StatusFound {
					t.Fatalf("%d %s\n%s", rep.StatusCode, rep.code(), rep.body)
				}
				q := to.Query()
				if got := (asked{q.Get("acr_values"), q.Get("max_age")}); got != row.want || q.Get("prompt") != "" || to.Host != strings.TrimPrefix(w.op.URL, "http://") ||
					q.Get("redirect_uri") != site+"/auth/callback" || q.Get("claims") != "" {
					t.Errorf("asks for %s", to)
				}
			})
		}
	}
}

// TestAnswersThatPass: only a 401 is a demand.
func TestAnswersThatPass(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 400, 402, 403, 404, 407, 500} {
		w := newAPIWorld(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer `+insufficient+`, acr_values="gold"`)
			w.WriteHeader(status)
		})
		v := w.visitor()
		v.login("/auth/login", "")
		if rep := v.open("/call"); rep.StatusCode != status {
			t.Errorf("%d: %d %s", status, rep.StatusCode, rep.body)
		}
	}
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	gold := wants(`Bearer ` + insufficient + `, acr_values="gold", max_age=300`)
	t.Run("H41_an_API_gets_what_it_wants", func(t *testing.T) {
		t.Parallel()
		w := newAPIWorld(t, gold)
		var acr string
		pass := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "your orders") })
		w.mux.Handle("/acr", w.auth.RequireLogin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			acr = middleware.FromContext(r.Context()).ACR
		})))
		v := w.visitor()
		v.login("/auth/login", "")
		before := v.id()
		rep := v.answer("/call?page=2", "").post()
		if rep.StatusCode != http.StatusSeeOther || rep.Header.Get("Location") != "/call?page=2" {
			t.Fatalf("%d %s %s", rep.StatusCode, rep.code(), rep.Header.Get("Location"))
		}
		w.answer.Store(&pass)
		if rep := v.open("/call?page=2"); rep.body != "your orders" {
			t.Errorf("%d %s", rep.StatusCode, rep.body)
		}
		if v.open("/acr"); acr != "gold" || v.id() == before {
			t.Errorf("acr %q", acr)
		}
	})
	t.Run("H41_an_API_that_is_never_content", func(t *testing.T) {
		t.Parallel()
		w := newAPIWorld(t, gold)
		v := w.visitor()
		v.login("/auth/login", "")
		v.answer("/call", "").post()
		rep := v.open("/call")
		w.refused(rep, 403, "challenge_unmet")
		want := `middleware: forbidden: asked for acr_values "gold", max_age 300, and the login has acr "gold" and auth_time 2026-06-01T12:00:00Z`
		if got := errorOf(rep); got != want {
			t.Errorf("log says %s", got)
		}
		w.clock.add(61 * time.Second)
		if rep := v.open("/call"); rep.StatusCode != http.StatusFound {
			t.Errorf("a minute later: %d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("X53_an_API_that_wants_something_else_each_time", func(t *testing.T) {
		t.Parallel()
		n := 0
		w := newAPIWorld(t, func(rw http.ResponseWriter, r *http.Request) {
			n++
			wants(fmt.Sprintf(`Bearer %s, acr_values="acr%d"`, insufficient, n))(rw, r)
		})
		v := w.visitor()
		v.login("/auth/login", "")
		for range 4 {
			if rep := v.answer("/call", "").post(); rep.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", rep.StatusCode, rep.code())
			}
		}
		rep := v.open("/call")
		w.refused(rep, 400, "login_loop")
		wantText(t, rep, "each time something more was wanted")
		wantWays(t, rep, "To the home page → /")
	})
	t.Run("X53_two_pages_that_take_turns", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		acr := func(value string) http.Handler {
			return w.auth.Require(middleware.HasACR(value), http.HandlerFunc(whoami))
		}
		w.mux.Handle("/gold", acr("gold"))
		w.mux.Handle("/iron", acr("iron"))
		v := w.visitor()
		v.login("/auth/login", "")
		for _, path := range []string{"/gold", "/iron", "/gold", "/iron"} {
			v.answer(path, "").post()
		}
		w.refused(v.open("/gold"), 400, "login_loop")
	})
	for name, change := range map[string]func(*http.Request){
		"H22_script":   func(r *http.Request) { r.Header = fetched("/call").Header },
		"H22_form":     func(r *http.Request) { r.Method = http.MethodPost },
		"H24_HEAD":     func(r *http.Request) { r.Method = http.MethodHead },
		"H22_prefetch": func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch") },
		"H22_frame":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "iframe") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAPIWorld(t, gold)
			v := w.visitor()
			v.login("/auth/login", "")
			r := navigation("/call")
			change(r)
			rep := v.send(r)
			w.refused(rep, 401, "login_required")
			if got := rep.Header.Get("WWW-Authenticate"); got != `Session `+insufficient+`, acr_values="gold", max_age=300` || rep.Header["Set-Cookie"] != nil {
				t.Errorf("%q, cookies %v", got, rep.Header["Set-Cookie"])
			}
			if strings.Contains(rep.body, "API's own words") {
				t.Error("H26: the API's answer is shown")
			}
		})
	}
	t.Run("other_errors", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, err := range []error{nil, errors.New("x"), middleware.ErrLoginRequired, &middleware.Refusal{}} {
			rec := httptest.NewRecorder()
			if w.auth.StepUp(rec, navigation("/x"), err) || rec.Body.Len() > 0 || len(rec.Header()) > 0 {
				t.Errorf("%v is answered", err)
			}
		}
	})
	t.Run("X53_not_behind_a_wrapper", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		n := 0
		w.mux.Handle("/bare", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			n++
			w.auth.StepUp(rw, r, &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{fmt.Sprintf("acr%d", n)}}})
		}))
		v := w.visitor()
		if rep := v.open("/bare"); rep.StatusCode != http.StatusFound {
			t.Errorf("nobody: %d", rep.StatusCode)
		}
		v.login("/auth/login", "")
		for range 4 {
			v.answer("/bare", "").post()
		}
		w.refused(v.open("/bare"), 400, "login_loop")
		if v.id() == "" {
			t.Error("the session is gone")
		}
	})
	t.Run("X53_an_API_cannot_ask_for_less", func(t *testing.T) {
		t.Parallel()
		age := 5 * time.Minute
		w := newAPIWorld(t, wants(`Bearer `+insufficient+`, acr_values="gold", max_age=999999999`), func(s *settings) {
			s.auth.AuthOptions.MaxAge, s.auth.AuthOptions.Expect = &age, map[string]string{"sub": "alice"}
		})
		v := w.visitor()
		v.login("/auth/login", "")
		if to, err := v.open("/call").Location(); err != nil || to.Query().Get("max_age") != "300" || to.Query().Get("acr_values") != "gold" {
			t.Errorf("%v %v", to, err)
		}
	})
	t.Run("X53_what_the_app_expects_stays_expected", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Expect = map[string]string{"tid": "one"} })
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["tid"], a.Claims["org_id"] = "one", "org_1"
			}
		})
		w.mux.Handle("/org", w.auth.Require(func(*http.Request, *middleware.Session) error {
			return &middleware.Challenge{Options: rp.AuthOptions{Expect: map[string]string{"org_id": "org_1"}}}
		}, http.HandlerFunc(whoami)))
		v := w.visitor()
		v.login("/auth/login", "")
		for _, tid := range []string{"two", "one"} { // in this order: the second one passes
			status := map[string]int{"two": http.StatusBadRequest, "one": http.StatusSeeOther}[tid]
			a := v.begin("/org")
			w.op.Fault(func(a *optest.Answer) {
				if a.Claims != nil {
					a.Claims["tid"], a.Claims["org_id"] = tid, "org_1"
				}
			})
			a.ask("")
			if rep := a.post(); rep.StatusCode != status {
				t.Errorf("tid %s: %d %s", tid, rep.StatusCode, rep.code())
			}
		}
	})
	t.Run("wrapped_as_an_http_client_does", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		maxAge := time.Minute
		err := error(&url.Error{Op: "Get", URL: "x", Err: fmt.Errorf("y: %w", &middleware.Challenge{Options: rp.AuthOptions{MaxAge: &maxAge}})})
		w.mux.Handle("/x", w.auth.RequireLogin(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.auth.StepUp(rw, r, err) })))
		v := w.visitor()
		v.login("/auth/login", "")
		if to, err := v.open("/x").Location(); err != nil || to.Query().Get("max_age") != "60" {
			t.Errorf("%v %v", to, err)
		}
	})
}

// TestChallengeOfAScript: what a script was refused for, its page can open.
func TestChallengeOfAScript(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*world, *visitor) {
		w := newWorld(t)
		w.mux.Handle("/gold", w.auth.Require(middleware.HasACR("gold"), http.HandlerFunc(whoami)))
		v := w.visitor()
		v.login("/auth/login", "")
		return w, v
	}
	retry := func(t *testing.T, v *visitor) string {
		var problem struct {
			Retry string `json:"retry_url"`
		}
		rep := v.send(fetched("/gold"))
		if err := json.Unmarshal([]byte(rep.body), &problem); err != nil || !strings.HasPrefix(problem.Retry, "/auth/login?return_to=%2Fboard%3Ftab%3D2&challenge=") {
			t.Fatalf("%v %s", err, rep.body)
		}
		return problem.Retry
	}
	asked := func(t *testing.T, rep *reply) string {
		to, err := rep.Location()
		if err != nil || rep.StatusCode != http.StatusFound {
			t.Fatalf("%d %s", rep.StatusCode, rep.code())
		}
		return to.Query().Get("acr_values")
	}
	t.Run("H41_it_is_asked_for_and_leads_back_to_the_page", func(t *testing.T) {
		t.Parallel()
		_, v := start(t)
		if rep := v.answer(retry(t, v), "").post(); rep.Header.Get("Location") != "/board?tab=2" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if rep := v.send(fetched("/gold")); rep.StatusCode != http.StatusOK {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("H41_it_asks_for_no_less_than_the_app_does", func(t *testing.T) {
		t.Parallel()
		for _, claims := range []string{"", `{"userinfo":{"email":null}}`} {
			w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Claims = []byte(claims) })
			w.mux.Handle("/gold", w.auth.Require(middleware.HasACR("gold"), http.HandlerFunc(whoami)))
			v := w.visitor()
			v.login("/auth/login", "")
			to, err := v.open(retry(t, v)).Location()
			if err != nil || to.Query().Get("claims") != claims || to.Query().Has("claims") != (claims != "") {
				t.Errorf("%v %v, want claims %q", err, to, claims)
			}
		}
	})
	t.Run("H41_in_vain_it_is_refused", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["acr"] = "lead"
			}
		})
		v.answer(retry(t, v), "").post()
		w.refused(v.send(fetched("/gold")), 403, "challenge_unmet")
	})
	t.Run("a_form_has_a_link", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		r := formPost("/gold", nil)
		r.Header.Set("Referer", site+"/board")
		rep := v.send(r)
		w.refused(rep, 401, "login_required")
		wantText(t, rep, "Another login is needed", ">Log in</a>")
	})
	for name, change := range map[string]func(t *testing.T, w *world, v *visitor, link string) string{
		"X54_of_another_session": func(t *testing.T, w *world, _ *visitor, link string) string {
			other := w.visitor()
			other.login("/auth/login", "mallory")
			return asked(t, other.open(link))
		},
		"X54_of_nobody": func(t *testing.T, w *world, _ *visitor, link string) string {
			return asked(t, w.visitor().open(link))
		},
		"X54_of_the_next_session": func(t *testing.T, _ *world, v *visitor, link string) string {
			v.login("/auth/login", "")
			return asked(t, v.open(link))
		},
		"X54_changed": func(t *testing.T, _ *world, v *visitor, link string) string {
			return asked(t, v.open(link[:len(link)-4]+"AAAA"))
		},
		"X54_twice": func(t *testing.T, _ *world, v *visitor, link string) string {
			_, sealed, _ := strings.Cut(link, "&challenge=")
			return asked(t, v.open(link+"&challenge="+sealed))
		},
		"X54_too_late": func(t *testing.T, w *world, v *visitor, link string) string {
			w.clock.add(15 * time.Minute)
			return asked(t, v.open(link))
		},
		"X54_logged_out": func(t *testing.T, _ *world, v *visitor, link string) string {
			v.send(formPost("/auth/logout", nil))
			return asked(t, v.open(link))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, v := start(t)
			if acr := change(t, w, v, retry(t, v)); acr != "" {
				t.Errorf("asks for %s", acr)
			}
		})
	}
	t.Run("X54_not_by_a_script", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		r := fetched("/x")
		r.URL, _ = url.Parse(site + retry(t, v))
		rep := v.send(r)
		w.refused(rep, 401, "login_required")
	})
	t.Run("X54_no_parameter_is_taken_from_it_in_clear", func(t *testing.T) {
		t.Parallel()
		_, v := start(t)
		if acr := asked(t, v.open(`/auth/login?challenge={"Options":{"ACRValues":["iron"]}}&acr_values=iron`)); acr != "" {
			t.Errorf("asks for %s", acr)
		}
	})
	t.Run("one_that_is_too_long_is_left_out", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		long := slices.Repeat([]string{strings.Repeat("x", 100)}, 1)
		for i := range 20 {
			long = append(long, fmt.Sprintf("%0100d", i))
		}
		w.mux.Handle("/long", w.auth.Require(middleware.HasACR("gold", long...), http.HandlerFunc(whoami)))
		rep := v.send(fetched("/long"))
		if !strings.Contains(rep.body, `"retry_url":"/auth/login?return_to=%2Fboard%3Ftab%3D2"`) {
			t.Errorf("%s", rep.body)
		}
	})
}
