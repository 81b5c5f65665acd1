package middleware_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Lines of group G that are not here:
//   - G03: ExchangeOnDemand comes with a later issue
//   - G09, G22 to G25 (server stores): attacks_store_test.go
//   - G18: Secure is always set (G19); nothing looks at X-Forwarded-Proto (H20); plain http is K05
//   - G26: TestCallback and all others search every Location for every cookie's value
//   - G27, G28: attacks_renewed_test.go
//   - G30, G31: internal/seal's tests (bound texts have lengths; nonces are random, and their number is limited)
//   - G32: internal/seal compresses nothing
//   - G34: session lists come with SessionStore, a later issue

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
