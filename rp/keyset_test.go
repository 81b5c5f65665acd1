package rp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// clock is a clock that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) forward(d time.Duration) { c.offset.Add(int64(d)) }

// keySetOf returns a client, its clock and its provider, before the first key was fetched.
func keySetOf(t *testing.T) (*rp.Client, *clock, *optest.Server) {
	t.Helper()
	clock := &clock{}
	op := newOP(t, optest.Config{})
	return newClient(t, op, func(c *rp.Config) { c.Now = clock.now }), clock, op
}

// ask iterates over all candidates for kid, as verify does with a token that none of them signed.
func ask(ctx context.Context, c *rp.Client, kid string) (keys int, err error) {
	for _, keyErr := range rp.KeySetOf(c).Keys(ctx, "RS256", kid) {
		if keyErr != nil {
			return keys, keyErr
		}
		keys++
	}
	return keys, nil
}

func wantFetches(t *testing.T, op *optest.Server, want int) {
	t.Helper()
	if got := op.Calls("/jwks"); got != want {
		t.Errorf("%d fetches of the key set, want %d", got, want)
	}
}

func TestF11_J05_ten_thousand_unknown_kids_make_few_fetches(t *testing.T) {
	t.Parallel()
	client, clock, op := keySetOf(t)
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for worker := range 50 {
		running.Go(func() {
			for i := range 200 {
				if n, err := ask(t.Context(), client, fmt.Sprintf("forged-%d-%d", worker, i)); n != 0 || err != nil {
					t.Errorf("%d keys, %v", n, err)
				}
			}
		})
	}
	running.Wait()
	wantFetches(t, op, 1+4)
	clock.forward(30 * time.Second)
	for i := range 10 {
		_, _ = ask(t.Context(), client, fmt.Sprintf("later-%d", i))
	}
	wantFetches(t, op, 1+4+1)
}

func TestF11_L21_forged_logout_tokens_take_no_fetch_from_the_logins(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	honest := strings.Split(op.LogoutToken(map[string]any{"sub": "alice"}), ".")
	for i := range 1000 {
		header := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","kid":"forged-%d"}`, i))
		if _, err := client.VerifyLogoutToken(t.Context(), header+"."+honest[1]+"."+honest[2]); !errors.Is(err, verify.ErrKey) {
			t.Fatalf("%v, want ErrKey", err)
		}
	}
	wantFetches(t, op, 1+2)
	for range 4 {
		op.RotateKeys()
		if n, err := ask(t.Context(), client, op.KeyID("RS256")); n == 0 || err != nil {
			t.Fatalf("%d keys, %v", n, err)
		}
	}
	wantFetches(t, op, 1+2+4)
}

func TestF10_two_rotations_within_seconds_are_followed(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	for range 3 {
		if n, err := ask(t.Context(), client, op.KeyID("RS256")); n == 0 || err != nil {
			t.Fatalf("%d keys, %v", n, err)
		}
		op.RotateKeys()
	}
}

func TestF11_the_same_kid_is_not_asked_for_twice_within_30_seconds(t *testing.T) {
	t.Parallel()
	client, clock, op := keySetOf(t)
	for range 20 {
		_, _ = ask(t.Context(), client, "unknown")
	}
	wantFetches(t, op, 2)
	clock.forward(30 * time.Second)
	_, _ = ask(t.Context(), client, "unknown")
	wantFetches(t, op, 3)
}

func TestF12_a_known_kid_whose_keys_all_fail_is_refetched_once(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	kid := op.KeyID("RS256")
	for range 5 {
		if n, err := ask(t.Context(), client, kid); n != 1 || err != nil {
			t.Fatalf("%d keys, %v", n, err)
		}
	}
	wantFetches(t, op, 2)
}

func TestF16_a_thousand_first_callers_share_one_fetch_and_one_who_leaves_spoils_nothing(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/jwks" {
			honest := op.JWKS()
			a.Respond = func(w http.ResponseWriter, _ *http.Request) {
				close(arrived) // a second request would panic here
				<-release
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(honest)
			}
		}
	})
	leader, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- clientReady(leader, client) }()
	<-arrived
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left: %v", err)
	}
	var running sync.WaitGroup
	for range 1000 {
		running.Go(func() {
			if err := clientReady(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	running.Wait()
	wantFetches(t, op, 1)
}

func clientReady(ctx context.Context, c *rp.Client) error { return c.Ready(ctx) }

func TestF09_the_last_good_set_serves_through_an_outage_up_to_its_largest_age(t *testing.T) {
	t.Parallel()
	client, clock, op := keySetOf(t)
	kid := op.KeyID("RS256")
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	op.Fault(func(a *optest.Answer) { a.Status = http.StatusServiceUnavailable })
	clock.forward(47 * time.Hour)
	if err := client.Ready(t.Context()); err != nil {
		t.Errorf("after 47 hours: %v", err)
	}
	for key, err := range rp.KeySetOf(client).Keys(t.Context(), "RS256", kid) {
		if err != nil || key.ID != kid {
			t.Errorf("after 47 hours: %v", err)
		}
		break
	}
	clock.forward(2 * time.Hour)
	if err := client.Ready(t.Context()); !errors.Is(err, rp.ErrUnavailable) {
		t.Errorf("after 49 hours: %v", err)
	}
	op.Fault(nil)
	clock.forward(time.Minute)
	if err := client.Ready(t.Context()); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestF13_a_withdrawn_key_ends_with_the_next_refresh(t *testing.T) {
	t.Parallel()
	client, clock, op := keySetOf(t)
	old := op.KeyID("RS256")
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	op.RotateKeys()
	clock.forward(25 * time.Hour) // nobody asked for longer than any set is fresh
	if n, err := ask(t.Context(), client, old); n != 0 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

func TestADueSetIsRenewedBehindTheCaller(t *testing.T) {
	t.Parallel()
	client, clock, op := keySetOf(t)
	op.Fault(func(a *optest.Answer) { a.HTTPHeader.Set("Cache-Control", "max-age=3600") })
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	hang := make(chan struct{})
	defer close(hang)
	op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/jwks" {
			a.Respond = func(http.ResponseWriter, *http.Request) { <-hang }
		}
	})
	clock.forward(90 * time.Minute)
	if err := client.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestF08_a_provider_that_is_down_is_asked_seldom(t *testing.T) {
	t.Parallel()
	clock := &clock{}
	op := newOP(t, optest.Config{})
	op.Fault(func(a *optest.Answer) { a.Status = http.StatusBadGateway })
	client := newClient(t, op, func(c *rp.Config) { c.Discovery, c.Now = rp.Lazy, clock.now })
	for range 100 {
		if _, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{}); !errors.Is(err, rp.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := op.Calls("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	op.Fault(nil)
	clock.forward(5 * time.Second)
	if _, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{}); err != nil {
		t.Errorf("it does not heal: %v", err)
	}
}

func TestF17_cache_control_is_clamped(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"":                                time.Hour,
		"public":                          time.Hour,
		"max-age=0":                       5 * time.Minute,
		"max-age=315360000":               24 * time.Hour,
		"max-age=99999999999999999999":    time.Hour,
		"max-age=-1":                      time.Hour,
		"no-store":                        5 * time.Minute,
		"No-Cache, max-age=7200":          5 * time.Minute,
		"public, MAX-AGE=7200":            2 * time.Hour,
		`max-age="7200", must-revalidate`: 2 * time.Hour,
	} {
		if got := rp.Freshness(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	arrived := make(chan struct{})
	op.Fault(func(a *optest.Answer) {
		a.Respond = func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		}
	})
	result := make(chan error, 1)
	go func() { result <- clientReady(context.Background(), client) }()
	<-arrived
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; err == nil {
		t.Error("the fetch ended well")
	}
	if err := client.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := client.Ready(t.Context()); err == nil {
		t.Error("a closed client fetches")
	}
}

// jwk makes a JWK from members.
func jwk(members ...string) string { return "{" + strings.Join(members, ",") + "}" }

func TestKeysThatAreOddAreSkippedAndNeverFatal(t *testing.T) {
	t.Parallel()
	const (
		ec = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
		ed = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	)
	big := strings.Repeat("_", 342) // 2048 bits and all of them one
	for _, tc := range []struct {
		name, key string
		used      bool
	}{
		{"EC (RFC 7515, A.3)", jwk(ec), true},
		{"Ed25519 (RFC 8037, A.2)", jwk(ed), true},
		{"RSA of 2048 bits", jwk(`"kty":"RSA"`, `"n":"`+big+`"`, `"e":"AQAB"`), true},
		{"use sig and key_ops verify", jwk(ec, `"use":"sig"`, `"key_ops":["verify"]`), true},
		{"a broken certificate beside a good key", jwk(ec, `"x5c":["AAAA"]`, `"x5t":"?"`, `"x5u":"::"`), true},
		{"C18_use_enc", jwk(ec, `"use":"enc"`), false},
		{"C18_key_ops_without_verify", jwk(ec, `"key_ops":["encrypt"]`), false},
		{"C18_use_is_a_number", jwk(ec, `"use":7`), false},
		{"C18_use_is_null", jwk(ec, `"use":null`), false},
		{"C18_key_ops_is_a_text", jwk(ec, `"key_ops":"verify"`), false},
		{"C18_alg_is_a_number", jwk(ec, `"alg":7`), false},
		{"C19_symmetric", jwk(`"kty":"oct"`, `"k":"AAAA"`), false},
		{"C19_private", jwk(ec, `"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"`), false},
		{"C08_RSA_512_bits", jwk(`"kty":"RSA"`, `"n":"`+big[:86]+`"`, `"e":"AQAB"`), false},
		{"C08_RSA_16384_bits", jwk(`"kty":"RSA"`, `"n":"`+strings.Repeat(big, 8)+`"`, `"e":"AQAB"`), false},
		{"C08_RSA_12288_bits", jwk(`"kty":"RSA"`, `"n":"`+strings.Repeat(big, 6)+`"`, `"e":"AQAB"`), false},
		{"C08_exponent_even", jwk(`"kty":"RSA"`, `"n":"`+big+`"`, `"e":"BA"`), false},
		{"C08_exponent_of_five_bytes", jwk(`"kty":"RSA"`, `"n":"`+big+`"`, `"e":"AgAAAAE"`), false},
		{"C08_exponent_one", jwk(`"kty":"RSA"`, `"n":"`+big+`"`, `"e":"AQ"`), false},
		{"C08_exponent_huge", jwk(`"kty":"RSA"`, `"n":"`+big+`"`, `"e":"`+big[:20]+`"`), false},
		{"C08_modulus_even", jwk(`"kty":"RSA"`, `"n":"`+big[:339]+`__g"`, `"e":"AQAB"`), false},
		{"C09_point_not_on_the_curve", jwk(strings.Replace(ec, "f83O", "f83P", 1)), false},
		{"C09_Ed25519_of_wrong_length", jwk(`"kty":"OKP"`, `"crv":"Ed25519"`, `"x":"AAAA"`), false},
		{"F14_secp256k1", jwk(strings.Replace(ec, "P-256", "secp256k1", 1)), false},
		{"F14_X25519", jwk(strings.Replace(ed, "Ed25519", "X25519", 1)), false},
		{"F14_unknown_kty", jwk(`"kty":"moon"`), false},
		{"F14_no_kty", jwk(`"kid":"a"`), false},
		{"F14_not_an_object", `"key"`, false},
		{"F14_kid_is_a_number", jwk(ec, `"kid":1`), false},
		{"F14_member_twice", jwk(ec, `"kid":"a"`, `"kid":"b"`), false},
		{"F14_member_twice_deep_inside", jwk(ec, `"x-odd":[{"a":{"b":1,"b":2}}]`), false},
		{"F14_lone_surrogate", jwk(ec, `"kid":"\ud800"`), false},
		{"F14_invalid_UTF_8", jwk(ec, "\"kid\":\"\xff\""), false},
		{"F14_kid_is_huge", jwk(ec, `"kid":"`+strings.Repeat("k", 2000)+`"`), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			keys, skipped, err := rp.ParseKeys(`{"keys":[` + tc.key + `,` + jwk(ed, `"kid":"good"`) + `]}`)
			if err != nil {
				t.Fatal(err)
			}
			if keys[len(keys)-1].ID != "good" {
				t.Error("the good key beside it is lost")
			}
			if used := len(keys) == 2; used != tc.used || len(keys)+len(skipped) != 2 {
				t.Errorf("used %v, want %v: %v", used, tc.used, skipped)
			}
		})
	}
}

// F14: what is odd about a key costs that key, what is odd about the set costs the set.
func TestOddKeySets(t *testing.T) {
	t.Parallel()
	const good = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"good"}`
	const odd = `{"kid":"a","kid":"b"}`
	for name, row := range map[string]struct {
		text string
		read bool
	}{
		"F14_several_odd_ones":           {`{"a":[1],"keys" : [ ` + odd + ` , ` + good + `,` + odd + `,{"kid":"\udfff"}` + ` ] , "b":{}}`, true},
		"F14_keys_twice":                 {`{"keys":[` + odd + `],"keys":[` + good + `]}`, false},
		"F14_keys_twice_in_other_order":  {`{"keys":[` + good + `],"keys":[` + odd + `]}`, false},
		"F14_keys_in_another_case":       {`{"Keys":[` + odd + `,` + good + `]}`, false},
		"F14_another_member_twice":       {`{"a":1,"a":2,"keys":[` + odd + `,` + good + `]}`, false},
		"F14_another_member_odd":         {`{"a":` + odd + `,"keys":[` + odd + `,` + good + `]}`, false},
		"F14_ends_too_early":             {`{"keys":[` + odd + `,` + good, false},
		"F14_ends_in_a_key":              {`{"keys":[` + odd + `,{"kid`, false},
		"F14_goes_on":                    {`{"keys":[` + odd + `,` + good + `]}{}`, false},
		"F14_no_object":                  {`[` + odd + `]`, false},
		"F14_keys_are_no_array":          {`{"keys":` + odd + `}`, false},
		"F14_nothing":                    {``, false},
		"F14_only_odd_ones_are_no_error": {`{"keys":[` + odd + `]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, skipped, err := rp.ParseKeys(row.text)
			if (err == nil) != row.read {
				t.Fatalf("error %v", err)
			}
			if row.read && (len(skipped) == 0 || strings.Contains(row.text, "good") != (len(keys) == 1)) {
				t.Errorf("%d keys, skipped %v", len(keys), skipped)
			}
		})
	}
}

func TestF15_ten_thousand_keys_load(t *testing.T) {
	t.Parallel()
	client, _, op := keySetOf(t)
	op.Fault(func(a *optest.Answer) {
		if list, ok := a.JSON["keys"].([]any); ok {
			key := list[0].(map[string]any)
			for i := range 10_000 {
				copied := map[string]any{}
				for name, value := range key {
					copied[name] = value
				}
				copied["kid"] = fmt.Sprintf("key-%d", i)
				list = append(list, copied)
			}
			a.JSON["keys"] = list
		}
	})
	if n, err := ask(t.Context(), client, "key-9999"); n != 1 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
	if n, err := ask(t.Context(), client, op.KeyID("RS256")); n != 1 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

func TestF04_what_is_no_key_set_leaves_the_last_good_one(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*optest.Answer){
		"204":             func(a *optest.Answer) { a.Status, a.Body = http.StatusNoContent, []byte{} },
		"a web page":      func(a *optest.Answer) { a.HTTPHeader.Set("Content-Type", "text/html") },
		"an array":        func(a *optest.Answer) { a.Body = []byte(`[]`) },
		"no keys":         func(a *optest.Answer) { a.Body = []byte(`{"keys":[]}`) },
		"two keys arrays": func(a *optest.Answer) { a.Body = []byte(`{"keys":[],"keys":[]}`) },
		"keys of null":    func(a *optest.Answer) { a.Body = []byte(`{"keys":null}`) },
		"9 MiB":           func(a *optest.Answer) { a.Body = []byte(`{"x":"` + strings.Repeat("x", 9<<20) + `"}`) },
		"a redirect": func(a *optest.Answer) {
			a.Status = http.StatusFound
			a.HTTPHeader.Set("Location", "http://localhost:1/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, clock, op := keySetOf(t)
			if err := client.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			op.Fault(func(a *optest.Answer) {
				if a.Endpoint == "/jwks" {
					fault(a)
				}
			})
			clock.forward(25 * time.Hour) // long due: get waits for the fetch
			if err := client.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			wantFetches(t, op, 2)
			clock.forward(time.Hour * 24)
			if err := client.Ready(t.Context()); !errors.Is(err, rp.ErrUnavailable) {
				t.Errorf("a set older than 48 hours: %v", err)
			}
		})
	}
}
