package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

// TokenState says how far a session is with its tokens. See [Session.Tokens].
//
// The states of a session whose code is spent on demand, and what leads from one to the next:
//
//	state      what the session holds          goes to
//	pending    the sealed answer, its code     redeeming: somebody needs tokens, or half of CodeLifetime has passed
//	                                           lost: CodeLifetime has passed; the code is not sent any more
//	redeeming  no code: one instance has it    ready: the second ID Token matches the first; same session ID
//	                                           pending: the request never left, so the code may be tried again
//	                                           lost: refused, no answer, or the instance died; it is never sent again
//	                                           (no session): the second ID Token does not match, or OnTokens refused
//	ready      tokens                          lost: the provider ended the grant
//	lost       the first ID Token              (new session): the next login, which RequireTokens starts
//	none       the first ID Token or nothing   nothing: there was no exchange
//
// A session in sealed cookies is never seen redeeming: nothing can be written before the answer.
type TokenState uint8

// The states.
const (
	TokensNone      TokenState = iota // no exchange: [ExchangeNever]
	TokensPending                     // the code is not spent yet
	TokensRedeeming                   // it is being spent
	TokensReady                       // there are tokens; whether the access token lives is for [Session.Token] to say
	TokensLost                        // there will be none without another login
)

// String returns the state's name.
func (t TokenState) String() string {
	names := [...]string{"none", "pending", "redeeming", "ready", "lost"}
	if int(t) < len(names) {
		return names[t]
	}
	return "TokenState(" + strconv.Itoa(int(t)) + ")"
}

// TokensError says why a session has no tokens now. With the state [TokensPending] or [TokensRedeeming] it is
// [ErrPending], with [TokensLost] it is [ErrLoginRequired].
type TokensError struct {
	State TokenState
	Code  string // stable: one of this package's codes or an [rp.ErrorCode]; "" if nothing has failed yet
	Err   error  // what the provider or the network said; nil if it was said to an earlier request
}

// Error says it in words.
func (e *TokensError) Error() string {
	text := "middleware: tokens are " + e.State.String() + ": " + e.reason()
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *TokensError) reason() string {
	switch {
	case e.Code == codeCodeExpired:
		return "the code is older than Config.CodeLifetime"
	case e.Code == codeInterrupted:
		return "the instance that redeemed the code did not come to an end"
	case e.Code == "unavailable" && e.State == TokensPending:
		return "the provider's token endpoint cannot be reached"
	case e.Code == "unavailable":
		return "the provider's token endpoint did not answer"
	case e.Code == "provider_error":
		return "the provider refused to give any"
	case e.Code == "token_response":
		return "the provider's answer was malformed"
	case e.Code == "code_spent":
		return "the code was sent before"
	case e.Code == codeSessionTooLarge:
		return "they do not fit into the session"
	case e.Code != "":
		return e.Code
	case e.State == TokensRedeeming:
		return "the code is being redeemed"
	case e.State == TokensPending:
		return "the code is not redeemed yet"
	default:
		return "there was no exchange"
	}
}

// Is says whether waiting helps.
func (e *TokensError) Is(target error) bool {
	switch e.State {
	case TokensPending, TokensRedeeming:
		return target == ErrPending
	case TokensLost:
		return target == ErrLoginRequired
	default:
		return target == ErrNoTokens
	}
}

// Unwrap returns the reason.
func (e *TokensError) Unwrap() error { return e.Err }

// Tokens says how far this session is with its tokens, and if there are none now, why: a [*TokensError], which is
// [ErrPending] while a code waits to be redeemed, [ErrLoginRequired] if only another login brings tokens, [ErrNoTokens] in
// a session without an exchange. It opens no token and asks nobody.
func (s *Session) Tokens() (TokenState, error) {
	if s.state.test != nil {
		if s.state.test.token == nil {
			return TokensNone, &TokensError{}
		}
		return TokensReady, nil
	}
	s.state.mu.Lock()
	rec, gone := s.state.rec, s.state.gone
	s.state.mu.Unlock()
	if gone {
		return TokensNone, ErrNoSession
	}
	now := s.state.auth.tokensOf(&rec.identity)
	if now.State == TokensReady {
		return TokensReady, nil
	}
	return now.State, now
}

// tokensOf says how far a session is with its tokens, by the clock, too.
func (a *Auth) tokensOf(i *identity) *TokensError {
	now := a.config.Now()
	switch {
	case i.state == TokensPending && !now.Before(i.since.Add(a.config.CodeLifetime)):
		return &TokensError{State: TokensLost, Code: codeCodeExpired}
	case i.state == TokensRedeeming && !now.Before(i.since.Add(refreshTimeout)):
		return &TokensError{State: TokensLost, Code: codeInterrupted}
	default:
		return &TokensError{State: i.state, Code: i.why}
	}
}

// ages reports whether a code should be redeemed though nobody asks for tokens yet: it has half of its life behind it,
// and what comes of it can be kept without an answer to this request.
func (a *Auth) ages(i *identity) bool {
	if i.state != TokensPending || a.server == nil {
		return false
	}
	return a.tokensOf(i).State == TokensPending && a.config.Now().Sub(i.since) >= a.config.CodeLifetime/2
}

// waits reports whether there is a code that may bring tokens still.
func (t *sessionState) waits() bool {
	if t.test != nil {
		return false
	}
	state := t.auth.tokensOf(&t.record().identity).State
	return state == TokensPending || state == TokensRedeeming
}

// isLost reports whether a session has no tokens and gets none without another login.
func isLost(err error) bool {
	var tokens *TokensError
	return errors.As(err, &tokens) && tokens.State == TokensLost
}

// redeemed returns the token part with tokens in it. A code that waits is spent first.
func (t *sessionState) redeemed(ctx context.Context) (*tokenPart, error) {
	part, err := t.usable()
	if !errors.Is(err, ErrPending) {
		return part, err
	}
	return t.renew(ctx, t.auth.redeem(t.request))
}

// redeem is the renewal that spends the code; cause is the request that wants it, nil if none does.
func (a *Auth) redeem(cause *http.Request) renewal {
	if a.config.OnTokens == nil {
		cause = nil
	}
	if cause != nil {
		cause = cause.Clone(context.WithoutCancel(cause.Context()))
		cause.Body = http.NoBody // it is the handler's
	}
	settled := func(now *tokenPart) bool { return now.kind != partPending && now.kind != partRedeeming }
	return renewal{kind: renewRedeem, event: eventRedeemed, satisfied: settled, apply: func(ctx context.Context, rec *record) (*record, error) {
		state := a.tokensOf(&rec.identity)
		switch {
		case rec.part.kind == partPending && state.State == TokensPending:
			return a.spend(ctx, rec, cause)
		case rec.part.kind == partRedeeming && state.State == TokensRedeeming && !a.locks():
			return nil, state // nobody knows whether its holder lives
		case rec.part.kind == partRedeeming:
			state = &TokensError{State: TokensLost, Code: codeInterrupted}
			return a.lose(rec, state.Code), state
		case rec.part.kind == partPending && state.State == TokensLost:
			return a.lose(rec, state.Code), state
		default:
			return nil, ErrNoTokens
		}
	}}
}

// locks reports whether who holds a session's lock knows that nobody else does.
func (a *Auth) locks() bool { return a.server != nil && a.server.locker != nil }

// spend sends the code, once. Before it leaves the store knows that it does: who finds a session so, with the lock in
// hand, knows that its holder died, and does not send the code again.
func (a *Auth) spend(ctx context.Context, rec *record, cause *http.Request) (*record, error) {
	sent := rec
	if !a.store.inCookies() {
		sent = rec.sending(a.config.Now())
		_, err := a.save(ctx, sent, a.config.Now())
		switch {
		case errors.Is(err, ErrConflict): // another one was first
			return nil, &TokensError{State: TokensRedeeming}
		case err != nil:
			return nil, err
		}
	}
	tokens, err := a.client.Exchange(ctx, rec.part.answer)
	if err != nil {
		return a.unredeemed(ctx, rec, sent, err)
	}
	next, err := a.upgrade(ctx, rec, sent, tokens, cause)
	if err != nil {
		if challengeOf(err) == nil { // else the next login is for the same grant
			a.revokeTokens(ctx, tokens)
		}
		return nil, a.reject(ctx, rec, err)
	}
	return next, nil
}

// unredeemed decides what becomes of a session whose code brought no tokens.
func (a *Auth) unredeemed(ctx context.Context, rec, sent *record, err error) (*record, error) {
	var refused *verify.Error
	code := errorCode(err)
	switch {
	case errors.Is(err, rp.ErrNotSent):
		return rec.waiting(sent, code), err
	case errors.As(err, &refused) && !errors.Is(err, verify.ErrKeySet):
		return nil, a.reject(ctx, rec, failProtocol(err))
	case isUnavailable(err): // who has waited for it hears so; the next one has to log in
		return a.lose(sent, code), err
	default:
		return a.lose(sent, code), &TokensError{State: TokensLost, Code: code, Err: err}
	}
}

// reject ends a session that turned out not to be one. If its browser has logged out or in meanwhile, that says all.
func (a *Auth) reject(ctx context.Context, rec *record, why error) error {
	if _, _, over := a.live.newer(rec.identity.id, rec.identity.generation, a.config.Now()); over {
		return ErrNoSession
	}
	return errors.Join(ErrNoSession, verdictError{why}, a.end(ctx, rec.handle, eventSessionEnded))
}

// verdictError is why a session was ended that nobody wanted to leave.
type verdictError struct{ error }

func (e verdictError) Unwrap() error { return e.error }

// sending is a session whose code is on its way.
func (r *record) sending(now time.Time) *record {
	next := r.successor(&tokenPart{kind: partRedeeming, obtained: now, idToken: r.part.answer.IDToken().Raw()})
	next.identity.state, next.identity.since, next.identity.why = TokensRedeeming, now, ""
	return next
}

// waiting is r again after sent, whose code did not leave.
func (r *record) waiting(sent *record, why string) *record {
	part := *r.part
	next := sent.successor(&part)
	next.identity.state, next.identity.since, next.identity.why = TokensPending, r.identity.since, why
	return next
}

// lose is a session that gets no tokens any more. The user stays logged in.
func (a *Auth) lose(rec *record, why string) *record {
	part := &tokenPart{kind: partEnded, obtained: rec.part.obtained}
	if first, err := rec.part.first(); err == nil && !a.config.OmitIDToken {
		part.idToken = first.Raw()
	}
	next := rec.successor(part)
	next.identity.state, next.identity.since, next.identity.why = TokensLost, time.Time{}, why
	return next
}

// successor is the record that takes r's place, with another token part.
func (r *record) successor(part *tokenPart) *record {
	next := *r
	next.identity.generation++
	part.generation = next.identity.generation
	next.part = part
	return &next
}

// upgrade is the session with its tokens: the same ID and subject, the claims of the second ID Token.
func (a *Auth) upgrade(ctx context.Context, rec, sent *record, tokens *rp.Tokens, cause *http.Request) (*record, error) {
	var claims map[string]json.RawMessage
	if err := tokens.Claims(&claims); err != nil {
		return nil, fail(codeInternal, err)
	}
	values, err := a.onTokens(ctx, rec, tokens, cause)
	if err != nil {
		return nil, err
	}
	now := a.config.Now()
	next := sent.successor(&tokenPart{
		kind: partTokens, obtained: now, tokens: tokens.Bytes(), parsed: tokens, targets: rec.part.targets,
	})
	i := &next.identity
	i.state, i.since, i.why, i.used, i.values = TokensReady, time.Time{}, "", now, values
	i.show(tokens.IDToken(), tokens.First())
	i.moved = i.sid != rec.identity.sid
	if a.server != nil {
		next.handle = a.server.handleOf(i)
	}
	i.claims = pick(claims, a.config.SessionClaims)
	a.skew.issued(tokens.IDToken().IssuedAt, now)
	if !i.limit(claims, a.config.Absolute).After(now) {
		return nil, fail(codeLoggedOut, errCeiling)
	}
	return next, nil
}

// onTokens runs the app's hook with the login as far as the session remembers it, and returns the values to keep.
func (a *Auth) onTokens(ctx context.Context, rec *record, tokens *rp.Tokens, cause *http.Request) (values []byte, err error) {
	if a.config.OnTokens == nil {
		return rec.identity.values, nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fail(codePanic, panicError(v))
		}
	}()
	l := &Login{
		IDToken: rec.part.answer.IDToken(), FrontChannel: true, Exchange: ExchangeOnDemand, Values: rec.identity.allValues(),
	}
	if cause != nil {
		l.Request = cause.WithContext(sessionless{ctx, a}) //nolint:contextcheck // it wraps the flight's
	}
	if err := a.config.OnTokens(l, tokens); err != nil {
		return nil, hookFailure(err)
	}
	if values, err = encodeValues(l.Values); err != nil {
		return nil, fail(codeValues, err)
	}
	return values, nil
}

// redeemSoon starts the redemption of a code that ages, and does not wait for it.
func (a *Auth) redeemSoon(r *http.Request, rec *record) {
	if a.ages(&rec.identity) {
		a.takeOff(r.Context(), rec, a.redeem(nil))
	}
}

// rename makes the browser's cookie one of the sid that came with the second ID Token alone. The logouts of that sid are
// looked for here: the cookie does not know it yet.
func (a *Auth) rename(ctx context.Context, rec *record) ([]string, error) {
	lines, err := a.server.rename(rec)
	if err != nil || lines == nil {
		return nil, err
	}
	return lines, a.unburied(ctx, &rec.identity)
}
