package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// RequireLogin serves next only to logged-in users, with the session in the request's context. It opens the identity
// part of the session alone and asks nobody. Without a session a navigation goes to the provider and comes back;
// anything else gets 401, without cookie or redirect.
func (a *Auth) RequireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.Session(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		c := a.names.read(r.Header)
		f, err := a.find(r.Context(), c)
		if err != nil {
			a.withoutSession(w, r, c, err)
			return
		}
		a.serve(w, r, f, next)
	})
}

// RequireTokens is RequireLogin with a live access token: it is refreshed, or a waiting code redeemed ([ExchangeOnDemand]),
// before next runs, once for all requests that need it at the same time. A session whose tokens have ended is as good as
// none: a navigation goes to the provider, at first with prompt=none if the tokens are lost, and comes back.
func (a *Auth) RequireTokens(next http.Handler) http.Handler {
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.Session(r.Context())
		before := s.state.record()
		if err := s.ready(r.Context()); err != nil {
			a.withoutTokens(w, r, s, err)
			return
		}
		r, _ = a.withNewest(r, s, before)
		next.ServeHTTP(w, r)
	})
	return a.RequireLogin(checked)
}

// withNewest returns the session as it is now, and the request with it, if it was renewed since before: the second ID Token
// may say more than the first.
func (a *Auth) withNewest(r *http.Request, s *Session, before *record) (*http.Request, *Session) {
	now := s.state.record()
	if now == before {
		return r, s
	}
	fresh := &Session{state: s.state} // of s others may be reading
	fresh.fill(a, &now.identity)
	return r.WithContext(&sessionContext{r.Context(), fresh}), fresh //nolint:contextcheck // it wraps the request's
}

// LoadSession serves next to everybody, with the session in the request's context if there is one. If the store is
// down nobody knows, and the answer is 503.
func (a *Auth) LoadSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.Session(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		f, err := a.find(r.Context(), a.names.read(r.Header))
		switch {
		case errors.Is(err, ErrNoSession):
			w.Header().Add("Vary", "Cookie")
			next.ServeHTTP(w, r)
		case err != nil:
			a.storeDown(w, r, err)
		default:
			a.serve(w, r, f, next)
		}
	})
}

// Require is RequireLogin with a check: [HasClaim], [HasACR], [MaxAge], [HasScopes], [All] of them, or one of the app's.
// nil passes; a [*Challenge] sends a navigation to the provider once more, with its options, and refuses if that did not
// help; anything else is refused with 403, with the text of a [*Refusal].
//
// Before a check refuses a session whose code is not spent ([ExchangeOnDemand]) the code is redeemed, because the second ID
// Token may say what the first one did not. The check then runs once more, as it does if it has refreshed the tokens itself.
func (a *Auth) Require(check Check, next http.Handler) http.Handler {
	return a.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, s, err := a.checked(r, check)
		if err != nil {
			a.deny(w, r, s, err)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// checked runs a check, and returns the session that it was decided on, and the request with it.
func (a *Auth) checked(r *http.Request, check Check) (*http.Request, *Session, error) {
	s := a.Session(r.Context())
	before := s.state.record()
	err := check(r, s)
	if saysNothing(err) {
		return r, s, err
	}
	if err != nil && s.state.waits() {
		if _, failed := s.state.redeemed(r.Context()); failed != nil && !isLost(failed) {
			return r, s, tokenError{failed}
		}
	}
	if r, now := a.withNewest(r, s, before); now != s {
		return r, now, check(r, now)
	}
	return r, s, err
}

// deny answers what a check did not let pass.
func (a *Auth) deny(w http.ResponseWriter, r *http.Request, s *Session, err error) {
	if challenge := challengeOf(err); challenge != nil {
		a.stepUp(w, r, s, challenge)
		return
	}
	var token tokenError
	var mistake mistakeError
	var e *Error
	switch {
	case errors.As(err, &token):
		a.withoutTokens(w, r, s, token.error)
		return
	case errors.As(err, &mistake):
		e = fail(codeInternal, err)
	default:
		e = fail(codeForbidden, fmt.Errorf("%w: %w", ErrForbidden, err))
	}
	e.RetryURL = a.site.home()
	a.refuse(w, r, e)
}

// found is a session that a request brought.
type found struct {
	rec   *record
	lines []string // cookies to renew
}

// find loads the session, looks whether this process knows better than its cookies, checks its limits and renews it
// if it is time. Any error but ErrNoSession means that the store is down.
func (a *Auth) find(ctx context.Context, c cookies) (found, error) {
	f, err := a.look(ctx, c)
	if err != nil {
		return found{}, err
	}
	if now := a.config.Now(); f.lines == nil && f.rec.identity.stale(now, a.config.Idle) {
		return a.roll(ctx, f.rec, now)
	}
	return f, nil
}

// look is find without the renewal.
func (a *Auth) look(ctx context.Context, c cookies) (found, error) {
	if len(c) == 0 {
		return found{}, ErrNoSession
	}
	rec, err := a.store.load(ctx, c)
	if err != nil {
		return found{}, err
	}
	var renamed []string
	if rec.identity.moved && a.server != nil {
		if renamed, err = a.rename(ctx, rec); err != nil {
			return found{}, err
		}
	}
	now := a.config.Now()
	next, lines, ended := a.live.newer(rec.identity.id, rec.identity.generation, now)
	if next != nil {
		rec = next
	}
	if ended || rec.identity.ended(now, a.config.Idle) {
		return found{}, ErrNoSession
	}
	if err := a.alive(ctx, &rec.identity); err != nil {
		return found{}, err
	}
	return found{rec, append(lines, renamed...)}, nil
}

// roll puts off the idle limit. A store that cannot write just now has still told who this is.
func (a *Auth) roll(ctx context.Context, rec *record, now time.Time) (found, error) {
	next := *rec
	next.identity.used = now
	lines, err := a.store.save(ctx, &next, changeIdentity, now)
	switch {
	case errors.Is(err, ErrNoSession):
		return found{}, err
	case err != nil:
		a.observe(ctx, rp.Event{Name: eventNotRenewed, Code: codeSessionStore, Err: err})
		return found{rec: rec}, nil
	}
	return found{&next, lines}, nil
}

// request is what a request with a session costs: one allocation for all of it.
type request struct {
	context sessionContext
	session Session
	state   sessionState
	commit  commitWriter
}

// serve runs next with a session. The answer belongs to one user: no shared cache may keep it, unless next knows
// better.
func (a *Auth) serve(w http.ResponseWriter, r *http.Request, f found, next http.Handler) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Add("Vary", "Cookie")
	a.redeemSoon(r, f.rec)
	q := &request{}
	q.state.auth, q.state.request, q.state.rec = a, r, f.rec
	q.session.fill(a, &f.rec.identity)
	q.session.state = &q.state
	q.context = sessionContext{r.Context(), &q.session}
	r = r.WithContext(&q.context) //nolint:contextcheck // it wraps the request's
	if a.store.inCookies() {
		q.state.commit = &q.commit
	} else if f.lines == nil {
		next.ServeHTTP(w, r)
		return
	}
	q.commit.ResponseWriter, q.commit.pending, q.commit.session = w, f.lines, &q.state
	next.ServeHTTP(q.commit.wrap(), r)
	q.commit.commit() // for a handler that writes nothing
}

// withoutSession answers who is not logged in.
func (a *Auth) withoutSession(w http.ResponseWriter, r *http.Request, c cookies, err error) {
	if !errors.Is(err, ErrNoSession) {
		a.storeDown(w, r, err)
		return
	}
	secureHeaders(w.Header())
	w.Header().Add("Vary", "Cookie")
	a.dropBroken(w.Header(), c, classify(r.Method, r.Header))
	a.askLogin(w, r, c, begin{options: a.config.AuthOptions, returnTo: a.site.here(r)}, err)
}

// dropBroken removes session cookies that are of no use, where cookies may be set.
func (a *Auth) dropBroken(h http.Header, c cookies, nav navigation) {
	if nav != navPage {
		return
	}
	for _, name := range append([]string{a.names.identity}, a.names.tokens[:]...) {
		if c.has(name) {
			addCookies(h, []string{dropCookie(name, http.SameSiteLaxMode)})
		}
	}
}

// askLogin starts a login for a navigation and answers 401 to anything else.
func (a *Auth) askLogin(w http.ResponseWriter, r *http.Request, c cookies, b begin, err error) {
	if classify(r.Method, r.Header) != navPage {
		e := fail(codeLoginRequired, err)
		e.RetryURL = a.LoginURL(a.pageOf(r))
		a.refuse(w, r, e)
		return
	}
	if all, _ := a.recent(c); all >= maxLogins {
		e := fail(codeLoginLoop, err)
		e.RetryURL = a.LoginURL(b.returnTo)
		a.refuse(w, r, e)
		return
	}
	a.begins(w, r, c, b)
}

// pageOf is the page that a request is for: itself, if it is a navigation; else the page that it says it comes from,
// because nobody can look at what a script fetches or a form posts to.
func (a *Auth) pageOf(r *http.Request) string {
	if classify(r.Method, r.Header) == navPage {
		return a.site.here(r)
	}
	return a.site.absolute(r.Header.Get("Referer"))
}

// withoutTokens answers a session whose tokens are of no use.
func (a *Auth) withoutTokens(w http.ResponseWriter, r *http.Request, s *Session, err error) {
	secureHeaders(w.Header())
	retry := a.pageOf(r)
	c := a.names.read(r.Header)
	var e, own *Error
	switch {
	case challengeOf(err) != nil: // of OnTokens
		a.stepUp(w, r, s, challengeOf(err))
		return
	case errors.As(err, &own): // its code was spent, and it turned out to be no session
		e = own.again()
	case isLost(err):
		a.askTokens(w, r, c, s, err)
		return
	case errors.Is(err, ErrPending):
		e = fail(codeTokensPending, err)
	case errors.Is(err, ErrNoSession): // ended by this renewal, or by a logout meanwhile
		a.askLogin(w, r, c, begin{options: a.config.AuthOptions, returnTo: a.site.here(r)}, err)
		return
	case errors.Is(err, ErrLoginRequired):
		if a.justStarted(s) && classify(r.Method, r.Header) == navPage { // the provider gave tokens that were over when they came
			e = fail(codeLoginLoop, s.state.endedAtOnce(err))
			break
		}
		a.askLogin(w, r, c, begin{options: a.optionsFor(s), returnTo: a.site.here(r), continues: true}, err)
		return
	case errors.Is(err, ErrNoTokens):
		e = fail(codeNoTokens, err)
	case errors.Is(err, errSessionTooLarge), errors.Is(err, errStore):
		e = fail(errorCode(err), err)
	default:
		e = failProtocol(loggedIn{err})
	}
	e.RetryURL = retry
	a.refuse(w, r, e)
}

// askTokens starts a login for a session whose tokens are lost: one that the user does not see if the provider knows them
// still, else, or if it has just said that it does not, any. An app that always asks for a prompt wants its users asked.
func (a *Auth) askTokens(w http.ResponseWriter, r *http.Request, c cookies, s *Session, err error) {
	b := begin{options: a.optionsFor(s), returnTo: a.site.here(r), continues: true}
	if _, silent := a.recent(c); silent == 0 && b.options.Prompt == "" {
		b.options.Prompt = promptNone
	}
	a.askLogin(w, r, c, b, err)
}

// endedAtOnce says, for the log, why the tokens of a login that was just completed are of no use.
func (t *sessionState) endedAtOnce(err error) error {
	part, failed := t.usable()
	if failed != nil {
		return err
	}
	token := t.tokenOf(part)
	if token.RefreshToken != "" {
		return err
	}
	return fmt.Errorf("access token ended %d s after the login and there is no refresh token; ask for offline_access: %w",
		int(token.Expiry.Sub(part.obtained).Seconds()), err)
}

// justStarted reports whether a login was completed so recently that a new one cannot change anything.
func (a *Auth) justStarted(s *Session) bool {
	return a.config.Now().Sub(s.Started) < loopWindow
}

func (a *Auth) storeDown(w http.ResponseWriter, r *http.Request, err error) {
	secureHeaders(w.Header())
	e := fail(codeSessionStore, err)
	e.RetryURL = a.pageOf(r)
	a.refuse(w, r, e)
}
