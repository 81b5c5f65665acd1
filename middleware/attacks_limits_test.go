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

// TestG12_G13_SessionSize is about cookies at the limits of browsers.
func TestG12_G13_SessionSize(t *testing.T) {
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
	for _, size := range []int{6200, 7600, 60_000} { // more than all cookies may take, than two can hold, than anybody sends
		_, rep := login(size)
		w.refused(rep, 500, "session_too_large")
	}
}

// TestG17_G18_G19_G33_I24_SessionAttributes looks at each Set-Cookie line. The app is on plain http here, behind a proxy.
func TestG17_G18_G19_G33_I24_SessionAttributes(t *testing.T) {
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
				if rep := v.open("/private"); rep.Header["Set-Cookie"] == nil && store.name != "server" { // there the store counts
					t.Error("not renewed")
				}
				if rep := v.open("/private"); rep.Header["Set-Cookie"] != nil {
					t.Error("renewed twice")
				}
			})
			// L14: a clock that went back (a restored machine) neither ends a session nor makes it immortal.
			t.Run("L14_clock_back", func(t *testing.T) {
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

// TestClockGoesBackDuringAStep (E17): whoever measures events gets no negative duration.
func TestClockGoesBackDuringAStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shortTokens)
	v := w.visitor()
	v.login("/auth/login", "")
	w.clock.add(10 * time.Minute)
	w.op.Fault(func(a *optest.Answer) {
		if a.Grant == "refresh_token" {
			w.clock.add(-time.Second)
		}
	})
	refreshed := 0
	for _, e := range v.open("/tokens").events {
		if e.Name == "refreshed" && e.Code == "" {
			refreshed++
		}
		if e.Took < 0 {
			t.Errorf("%s took %v", e.Name, e.Took)
		}
	}
	if refreshed != 1 {
		t.Errorf("%d refreshes", refreshed)
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
		ends := func(name string) int {                           // of the prefix; the rest may have another -x
			return len("__Host-") + strings.Index(name[len("__Host-"):], "-x")
		}
		c.header.Set("Cookie", other.Name[:ends(other.Name)]+cookie.Name[ends(cookie.Name):]+"="+cookie.Value)
		if rep := w.serve(c.build()); rep.StatusCode != 400 || rep.code() != "transaction_invalid" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if n := w.op.Calls("/oauth/token") + op.Calls("/oauth/token"); n != 0 {
			t.Errorf("%d redemptions", n)
		}
	})
	// L12: the session cookie of one app, under the other app's name, with the same keys.
	t.Run("L12_session_moved_to_another_app", func(t *testing.T) {
		one, two := newWorld(t), newWorld(t, func(s *settings) { s.rp.RedirectURL = site + "/two/callback"; s.auth.Name = "t" })
		v := one.visitor()
		v.login("/auth/login", "alice")
		if rep := v.on(two).open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
	})
}
