package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const (
	herd = 100
	// refreshTakes is what the provider takes for a refresh: a round trip to a real one.
	refreshTakes = 200 * time.Millisecond
)

// stampede is what became of a hundred requests with one expired token.
type stampede struct {
	calls, served int
	took          time.Duration
	late          bool // a request that came later with the old cookie was served too, without another call
}

func stampedeSection(ctx context.Context, o options, r *report) error {
	rows := [][]string{}
	for _, p := range []struct {
		name    string
		refresh func(ctx context.Context, w *world, token string) error
	}{{"x/oauth2, a TokenSource for each request", refreshOAuth2}, {"zitadel, rp.RefreshTokens in each request", refreshZitadel}} {
		s, err := peerStampede(ctx, p.refresh)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		rows = append(rows, []string{p.name, number(float64(s.calls), 0), number(float64(s.served), 0), "", ""})
	}
	w, c, err := expiringWorld(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	b := newHerd()
	trip, err := roundTrip(ctx, w.op.URL)
	if err != nil {
		return err
	}
	worst, ratios := stampede{calls: 1, served: herd, late: true}, []float64{}
	for range o.pick(10, 20) {
		s, err := ourStampede(ctx, w, c, b)
		if err != nil {
			return err
		}
		worst.calls, worst.served, worst.late = max(worst.calls, s.calls), min(worst.served, s.served), worst.late && s.late
		ratios = append(ratios, float64(s.took)/float64(trip))
	}
	rows = append(rows, stampedeRow(r, "7", "in one process", 1.2, worst, median(ratios)))
	r.printf("A refresh takes the provider %d ms; one round trip took %.1f ms.\n\n", refreshTakes.Milliseconds(), float64(trip.Microseconds())/1000)
	r.table(stampedeHead, rows...)
	return nil
}

var stampedeHead = []string{"", "calls of the token endpoint", "served", "× one round trip", "later, with the old cookie"}

func stampedeRow(r *report, section, where string, limit float64, worst stampede, ratio float64) []string {
	return []string{
		"**ours**, " + where,
		r.count(section, "1 call, "+where, float64(worst.calls), worst.calls == 1),
		r.count(section, "100 served, "+where, float64(worst.served), worst.served == herd),
		r.time(section, fmt.Sprintf("≤ %.1f × one round trip, %s", limit, where), ratio, "%.2f", ratio <= limit),
		r.fact(section, "late requests with the old cookie are served too, "+where, worst.late),
	}
}

// expiringWorld has access tokens of ten minutes, and a clock.
func expiringWorld(ctx context.Context) (*world, *clock, error) {
	c := &clock{}
	w, err := newWorld(ctx, setup{
		op:     func(o *optest.Config) { o.AccessTokenLifetime, o.Now = 10*time.Minute, c.Now },
		client: func(o *rp.Config) { o.Now = c.Now },
		auth:   func(o *middleware.Config) { o.Now = c.Now },
	})
	if err != nil {
		return nil, nil, err
	}
	tokens := jwtAccessTokens(1200)
	w.op.Fault(func(a *optest.Answer) {
		tokens(a)
		if a.Grant == "refresh_token" {
			a.Delay = refreshTakes
		}
	})
	return w, c, nil
}

// newHerd is a client with a connection for each of the hundred.
func newHerd() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: herd}}
}

// roundTrip is the median of a few refreshes that the provider refuses.
func roundTrip(ctx context.Context, issuer string) (time.Duration, error) {
	var list []float64
	c := ownHTTP()
	for range 6 {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/oauth/token", strings.NewReader("grant_type=refresh_token&refresh_token=none"))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(clientID, strings.ReplaceAll(clientSecret, " ", "+"))
		start := time.Now()
		answer, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		list = append(list, float64(time.Since(start)))
	}
	return time.Duration(median(list[1:])), nil // the first one connects
}

func ourStampede(ctx context.Context, w *world, c *clock, b *http.Client) (s stampede, err error) {
	cookies, err := w.login(ctx)
	if err != nil {
		return s, err
	}
	c.advance(11 * time.Minute)
	before := w.op.Calls("/oauth/token")
	s = run100(ctx, b, []string{w.server.URL}, cookies)
	s.calls = w.op.Calls("/oauth/token") - before
	s.late = served(ctx, b, w.server.URL, cookies) && w.op.Calls("/oauth/token")-before == s.calls
	return s, nil
}

// run100 sends a hundred requests at once, to the instances in turn.
func run100(ctx context.Context, b *http.Client, bases []string, cookies string) stampede {
	var wait sync.WaitGroup
	var count atomic.Int64
	start := time.Now()
	for i := range herd {
		wait.Go(func() {
			if served(ctx, b, bases[i%len(bases)], cookies) {
				count.Add(1)
			}
		})
	}
	wait.Wait()
	return stampede{served: int(count.Load()), took: time.Since(start)}
}

// served reports whether a request with these cookies got the page.
func served(ctx context.Context, b *http.Client, base, cookies string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/orders", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Cookie", cookies)
	r.Header.Set("Accept", "application/json")
	answer, err := b.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return err == nil && answer.StatusCode == http.StatusOK && string(body) == "Hello Bearer"
}

// peerStampede has a hundred requests refresh the same token.
func peerStampede(ctx context.Context, refresh func(context.Context, *world, string) error) (s stampede, err error) {
	w, _, err := expiringWorld(ctx)
	if err != nil {
		return s, err
	}
	defer w.close()
	token, err := refreshToken(ctx, w)
	if err != nil {
		return s, err
	}
	before := w.op.Calls("/oauth/token")
	var wait sync.WaitGroup
	var count atomic.Int64
	for range herd {
		wait.Go(func() {
			if refresh(ctx, w, token) == nil {
				count.Add(1)
			}
		})
	}
	wait.Wait()
	return stampede{calls: w.op.Calls("/oauth/token") - before, served: int(count.Load())}, nil
}

// refreshToken logs in by hand and returns the refresh token.
func refreshToken(ctx context.Context, w *world) (string, error) {
	q, err := w.client.NewAuthRequest(ctx, rp.AuthOptions{})
	if err != nil {
		return "", err
	}
	_, page, err := newDriver().do(ctx, http.MethodGet, q.Redirect().URL, "", nil)
	if err != nil {
		return "", err
	}
	response, err := w.client.VerifyResponse(ctx, q, formOf(page))
	if err != nil {
		return "", err
	}
	tokens, err := w.client.Exchange(ctx, response)
	if err != nil {
		return "", err
	}
	if tokens.OAuth2().RefreshToken == "" {
		return "", errors.New("no refresh token")
	}
	return tokens.OAuth2().RefreshToken, nil
}

func refreshOAuth2(ctx context.Context, w *world, token string) error {
	c := oauth2.Config{
		ClientID: clientID, ClientSecret: clientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: w.op.URL + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	_, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: token, Expiry: time.Unix(1, 0)}).Token()
	return err
}

func refreshZitadel(ctx context.Context, w *world, token string) error {
	party, err := zitadel.NewRelyingPartyOIDC(ctx, w.op.URL, clientID, clientSecret, redirectURL, scopes, zitadel.WithAuthStyle(oauth2.AuthStyleInHeader))
	if err != nil {
		return err
	}
	_, err = zitadel.RefreshTokens[*oidc.IDTokenClaims](ctx, party, token, "", "")
	return err
}
