package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/restore"
	"github.com/twofold-auth/twofold/internal/strictjson"
	"github.com/twofold-auth/twofold/internal/urgency"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

// Session is a logged-in user, as one request sees it. It is safe for concurrent use by the goroutines of that
// request; do not keep it longer.
type Session struct {
	// Issuer and Subject together name the user, for ever and everywhere. Nothing else does: not the email address.
	Issuer, Subject string
	// SessionID is the provider's sid; "" if it gave none.
	SessionID string
	// ACR and AMR say how the user authenticated; empty if the provider does not say.
	ACR string
	AMR []string
	// AuthTime is when the user authenticated at the provider; zero if it does not say.
	AuthTime time.Time
	// Started is when the login was completed here, Expires when the session ends whatever happens.
	Started, Expires time.Time

	state *sessionState
}

// sessionState is what the copies of a Session share.
type sessionState struct {
	auth    *Auth         // nil: made by NewSession
	request *http.Request // as the wrapper got it
	commit  *commitWriter
	test    *testSession

	mu       sync.Mutex // guards what follows
	rec      *record
	gone     bool          // logged out by this request
	rejected bool          // a renewal of this request has shown it to be no session
	token    *oauth2.Token // of rec.part; nil until asked for
	of       *tokenPart    // whose token is
	opens    sync.Mutex    // held while the token part is opened
}

// testSession is what NewSession was given.
type testSession struct {
	claims []byte
	token  *oauth2.Token
	values map[string]string
}

// fill sets the exported fields.
func (s *Session) fill(a *Auth, i *identity) {
	s.Issuer, s.Subject, s.SessionID = a.client.Issuer(), i.subject, i.sid
	s.ACR, s.AMR, s.AuthTime = i.acr, i.amr, i.authTime
	s.Started, s.Expires = i.started, i.expires
}

// Claims decodes Config.SessionClaims, as the newest ID Token has them, into v. Names match exactly, so give every field
// a json tag: unlike with encoding/json, Name does not match name. It opens no token; all claims are in
// [Session.IDToken].
func (s *Session) Claims(v any) error {
	if s.state.test != nil {
		return strictjson.Unmarshal(string(s.state.test.claims), v)
	}
	return strictjson.Unmarshal(string(s.state.record().identity.claims), v)
}

// Value returns what OnIdentity kept in Login.Values; "" if nothing.
func (s *Session) Value(key string) string {
	if s.state.test != nil {
		return s.state.test.values[key]
	}
	return s.state.record().identity.value(key)
}

// IDToken returns the newest ID Token: the refreshed or the second one, or the first in a session without tokens.
// [ErrNoTokens] if none was kept.
func (s *Session) IDToken() (*rp.IDToken, error) {
	part, err := s.state.open()
	if err != nil {
		return nil, err
	}
	if part.kind == partTokens {
		return orNoTokens(part.parsed.IDToken())
	}
	return part.first()
}

// First returns the first ID Token of the login, the one that came through the browser. [ErrNoTokens] with the
// response types code and code token, which have none, or if it was not kept.
func (s *Session) First() (*rp.IDToken, error) {
	part, err := s.state.open()
	if err != nil {
		return nil, err
	}
	return part.first()
}

// first is the login's first ID Token, or the newest of a session that has lost its tokens.
func (p *tokenPart) first() (*rp.IDToken, error) {
	switch p.kind {
	case partTokens:
		return orNoTokens(p.parsed.First())
	case partPending:
		return orNoTokens(p.answer.IDToken())
	default:
		return restoreIDToken(p.idToken)
	}
}

func orNoTokens(t *rp.IDToken) (*rp.IDToken, error) {
	if t == nil {
		return nil, ErrNoTokens
	}
	return t, nil
}

// restoreIDToken reads an ID Token that was verified at the login and sealed since.
func restoreIDToken(raw string) (*rp.IDToken, error) {
	if raw == "" {
		return nil, ErrNoTokens
	}
	v, err := restore.IDToken(raw)
	if err != nil {
		return nil, err
	}
	t, _ := v.(*verify.IDToken)
	return orNoTokens(t)
}

// Token returns a live access token, refreshed first if it is about to end. A code that waits ([ExchangeOnDemand]) is
// redeemed first. The refresh token stays here.
//
//   - [ErrNoTokens] if the session has none
//   - [ErrPending] if another instance is redeeming the code, and cannot be waited for because the store has no lock
//   - [ErrLoginRequired] if it has ended and cannot be refreshed, or the code brought none ([*TokensError])
//   - [ErrCommitted] if it must be refreshed, the session is kept in cookies, and the response has begun
//   - [rp.ErrUnavailable] if it has ended and the provider does not answer
func (s *Session) Token(ctx context.Context) (*oauth2.Token, error) {
	if s.state.test != nil {
		return s.state.test.live()
	}
	token, err := s.state.liveToken(ctx)
	if err != nil {
		return nil, err
	}
	return withoutRefresh(token), nil
}

// ready reports whether there is a live token, and makes one if there can be.
func (s *Session) ready(ctx context.Context) error {
	if s.state.test != nil {
		_, err := s.state.test.live()
		return err
	}
	_, err := s.state.liveToken(ctx)
	return err
}

func (t *testSession) live() (*oauth2.Token, error) {
	if t.token == nil {
		return nil, ErrNoTokens
	}
	token := *t.token
	return &token, nil
}

// Refresh refreshes the tokens now, whether they have ended or not; together with all who do so at the same time,
// once. Errors are those of [Session.Token].
func (s *Session) Refresh(ctx context.Context) error {
	if s.state.test != nil {
		return ErrNoTokens
	}
	part, err := s.state.usable()
	if errors.Is(err, ErrPending) { // the code's tokens are new enough
		_, err := s.state.redeemed(ctx)
		return err
	}
	if err != nil {
		return err
	}
	_, err = s.state.refresh(ctx, part)
	return err
}

// UserInfo asks the provider's UserInfo endpoint, at most once in a login: the answer is kept with the tokens. The
// session's subject is compared (Core 5.3.2). Errors are those of [Session.Token] and [rp.Client.UserInfo].
func (s *Session) UserInfo(ctx context.Context) (*rp.UserInfo, error) {
	if s.state.test != nil {
		return nil, ErrNoTokens
	}
	return s.state.userInfo(ctx)
}

// HTTPClient returns a client that sends the session's access token to these origins and refuses all others with
// [rp.ErrOrigin]. Use it for this request only; for one client per process see [Auth.Transport]. An API that wants a
// stronger or younger login makes it return a [*Challenge], as there.
func (s *Session) HTTPClient(origins ...string) *http.Client {
	return &http.Client{Transport: stepUps{rp.Transport(sessionSource{s}, nil, origins...)}, Timeout: apiTimeout}
}

// LogoutToken is a value for the field "csrf" of a logout form. The logout route accepts it in place of the headers
// by which it knows its own pages; a page with Referrer-Policy: no-referrer needs it, others do not.
func (s *Session) LogoutToken() string {
	if s.state.test != nil {
		return "test"
	}
	return s.state.auth.boxes.signCSRF(s.state.record().identity.id)
}

func (t *sessionState) record() *record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rec
}

// adopt makes a newer record this request's, and its cookies those that the first byte brings.
func (t *sessionState) adopt(rec *record, lines []string) {
	t.mu.Lock()
	if rec.identity.generation >= t.rec.identity.generation { // else another goroutine of this request came with a newer one
		t.rec = rec
	}
	t.mu.Unlock()
	if t.auth.store.inCookies() {
		t.commit.renewed(rec.identity.generation, lines)
	}
}

// latest returns the cookies to send in place of pending, as far as this process knows. None, if the session has ended
// since the request came, by a logout or by another login: the browser has others by now, of the same names; but those
// that drop it, if this request has found it to be none. Those of a later renewal, if there was one: answers overtake each
// other, and an older refresh token must not come last.
func (t *sessionState) latest(pending []string) []string {
	if t == nil || t.auth == nil {
		return pending
	}
	t.mu.Lock()
	rec, rejected := t.rec, t.rejected
	t.mu.Unlock()
	next, lines, ended := t.auth.live.newer(rec.identity.id, rec.identity.generation, t.auth.config.Now())
	switch {
	case ended && rejected && !t.auth.live.endedAgain(rec.identity.id):
		return pending // which drop them
	case ended:
		return nil
	case next != nil && t.auth.store.inCookies():
		return lines
	default:
		return pending
	}
}

// open returns the token part.
func (t *sessionState) open() (*tokenPart, error) {
	if t.test != nil {
		return nil, ErrNoTokens
	}
	t.opens.Lock()
	defer t.opens.Unlock()
	t.mu.Lock()
	rec, gone := t.rec, t.gone
	t.mu.Unlock()
	if gone {
		return nil, ErrNoSession
	}
	if err := t.auth.store.openTokens(rec); err != nil {
		if t.auth.store.inCookies() { // they are damaged, and stay so
			t.commit.queue(t.auth.names.dropSession())
		}
		return nil, err
	}
	if rec.part == nil {
		return nil, ErrNoTokens
	}
	return rec.part, nil
}

// usable returns the token part if it holds tokens.
func (t *sessionState) usable() (*tokenPart, error) {
	part, err := t.open()
	switch {
	case err != nil:
		return nil, err
	case part.kind == partTokens:
		return part, nil
	case part.kind == partIDToken:
		return nil, ErrNoTokens
	default:
		return nil, t.auth.tokensOf(&t.record().identity)
	}
}

// maxRenewals is how often one call tries, when something newer than it knew of came first. It waits for others' renewals
// as long as its context lets it.
const maxRenewals = 3

// liveToken returns the access token, refreshed first if need be. The token is shared: the caller copies it.
func (t *sessionState) liveToken(ctx context.Context) (*oauth2.Token, error) {
	part, err := t.redeemed(ctx)
	if err != nil {
		return nil, err
	}
	token := t.tokenOf(part)
	need := urgency.Of(token.Expiry, part.obtained, t.auth.config.Now())
	if need == tokenLive || need == tokenEnding && token.RefreshToken == "" {
		return token, nil
	}
	part, err = t.refresh(ctx, part)
	switch {
	case err != nil && need == tokenEnding && !errors.Is(err, ErrNoSession) && !errors.Is(err, ErrLoginRequired):
		return token, nil // it still serves
	case err != nil:
		return nil, err
	}
	return t.tokenOf(part), nil
}

// tokenOf returns a part's token, the same one each time.
func (t *sessionState) tokenOf(part *tokenPart) *oauth2.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of != part {
		t.of, t.token = part, part.parsed.OAuth2()
	}
	return t.token
}

// withoutRefresh returns a copy for the app. The refresh token stays here: whoever spends it behind our back ends the
// session.
func withoutRefresh(token *oauth2.Token) *oauth2.Token {
	given := *token
	given.RefreshToken = ""
	return &given
}

// refresh replaces the tokens of part by newer ones.
func (t *sessionState) refresh(ctx context.Context, part *tokenPart) (*tokenPart, error) {
	if t.tokenOf(part).RefreshToken == "" {
		return nil, ErrLoginRequired
	}
	return t.renew(ctx, t.auth.refreshTokens(part))
}

// userInfo asks once and keeps the answer.
func (t *sessionState) userInfo(ctx context.Context) (*rp.UserInfo, error) {
	part, err := t.redeemed(ctx)
	if err != nil {
		return nil, err
	}
	if len(part.userInfo) == 0 {
		if _, err := t.liveToken(ctx); err != nil {
			return nil, err
		}
		if part, err = t.renew(ctx, t.auth.askUserInfo()); err != nil {
			return nil, err
		}
	}
	return t.auth.client.ParseUserInfo(part.userInfo)
}

// renew joins renewals of the session until one has brought what is wanted, adopts what came of each, and returns the token
// part that has it.
func (t *sessionState) renew(ctx context.Context, what renewal) (*tokenPart, error) {
	if t.auth.store.inCookies() {
		release, ok := t.commit.reserve()
		if !ok {
			return nil, ErrCommitted
		}
		defer release()
	}
	for own := 0; own < maxRenewals; {
		got, err := t.auth.renew(ctx, t.record(), what)
		if got.next != nil {
			t.adopt(got.next, got.lines)
		}
		if err != nil {
			t.judge(err)
			return nil, err
		}
		part, err := t.usable()
		if err != nil && (what.kind != renewRedeem || !errors.Is(err, ErrPending)) {
			return nil, err
		}
		if err == nil && what.satisfied(part) {
			return part, nil
		}
		if got.mine {
			own++
		}
	}
	return nil, rp.ErrUnavailable
}

// judge has the first byte drop the cookies of a session that a renewal has ended: another process would believe them.
func (t *sessionState) judge(err error) {
	var verdict verdictError
	if !errors.As(err, &verdict) || !t.auth.store.inCookies() {
		return
	}
	t.mu.Lock()
	t.rejected = true
	t.mu.Unlock()
	t.commit.queue(t.auth.names.dropSession())
}

// NewSession makes a session for tests of handlers: see [NewContext]. The claims sub, iss, sid, acr, amr, auth_time
// fill the fields, and all claims are what [Session.Claims] decodes. A nil token means a session without tokens.
// [Session.IDToken], [Session.First] and [Session.UserInfo] return [ErrNoTokens]: nothing was verified.
func NewSession(claims map[string]any, t *oauth2.Token) *Session {
	b, err := json.Marshal(claims)
	if err != nil {
		panic("middleware: NewSession: " + err.Error())
	}
	text := func(name string) string { v, _ := claims[name].(string); return v }
	s := &Session{
		Issuer: text("iss"), Subject: text("sub"), SessionID: text("sid"), ACR: text("acr"),
		state: &sessionState{test: &testSession{claims: b, token: t}},
	}
	var lists struct {
		AMR      []string `json:"amr"`
		AuthTime int64    `json:"auth_time"`
	}
	if json.Unmarshal(b, &lists) == nil {
		s.AMR = lists.AMR
		if lists.AuthTime != 0 {
			s.AuthTime = time.Unix(lists.AuthTime, 0)
		}
	}
	return s
}

// WithValues returns a copy of a session that [NewSession] made, in which [Session.Value] has these values. It panics on
// any other session: the values of a login are its hook's to give.
func (s *Session) WithValues(values map[string]string) *Session {
	if s.state.test == nil {
		panic("middleware: WithValues: not a session of NewSession")
	}
	next, test := *s, *s.state.test
	test.values = maps.Clone(values)
	next.state = &sessionState{test: &test}
	return &next
}
