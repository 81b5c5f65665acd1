package middleware

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// A session in sealed cookies does not come with the provider's cross-site POST. A login that has to go on with one is
// suspended there: the verified answer goes, sealed, into cookies of its own, and the browser to a page of ours, by a GET
// that brings those and the session. There the code is spent and the new session made.

const (
	routeContinue = "login-continue"

	suffixSuspended  = "n"
	suspendedVersion = 1
	fieldLogin       = "login"
	sizeOfLogin      = 12 // of a transaction's name behind its prefix
	base64Alphabet   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// suspended is what a login needs to go on.
type suspended struct {
	at       time.Time // when the answer came
	id       string    // of the session to come: whatever is done with copies, it is one session, and ends as one
	t        *transaction
	form     [sha256.Size]byte
	response []byte // rp.AuthResponse.Bytes
	exchange ExchangeMode
	values   []byte
}

func (s *suspended) encode() []byte {
	w := wire.NewWriter(suspendedVersion, 256+len(s.response))
	w.Time(s.at)
	w.Text(s.id)
	w.Bytes(s.t.encode())
	w.Bytes(s.form[:])
	w.Bytes(s.response)
	w.Int(int64(s.exchange))
	w.Bytes(s.values)
	return w.Done()
}

func decodeSuspended(b []byte) (*suspended, error) {
	r := wire.NewReader(b, suspendedVersion)
	s := &suspended{at: r.Time(), id: r.Text()}
	t, form := r.Bytes(), r.Bytes()
	s.response, s.exchange, s.values = r.Bytes(), ExchangeMode(r.Int()), r.Bytes() //nolint:gosec // what was sealed here
	if r.Close() != nil || copy(s.form[:], form) != len(s.form) || len(s.id) != sessionIDSize {
		return nil, wire.ErrFormat
	}
	var err error
	s.t, err = decodeTransaction(t)
	return s, err
}

// suspend keeps a verified answer in the browser, and sends it on to continueRoute.
func (l *login) suspend(resp *rp.AuthResponse) outcome {
	a := l.auth
	values, err := encodeValues(l.hook.Values)
	if err != nil {
		return outcome{err: fail(codeValues, err)}
	}
	l.t.returnTo = a.site.resolve(l.hook.ReturnTo)
	t := *l.t
	t.request = nil // it is in the response
	lines, err := a.keepSuspended(l.name, &suspended{
		at: l.answered, id: l.id, t: &t, form: l.hash, response: resp.WithoutAccessToken().Bytes(), exchange: l.hook.Exchange, values: values,
	})
	switch {
	case errors.Is(err, errSessionTooLarge):
		return outcome{err: fail(codeSessionTooLarge, err)}
	case err != nil:
		return outcome{err: fail(codeInternal, err)}
	}
	marker, err := a.finish(l.name, l.t, done{form: l.hash, suspended: true})
	if err != nil {
		return outcome{err: fail(codeInternal, err)}
	}
	e := rp.Event{Name: eventLoginSuspended, Took: a.config.Now().Sub(l.began)}
	if l.first != nil {
		receipt := l.first.Receipt()
		e.Receipt = &receipt
	}
	a.observe(l.ctx, e)
	return outcome{location: a.continueURL(l.name), lines: append(lines, marker)}
}

// continueURL is where the login goes on whose transaction has that name.
func (a *Auth) continueURL(name string) string {
	return a.site.public(routeContinue) + "?" + fieldLogin + "=" + url.QueryEscape(a.loginOf(name))
}

// loginOf is what names a login beside its state.
func (a *Auth) loginOf(transaction string) string {
	return strings.TrimPrefix(transaction, a.names.prefix+suffixTransaction)
}

// suspendedNames are the names of the cookies of a suspended login.
func (a *Auth) suspendedNames(login string) (names [maxChunks]string) {
	for i := range names {
		names[i] = a.names.prefix + suffixSuspended + login + strconv.Itoa(i)
	}
	return names
}

// keepSuspended returns the Set-Cookie lines of a suspended login. They last as long as its code.
func (a *Auth) keepSuspended(transaction string, s *suspended) ([]string, error) {
	plain := s.encode()
	count := chunkCount(seal.TextSize(len(plain)))
	if count > maxChunks {
		return nil, errSessionTooLarge
	}
	names := a.suspendedNames(a.loginOf(transaction))
	sealed, err := a.boxes.suspended.Seal(plain, names[0], chunkCounts[count])
	if err != nil {
		return nil, err
	}
	lines := make([]string, 0, maxChunks+1)
	for i, chunk := range splitChunks(sealed, count) {
		lines = append(lines, setCookie(names[i], chunk, a.config.CodeLifetime, http.SameSiteLaxMode))
	}
	return lines, nil
}

// openSuspended returns a suspended login of this browser.
func (a *Auth) openSuspended(c cookies, login string) (*suspended, *Error) {
	names := a.suspendedNames(login)
	sealed, count, ok := joinChunks(c, names)
	switch {
	case !ok:
		return nil, fail(codeTransactionInvalid, errors.New("its cookies are not whole"))
	case sealed == "":
		return nil, fail(codeTransactionMissing, errors.New("no cookie of a suspended login"))
	}
	plain, err := a.boxes.suspended.Open(sealed, names[0], chunkCounts[count])
	if err != nil {
		return nil, fail(codeTransactionInvalid, err)
	}
	s, err := decodeSuspended(plain)
	switch {
	case err != nil:
		return nil, fail(codeTransactionInvalid, err)
	case !a.config.Now().Before(s.at.Add(a.config.CodeLifetime)):
		return nil, fail(codeTransactionExpired, nil)
	}
	return s, nil
}

// continueRoute is where a suspended login goes on. The browser comes from the callback, and nobody else knows its
// cookies; a second visit, by a reload, changes nothing.
func (a *Auth) continueRoute(w http.ResponseWriter, r *http.Request) {
	login := r.URL.Query()[fieldLogin]
	switch {
	case isPrefetch(r.Header):
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodGet || framedOrFetched(r.Header):
		a.refuse(w, r, fail(codeNotNavigation, nil))
		return
	case len(login) != 1 || len(login[0]) != sizeOfLogin || strings.Trim(login[0], base64Alphabet) != "":
		e := fail(codeNoResponse, nil)
		e.RetryURL = a.LoginURL("")
		a.refuse(w, r, e)
		return
	}
	c := a.names.read(r.Header)
	name := a.names.prefix + suffixTransaction + login[0]
	if d, ok := a.concluded(c, name); ok {
		a.observe(r.Context(), rp.Event{Name: eventLoginRepeated})
		seeOther(w, a.site.resolve(d.returnTo))
		return
	}
	s, e := a.openSuspended(c, login[0])
	if e != nil {
		e.RetryURL = a.LoginURL("")
		addCookies(w.Header(), a.dropSuspended(name))
		a.refuse(w, r, e)
		return
	}
	a.attempt(w, r, response{name: name, t: s.t, hash: s.form, suspended: s})
}

// concluded returns the marker of a login that is over.
func (a *Auth) concluded(c cookies, name string) (*done, bool) {
	value, ok := c.get(name)
	if !ok {
		return nil, false
	}
	d, err := a.openDone(name, value)
	if err != nil || d.suspended || !a.config.Now().Before(d.until) {
		return nil, false
	}
	return d, true
}

// dropSuspended returns the lines that remove the cookies of a suspended login.
func (a *Auth) dropSuspended(transaction string) []string {
	var lines []string
	for _, name := range a.suspendedNames(a.loginOf(transaction)) {
		lines = append(lines, dropCookie(name, http.SameSiteLaxMode))
	}
	return lines
}

// resume goes on with a suspended login.
func (a *Auth) resume(r *http.Request, p response) (o outcome) {
	l := a.newLogin(r, p)
	defer func() { o.lines = append(o.lines, a.dropSuspended(p.name)...) }()
	defer l.conclude(&o)
	l.id, l.answered = p.suspended.id, p.suspended.at
	if _, _, ended := a.live.newer(l.id, 0, l.began); ended { // it was made before, and logged out
		return outcome{err: fail(codeTransactionSpent, errSpent)}
	}
	resp, err := a.client.ParseAuthResponse(p.suspended.response)
	if err != nil {
		return l.refused(err)
	}
	l.first = resp.IDToken()
	i := identity{values: p.suspended.values}
	l.hook = &Login{
		Request: l.request, IDToken: l.first, FrontChannel: l.first != nil, ReturnTo: l.t.returnTo,
		Exchange: p.suspended.exchange, Values: i.allValues(),
	}
	return l.complete(resp)
}
