package rp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/verify"
)

// RefreshSource supplies access tokens from tokens that the app keeps itself, and refreshes them when they end. Only
// [Client.TokenSource] makes one. It is a [TokenSource], with Renew, and safe for concurrent use.
type RefreshSource struct {
	redacted
	client *Client
	save   func(context.Context, *Tokens) error
	turn   chan struct{} // who has it may use the refresh token
	byKey  sources       // of other targets
	main   *sharedToken

	mu      sync.Mutex // guards what follows
	tokens  *Tokens    // the newest that the provider gave
	unsaved bool       // save has not taken them yet
	saving  *flight    // nil: none under way
	over    error      // the refresh token is worth nothing
	refused error      // nothing here may be used
}

// TokenSource returns a source for an app that keeps its users' tokens itself, in a table or a file: for a worker long
// after the request, or a program without a browser session. (With package middleware and a server store, Session.Grant
// and Auth.Offline do this, for many instances too.) t is what was loaded, by [Client.ParseTokens], or what a login gave.
//
//   - save is called with the new tokens after each refresh that changed them, and before anything else happens to
//     them: most providers replace the refresh token with every use, so until save returns nil only this source has the
//     good one. If save fails, Token returns [ErrNotSaved] with its error, and offers the same tokens again at the next
//     call; nothing is refreshed before. At the end of the process, Tokens returns what to rescue.
//   - One refresh is under way at a time. All callers share its result, and none of them ends it by leaving.
//   - A token is replaced shortly before its end, while it is still handed out. A provider that fails is left alone
//     for a while, two seconds and up to a minute; meanwhile what is still good is served, else its error returned.
//   - Two sources, or two processes, with the same refresh token end it for both: providers take the second use of a
//     replaced one for theft. Keep one source for each login, and lock the row if several processes may load it.
//
// Errors of Token are those of [Client.Refresh], and ErrNotSaved. After an [*Error] with the code invalid_grant the user
// has to log in again: what is left of the access token is served, then that error, and the provider is not asked again.
// After a [*verify.Error] nothing is served any more. [ErrNotVerified], [ErrOtherClient] or [ErrOptions] for a t of
// nobody or of another client, or without save.
func (c *Client) TokenSource(t *Tokens, save func(context.Context, *Tokens) error) *RefreshSource {
	s := &RefreshSource{client: c, save: save, turn: make(chan struct{}, 1), tokens: t}
	s.main = s.shared(Target{})
	if s.refused = c.owns(t); s.refused == nil {
		s.main.token = t.OAuth2()
	}
	if s.refused == nil && save == nil {
		s.refused = badOption("save: required; tokens that nobody keeps are lost with the process")
	}
	if s.refused != nil {
		s.refused = fmt.Errorf("rp: token source: %w", s.refused)
	}
	return s
}

// Token implements [TokenSource]: an access token of the original grant.
func (s *RefreshSource) Token(ctx context.Context) (*oauth2.Token, error) {
	return targetSource{source: s, shared: s.main}.Token(ctx)
}

// Renew is for [Transport].
func (s *RefreshSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	return targetSource{source: s, shared: s.main}.Renew(ctx, rejected)
}

// For returns a source of access tokens for one API, from the same refresh token; the zero Target is s itself. Each target
// has its own token, which is kept in memory. Errors are those of Token; an [*Error] with invalid_target, invalid_scope
// or the like concerns this target alone.
func (s *RefreshSource) For(to Target) TokenSource {
	if to.key() == (Target{}).key() {
		return s
	}
	to.Scopes = slices.Clone(to.Scopes)
	return targetSource{source: s, shared: s.byKey.get(to.key(), func() *sharedToken { return s.shared(to) })}
}

// Tokens returns the newest tokens, whether they were saved or not.
func (s *RefreshSource) Tokens() *Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

func (s *RefreshSource) shared(to Target) *sharedToken {
	return &sharedToken{client: s.client, fetch: func(ctx context.Context) (*oauth2.Token, error) { return s.refresh(ctx, to) }}
}

// targetSource is the source of one target.
type targetSource struct {
	redacted
	source *RefreshSource
	shared *sharedToken
}

// Token implements TokenSource.
func (t targetSource) Token(ctx context.Context) (*oauth2.Token, error) {
	if err := t.source.settle(ctx); err != nil {
		return nil, err
	}
	return t.shared.Token(ctx)
}

// Renew is for Transport.
func (t targetSource) Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	if err := t.source.settle(ctx); err != nil {
		return nil, err
	}
	return t.shared.Renew(ctx, rejected)
}

// settle offers tokens that were not saved once more, once for all who ask.
func (s *RefreshSource) settle(ctx context.Context) error {
	s.mu.Lock()
	if !s.unsaved { // what was refused is never unsaved
		defer s.mu.Unlock()
		return s.refused
	}
	f := s.saving
	if f == nil {
		var started bool
		if f, started = s.client.work.fly(ctx, s.saveInTurn); started {
			s.saving = f
		}
	}
	s.mu.Unlock()
	return f.wait(ctx)
}

func (s *RefreshSource) saveInTurn(ctx context.Context) error {
	defer func() {
		s.mu.Lock()
		s.saving = nil
		s.mu.Unlock()
	}()
	release, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.offer(ctx)
}

// take waits for its turn: a refresh token is used, and what comes of it saved, by one at a time.
func (s *RefreshSource) take(ctx context.Context) (release func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("rp: token source: %w: %w", ErrUnavailable, ctx.Err())
	}
}

// offer gives unsaved tokens to the app. The caller has the turn.
func (s *RefreshSource) offer(ctx context.Context) error {
	s.mu.Lock()
	tokens, unsaved := s.tokens, s.unsaved
	s.mu.Unlock()
	if !unsaved {
		return nil
	}
	start := s.client.cfg.Now()
	err := call(ctx, s.save, tokens)
	if err != nil {
		err = fmt.Errorf("rp: token source: %w: %w", ErrNotSaved, err)
	}
	s.client.observe(ctx, eventSave, start, nil, err)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved = false
	return nil
}

// call runs the app's callback. Its panic is an error: it is called in a goroutine of ours, where nobody recovers.
func call(ctx context.Context, save func(context.Context, *Tokens) error, t *Tokens) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the callback panicked") // what with may hold what it was given
		}
	}()
	return save(ctx, t)
}

// refresh gets a token for a target. It returns the token beside an error if the tokens came and were not saved.
func (s *RefreshSource) refresh(ctx context.Context, to Target) (*oauth2.Token, error) {
	release, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.offer(ctx); err != nil {
		return nil, err
	}
	current, err := s.current()
	if err != nil {
		return nil, err
	}
	next, err := s.client.Refresh(ctx, current, to)
	if next == nil {
		s.note(err)
		return nil, err
	}
	token := next.OAuth2()
	if to.key() != (Target{}).key() {
		next = next.WithAccessTokenOf(current)
	}
	s.mu.Lock()
	s.tokens, s.unsaved = next, !bytes.Equal(next.Bytes(), current.Bytes())
	s.mu.Unlock()
	if err != nil { // all that is new is the refresh token
		return nil, errors.Join(err, s.offer(ctx))
	}
	return token, s.offer(ctx)
}

// current returns what to refresh, unless there is nothing more to be had from it: another caller may have learnt that
// while this one waited for its turn.
func (s *RefreshSource) current() (*Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens, cmp.Or(s.refused, s.over)
}

// note remembers what is for good: a grant that is over, or tokens that are not to be believed.
func (s *RefreshSource) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused, ok := errors.AsType[*verify.Error](err); ok && !errors.Is(refused, verify.ErrKeySet) {
		s.refused = err
	}
	if provider, ok := errors.AsType[*Error](err); ok && provider.endsGrant() && !errors.Is(err, ErrUnavailable) {
		s.over = err
	}
}

// endsGrant reports whether the refresh token is worth nothing any more. Entra ID says invalid_grant too if the user has
// yet to consent to one API, or to do something for it; the others go on.
func (e *Error) endsGrant() bool {
	return e.Code == "invalid_grant" && e.Suberror != "consent_required" && e.Suberror != "basic_action"
}
