package rp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/backoff"
	"github.com/twofold-auth/twofold/internal/urgency"
)

const (
	// sourceTimeout bounds one fetch of a token source, with whatever saves its result.
	sourceTimeout = 30 * time.Second
	// sourcePause and sourcePauseMax: a provider that failed is left alone for a while, see [backoff.Pause].
	sourcePause    = 2 * time.Second
	sourcePauseMax = time.Minute
	// renewEvery is how old a token must be before an API's word that it is worth nothing makes us fetch another: an
	// API that refuses every token must not make us fetch one for every call.
	renewEvery = 30 * time.Second
)

// errTooYoung: see renewEvery.
var errTooYoung = errors.New("rp: the API rejects a token that has just come")

// sharedToken hands one access token to all who ask, and fetches the next one once for all of them: shortly before the
// one there is ends, while that is still handed out, and not again for a while after a failure.
type sharedToken struct {
	client *Client
	// fetch asks for a token. If it returns a token and an error, the token is kept and the error is told to those who
	// wait for it.
	fetch func(context.Context) (*oauth2.Token, error)

	mu       sync.Mutex    // guards what follows
	token    *oauth2.Token // nil: none yet
	obtained time.Time     // zero: not known
	flight   *flight       // nil: none under way
	failures int
	retry    time.Time // no fetch before
	err      error     // of the last fetch; nil if it brought a token
}

// Token implements TokenSource.
func (s *sharedToken) Token(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	level := urgency.Over
	if s.token != nil {
		level = urgency.Of(s.token.Expiry, s.obtained, s.client.cfg.Now())
	}
	if level == urgency.Over {
		return s.next(ctx)
	}
	defer s.mu.Unlock()
	if level == urgency.Ending && s.mayFetch() {
		s.start(ctx)
	}
	return s.given(), nil
}

// Renew is Token for a caller whose token the API rejected: what another one got meanwhile, or a new one.
func (s *sharedToken) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	s.mu.Lock()
	age := s.client.cfg.Now().Sub(s.obtained)
	switch {
	case s.token == nil || rejected == nil || s.token.AccessToken != rejected.AccessToken:
		s.mu.Unlock()
		return s.Token(ctx)
	case s.flight == nil && age >= 0 && age < renewEvery:
		s.mu.Unlock()
		return nil, errTooYoung
	default:
		return s.next(ctx)
	}
}

// next waits for the next token. s.mu is held, and released.
func (s *sharedToken) next(ctx context.Context) (*oauth2.Token, error) {
	if !s.mayFetch() {
		defer s.mu.Unlock()
		return nil, s.err
	}
	f := s.start(ctx)
	s.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given(), nil
}

// given is a copy for a caller, who shall not have a refresh token that is ours to spend. s.mu is held.
func (s *sharedToken) given() *oauth2.Token {
	token := *s.token
	token.RefreshToken = ""
	return &token
}

// mayFetch reports whether there is a fetch to join, or no pause. A pause that is longer than any is one of a clock that
// was set back. s.mu is held.
func (s *sharedToken) mayFetch() bool {
	pause := s.retry.Sub(s.client.cfg.Now())
	return s.flight != nil || pause <= 0 || pause > sourcePauseMax
}

// start joins the fetch under way or starts one, which does not end with its caller. s.mu is held.
func (s *sharedToken) start(ctx context.Context) *flight {
	if s.flight != nil {
		return s.flight
	}
	f, started := s.client.work.fly(ctx, s.run)
	if started {
		s.flight = f
	}
	return f
}

func (s *sharedToken) run(ctx context.Context) error {
	token, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	now := s.client.cfg.Now()
	if token != nil {
		s.token, s.obtained, s.failures, s.retry, s.err = token, now, 0, time.Time{}, nil
		return err
	}
	s.retry, s.err = now.Add(backoff.Pause(s.failures, sourcePause, sourcePauseMax)), err
	s.failures++
	return err
}

// fly runs f in a goroutine of its own, as run does, for at most sourceTimeout. After stop the flight has ended already.
func (w *work) fly(ctx context.Context, f func(context.Context) error) (fl *flight, started bool) {
	fl = &flight{done: make(chan struct{})}
	started = w.run(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
		defer cancel()
		fl.err = f(ctx)
		if fl.err != nil && w.life.Err() != nil {
			fl.err = fmt.Errorf("rp: %w: %w", ErrClosed, fl.err)
		}
		close(fl.done)
	})
	if !started {
		fl.err = fmt.Errorf("rp: %w", ErrClosed)
		close(fl.done)
	}
	return fl, started
}
