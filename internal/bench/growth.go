package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
)

// growthSection shows what one more key, cookie or kilobyte costs.
func growthSection(ctx context.Context, o options, r *report) error {
	for _, f := range []func(context.Context, options, *report) error{growKeys, growCookies, growTokens} {
		if err := f(ctx, o, r); err != nil {
			return err
		}
	}
	return nil
}

// slope is what one more of something costs, between the first and the last row.
func slope(s samples, from, to float64) float64 {
	return (s[len(s)-1].micros() - s[0].micros()) / (to - from)
}

// growKeys: a login with more keys in the JWKS, and what their fetch takes.
func growKeys(ctx context.Context, o options, r *report) error {
	counts := []int{1, 100, 10_000}
	rows := [][]string{}
	var cost []contender
	var firsts []float64
	for _, n := range counts {
		k := newKey("RS256", "ours")
		a := newAuthority(k)
		defer a.close()
		a.document = manyKeys(k, n)
		f, err := withOurResponse(ctx, a, k)
		if err != nil {
			return err
		}
		before := time.Now()
		if err := f(""); err != nil {
			return err
		}
		firsts = append(firsts, float64(time.Since(before).Microseconds())/1000)
		cost = append(cost, contender{fmt.Sprint(n), func() { must(f("")) }})
	}
	s := compare(o, cpuTime, cost...)
	for i, c := range s {
		rows = append(rows, []string{c.name, number(c.micros(), 1), number(firsts[i], 1)})
	}
	r.table([]string{"keys in the JWKS", "µs for VerifyResponse", "ms for the first one, which fetches"}, rows...)
	r.printf("Slope: %.5f µs a key and login. Keys are found by their kid in a map; only the fetch, once an hour, reads them all.\n\n",
		slope(s, 1, 10_000))
	return nil
}

// manyKeys is a JWKS of n keys, one of which can be used. The others look like RSA keys; nobody signs with them.
func manyKeys(k signKey, n int) []byte {
	text := string(keySetJSON([]signKey{k}))
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(text, "]}"))
	modulus := make([]byte, 256)
	for i := 1; i < n; i++ {
		_, _ = rand.Read(modulus) // never fails
		modulus[0] |= 0x80
		modulus[255] |= 1
		fmt.Fprintf(&b, `,{"kty":"RSA","use":"sig","alg":"RS256","kid":"other-%d","e":"AQAB","n":%q}`, i, base64.RawURLEncoding.EncodeToString(modulus))
	}
	b.WriteString("]}")
	return []byte(b.String())
}

// growCookies: a request with other cookies around ours.
func growCookies(ctx context.Context, o options, r *report) error {
	w, err := newWorld(ctx, setup{})
	if err != nil {
		return err
	}
	defer w.close()
	cookies, err := w.login(ctx)
	if err != nil {
		return err
	}
	nothing := w.auth.RequireLogin(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var list []contender
	for _, n := range []int{2, 5, 10, 25, 50} {
		line := ""
		for i := range n - 2 {
			line += fmt.Sprintf("other%d=%s; ", i, random(32))
		}
		list = append(list, contender{fmt.Sprint(n), serve(nothing, navigation(ctx, "/", line+cookies), http.StatusOK)})
	}
	s := compare(o, cpuTime, list...)
	rows := [][]string{}
	for _, c := range s {
		rows = append(rows, []string{c.name, number(c.micros(), 2), number(c.allocs, 0)})
	}
	r.table([]string{"cookies in the request, two of them ours", "µs for RequireLogin", "allocations"}, rows...)
	r.printf("Slope: %.3f µs a cookie; what is below 0.02 is noise. The header is read once, from left to right; a foreign cookie is passed over by its name.\n\n", slope(s, 2, 50))
	return nil
}

// growTokens: a login and a request with larger tokens. Sessions beyond 7 KB do not fit into cookies, so these are in a store.
func growTokens(ctx context.Context, o options, r *report) error {
	k := newKey("RS256", "2026-11")
	a := newAuthority(k)
	defer a.close()
	var logins, requests []contender
	sizes := []int{1, 2, 4, 8, 16}
	verify, err := withOurs(ctx, a, k)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		raw := a.idToken(k, size<<10, nil)
		logins = append(logins, contender{fmt.Sprint(size), func() { must(verify(raw)) }})
		w, err := newWorld(ctx, setup{tokens: size << 10, auth: func(c *middleware.Config) { c.Store = &memory{} }})
		if err != nil {
			return err
		}
		defer w.close()
		cookies, err := w.login(ctx)
		if err != nil {
			return err
		}
		requests = append(requests, contender{fmt.Sprint(size), serve(w.auth.RequireTokens(http.HandlerFunc(showToken)), navigation(ctx, "/", cookies), http.StatusOK)})
	}
	l, q := compare(o, cpuTime, logins...), compare(o, cpuTime, requests...)
	rows := [][]string{}
	for i := range l {
		rows = append(rows, []string{l[i].name, number(l[i].micros(), 1), number(q[i].micros(), 1), number(q[i].bytes, 0)})
	}
	r.table([]string{"KB of each token", "µs to verify the ID Token", "µs for RequireTokens, tokens in a store", "bytes"}, rows...)
	r.printf("Slope: %.2f µs a KB to verify (hash, base64, one pass of JSON), %.2f µs a KB and request (base64 and AES-GCM of what is stored). "+
		"The first is a straight line. The second bends upwards with the garbage: a request that opens its tokens leaves six times the size of "+
		"one behind. Both end at 64 KB for a token; a session in cookies ends at 7 KB.\n\n",
		slope(l, 1, 16), slope(q, 1, 16))
	return nil
}

// memory is a SessionStore that forgets nothing: the store that costs least.
type memory struct {
	sessions.CookieStore // never asked: package middleware uses what follows

	mu   sync.Mutex // guards what follows
	kept map[string]memorized
}

// memorized is one session.
type memorized struct {
	data    []byte
	version uint64
}

// Load implements middleware.SessionStore.
func (m *memory) Load(_ context.Context, id string, _ ...string) ([]byte, uint64, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.kept[id]
	if !ok {
		return nil, 0, time.Time{}, middleware.ErrNoSession
	}
	return s.data, s.version, time.Time{}, nil
}

// Put implements middleware.SessionStore.
func (m *memory) Put(_ context.Context, id string, data []byte, o middleware.PutOptions) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept[id].version != o.Version {
		return 0, middleware.ErrConflict
	}
	if m.kept == nil {
		m.kept = map[string]memorized{}
	}
	m.kept[id] = memorized{append([]byte(nil), data...), o.Version + 1}
	return o.Version + 1, nil
}

// Delete implements middleware.SessionStore.
func (m *memory) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, id)
	return nil
}
