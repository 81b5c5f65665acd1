package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestIdentity shows what names a user: issuer and subject, and nothing else.
func TestIdentity(t *testing.T) {
	t.Parallel()
	t.Run("B39_hostile_claim_names_and_values", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				for name, v := range map[string]any{
					"__proto__": map[string]any{"sub": "mallory"}, "OIDC_sub": "mallory", "Sub": "mallory", "SUB": "mallory", "X-User": "mallory",
					"name": "a\r\nSet-Cookie: evil=1\r\n\r\n<script>", "email": "\u2028\u202e",
				} {
					a.Claims[name] = v
				}
			}
		})
		var seen http.Header
		w.page = func(rw http.ResponseWriter, r *http.Request) { seen = r.Header.Clone(); whoami(rw, r) }
		v := w.visitor()
		rep := v.login("/auth/login", "")
		for _, line := range rep.Header["Set-Cookie"] {
			if strings.Contains(line, "evil") {
				t.Error("a claim came into a header")
			}
		}
		if who := v.open("/private").who(); who.Subject != "alice" {
			t.Errorf("%+v", who)
		}
		for name := range seen {
			if name != "Cookie" && name != "Accept" && !strings.HasPrefix(name, "Sec-Fetch-") {
				t.Errorf("the handler sees header %s", name)
			}
		}
	})
	t.Run("B40_email_is_no_identity", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Claims != nil {
				a.Claims["email"], a.Claims["email_verified"] = "ceo@victim.example@evil.example", false
			}
		})
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			var c struct {
				Email    string `json:"email"`
				Verified bool   `json:"email_verified"`
			}
			err := s.Claims(&c)
			_, _ = fmt.Fprintf(rw, "%s %s %v %v", s.Subject, c.Email, c.Verified, err)
		}
		for _, user := range []string{"alice", "mallory"} {
			v := w.visitor()
			v.login("/auth/login", user)
			if got, want := v.open("/private").body, user+" ceo@victim.example@evil.example false <nil>"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
	t.Run("B41_same_subject_of_two_providers", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		other := newWorld(t)
		page := func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			_, _ = fmt.Fprint(rw, s.Issuer, " ", s.Subject)
		}
		w.page, other.page = page, page
		v, u := w.visitor(), other.visitor()
		v.login("/auth/login", "alice")
		u.login("/auth/login", "alice")
		if a, b := v.open("/private").body, u.open("/private").body; a == b || a != w.op.URL+" alice" {
			t.Errorf("%q and %q", a, b)
		}
		u.cookies = v.cookies // the same names, the same keys, another provider
		if rep := u.open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("the session of one provider opens the app of the other: %d %s", rep.StatusCode, rep.body)
		}
	})
}

// TestSessionID is about who keeps a session when somebody logs in again.
func TestSessionID(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			hook := func(l *middleware.Login) error {
				if l.IDToken.Subject == "alice" {
					l.Values["user"] = "1"
				}
				return nil
			}
			w := newWorld(t, store.use(t), func(s *settings) { s.auth.OnIdentity = hook })
			t.Run("G01_session_that_was_planted", func(t *testing.T) {
				w := *w
				w.TB = t
				attacker, victim := w.visitor(), w.visitor()
				attacker.login("/auth/login", "mallory")
				planted := attacker.id()
				victim.cookies = attacker.clone().cookies
				victim.login("/auth/login", "alice")
				if got := victim.open("/private").who(); got.Subject != "alice" || got.ID == planted {
					t.Errorf("%+v", got)
				}
				if attacker.id() != "" {
					t.Error("the planted session lives on")
				}
			})
			t.Run("G02_another_user_and_the_same_again", func(t *testing.T) {
				w := *w
				w.TB = t
				v := w.visitor()
				v.login("/auth/login", "alice")
				first, old := v.open("/private").who(), v.clone()
				v.login("/auth/login", "alice")
				second := v.open("/private").who()
				if first.ID == second.ID || first.Values["user"] != "1" || old.id() != "" {
					t.Errorf("%+v and %+v", first, second)
				}
				v.login("/auth/login", "bob")
				if third := v.open("/private").who(); third.Subject != "bob" || third.Values["user"] != "" {
					t.Errorf("%+v", third)
				}
			})
			t.Run("G04_step_up_by_another_user", func(t *testing.T) {
				w := *w
				w.TB = t
				v := w.visitor()
				v.login("/auth/login", "alice")
				old := v.clone()
				rep := v.login("/auth/login?return_to=/private", "bob") // replaces, never merges
				if got := v.open("/private").who(); rep.StatusCode != 303 || got.Subject != "bob" || got.Values["user"] != "" || old.id() != "" {
					t.Errorf("%+v", got)
				}
			})
			// L15: two tabs begin logins, and end them in the other order.
			t.Run("L15_two_tabs_in_the_other_order", func(t *testing.T) {
				w := *w
				w.TB = t
				v := w.visitor()
				a, b := v.answer("/auth/login?return_to=/private/a", "alice"), v.answer("/auth/login?return_to=/private/b", "alice")
				if rep := b.post(); rep.Header.Get("Location") != "/private/b" {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				if rep := a.post(); rep.Header.Get("Location") != "/private/a" {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				if got := v.open("/private").who(); got.Subject != "alice" {
					t.Errorf("%+v", got)
				}
			})
			// X12: an error for one login comes after another one succeeded, with the state of the first and of the second.
			t.Run("X12_error_after_success", func(t *testing.T) {
				w := *w
				w.TB = t
				v := w.visitor()
				a, b := v.answer("/auth/login", "alice"), v.answer("/auth/login", "alice")
				a.post()
				id := v.id()
				b.form = map[string][]string{"error": {"login_required"}, "state": b.form["state"]}
				w.refused(v.send(b.callback().build()), 403, "provider_error")
				done := a.callback()
				done.header.Set("Cookie", v.header("x"))
				done.form = map[string][]string{"error": {"access_denied"}, "state": a.form["state"]}
				w.refused(v.send(done.build()), 400, "transaction_spent")
				if v.id() != id || id == "" {
					t.Error("the session was touched")
				}
			})
		})
	}
}
