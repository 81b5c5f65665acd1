package middleware_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group G that are not here:
//   - G03: ExchangeOnDemand comes with a later issue
//   - G09, G22 to G25 (server stores): attacks_store_test.go
//   - G18: Secure is always set (G19); nothing looks at X-Forwarded-Proto (H20); plain http is K05
//   - G26: TestCallback and all others search every Location for every cookie's value
//   - G27, G28: attacks_refresh_test.go, where cookies are renewed
//   - G30, G31: internal/seal's tests (bound texts have lengths; nonces are random, and their number is limited)
//   - G32: internal/seal compresses nothing
//   - G34: session lists come with SessionStore, a later issue

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
			// X11: two tabs begin logins, and end them in the other order.
			t.Run("X11_two_tabs_in_the_other_order", func(t *testing.T) {
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

// TestSessionCookie changes the cookies of a session. What is not whole and authentic is nobody's.
func TestSessionCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := func(v *visitor) { // with a token part of two chunks
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/oauth/token" {
				a.JSON["access_token"], a.Claims["at_hash"] = longToken, optest.HalfHash("ES256", longToken)
			}
		})
		v.login("/auth/login", "alice")
		w.op.Fault(nil)
	}
	alice, bob := w.visitor(), w.visitor()
	long(alice)
	bob.login("/auth/login", "bob")
	if len(alice.cookies) != 4 || alice.open("/private").who().Subject != "alice" || alice.open("/tokens").StatusCode != 200 {
		t.Fatalf("the control does not pass: %d cookies", len(alice.cookies))
	}
	w.clock.add(2 * time.Minute) // a login of just now is not repeated
	s, t0, t1 := sessionName, cookiePrefix+"t0", cookiePrefix+"t1"
	box := insideBox(t, w, "identity")
	for _, row := range []struct {
		name   string
		change func(c map[string]string)
	}{
		{"G05_identity_truncated", func(c map[string]string) { c[s] = c[s][:len(c[s])-1] }},
		{"G05_identity_empty", func(c map[string]string) { c[s] = "" }},
		{"G05_identity_longer", func(c map[string]string) { c[s] += "A" }},
		{"G05_identity_with_padding", func(c map[string]string) { c[s] += "=" }},
		{"G05_identity_in_the_standard_alphabet", func(c map[string]string) { c[s] = strings.NewReplacer("-", "+", "_", "/").Replace(c[s]) + "+" }},
		{"G05_tokens_as_identity", func(c map[string]string) { c[s] = c[t0][2:] + c[t1][2:] }},
		{"G05_transaction_as_identity", func(c map[string]string) {
			c[s] = strings.SplitN(w.visitor().begin("/auth/login").cookie, "=", 2)[1]
		}},
		{"G07_format_of_the_seal", func(c map[string]string) { c[s] = "Ag" + c[s][2:] }},
		{"G07_format_of_the_content", func(c map[string]string) { c[s] = reseal(t, box, c[s], func(b []byte) []byte { b[0]++; return b }) }},
		{"G07_content_cut_short", func(c map[string]string) { c[s] = reseal(t, box, c[s], func(b []byte) []byte { return b[:len(b)-3] }) }},
		{"G07_content_with_a_tail", func(c map[string]string) { c[s] = reseal(t, box, c[s], func(b []byte) []byte { return append(b, 0) }) }},
		{"G07_content_empty", func(c map[string]string) { c[s] = reseal(t, box, c[s], func([]byte) []byte { return nil }) }},
		{"G10_first_chunk_missing", func(c map[string]string) { delete(c, t0) }},
		{"G10_second_chunk_missing", func(c map[string]string) { delete(c, t1) }},
		{"G10_all_chunks_missing", func(c map[string]string) { delete(c, t0); delete(c, t1) }},
		{"G10_chunks_in_the_other_order", func(c map[string]string) { c[t0], c[t1] = c[t1], c[t0] }},
		{"G10_one_chunk_twice", func(c map[string]string) { c[t1] = c[t0] }},
		{"G10_one_chunk_of_another_count", func(c map[string]string) { c[t1] = "11" + c[t1][2:] }},
		{"G10_empty_chunk", func(c map[string]string) { c[t1] = "" }},
		{"G11_count_lies_high", func(c map[string]string) { c[t0] = "09" + c[t0][2:]; c[t1] = "19" + c[t1][2:] }},
		{"G11_count_of_99999", func(c map[string]string) { c[t0] = "099999" + c[t0][2:] }},
		{"G15_identity_twice", func(c map[string]string) { c[" "+s] = c[s] }},
		{"G15_identity_twice_different", func(c map[string]string) { c[" "+s] = bob.cookies[s] }},
		{"G15_chunk_twice", func(c map[string]string) { c[" "+t0] = c[t0] }},
		{"G16_fat_space_before_the_name", func(c map[string]string) { c["\u2000"+s] = c[s]; delete(c, s) }},
		{"G16_no_name", func(c map[string]string) { c["="+s] = c[s]; delete(c, s) }},
		{"G16_legacy_attributes", func(c map[string]string) { c["$Version=1; $Path=/; x"] = s + "=" + c[s]; delete(c, s) }},
		{"G16_quoted", func(c map[string]string) { c[s] = `"` + c[s] + `"` }},
		{"G16_name_in_another_case", func(c map[string]string) { c["__host-t-s"] = c[s]; delete(c, s) }},
		{"G16_without_the_prefix", func(c map[string]string) { c["t-s"] = c[s]; delete(c, s) }},
		{"G16_percent_in_the_name", func(c map[string]string) { c["__Host-t%2Ds"] = c[s]; delete(c, s) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := alice.clone()
			row.change(v.cookies)
			sent := v.clone()
			if rep := v.open("/private"); rep.StatusCode != http.StatusFound {
				t.Errorf("navigation: %d %s", rep.StatusCode, rep.body)
			}
			for name := range v.cookies { // what is broken is cleared
				if name == s || name == t0 || name == t1 {
					t.Errorf("%s is still there", name)
				}
			}
			for _, path := range []string{"/private", "/tokens"} {
				r := navigation(path)
				r.Header.Set("Sec-Fetch-Mode", "cors")
				if rep := sent.send(r); rep.StatusCode != http.StatusUnauthorized || rep.Header["Set-Cookie"] != nil {
					t.Errorf("%s: %d", path, rep.StatusCode)
				}
			}
		})
	}
	t.Run("G05_every_byte_of_the_identity_counts", func(t *testing.T) {
		for i := range alice.cookies[s] {
			v, b := alice.clone(), []byte(alice.cookies[s])
			b[i] = "AB"[b2i(b[i] == 'A')]
			v.cookies[s] = string(b)
			if v.id() != "" {
				t.Fatalf("byte %d does not", i)
			}
		}
	})
	t.Run("G10_count_lies_low", func(t *testing.T) { // what a page shows that needs no token is authentic still
		v := alice.clone()
		v.cookies[t0] = "01" + v.cookies[t0][2:]
		delete(v.cookies, t1)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G05_tokens_of_another_user", func(t *testing.T) {
		v := bob.clone()
		v.cookies[t0] = strings.Replace(alice.cookies[t0], "02", "01", 1)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
		v = bob.clone()
		v.cookies[t0], v.cookies[t1] = alice.cookies[t0], alice.cookies[t1]
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G10_stale_chunk_of_a_later_version", func(t *testing.T) {
		v := alice.clone()
		v.cookies[cookiePrefix+"t9"] = v.cookies[t0]
		v.cookies[cookiePrefix+"t2"] = v.cookies[t1]
		if rep := v.open("/tokens"); rep.StatusCode != 200 || rep.who().Subject != "alice" {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G10_one_chunk_grows_over_from_an_older_session", func(t *testing.T) {
		v := bob.clone() // bob's session has one chunk: a second one is somebody else's
		v.cookies[t1] = alice.cookies[t1]
		if rep := v.open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
	t.Run("G14_browser_refuses_what_a_sibling_sets", func(t *testing.T) {
		b := optest.NewBrowser(nil)
		b.SetCookies("https://evil.app.example", &http.Cookie{Name: s, Value: bob.cookies[s], Domain: "app.example", Path: "/", Secure: true})
		b.SetCookies("http://app.example", &http.Cookie{Name: s, Value: bob.cookies[s], Path: "/"})
		b.SetCookies(site, &http.Cookie{Name: s, Value: bob.cookies[s], Path: "/private", Secure: true})
		if kept := b.Cookies(site + "/private"); len(kept) != 0 {
			t.Errorf("kept %v", kept)
		}
	})
	t.Run("G08_cookie_after_logout", func(t *testing.T) {
		v := w.visitor()
		v.login("/auth/login", "alice")
		old := v.clone()
		v.send(formPost("/auth/logout", nil))
		if rep := old.clone().open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
		w.clock.add(11 * time.Hour)
		if old.id() != "" {
			t.Error("it lives again")
		}
	})
}

// longToken makes a token part of two chunks.
var longToken = strings.Repeat("long-access-token.", 200)

// reseal changes the content of a cookie as nobody without the key can.
func reseal(t *testing.T, box interface {
	Open(text string, bound ...string) ([]byte, error)
	Seal(plain []byte, bound ...string) (string, error)
}, value string, change func([]byte) []byte,
) string {
	t.Helper()
	plain, err := box.Open(value, sessionName)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := box.Seal(change(plain), sessionName)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestSessionKeys rotates keys.
func TestSessionKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	v.login("/auth/login", "alice")
	instance := func(keys ...string) *world {
		other := *w
		other.mux = http.NewServeMux()
		other.app = other.mux
		c := middleware.Config{Client: w.client, Name: "t", Now: w.clock.Now, Observe: w.spoken.observe}
		for _, key := range keys {
			c.Keys = append(c.Keys, attackKey(key))
		}
		other.auth = other.newAuth(c)
		other.register(other.auth)
		return &other
	}
	if rep := v.on(instance("two", "one")).open("/tokens"); rep.StatusCode != 200 {
		t.Errorf("G06: the old key reads no more: %d", rep.StatusCode)
	}
	if rep := v.on(instance("two")).open("/private"); rep.StatusCode != http.StatusFound {
		t.Errorf("G06: an unknown key: %d", rep.StatusCode)
	}
	w.clock.add(10 * time.Minute) // time to renew
	renewed := v.on(instance("two", "one"))
	renewed.open("/private")
	if renewed.cookies[sessionName] == v.cookies[sessionName] {
		t.Fatal("nothing was renewed")
	}
	if rep := renewed.on(instance("two")).open("/private"); rep.StatusCode != 200 {
		t.Errorf("G06: the new key does not write: %d", rep.StatusCode)
	}
	if rep := renewed.on(instance("one")).open("/private"); rep.StatusCode != http.StatusFound {
		t.Errorf("G06: the old key still writes: %d", rep.StatusCode)
	}
}

// on is the same browser at another instance of the app.
func (v *visitor) on(w *world) *visitor {
	c := v.clone()
	c.w = w
	return c
}

// TestSessionSize is about cookies at the limits of browsers.
func TestSessionSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	login := func(size int) (*visitor, *reply) {
		token := strings.Repeat("x", size)
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/oauth/token" {
				a.JSON["access_token"], a.Claims["at_hash"] = token, optest.HalfHash("ES256", token)
			}
		})
		defer w.op.Fault(nil)
		v := w.visitor()
		return v, v.answer("/auth/login", "alice").post()
	}
	chunks := func(size int) (first, second int) {
		v, rep := login(size)
		if rep.StatusCode != 303 || v.open("/tokens").StatusCode != 200 {
			t.Fatalf("G12: token of %d bytes: %d %s", size, rep.StatusCode, rep.code())
		}
		return len(v.cookies[cookiePrefix+"t0"]), len(v.cookies[cookiePrefix+"t1"])
	}
	const full = 3902 // bytes of a chunk that is full
	begin, _ := chunks(1500)
	size, met := 1500+(full-begin)*3/4-6, 0
	for range 12 { // across the boundary, byte by byte
		first, second := chunks(size)
		if first == full {
			met++
		}
		if first > full || second > 0 && first < full {
			t.Errorf("G12: chunks of %d and %d bytes", first, second)
		}
		size++
	}
	if met < 2 {
		t.Error("G12: the boundary was not met")
	}
	for _, line := range w.spoken.cookies {
		if pair, _, _ := strings.Cut(line, ";"); len(pair) > 4096 {
			t.Errorf("G13: a cookie of %d bytes", len(pair))
		}
	}
	_, rep := login(7000)
	w.refused(rep, 500, "session_too_large")
}

// TestSessionAttributes looks at each Set-Cookie line (G17, G19, G33).
func TestSessionAttributes(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		for mode, want := range map[rp.ResponseMode]string{rp.FormPost: "None", rp.Fragment: "Lax"} {
			t.Run(store.name+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, store.use(t), func(s *settings) { s.rp.ResponseMode = mode })
				attributes := map[string]string{}
				keep := func(rep *reply) {
					t.Helper()
					for _, line := range rep.Header["Set-Cookie"] {
						name, rest, _ := strings.Cut(line, "=")
						_, rest, _ = strings.Cut(rest, "; ")
						parts := slices.DeleteFunc(strings.Split(rest, "; "), func(p string) bool {
							return strings.HasPrefix(p, "Max-Age=") || strings.HasPrefix(p, "Expires=")
						})
						if len(parts) == len(strings.Split(rest, "; ")) {
							t.Errorf("G33: no Max-Age: %s", name)
						}
						slices.Sort(parts)
						rest = strings.Join(parts, "; ")
						if old, ok := attributes[name]; ok && old != rest {
							t.Errorf("G17: %s is set with %q and dropped with %q", name, old, rest)
						}
						attributes[name] = rest
					}
				}
				v := w.visitor()
				a := v.begin("/auth/login")
				keep(v.open("/auth/login"))
				a.ask("")
				keep(a.post())
				w.clock.add(10 * time.Minute)
				keep(v.open("/private"))
				keep(v.send(formPost("/auth/logout", nil)))
				for name := range v.cookies {
					if name != cookiePrefix+"o" {
						t.Errorf("G17, I24: %s is still there after the logout", name)
					}
				}
				keep(v.open("/auth/logged-out"))
				for name, got := range attributes {
					site := "Lax"
					if strings.HasPrefix(name, cookiePrefix+"x") {
						site = want
					}
					if got != "HttpOnly; Path=/; SameSite="+site+"; Secure" {
						t.Errorf("G19: %s: %s", name, got)
					}
				}
				if len(attributes) < 4 {
					t.Errorf("only %v", attributes)
				}
			})
		}
	}
}

// TestSessionLimits goes up to each limit and one second over it (G20, G21, G29).
func TestSessionLimits(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			for _, row := range []struct {
				name  string
				steps []time.Duration // times between requests
				alive bool
			}{
				{"G20_idle_less_a_second", []time.Duration{time.Hour - time.Second}, true},
				{"G20_idle_to_the_second", []time.Duration{time.Hour}, false},
				{"G29_idle_and_a_day_with_a_kept_cookie", []time.Duration{25 * time.Hour}, false},
				{"G20_used_again_and_again", []time.Duration{50 * time.Minute, 50 * time.Minute, 50 * time.Minute}, true},
				{"G20_used_too_late_after_a_renewal", []time.Duration{50 * time.Minute, 61 * time.Minute}, false},
				{"G20_absolute_less_a_second", append(slices.Repeat([]time.Duration{50 * time.Minute}, 3), 30*time.Minute-time.Second), true},
				{"G20_absolute_to_the_second", append(slices.Repeat([]time.Duration{50 * time.Minute}, 3), 30*time.Minute), false},
			} {
				t.Run(row.name, func(t *testing.T) {
					w := newWorld(t, store.use(t), func(s *settings) { s.auth.Absolute = 3 * time.Hour })
					v := w.visitor()
					v.login("/auth/login", "")
					for _, d := range row.steps[:len(row.steps)-1] {
						w.clock.add(d)
						if rep := v.open("/private"); rep.StatusCode != 200 {
							t.Fatalf("ended early: %d", rep.StatusCode)
						}
					}
					w.clock.add(row.steps[len(row.steps)-1])
					if rep := v.open("/private"); (rep.StatusCode == 200) != row.alive {
						t.Errorf("%d", rep.StatusCode)
					}
				})
			}
			t.Run("G21_renewed_only_when_it_is_time", func(t *testing.T) {
				w := newWorld(t, store.use(t))
				v := w.visitor()
				v.login("/auth/login", "")
				w.clock.add(6*time.Minute - time.Second)
				if rep := v.open("/private"); rep.Header["Set-Cookie"] != nil {
					t.Error("renewed too early")
				}
				w.clock.add(time.Second)
				if rep := v.open("/private"); rep.Header["Set-Cookie"] == nil {
					t.Error("not renewed")
				}
				if rep := v.open("/private"); rep.Header["Set-Cookie"] != nil {
					t.Error("renewed twice")
				}
			})
			// X13: a clock that went back (a restored machine) neither ends a session nor makes it immortal.
			t.Run("X13_clock_back", func(t *testing.T) {
				w := newWorld(t, store.use(t))
				v := w.visitor()
				v.login("/auth/login", "")
				w.clock.add(-30 * time.Minute)
				if rep := v.open("/private"); rep.StatusCode != 200 {
					t.Errorf("%d", rep.StatusCode)
				}
				w.clock.add(24 * time.Hour)
				if rep := v.open("/private"); rep.StatusCode == 200 {
					t.Error("it lives on")
				}
			})
		})
	}
}

// TestSeveral puts two Auths into one mux (K12, A09).
func TestSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) { s.auth.Name = "" })
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: attackSecret, Algorithm: "ES256", Now: w.clock.Now})
	t.Cleanup(op.Close)
	second := *w
	second.op = op
	second.client = second.newClient(rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/other/callback", IDTokenAlgorithm: "ES256",
		Insecure: rp.Insecure{PlainHTTP: true}, Now: w.clock.Now,
	})
	second.auth = second.newAuth(middleware.Config{Keys: [][]byte{attackKey("one")}, Now: w.clock.Now, Observe: w.spoken.observe})
	second.auth.Register(w.mux)
	page := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a, b := w.auth.Session(r.Context()), second.auth.Session(r.Context())
		_, _ = fmt.Fprint(rw, a != nil, b != nil, middleware.FromContext(r.Context()).Issuer == op.URL)
	})
	w.mux.Handle("/both", w.auth.RequireLogin(second.auth.RequireLogin(page)))
	w.mux.Handle("/second", second.auth.RequireLogin(page))
	t.Run("K12_no_clash_of_cookies", func(t *testing.T) {
		jar := map[string]string{}
		browse := func(path string) *http.Response {
			r := navigation(path)
			var pairs []string
			for name, value := range jar {
				pairs = append(pairs, name+"="+value)
			}
			r.Header.Set("Cookie", strings.Join(pairs, "; "))
			rep := w.serve(r)
			for _, c := range rep.Cookies() {
				if _, there := jar[c.Name]; there && c.MaxAge >= 0 {
					t.Errorf("%s is overwritten", c.Name)
				}
				jar[c.Name] = c.Value
			}
			return rep.Response
		}
		browse("/auth/login")
		browse("/other/login")
		if len(jar) != 2 {
			t.Errorf("%d cookies", len(jar))
		}
	})
	t.Run("A09_answer_of_one_posted_to_the_other", func(t *testing.T) {
		r := navigation("/auth/login")
		rep := w.serve(r)
		cookie := rep.Cookies()[0]
		a := &attempt{v: w.visitor(), cookie: cookie.Name + "=" + cookie.Value}
		a.to, _ = rep.Location()
		a.ask("alice")
		c := a.callback()
		c.target = "/other/callback"
		if rep := w.serve(c.build()); rep.StatusCode != 400 || rep.code() != "transaction_missing" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		other := w.serve(navigation("/other/login")).Cookies()[0] // under the name that the other looks for
		prefix := other.Name[:strings.LastIndex(other.Name, "-x")]
		c.header.Set("Cookie", prefix+cookie.Name[strings.LastIndex(cookie.Name, "-x"):]+"="+cookie.Value)
		if rep := w.serve(c.build()); rep.StatusCode != 400 || rep.code() != "transaction_invalid" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if n := w.op.Calls("/oauth/token") + op.Calls("/oauth/token"); n != 0 {
			t.Errorf("%d redemptions", n)
		}
	})
	// X14: the session cookie of one app, under the other app's name, with the same keys.
	t.Run("X14_session_moved_to_another_app", func(t *testing.T) {
		one, two := newWorld(t), newWorld(t, func(s *settings) { s.rp.RedirectURL = site + "/two/callback"; s.auth.Name = "t" })
		v := one.visitor()
		v.login("/auth/login", "alice")
		if rep := v.on(two).open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
}
