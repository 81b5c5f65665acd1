package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/rp"
)

// ahead is the clock of a child, which its parent puts forward.
var ahead clock

// appHandler is one instance of an app with its sessions in Redis.
func appHandler(ctx context.Context, s settings) (http.Handler, error) {
	client, err := rp.New(ctx, clientConfig(s.Issuer, s.Base, func(c *rp.Config) { c.Now = ahead.Now }))
	if err != nil {
		return nil, err
	}
	store, err := redisstore.New(redisstore.Config{Client: redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true})})
	if err != nil {
		return nil, err
	}
	cookieKey = s.Key
	auth, err := middleware.New(authConfig(client, func(c *middleware.Config) { c.Now, c.Store = ahead.Now, store })) //nolint:contextcheck // it makes no request of ctx
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(showUser)))
	mux.Handle("GET /orders", auth.RequireTokens(http.HandlerFunc(showToken)))
	return mux, nil
}

// fleetSection spreads the hundred requests over three processes that share a Redis.
func fleetSection(ctx context.Context, o options, r *report) error {
	server, err := servertest.Redis() //nolint:contextcheck // it lives until Stop
	if err != nil {
		return err
	}
	defer server.Stop()
	op, err := startChild(ctx, "provider", settings{Variant: "expiring", Delay: refreshTakes})
	if err != nil {
		return err
	}
	defer op.stop()
	apps, bases := []*child{}, []string{}
	defer func() {
		for _, a := range apps {
			a.stop()
		}
	}()
	s := settings{Issuer: "http://" + op.addr, Redis: server.Addr, Key: cookieKey}
	for range 3 {
		a, err := startChild(ctx, "app", s)
		if err != nil {
			return err
		}
		apps, bases = append(apps, a), append(bases, a.url())
		s.Base = bases[0] // browsers know one address
	}
	trip, err := roundTrip(ctx, "http://"+op.addr)
	if err != nil {
		return err
	}
	b := newHerd()
	worst, ratios := stampede{calls: 1, served: herd, late: true}, []float64{}
	for range o.pick(3, 10) {
		s, err := fleetStampede(ctx, b, op, apps, bases)
		if err != nil {
			return err
		}
		worst.calls, worst.served, worst.late = max(worst.calls, s.calls), min(worst.served, s.served), worst.late && s.late
		ratios = append(ratios, float64(s.took)/float64(trip))
	}
	r.table(stampedeHead, stampedeRow(r, "7", "over three processes with Redis", 3, worst, median(ratios)))
	return nil
}

func fleetStampede(ctx context.Context, b *http.Client, op *child, apps []*child, bases []string) (s stampede, err error) {
	cookies, err := login(ctx, bases[0])
	if err != nil {
		return s, err
	}
	for _, c := range append([]*child{op}, apps...) {
		if _, err := c.ask("advance " + (11 * time.Minute).String()); err != nil {
			return s, err
		}
	}
	calls := func() int { h, err := op.ask("figures"); must(err); return h.Calls }
	before := calls()
	s = run100(ctx, b, bases, cookies)
	s.calls = calls() - before
	s.late = served(ctx, b, bases[1], cookies) && calls()-before == s.calls
	if s.served == 0 {
		return s, errors.New("nobody was served")
	}
	return s, nil
}
