package middleware

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// Login is what a hook knows of a login. It lives as long as the hook runs.
type Login struct {
	// Request is the callback. Its context does not end with the browser's connection: a code that is sent is sent. In
	// OnTokens on demand it is the request that needs the tokens, without its body and without its session, which has none
	// yet; nil if none waits for them.
	Request *http.Request
	// IDToken is verified: the first ID Token, or the second if FrontChannel is false.
	IDToken *rp.IDToken
	// FrontChannel says that IDToken came through the browser and that the code is not spent yet.
	FrontChannel bool
	// ReturnTo is the path that the login leads to. A hook may change it; it is resolved again.
	ReturnTo string
	// Exchange says whether the code is spent; OnIdentity may change it if FrontChannel is true.
	Exchange ExchangeMode
	// Values stay in the session, see [Session.Value]: the app's own user ID, say. At most 512 bytes as JSON. A hook
	// may fill it; it is never nil. A step-up keeps those of the session before that the hooks do not set anew: a hook
	// that gives a role to some users sets it to "" for the others.
	Values map[string]string
}

// outcome is what a callback answers, as a value: several requests may get the same.
type outcome struct {
	location string      // 303
	to       rp.Redirect // the next authorization request, of a Challenge
	lines    []string    // Set-Cookie
	err      *Error
	again    bool // nothing was tried: the same answer may come again
}

func (o outcome) empty() bool {
	return o.location == "" && o.to.URL == "" && o.err == nil
}

// channel is how an answer came.
type channel uint8

const (
	byPost channel = iota // form_post, or the fragment by way of our relay page
	byQuery
)

// markerField tells a form that our rescue page has posted again.
const markerField = "twofold_repost"

func (a *Auth) callbackPost(w http.ResponseWriter, r *http.Request) {
	if framedOrFetched(r.Header) {
		a.refuse(w, r, fail(codeNotNavigation, nil))
		return
	}
	form, e := readForm(w, r)
	if e != nil {
		e.RetryURL = a.LoginURL("")
		a.refuse(w, r, e)
		return
	}
	a.answer(w, r, form, byPost)
}

// callbackGet serves the relay page for a fragment, which no server sees, and takes answers in the query: those of
// the mode query, and errors, which some providers send so whatever was asked for.
func (a *Auth) callbackGet(w http.ResponseWriter, r *http.Request) {
	mode := a.client.ResponseMode()
	switch {
	case isPrefetch(r.Header):
		w.WriteHeader(http.StatusNoContent)
	case framedOrFetched(r.Header):
		a.refuse(w, r, fail(codeNotNavigation, nil))
	case r.URL.RawQuery == "" && mode == rp.Fragment:
		a.relayPage(w)
	case r.URL.RawQuery == "":
		e := fail(codeNoResponse, nil)
		e.RetryURL = a.LoginURL("")
		a.refuse(w, r, e)
	default:
		q, err := parseQuery(r.URL.RawQuery)
		if err != nil {
			a.refuse(w, r, fail(codeBody, err))
			return
		}
		a.answer(w, r, q, byQuery)
	}
}

func parseQuery(raw string) (url.Values, error) {
	if len(raw) > maxBody {
		return nil, errors.New("too long")
	}
	return parseFields(raw)
}

// answer handles an authorization response, the cheap checks first: without a transaction cookie of this browser for
// its state nothing is verified and nobody is asked.
func (a *Auth) answer(w http.ResponseWriter, r *http.Request, form url.Values, by channel) {
	reposted := form.Has(markerField)
	form.Del(markerField)
	name, value, e := a.pending(r, form)
	if e != nil && e.Code == codeTransactionMissing && by == byPost && a.config.RepostOnMissingCookie && !reposted {
		a.repostPage(w, form)
		return
	}
	if e != nil {
		e.RetryURL = a.LoginURL("")
		a.refuse(w, r, e)
		return
	}
	hash := sha256.Sum256([]byte(form.Encode()))
	if d, err := a.openDone(name, value); err == nil {
		a.repeat(w, r, name, d, hash)
		return
	}
	t, q, e := a.transaction(name, value, form.Get("state"))
	if e != nil {
		e.RetryURL = a.LoginURL("")
		addCookies(w.Header(), []string{dropCookie(name, a.transactionSite())})
		a.refuse(w, r, e)
		return
	}
	a.attempt(w, r, response{name: name, t: t, q: q, form: form, hash: hash, by: by})
}

// response is an answer that belongs to a transaction of this browser.
type response struct {
	name string // of the transaction cookie
	t    *transaction
	q    *rp.AuthRequest
	form url.Values
	hash [sha256.Size]byte
	by   channel

	suspended *suspended // not nil: the login goes on, and there is neither q nor form
}

// key names what is handled once.
func (p *response) key() [sha256.Size]byte {
	if p.suspended != nil {
		return sha256.Sum256([]byte("suspended\x00" + p.name))
	}
	return sha256.Sum256([]byte(p.q.State()))
}

// maxState bounds what is looked for; our own states are shorter.
const maxState = 256

// pending finds the transaction cookie for the answer's state.
func (a *Auth) pending(r *http.Request, form url.Values) (name, value string, e *Error) {
	switch states := form["state"]; {
	case len(states) > 1:
		return "", "", failProtocol(rp.ErrParameters)
	case len(states) == 0 || states[0] == "" || len(states[0]) > maxState:
		return "", "", failProtocol(rp.ErrState)
	}
	name = a.transactionName(form.Get("state"))
	c := a.names.read(r.Header)
	value, ok := c.get(name)
	switch {
	case !ok && c.has(name):
		return "", "", fail(codeTransactionInvalid, errors.New("the cookie is there twice"))
	case !ok:
		return "", "", fail(codeTransactionMissing, missing(a.transactions(c)))
	}
	return name, value, nil
}

// missing says what came in place of the cookie of a login.
func missing(others int) error {
	if others == 0 {
		return errors.New("no login cookie came: the browser lost it, or did not start this login")
	}
	return fmt.Errorf("none of the %d login cookies that came is this one's", others)
}

// transaction opens the cookie and looks whether it is this state's and still good.
func (a *Auth) transaction(name, value, state string) (*transaction, *rp.AuthRequest, *Error) {
	t, err := a.openTransaction(name, value)
	if err != nil {
		return nil, nil, fail(codeTransactionInvalid, err)
	}
	if now := a.config.Now(); !now.Before(t.created.Add(a.config.LoginTimeout)) {
		return nil, nil, fail(codeTransactionExpired, nil)
	}
	q, err := a.client.ParseAuthRequest(t.request)
	if err != nil {
		return nil, nil, fail(codeTransactionInvalid, err)
	}
	if subtle.ConstantTimeCompare([]byte(q.State()), []byte(state)) != 1 {
		return nil, nil, fail(codeTransactionInvalid, rp.ErrState)
	}
	return t, q, nil
}

// repeat answers a login that is over: a reload and the back button lead on, without a new session.
func (a *Auth) repeat(w http.ResponseWriter, r *http.Request, name string, d *done, hash [sha256.Size]byte) {
	if subtle.ConstantTimeCompare(d.form[:], hash[:]) != 1 || !a.config.Now().Before(d.until) {
		e := fail(codeTransactionSpent, errSpent)
		e.RetryURL = a.site.resolve(d.returnTo)
		a.refuse(w, r, e)
		return
	}
	a.observe(r.Context(), rp.Event{Name: eventLoginRepeated})
	if d.suspended {
		seeOther(w, a.continueURL(name))
		return
	}
	seeOther(w, a.site.resolve(d.returnTo))
}

func seeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// attempt handles an answer once, however often it comes at the same time.
func (a *Auth) attempt(w http.ResponseWriter, r *http.Request, p response) {
	now := a.config.Now()
	at, first, evicted, err := a.attempts.join(p.key(), p.hash, now, p.t.created.Add(a.config.LoginTimeout))
	if evicted {
		a.observe(r.Context(), rp.Event{Name: eventMemoryFull})
	}
	if err != nil {
		e := fail(codeTransactionSpent, err)
		e.RetryURL = a.LoginURL(p.t.returnTo)
		addCookies(w.Header(), []string{dropCookie(p.name, a.transactionSite())})
		a.refuse(w, r, e)
		return
	}
	if first {
		result := a.handle(r, p)
		if result.again {
			result.err.RetryURL = a.LoginURL(p.t.returnTo)
		}
		a.attempts.finish(at, result, a.config.Now())
		a.conclude(w, r, result)
		return
	}
	select {
	case <-at.done:
	case <-r.Context().Done():
		return
	}
	result, ok := a.attempts.result(at)
	if !ok {
		result = outcome{err: fail(codeTransactionSpent, errSpent)}
	}
	a.conclude(w, r, result)
}

func (a *Auth) handle(r *http.Request, p response) outcome {
	if p.suspended != nil {
		return a.resume(r, p)
	}
	return a.sharedSettle(r, p)
}

// conclude writes an outcome.
func (a *Auth) conclude(w http.ResponseWriter, r *http.Request, o outcome) {
	addCookies(w.Header(), o.lines)
	switch {
	case o.err != nil:
		a.refuse(w, r, o.err)
	case o.to.URL != "":
		a.redirect(w, r, o.to)
	default:
		seeOther(w, o.location)
	}
}

// settle turns an answer into an outcome. Whatever happens, the transaction is over afterwards.
func (a *Auth) settle(r *http.Request, p response) (o outcome) {
	l := a.newLogin(r, p)
	defer l.conclude(&o)
	resp, err := l.verify()
	switch {
	case err != nil:
		return l.refused(err)
	case l.t.continues && a.store.inCookies(): // which a cross-site POST does not bring
		return l.suspend(resp)
	}
	return l.complete(resp)
}

// newLogin is an answer that arrives now.
func (a *Auth) newLogin(r *http.Request, p response) *login {
	ctx, now := context.WithoutCancel(r.Context()), a.config.Now()
	return &login{auth: a, ctx: ctx, request: r.WithContext(ctx), response: p, id: newSessionID(), began: now, answered: now}
}

// conclude makes an outcome of a panic, gives a failure its way on, and revokes what it leaves behind. It is deferred.
func (l *login) conclude(o *outcome) {
	if v := recover(); v != nil {
		*o = outcome{err: fail(codePanic, panicError(v))}
	}
	if o.err == nil {
		return
	}
	if l.tokens != nil {
		l.auth.revokeTokens(l.ctx, l.tokens) // no session holds them
	}
	if o.err.RetryURL == "" {
		o.err.RetryURL = l.auth.retryURL(o.err, l.t.returnTo)
	}
	o.lines = append(o.lines, dropCookie(l.name, l.auth.transactionSite()))
}

// complete makes a session of a verified answer.
func (l *login) complete(resp *rp.AuthResponse) outcome {
	a, ctx := l.auth, l.ctx
	prior, err := l.before()
	if err != nil {
		return outcome{err: fail(codeSessionStore, err)}
	}
	rec, err := l.run(resp)
	if err != nil {
		return l.refused(err)
	}
	if err := l.carry(rec, prior); err != nil {
		return l.refused(err)
	}
	lines, err := a.save(ctx, rec, a.config.Now())
	switch {
	case errors.Is(err, ErrNoSession):
		return outcome{err: fail(codeLoggedOut, err)}
	case errors.Is(err, errSessionTooLarge):
		return outcome{err: fail(codeSessionTooLarge, err)}
	case err != nil:
		return outcome{err: fail(codeSessionStore, err)}
	}
	l.endPrior(prior, rec)
	l.t.returnTo = a.site.resolve(l.hook.ReturnTo)
	marker, err := a.finish(l.name, l.t, done{form: l.hash})
	if err != nil {
		return outcome{err: fail(codeInternal, err)}
	}
	receipt := l.newest().Receipt()
	a.observe(ctx, rp.Event{Name: eventLogin, Took: a.config.Now().Sub(l.began), Receipt: &receipt})
	return outcome{location: l.t.returnTo, lines: append(lines, marker)}
}

// retryURL leads on from a login that failed. An account that is not accepted would come again by itself, from the
// provider's session: there the user must be able to choose another.
func (a *Auth) retryURL(e *Error, returnTo string) string {
	if e.Code == codeRefused {
		return a.switchURL(returnTo)
	}
	return a.LoginURL(returnTo)
}

// isDenied: the user cancelled, or the provider does not let this account in.
func isDenied(e *Error) bool {
	var provider *rp.Error
	return errors.As(e.Err, &provider) && provider.StatusCode == 0 && provider.Code == "access_denied"
}

// login is one answer on its way to a session.
type login struct {
	auth    *Auth
	ctx     context.Context //nolint:containedctx // lives as long as the call that made it
	request *http.Request
	response
	hook     *Login
	first    *rp.IDToken
	tokens   *rp.Tokens
	pending  *rp.AuthResponse // its code is spent on demand
	id       string           // of the session to come
	began    time.Time
	answered time.Time // when the answer came
}

// verify does the steps of a login in their order: every check of the front channel, and the app's hook. Then run does
// the rest: the code, the match of both channels, the app's other hook, the session.
func (l *login) verify() (*rp.AuthResponse, error) {
	a := l.auth
	if l.form.Get("error") == "" && !l.asAsked() {
		return nil, fail(codeResponseMode, nil)
	}
	resp, err := a.client.VerifyResponse(l.ctx, l.q, l.form)
	if err != nil {
		return nil, err
	}
	l.first = resp.IDToken()
	l.hook = &Login{
		Request: l.request, IDToken: l.first, FrontChannel: l.first != nil, ReturnTo: l.t.returnTo,
		Exchange: a.config.Exchange, Values: map[string]string{},
	}
	if l.first != nil {
		if err := l.identify(); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// asAsked reports whether the answer came in the mode that was asked for. A fragment is posted by our relay page, and by no
// other site.
func (l *login) asAsked() bool {
	switch l.q.ResponseMode() {
	case rp.Query:
		return l.by == byQuery
	case rp.Fragment:
		from := l.request.Header.Values("Sec-Fetch-Site")
		return l.by == byPost && (len(from) == 0 || len(from) == 1 && (from[0] == "same-origin" || from[0] == "none"))
	default:
		return l.by == byPost
	}
}

// run makes the session of an answer that verify has let through.
func (l *login) run(resp *rp.AuthResponse) (*record, error) {
	switch l.hook.Exchange {
	case ExchangeNow:
		if err := l.exchange(resp); err != nil {
			return nil, err
		}
	case ExchangeOnDemand:
		l.pending = resp.WithoutAccessToken()
		l.auth.warnOfCopies()
	case ExchangeNever:
	}
	return l.session()
}

// identify runs OnIdentity and checks what it chose.
func (l *login) identify() error {
	before := l.hook.Exchange
	if hook := l.auth.config.OnIdentity; hook != nil {
		if err := hook(l.hook); err != nil {
			return hookError{err}
		}
	}
	chosen := l.hook.Exchange
	if err := checkValues(l.hook.Values); err != nil { // before the code is spent
		return fail(codeValues, err)
	}
	if chosen > ExchangeNever || !l.hook.FrontChannel && chosen != before ||
		chosen != ExchangeNever && l.auth.client.ResponseType() == rp.ImplicitIDToken {
		return fail(codeExchangeMode, nil)
	}
	return nil
}

func (l *login) exchange(resp *rp.AuthResponse) (err error) {
	if l.tokens, err = l.auth.client.Exchange(l.ctx, resp); err != nil {
		return err
	}
	if l.first == nil {
		l.hook.IDToken = l.tokens.IDToken()
		if err := l.identify(); err != nil {
			return err
		}
	}
	if hook := l.auth.config.OnTokens; hook != nil {
		if err := hook(l.hook, l.tokens); err != nil {
			return hookError{err}
		}
	}
	return nil
}

// newest is the ID Token whose claims the session has.
func (l *login) newest() *rp.IDToken {
	if l.tokens != nil {
		return l.tokens.IDToken()
	}
	return l.first
}

// session makes the record of a new session, with an ID that nobody has seen.
func (l *login) session() (*record, error) {
	values, err := encodeValues(l.hook.Values)
	if err != nil {
		return nil, fail(codeValues, err)
	}
	var claims map[string]json.RawMessage
	if err := l.claims(&claims); err != nil {
		return nil, fail(codeInternal, err)
	}
	now := l.auth.config.Now()
	token, first := l.newest(), l.first
	if first == nil {
		first = token
	}
	i := identity{
		id: l.id, generation: 1, subject: token.Subject, issued: first.IssuedAt, started: now, used: now,
		expires: now.Add(l.auth.config.Absolute), challenge: l.t.challenge, values: values,
		claims: pick(claims, l.auth.config.SessionClaims),
	}
	i.show(token, first)
	if l.tokens != nil { // came straight from the provider; what the browser brings may have been held back
		l.auth.skew.issued(token.IssuedAt, now)
	}
	if !i.limit(claims, l.auth.config.Absolute).After(now) {
		return nil, fail(codeLoggedOut, errCeiling)
	}
	r := &record{identity: i, part: l.part(now)}
	switch {
	case l.tokens != nil:
		r.identity.state = TokensReady
	case l.pending != nil:
		r.identity.state, r.identity.since = TokensPending, l.answered
	}
	return r, nil
}

// show takes what the newest ID Token says of the authentication, and from the login's first what that one lacks.
func (i *identity) show(newest, first *rp.IDToken) {
	i.sid, i.acr, i.amr, i.authTime = newest.SessionID, newest.ACR, newest.AMR, newest.AuthTime
	if first == nil {
		return
	}
	if i.sid == "" {
		i.sid = first.SessionID
	}
	if i.acr == "" {
		i.acr = first.ACR
	}
	if i.amr == nil {
		i.amr = first.AMR
	}
	if i.authTime.IsZero() {
		i.authTime = first.AuthTime
	}
}

func (l *login) claims(v any) error {
	if l.tokens != nil {
		return l.tokens.Claims(v)
	}
	return l.first.Claims(v)
}

// part is the session's token part: the second tokens, or the first ID Token for the logout.
func (l *login) part(now time.Time) *tokenPart {
	switch {
	case l.tokens != nil:
		return &tokenPart{kind: partTokens, generation: 1, obtained: now, tokens: l.tokens.Bytes(), parsed: l.tokens}
	case l.pending != nil:
		return &tokenPart{kind: partPending, generation: 1, obtained: now, response: l.pending.Bytes(), answer: l.pending}
	case l.auth.config.OmitIDToken:
		return nil
	default:
		return &tokenPart{kind: partIDToken, generation: 1, obtained: now, idToken: l.first.Raw()}
	}
}

// endPrior ends the session that this browser had when the login began, and prior, the one that it has now, or had last.
func (l *login) endPrior(prior, next *record) {
	handles := one(l.t.prior)
	if prior != nil {
		handles = union(handles, one(prior.handle))
	}
	for _, handle := range handles {
		if prior != nil && prior.identity.subject == next.identity.subject {
			l.auth.moved(l.ctx, handle, next.handle)
		}
		_ = l.auth.end(l.ctx, handle, eventSessionEnded) // reported there; the new session stands
	}
}

// hookError marks an error of the app's.
type hookError struct{ error }

func (e hookError) Unwrap() error { return e.error }

// refused turns an error of a login into its outcome.
func (l *login) refused(err error) outcome {
	var own *Error
	var hook hookError
	switch {
	case errors.As(err, &hook):
		return l.refusedByHook(hook.error)
	case errors.As(err, &own):
		return outcome{err: own}
	case l.t.silent && isNobody(err):
		return l.nobody()
	default:
		return outcome{err: failProtocol(err)}
	}
}

// isNobody reports whether a provider answers prompt=none by saying that it would have to ask the user.
func isNobody(err error) bool {
	var provider *rp.Error
	if !errors.As(err, &provider) || provider.StatusCode != 0 {
		return false
	}
	switch provider.Code {
	case "login_required", "interaction_required", "account_selection_required", "consent_required":
		return true
	default:
		return false
	}
}

// nobody leads on without a session. The marker keeps the page from asking again at once.
func (l *login) nobody() outcome {
	marker, err := l.auth.finish(l.name, l.t, done{form: l.hash, silent: true})
	if err != nil {
		return outcome{err: fail(codeInternal, err)}
	}
	return outcome{location: l.auth.site.resolve(l.t.returnTo), lines: []string{marker}}
}

func (l *login) refusedByHook(err error) outcome {
	var challenge *Challenge
	if errors.As(err, &challenge) && l.t.challenge == "" {
		return l.challenged(challenge)
	}
	return outcome{err: hookFailure(err)}
}

// hookFailure is the Error that a hook's becomes.
func hookFailure(err error) *Error {
	var challenge *Challenge
	var refusal *Refusal
	switch {
	case errors.As(err, &challenge):
		return fail(codeChallengeUnmet, err)
	case errors.As(err, &refusal):
		return fail(codeRefused, err)
	default:
		return fail(codeHook, err)
	}
}

// challenged starts the second login in place of the first.
func (l *login) challenged(c *Challenge) outcome {
	options := l.auth.optionsOf(&identity{scopes: l.t.scopes, resources: l.t.resources}, c.Options)
	b := begin{options: options, returnTo: l.auth.site.resolve(l.hook.ReturnTo), challenge: challengeDigest(options), continues: l.t.continues, before: l.t.before}
	to, lines, e := l.auth.prepare(l.request, b, l.t.prior, nil)
	if e != nil {
		return outcome{err: e}
	}
	return outcome{to: to, lines: append(lines, dropCookie(l.name, l.auth.transactionSite()))}
}
