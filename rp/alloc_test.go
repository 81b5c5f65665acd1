package rp_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// maxAllocs fails the test if f allocates more than limit times. Not under -race, which allocates too.
func maxAllocs(t *testing.T, limit float64, f func()) {
	t.Helper()
	if raceEnabled {
		t.Skip("allocations are counted without -race")
	}
	if n := testing.AllocsPerRun(200, f); n > limit {
		t.Errorf("%v allocations, at most %v", n, limit)
	} else {
		t.Logf("%v allocations, at most %v", n, limit)
	}
}

// The whole start of a login has 45 allocations (performance.md, section 2); net/http and the cookie need most of them.
func TestAllocNewAuthRequest(t *testing.T) {
	client := newClient(t, newOP(t, optest.Config{}), nil)
	ctx := t.Context()
	maxAllocs(t, 10, func() {
		q, err := client.NewAuthRequest(ctx, rp.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = q.Redirect(), q.Bytes()
	})
}

// Verifying the ID Token has 30 allocations (performance.md, section 1).
func TestAllocVerifyResponse(t *testing.T) {
	client := newClient(t, newOP(t, optest.Config{}), nil)
	q, params := pending(t, client)
	ctx := t.Context()
	maxAllocs(t, 30, func() {
		if _, err := client.VerifyResponse(ctx, q, params); err != nil {
			t.Fatal(err)
		}
	})
}

// Each request of a session parses its tokens.
func TestAllocParseTokens(t *testing.T) {
	client := newClient(t, newOP(t, optest.Config{}), nil)
	_, tokens, err := login(t.Context(), t, client, rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := tokens.Bytes()
	maxAllocs(t, 5, func() {
		parsed, err := client.ParseTokens(b)
		if err != nil || parsed == nil {
			t.Fatal(err)
		}
	})
}

// pending returns a request and the provider's answer to it.
func pending(tb testing.TB, client *rp.Client) (*rp.AuthRequest, url.Values) {
	tb.Helper()
	q, err := client.NewAuthRequest(tb.Context(), rp.AuthOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return q, answer(tb, q)
}

func BenchmarkNewAuthRequest(b *testing.B) {
	client := newClient(b, newOP(b, optest.Config{}), nil)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		q, err := client.NewAuthRequest(ctx, rp.AuthOptions{})
		if err != nil {
			b.Fatal(err)
		}
		_ = q.Redirect()
	}
}

func BenchmarkVerifyResponse(b *testing.B) {
	client := newClient(b, newOP(b, optest.Config{}), nil)
	q, params := pending(b, client)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.VerifyResponse(ctx, q, params); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExchange measures our half of an exchange, with a provider that is one function call away.
func BenchmarkExchange(b *testing.B) {
	op := newOP(b, optest.Config{})
	client := newClient(b, op, nil)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		q, params := pending(b, client)
		a, err := client.VerifyResponse(ctx, q, params)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := client.Exchange(ctx, a); err != nil {
			b.Fatal(err)
		}
	}
}
