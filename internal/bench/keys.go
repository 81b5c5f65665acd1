package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/twofold-auth/twofold/rp"
)

// keyUser verifies tokens of an authority with keys that it fetches when it needs them.
type keyUser struct {
	name string
	make func(ctx context.Context, a *authority, c *clock) (func(raw string) error, error)
}

var keyUsers = []keyUser{
	{"go-oidc", peer(withGoOIDC)},
	{"cap", peer(withCap)},
	{"zitadel", peer(withZitadel)},
	{"jwx", jwxUser},
	{nameOurs, ourKeyUser},
}

// peer adapts what section 1 measures. It asks the clock that everybody has.
func peer(with func(context.Context, *authority, signKey) (func(string) error, error)) func(context.Context, *authority, *clock) (func(string) error, error) {
	return func(ctx context.Context, a *authority, _ *clock) (func(string) error, error) {
		return with(ctx, a, a.keys[0])
	}
}

func jwxUser(ctx context.Context, a *authority, _ *clock) (func(string) error, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	if err := cache.Register(ctx, a.issuer+"/jwks"); err != nil {
		return nil, err
	}
	set, err := cache.CachedSet(a.issuer + "/jwks")
	if err != nil {
		return nil, err
	}
	return func(raw string) error {
		_, err := jwxjwt.Parse([]byte(raw), jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(a.issuer), jwxjwt.WithAudience(clientID))
		return err
	}, nil
}

// ourKeyUser is a whole front channel: state, nonce and c_hash are those of one request, so that only the key decides.
func ourKeyUser(ctx context.Context, a *authority, c *clock) (func(string) error, error) {
	client, err := newClient(ctx, a, func(o *rp.Config) { o.Now = c.Now })
	if err != nil {
		return nil, err
	}
	q, form, err := answer(ctx, client, a, a.keys[0], tokenSize)
	if err != nil {
		return nil, err
	}
	var claims struct{ Nonce string }
	if err := decodePart(strings.Split(form.Get("id_token"), ".")[1], &claims); err != nil {
		return nil, err
	}
	a.nonce = claims.Nonce
	return func(raw string) error {
		own := map[string][]string{"state": form["state"], "code": form["code"], "id_token": {raw}}
		_, err := client.VerifyResponse(ctx, q, own)
		return err
	}, nil
}

// keysSection attacks every key set in the same way.
func keysSection(ctx context.Context, _ options, r *report) error {
	keys := []signKey{newKey("RS256", "first"), newKey("RS256", "second"), newKey("RS256", "third")}
	rows := make([][]string, 0, len(keyUsers))
	for _, u := range keyUsers {
		f, err := attack(ctx, u, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
		fetches, rotations := number(float64(f.fetches), 0), yes(f.rotated)+", "+yes(f.rotatedAgain)
		if u.name == nameOurs {
			fetches = r.count("6", "≤ 6 fetches for 10,000 forged tokens in a minute", float64(f.fetches), f.fetches <= 6)
			rotations = r.fact("6", "an honest rotation and a second one seconds later are picked up at once", f.rotated && f.rotatedAgain)
		}
		rows = append(rows, []string{u.name, fetches, number(float64(f.sequential), 0), rotations})
	}
	r.table([]string{"", "fetches for 10,000 forged tokens, 50 at once", "for 100 of them, one after the other", "first and second rotation accepted at once"}, rows...)
	return ourKeys(ctx, r, keys)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// attacked is what became of a key set.
type attacked struct {
	fetches, sequential   int64
	rotated, rotatedAgain bool
}

func attack(ctx context.Context, u keyUser, keys []signKey) (f attacked, err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	a, c := newAuthority(keys[0]), &clock{}
	defer a.close()
	verify, err := u.make(ctx, a, c)
	if err != nil {
		return f, err
	}
	if u.name != nameOurs {
		c = &clock{stopped: true} // peers ask the machine's clock
	}
	if err := verify(a.token(keys[0], c)); err != nil {
		return f, fmt.Errorf("an honest token: %w", err)
	}
	a.rotate(keys[0], keys[1])
	f.rotated = within(patience, func() error { return verify(a.token(keys[1], c)) })
	c.advance(5 * time.Second)
	a.rotate(keys[1], keys[2])
	f.rotatedAgain = within(patience, func() error { return verify(a.token(keys[2], c)) })
	c.advance(10 * time.Minute) // nobody remembers
	before := a.fetches.Load()
	token := a.token(keys[2], c)
	for i := range 100 {
		if verify(forge(token, i)) == nil {
			return f, errors.New("a forged token was accepted")
		}
	}
	f.sequential = a.fetches.Load() - before
	c.advance(10 * time.Minute)
	before = a.fetches.Load()
	err = flood(token, c, verify)
	f.fetches = a.fetches.Load() - before
	return f, err
}

// flood verifies 10,000 forged tokens in a minute of the clock, 50 at once.
func flood(token string, c *clock, verify func(string) error) error {
	const all, atOnce = 10_000, 50
	var next, accepted atomic.Int64
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for i := next.Add(1); i <= all; i = next.Add(1) {
				c.advance(time.Minute / all)
				if verify(forge(token, int(i)+1000)) == nil {
					accepted.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if accepted.Load() > 0 {
		return errors.New("a forged token was accepted")
	}
	return nil
}

// forge gives a token a key ID that nobody has.
func forge(token string, i int) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","typ":"JWT","kid":"forged-%d"}`, i)) + "." + rest
}

// patience ends what hangs, on a busy machine too.
const patience = 30 * time.Second

// within reports whether f succeeds in time.
func within(d time.Duration, f func() error) bool {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err == nil
	case <-time.After(d):
		return false
	}
}

// ourKeys looks at the rest of what is promised of ours.
func ourKeys(ctx context.Context, r *report, keys []signKey) error {
	a, c := newAuthority(keys[0]), &clock{}
	defer a.close()
	verify, err := ourKeyUser(ctx, a, c)
	if err != nil {
		return err
	}
	if err := verify(a.token(keys[0], c)); err != nil {
		return err
	}
	for i := range 10 { // the bucket is empty now
		_ = verify(forge(a.token(keys[0], c), i))
	}
	fetches, prompt := a.fetches.Load(), true
	for i := range 100 {
		prompt = verify(forge(a.token(keys[0], c), 100+i)) != nil && prompt
	}
	prompt = prompt && a.fetches.Load() == fetches // without a call there is nothing to wait for
	a.down.Store(true)
	c.advance(36 * time.Hour)
	outage := verify(a.token(keys[0], c)) == nil
	c.advance(24 * time.Hour)
	gone := verify(a.token(keys[0], c)) != nil
	b, c := newAuthority(keys[0]), &clock{}
	defer b.close()
	if verify, err = ourKeyUser(ctx, b, c); err != nil {
		return err
	}
	if err := verify(b.token(keys[0], c)); err != nil {
		return err
	}
	b.rotate(keys[1])
	c.advance(49 * time.Hour)
	withdrawn := verify(b.token(keys[0], c)) != nil && verify(b.token(keys[1], c)) == nil
	r.table([]string{"ours", ""},
		[]string{"unknown kids are refused without waiting, with the bucket empty: the provider is not called", r.fact("6", "unknown kids are refused without waiting", prompt)},
		[]string{"cached keys are good 36 hours into an outage", r.fact("6", "cached keys are good through an outage", outage)},
		[]string{"and no longer after 60 hours; a withdrawn key is refused after 49", r.fact("6", "a withdrawn key has a largest age", gone && withdrawn)},
	)
	return nil
}
