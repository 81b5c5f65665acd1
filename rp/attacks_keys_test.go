package rp_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Group F, keys, and J05, through VerifyResponse as a stranger or an honest user would use it. The key set's internals
// have tests of their own in keyset_test.go. J10 is in spent_test.go.

// forged returns p with an ID Token whose header says kid ("" says none). Its signature is nobody's.
func forged(p url.Values, kid string) url.Values {
	parts := strings.Split(p.Get("id_token"), ".")
	header := `{"alg":"RS256"}`
	if kid != "" {
		header = fmt.Sprintf(`{"alg":"RS256","kid":%q}`, kid)
	}
	f := maps.Clone(p)
	f.Set("id_token", base64.RawURLEncoding.EncodeToString([]byte(header))+"."+parts[1]+"."+parts[2])
	return f
}

// signedBy makes the provider sign ID Tokens with a key that it need not publish.
func signedBy(key crypto.Signer, header string) func(*optest.Answer) {
	return func(a *optest.Answer) {
		a.Sign = func(_, claims []byte) string { return optest.JWS("RS256", key, []byte(header), claims) }
	}
}

// unwatched spares the flood the work of writing down each event.
func unwatched(s *setting) { s.rp.Observe = func(context.Context, rp.Event) {} }

// verifies runs a login up to the verified answer, without the helpers' fatal ends.
func (w *world) verifies() error {
	q := w.request(rp.AuthOptions{})
	_, err := w.client.VerifyResponse(w.Context(), q, w.answer(q))
	return err
}

// F11, J05: a flood of unknown kids costs few fetches, nobody waits, and honest logins pass all the time.
func TestUnknownKidFlood(t *testing.T) {
	t.Parallel()
	t.Run("F11_ten_thousand_at_once", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, unwatched)
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			start := time.Now()
			for i := range 10_000 {
				if _, err := w.client.VerifyResponse(t.Context(), q, forged(p, fmt.Sprint("forged-", i))); rp.ErrorCode(err) != "id_token_key" {
					t.Fatal(err)
				}
			}
			w.calls(pathKeys, 1+4)
			if took := since(start); took != 0 {
				t.Errorf("somebody waited: %v", took)
			}
			_, err := w.client.VerifyResponse(t.Context(), q, p)
			w.want(err, nil)
		})
	})
	t.Run("F11_for_five_minutes", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, unwatched)
			w.lie(pathKeys, func(a *optest.Answer) { a.HTTPHeader.Set("Cache-Control", "max-age=86400") })
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			var at []time.Time
			for second := range 300 {
				before := w.op.Calls(pathKeys)
				for i := range 5 {
					_, _ = w.client.VerifyResponse(t.Context(), q, forged(p, fmt.Sprintf("f-%d-%d", second, i)))
				}
				for range w.op.Calls(pathKeys) - before {
					at = append(at, time.Now())
				}
				pass(time.Second)
			}
			for i := 6; i < len(at); i++ {
				if at[i].Sub(at[i-6]) < time.Minute {
					t.Errorf("seven fetches in %v", at[i].Sub(at[i-6]))
				}
			}
			if len(at) != 4+9 {
				t.Errorf("%d fetches in five minutes", len(at))
			}
			w.must(w.verifies())
		})
	})
	t.Run("F11_rotation_in_the_middle_of_a_flood", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			for i := range 100 {
				_, _ = w.client.VerifyResponse(t.Context(), q, forged(p, fmt.Sprint("f-", i)))
			}
			w.op.RotateKeys()
			w.want(w.verifies(), verify.ErrKey) // the bucket is empty: refused, at once
			pass(30 * time.Second)
			w.must(w.verifies())
		})
	})
	t.Run("F11_the_same_kid_spends_one_token", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			for range 1000 {
				_, err := w.client.VerifyResponse(t.Context(), q, forged(p, "same"))
				w.want(err, verify.ErrKey)
			}
			w.calls(pathKeys, 2)
			for range 3 { // the others are there for honest rotations
				w.op.RotateKeys()
				w.must(w.verifies())
			}
		})
	})
	t.Run("F11_while_the_provider_hangs", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, ours)
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			w.lie(pathKeys, func(a *optest.Answer) { a.Delay = -1 })
			var running sync.WaitGroup
			for i := range 1000 {
				running.Go(func() {
					_, err := w.client.VerifyResponse(t.Context(), q, forged(p, fmt.Sprint("f-", i)))
					if code := rp.ErrorCode(err); code != "unavailable" && code != "id_token_key" {
						t.Error(err)
					}
				})
			}
			start := time.Now()
			_, err := w.client.VerifyResponse(t.Context(), q, p) // an honest user needs no fetch
			w.must(err)
			if took := since(start); took != 0 {
				t.Errorf("the honest user waited %v", took)
			}
			running.Wait()
			if took := since(start); took > 41*time.Second {
				t.Errorf("the flood was held for %v", took)
			}
			if n := w.op.Calls(pathKeys); n > 1+6 {
				t.Errorf("%d fetches", n)
			}
		})
	})
}

// F10, F12, F13: what honest and dishonest changes of the key set do to tokens.
func TestRotation(t *testing.T) {
	t.Parallel()
	t.Run("F10_new_kid_and_a_second_one_seconds_later", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			for n := range 3 {
				w.op.RotateKeys()
				start := time.Now()
				w.must(w.verifies())
				if took := since(start); took != 0 {
					t.Errorf("it took %v", took)
				}
				w.calls(pathKeys, 2+n)
				pass(2 * time.Second)
			}
		})
	})
	t.Run("F10_while_an_older_set_is_on_its_way", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			w.lie(pathKeys, func(a *optest.Answer) { a.Delay = time.Second }) // the set is that of the request's time
			var stranger sync.WaitGroup
			stranger.Go(func() { _, _ = w.client.VerifyResponse(t.Context(), q, forged(p, "unknown")) })
			synctest.Wait()
			w.op.RotateKeys()
			w.must(w.verifies())
			stranger.Wait()
			w.calls(pathKeys, 3)
		})
	})
	t.Run("F10_between_the_two_ID_Tokens", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		a := w.verified(rp.AuthOptions{})
		w.op.RotateKeys()
		_, err := w.client.Exchange(t.Context(), a)
		w.must(err)
		w.calls(pathKeys, 2)
	})
	t.Run("F10_without_kid", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.lie("/authorize", func(a *optest.Answer) { delete(a.Header, "kid") })
		w.must(w.verifies())
		w.op.RotateKeys()
		w.must(w.verifies())
		w.calls(pathKeys, 2)
	})
	t.Run("F12_same_kid_new_key", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			kid := w.op.KeyID("RS256")
			w.op.Fault(func(a *optest.Answer) {
				if a.Header != nil {
					a.Header["kid"] = kid
				}
				if list, ok := a.JSON["keys"].([]any); ok {
					list[0].(map[string]any)["kid"] = kid
				}
			})
			w.must(w.verifies())
			w.op.RotateKeys()
			w.must(w.verifies())
			w.calls(pathKeys, 2)
			q := w.request(rp.AuthOptions{})
			p := w.answer(q)
			for range 1000 { // and a known kid with a bad signature is asked for once
				_, err := w.client.VerifyResponse(t.Context(), q, forged(p, kid))
				w.want(err, verify.ErrSignature)
			}
			w.calls(pathKeys, 3)
		})
	})
	t.Run("F13_withdrawn_key", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			old, header := w.op.Key("RS256"), fmt.Sprintf(`{"alg":"RS256","kid":%q}`, w.op.KeyID("RS256"))
			q := w.request(rp.AuthOptions{})
			pending := w.answer(q)
			w.op.RotateKeys()
			_, err := w.client.VerifyResponse(t.Context(), q, pending) // a login under way
			w.must(err)
			w.must(w.verifies()) // an honest login brings the new set
			w.lie("/authorize", signedBy(old, header))
			w.want(w.verifies(), verify.ErrKey)
		})
	})
	t.Run("F13_withdrawn_key_and_no_other_login", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.lie(pathKeys, func(a *optest.Answer) { a.HTTPHeader.Set("Cache-Control", "max-age=315360000") })
			w.must(w.verifies())
			old, header := w.op.Key("RS256"), fmt.Sprintf(`{"alg":"RS256","kid":%q}`, w.op.KeyID("RS256"))
			w.op.RotateKeys()
			w.lie("/authorize", signedBy(old, header))
			pass(49 * time.Hour)
			w.want(w.verifies(), verify.ErrKey)
		})
	})
	t.Run("F09_F13_withdrawn_key_in_an_outage", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.must(w.verifies())
			w.lie(pathKeys, status(503))
			pass(47 * time.Hour)
			w.must(w.verifies()) // the last good set serves
			pass(2 * time.Hour)
			w.want(w.verifies(), joined(rp.ErrUnavailable, verify.ErrKeySet))
			w.op.Fault(nil)
			pass(time.Minute)
			w.must(w.verifies())
		})
	})
}

// F09, E17: while the provider is down and the copies are due, each request would like to renew them: few do.
func TestNoStormInAnOutage(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		q := w.request(rp.AuthOptions{})
		p := w.answer(q)
		_, err := w.client.VerifyResponse(t.Context(), q, p)
		w.must(err)
		pass(9 * time.Minute) // optest's sets are fresh for 5 minutes
		w.op.Fault(status(503))
		for range 50 {
			for range 10 {
				_, err := w.client.VerifyResponse(t.Context(), q, p)
				w.must(err)
			}
			pass(time.Second)
		}
		if n := w.op.Calls(pathKeys) - 1; n < 2 || n > 10 {
			t.Errorf("asked %d times in an outage of 50 seconds", n)
		}
	})
}

// F04, F09, F14: what is no key set does not replace one, and one bad key does not spoil the good ones.
func TestPoisonedKeySet(t *testing.T) {
	t.Parallel()
	garbage := []any{
		nil, 7, "key",
		[]any{},
		map[string]any{},
		map[string]any{"kty": "RSA"},
		map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"},
		map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
		map[string]any{"kty": "OKP", "crv": "Ed25519", "x": ""},
		map[string]any{"kty": 7},
		map[string]any{"kty": "RSA", "n": 7, "e": map[string]any{}},
	}
	mine := func(change func(key map[string]any)) func(*optest.Answer) {
		return func(a *optest.Answer) { change(a.JSON["keys"].([]any)[0].(map[string]any)) }
	}
	down := joined(rp.ErrUnavailable, verify.ErrKeySet)
	for _, row := range []struct {
		name string
		lie  func(*optest.Answer)
		want error
	}{
		{"F14_garbage_before_and_after", func(a *optest.Answer) {
			a.JSON["keys"] = slices.Concat(garbage, a.JSON["keys"].([]any), garbage)
		}, nil},
		{"F14_bad_key_of_the_same_kid_before", func(a *optest.Answer) {
			key := maps.Clone(a.JSON["keys"].([]any)[0].(map[string]any))
			key["n"] = "AQAB"
			a.JSON["keys"] = append([]any{key}, a.JSON["keys"].([]any)...)
		}, nil},
		{"F14_members_that_nobody_knows", mine(func(k map[string]any) { k["x5c"], k["x-odd"], k["ext"] = []string{"no"}, []any{1}, true }), nil},
		{"F14_no_alg_no_use", mine(func(k map[string]any) { delete(k, "alg"); delete(k, "use") }), nil},
		{"F14_only_garbage", func(a *optest.Answer) { a.JSON["keys"] = garbage }, down},
		{"F14_empty", func(a *optest.Answer) { a.JSON["keys"] = []any{} }, down},
		{"F14_null", body(`{"keys":null}`), down},
		{"F04_html", contentType("text/html"), down},
		{"F04_array", body(`[]`), down},
		{"F04_endless", web(endless), down},
		{"F04_gzip_bomb", web(bomb), down},
		{"F04_breaks_off", web(breakOff), down},
		{"F04_204", func(a *optest.Answer) { a.Status, a.Body = 204, []byte{} }, down},
		{"C05_another_type_under_the_kid", mine(func(k map[string]any) {
			kid := k["kid"]
			clear(k)
			maps.Copy(k, map[string]any{
				"kty": "EC", "crv": "P-256", "kid": kid, "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
				"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
			})
		}), verify.ErrKey},
		{"C18_another_alg", mine(func(k map[string]any) { k["alg"] = "RS512" }), verify.ErrKey},
		{"C18_use_enc", mine(func(k map[string]any) { k["use"] = "enc" }), down},
		{"C18_key_ops", mine(func(k map[string]any) { k["key_ops"] = []string{"encrypt"} }), down},
		{"C19_private_exponent_beside_it", mine(func(k map[string]any) { k["d"] = "AQAB" }), down},
		{"C19_symmetric", mine(func(k map[string]any) { k["k"] = "AQAB" }), down},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.lie(pathKeys, row.lie)
			w.want(w.verifies(), row.want)
			if !errors.Is(row.want, rp.ErrUnavailable) {
				return
			}
			later := newWorld(t, nil) // the same, once a good set is there
			later.must(later.verifies())
			later.lie(pathKeys, row.lie)
			q := later.request(rp.AuthOptions{})
			p := later.answer(q)
			_, err := later.client.VerifyResponse(t.Context(), q, forged(p, "unknown")) // fetches
			later.want(err, down)
			_, err = later.client.VerifyResponse(t.Context(), q, p)
			later.must(err)
			later.calls(pathKeys, 2)
		})
	}
}

// F15: many keys load, and many keys of one kid, or a token without kid, cost a bounded number of checks.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	other := optest.NewHandler(opIssuer, optest.Config{})
	many := func(a *optest.Answer, n int, change func(i int, key map[string]any)) {
		list := a.JSON["keys"].([]any)
		foreign := jwkOf(t, other)
		var before []any
		for i := range n {
			key := maps.Clone(foreign)
			change(i, key)
			before = append(before, key)
		}
		a.JSON["keys"] = append(before, list...)
	}
	for _, row := range []struct {
		name   string
		n      int
		sameID bool
		noKid  bool
		want   error
	}{
		{"F15_ten_thousand_kids", 10_000, false, false, nil},
		{"F15_one_other_key_of_the_same_kid", 1, true, false, nil},
		{"F15_one_other_key_and_a_token_without_kid", 1, false, true, nil},
		{"F15_ten_thousand_equal_keys_of_the_same_kid_count_once", 10_000, true, false, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			kid := w.op.KeyID("RS256")
			w.op.Fault(func(a *optest.Answer) {
				if a.Endpoint == pathKeys {
					many(a, row.n, func(i int, key map[string]any) {
						if key["kid"] = fmt.Sprint("foreign-", i); row.sameID {
							key["kid"] = kid
						}
					})
				}
				if row.noKid && a.Header != nil {
					delete(a.Header, "kid")
				}
			})
			w.want(w.verifies(), row.want)
		})
	}
}

func jwkOf(t *testing.T, h *optest.Handler) map[string]any {
	t.Helper()
	var set struct{ Keys []map[string]any }
	mustUnmarshal(t, h.JWKS(), &set)
	return set.Keys[0]
}

// F16: a thousand logins that are the first share one fetch, and whoever leaves spoils it for nobody.
func TestFirstFetchIsShared(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.lie(pathKeys, func(a *optest.Answer) { a.Delay = time.Second })
		q := w.request(rp.AuthOptions{})
		p := w.answer(q)
		leader, leave := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			_, err := w.client.VerifyResponse(leader, q, p)
			w.want(err, joined(context.Canceled, rp.ErrUnavailable, verify.ErrKeySet))
		})
		synctest.Wait() // the leader's fetch is on its way
		leave()
		var passed atomic.Int64
		for range 1000 {
			running.Go(func() {
				if _, err := w.client.VerifyResponse(t.Context(), q, p); err == nil {
					passed.Add(1)
				}
			})
		}
		running.Wait()
		if passed.Load() != 1000 {
			t.Errorf("%d of 1000 passed", passed.Load())
		}
		w.calls(pathKeys, 1)
	})
}

// F17: how long a set is used without asking, whatever the provider says: at least 5 minutes, at most a day.
func TestFreshnessIsClamped(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		header string
		before time.Duration // until then no fetch
		after  time.Duration // by then one
	}{
		"F17_zero":      {"max-age=0", 4 * time.Minute, 6 * time.Minute},
		"F17_no_store":  {"no-store", 4 * time.Minute, 6 * time.Minute},
		"F17_ten_years": {"max-age=315360000", 23 * time.Hour, 25 * time.Hour},
		"F17_an_hour":   {"public, max-age=3600", 59 * time.Minute, 61 * time.Minute},
		"F17_overflow":  {"max-age=9223372036854775808", 4 * time.Minute, 25 * time.Hour},
		"F17_nonsense":  {"max-age=;;,=,\"", 4 * time.Minute, 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.lie(pathKeys, func(a *optest.Answer) { a.HTTPHeader.Set("Cache-Control", row.header) })
				w.must(w.verifies())
				pass(row.before)
				w.must(w.verifies())
				synctest.Wait()
				w.calls(pathKeys, 1)
				pass(row.after - row.before)
				w.must(w.verifies())
				synctest.Wait()
				w.calls(pathKeys, 2)
			})
		})
	}
}

// X27: keys that cannot be had are no verdict about a token: the same answer passes later, and costs no code.
func TestNoKeysIsNoVerdict(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		q := w.request(rp.AuthOptions{})
		p := w.answer(q)
		w.lie(pathKeys, status(503))
		_, err := w.client.VerifyResponse(t.Context(), q, p)
		w.want(err, joined(rp.ErrUnavailable, verify.ErrKeySet))
		w.op.Fault(nil)
		pass(5 * time.Second)
		a, err := w.client.VerifyResponse(t.Context(), q, p)
		w.must(err)
		_, err = w.client.Exchange(t.Context(), a)
		w.must(err)
	})
}

// X28: keys rotate while many log in; with -race this is also a test of the locks.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 5 {
				q, err := w.client.NewAuthRequest(t.Context(), rp.AuthOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.client.VerifyResponse(t.Context(), q, w.answer(q)); err != nil && rp.ErrorCode(err) != "id_token_key" {
					t.Error(err) // a token that was signed before a rotation may be refused after it
				}
			}
		})
	}
	running.Go(func() {
		for range 3 {
			w.op.RotateKeys()
		}
	})
	running.Wait()
	w.must(w.verifies())
}

// X29: Close ends everything, in the middle of everything, and a closed client says so.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, lazy)
		w.lie(pathKeys, func(a *optest.Answer) { a.Delay = -1 })
		q := w.request(rp.AuthOptions{})
		p := w.answer(q)
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				_, err := w.client.VerifyResponse(t.Context(), q, p)
				if code := rp.ErrorCode(err); code != "unavailable" && code != "canceled" && code != "closed" {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		w.must(w.client.Close())
		running.Wait()
		if took := since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
		if _, err := w.client.VerifyResponse(t.Context(), q, p); rp.ErrorCode(err) != "closed" {
			t.Error(err)
		}
	})
}
