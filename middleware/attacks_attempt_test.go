package middleware_test

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/rp/optest"
)

func TestCallbackBrowser(t *testing.T) {
	t.Parallel()
	t.Run("A03_answer_of_another_browser", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		attacker, victim := w.visitor(), w.visitor()
		victim.login("/auth/login", "alice")
		before := victim.id()
		theirs, own := attacker.answer("/auth/login", "mallory"), victim.answer("/auth/login", "alice")
		c := theirs.callback()
		c.header.Set("Cookie", own.cookie)
		w.refused(w.serve(c.build()), 400, "transaction_missing")
		c = own.callback() // the other way round: the victim's state with the attacker's tokens
		c.form.Set("code", theirs.form.Get("code"))
		c.form.Set("id_token", theirs.form.Get("id_token"))
		w.refused(w.serve(c.build()), 400, "id_token_nonce")
		if victim.id() != before || w.op.Calls("/oauth/token") != 1 {
			t.Error("the session was touched or the code redeemed")
		}
	})
	t.Run("A04_replay_after_success", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login?return_to=/private", "")
		a.post()
		before := v.id()
		again := a.callback()
		again.header.Set("Cookie", v.header("x"))
		rep := w.serve(again.build())
		if rep.StatusCode != 303 || rep.Header.Get("Location") != "/private" || rep.Header["Set-Cookie"] != nil {
			t.Errorf("%d to %s, cookies %v", rep.StatusCode, rep.Header.Get("Location"), rep.Header["Set-Cookie"])
		}
		other := a.callback()
		other.header.Set("Cookie", v.header("x"))
		other.form.Set("code", "another")
		w.refused(w.serve(other.build()), 400, "transaction_spent")
		if n := w.op.Calls("/oauth/token"); n != 1 || v.id() != before {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A04_replay_with_the_old_cookie", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login", "")
		first := a.post()
		w.clock.add(59 * time.Second)
		second := w.serve(a.callback().build())
		if second.StatusCode != 303 || !slices.Equal(first.Header["Set-Cookie"], second.Header["Set-Cookie"]) {
			t.Error("the answer that may have been lost is not given again")
		}
		w.clock.add(2 * time.Second)
		w.refused(w.serve(a.callback().build()), 400, "transaction_spent")
		if n := w.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A06_parallel_duplicates", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login?return_to=/private", "")
		replies := make([]*reply, 20)
		arrive := newBarrier(len(replies))
		w.app = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { arrive.enter(); w.mux.ServeHTTP(rw, r) })
		w.wire.gate(func(*http.Request) { arrive.wait() }, nil)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() { replies[i] = w.serve(a.callback().build()) })
		}
		group.Wait()
		for _, rep := range replies {
			if rep.StatusCode != 303 || !slices.Equal(rep.Header["Set-Cookie"], replies[0].Header["Set-Cookie"]) {
				t.Errorf("%d %s", rep.StatusCode, rep.code())
			}
		}
		if n := w.op.Calls("/oauth/token"); n != 1 {
			t.Errorf("%d redemptions", n)
		}
	})
	t.Run("A06_parallel_duplicates_of_a_refusal", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) { delete(a.Claims, "nonce") })
		a := w.visitor().answer("/auth/login", "")
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { w.refused(w.serve(a.callback().build()), 400, "id_token_nonce") })
		}
		group.Wait()
	})
	// L15: different answers to one request race each other. One of them is the attempt, whoever sent it.
	t.Run("L15_parallel_different_answers", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login", "")
		replies := make([]*reply, 20)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() {
				c := a.callback()
				c.form.Set("x", strconv.Itoa(i))
				replies[i] = w.serve(c.build())
			})
		}
		group.Wait()
		passed := 0
		for _, rep := range replies {
			if rep.StatusCode == 303 {
				passed++
				continue
			}
			w.refused(rep, 400, "transaction_spent")
		}
		if n := w.op.Calls("/oauth/token"); n != 1 || passed != 1 {
			t.Errorf("%d pass, %d redemptions", passed, n)
		}
	})
	t.Run("A49_reload_after_the_marker_is_over", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		a := v.answer("/auth/login?return_to=/private", "")
		a.post()
		before := v.id()
		w.clock.add(16 * time.Minute)
		c := a.callback()
		c.header.Set("Cookie", v.header("x")) // a browser whose clock is behind
		w.refused(w.serve(c.build()), 400, "transaction_spent")
		c.header.Del("Cookie")
		rep := w.serve(c.build())
		w.refused(rep, 400, "transaction_missing")
		if !strings.Contains(rep.body, `href="/`) {
			t.Error("the page shows no way on")
		}
		if v.id() != before {
			t.Error("the session is another one")
		}
	})
	t.Run("A58_browser_refuses_what_a_sibling_sets", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.visitor().answer("/auth/login", "")
		name, value, _ := strings.Cut(a.cookie, "=")
		b := optest.NewBrowser(nil)
		b.SetCookies("https://evil.app.example", &http.Cookie{Name: name, Value: value, Domain: "app.example", Path: "/", Secure: true})
		b.SetCookies(site, &http.Cookie{Name: name, Value: value, Path: "/auth", Secure: true})
		if kept := b.Cookies(callbackOf(site)); len(kept) != 0 {
			t.Errorf("kept %v", kept)
		}
	})
}

func callbackOf(origin string) string { return origin + "/auth/callback" }

// barrier waits until a number of goroutines has come.
type barrier struct {
	mu   sync.Mutex // guards left
	left int
	full chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{left: n, full: make(chan struct{})} }

func (b *barrier) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left == 0 {
		close(b.full)
	}
}

func (b *barrier) wait() { <-b.full }

// TestCallbackCookie changes the transaction cookie.
func TestCallbackCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := newWorld(t, func(s *settings) { s.auth.Keys = [][]byte{attackKey("two")} })
	name := func(a *attempt) string { n, _, _ := strings.Cut(a.cookie, "="); return n }
	value := func(a *attempt) string { _, v, _ := strings.Cut(a.cookie, "="); return v }
	for _, row := range []struct {
		name  string
		value func(t *testing.T, a *attempt) string
	}{
		{"A08_truncated", func(_ *testing.T, a *attempt) string { return value(a)[:len(value(a))-5] }},
		{"A08_empty", func(*testing.T, *attempt) string { return "" }},
		{"A08_longer", func(_ *testing.T, a *attempt) string { return value(a) + "AAAA" }},
		{"A08_quoted", func(_ *testing.T, a *attempt) string { return `"` + value(a) + `"` }},
		{"A08_of_another_state", func(_ *testing.T, a *attempt) string { return value(a.v.begin("/auth/login")) }},
		{"A08_made_with_another_key", func(*testing.T, *attempt) string { return value(stranger.visitor().begin("/auth/login")) }},
		{"A08_session_cookie_as_transaction", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			b.login("/auth/login", "")
			return b.cookies[sessionName]
		}},
		{"A08_logout_cookie_as_transaction", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			b.send(formPost("/auth/logout", url.Values{}))
			return b.cookies[cookiePrefix+"o"]
		}},
		// L12: what ends a login must not begin one.
		{"L12_done_marker_of_another_login", func(_ *testing.T, a *attempt) string {
			b := a.v.w.visitor()
			done := b.answer("/auth/login", "")
			done.post()
			return b.cookies[name(done)]
		}},
		// X07: sealed by the right key for the right name, but of a later format.
		{"X07_unknown_format", func(t *testing.T, a *attempt) string {
			box := insideBox(t, w, "transaction")
			plain, err := box.Open(value(a), name(a))
			if err != nil {
				t.Fatal(err)
			}
			plain[0]++
			sealed, _ := box.Seal(plain, name(a))
			return sealed
		}},
		// L12: sealed by the right key for the right name, but with the request of another state in it.
		{"L12_transaction_of_another_state", func(t *testing.T, a *attempt) string {
			box, other := insideBox(t, w, "transaction"), a.v.begin("/auth/login")
			plain, err := box.Open(value(other), name(other))
			if err != nil {
				t.Fatal(err)
			}
			sealed, _ := box.Seal(plain, name(a))
			return sealed
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := *w
			w.TB = t
			a := w.visitor().answer("/auth/login", "")
			c := a.callback()
			c.header.Set("Cookie", name(a)+"="+row.value(t, a))
			calls := w.op.Calls("/oauth/token")
			w.refused(w.serve(c.build()), 400, "transaction_invalid")
			if w.op.Calls("/oauth/token") != calls {
				t.Error("the code was redeemed")
			}
		})
	}
	t.Run("A08_every_byte_counts", func(t *testing.T) {
		w := *w
		w.TB = t
		a := w.visitor().answer("/auth/login", "")
		for i := range value(a) {
			c, flipped := a.callback(), []byte(value(a))
			flipped[i] = "AB"[b2i(flipped[i] == 'A')]
			c.header.Set("Cookie", name(a)+"="+string(flipped))
			w.refused(w.serve(c.build()), 400, "transaction_invalid")
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// insideBox is the app's own box, as if its key had leaked: for values that only the app could make.
func insideBox(t *testing.T, w *world, purpose string) *seal.Box {
	t.Helper()
	ring, err := seal.NewRing([][]byte{attackKey("one")}, ownerOf(w.client))
	if err != nil {
		t.Fatal(err)
	}
	box, err := ring.Box(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestCallbackTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		toAsk, toPost time.Duration // what the user takes at the provider, and the answer to come
		status        int
		code          string
	}{
		{"A07_control_a_second_before_its_end", 14 * time.Minute, 59 * time.Second, 303, ""},
		{"A07_expired", 14 * time.Minute, 61 * time.Second, 400, "transaction_expired"},
		{"A07_expired_to_the_second", 14 * time.Minute, 60 * time.Second, 400, "transaction_expired"},
		{"A07_long_ago", 14 * time.Minute, 300 * 24 * time.Hour, 400, "transaction_expired"},
		// X08: the answer lay about, though the user was quick.
		{"X08_old_id_token", 0, 11 * time.Minute, 400, "id_token_issued_at"},
		// L14: clocks that jump back do not end a login, and do not prolong it for ever: the provider's word does.
		{"L14_clock_back_a_little", 0, -20 * time.Second, 303, ""},
		{"L14_clock_back_a_year", 0, -365 * 24 * time.Hour, 400, "id_token_issued_at"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.visitor().begin("/auth/login")
			w.clock.add(row.toAsk)
			a.ask("")
			w.clock.add(row.toPost)
			rep := w.serve(a.callback().build())
			if row.status == 303 && rep.StatusCode == 303 {
				return
			}
			w.refused(rep, row.status, row.code)
			if n := w.op.Calls("/oauth/token"); n != 0 {
				t.Errorf("%d redemptions", n)
			}
		})
	}
}
