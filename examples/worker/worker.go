package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// The APIs that the worker calls. The provider of this example plays all three.
const (
	orders   = "https://orders.example"
	prices   = "https://prices.example"
	printing = "https://printing.example"
)

// worker knows no session, no cookie and no request of a browser. It has the IDs of grants.
type worker struct {
	client *rp.Client
	auth   *middleware.Auth
	jobs   *jobs
	issuer string
	own    *http.Client // calls APIs as the app
	stop   func()
}

const every = 5 * time.Second // a real one works at three in the morning

// startWorker starts a worker that works until stop is called.
func startWorker(client *rp.Client, auth *middleware.Auth, jobs *jobs, issuer string) *worker {
	w := &worker{client: client, auth: auth, jobs: jobs, issuer: issuer}
	source := client.ClientCredentials(rp.Target{Resource: prices})
	w.own = &http.Client{Transport: rp.Transport(source, nil, issuer), Timeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	w.stop = func() {
		cancel()
		running.Wait()
	}
	return w
}

func (w *worker) run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.round(ctx)
		}
	}
}

// round does what is to be done, for the app and for each user who allows it.
func (w *worker) round(ctx context.Context) {
	r := round{At: time.Now()}
	answer, err := w.call(ctx, w.own, prices)
	r.add("the app itself", "reads the prices", answer, err)
	for _, u := range w.jobs.users() {
		answer, token, err := w.report(ctx, w.jobs.grantOf(u))
		r.add(u.subject, "reads their orders", answer, err)
		if err == nil {
			answer, err = w.print(ctx, token)
			r.add(u.subject, "has them printed", answer, err)
		}
	}
	w.jobs.done(r)
}

// report reads a user's orders, whether the user is there or not. It also returns the access token that it used.
func (w *worker) report(ctx context.Context, grant string) (answer, token string, err error) {
	source, err := w.auth.Offline(ctx, grant)
	if err != nil {
		return "", "", err
	}
	client := &http.Client{Transport: rp.Transport(source, nil, w.issuer), Timeout: 10 * time.Second}
	if answer, err = w.call(ctx, client, orders); err != nil {
		return "", "", err
	}
	t, err := source.Token(ctx) // the same: it is renewed only when it is about to end
	if err != nil {
		return "", "", err
	}
	return answer, t.AccessToken, nil
}

// print works with a service that must not get a token for the orders: it gets another one, for itself alone, in
// exchange (RFC 8693).
func (w *worker) print(ctx context.Context, token string) (string, error) {
	t, err := w.client.TokenExchange(ctx, rp.TokenExchange{SubjectToken: token, Target: rp.Target{Resource: printing}})
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: rp.Transport(static{t}, nil, w.issuer), Timeout: 10 * time.Second}
	return w.call(ctx, client, printing)
}

// call asks an API, and returns what it says of the token that it got.
func (w *worker) call(ctx context.Context, client *http.Client, resource string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.issuer+"/api?resource="+url.QueryEscape(resource), http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var said struct {
		Subject  string   `json:"sub"`
		Audience []string `json:"aud"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&said); err != nil || response.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("the API answered %s", response.Status), err)
	}
	return fmt.Sprintf("a token of %s, for %s", said.Subject, strings.Join(said.Audience, ", ")), nil
}

func (r *round) add(as, what, answer string, err error) {
	switch {
	case errors.Is(err, middleware.ErrNoSession), errors.Is(err, middleware.ErrLoginRequired):
		answer = "not allowed any more"
	case err != nil:
		answer = err.Error()
	}
	r.Entries = append(r.Entries, entry{As: as, What: what, Answer: answer, Failed: err != nil})
}

// static is a token that is used once.
type static struct{ token *oauth2.Token }

// Token implements [rp.TokenSource].
func (s static) Token(context.Context) (*oauth2.Token, error) { return s.token, nil }
