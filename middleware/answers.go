package middleware

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
)

// What came of a login is kept in the store for a while, if the store can lock: a form that a browser sends again, to
// another instance, after the answer to its first copy was lost, gets the same answer and the same session; and no
// instance spends a code that another one has spent.

const answerVersion = 1

var errElsewhere = errors.New("as another instance answered before")

// sharedSettle is settle, once in all instances.
func (a *Auth) sharedSettle(r *http.Request, p response) outcome {
	if a.server == nil || a.server.locker == nil {
		return a.settle(r, p)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), settleTimeout)
	defer cancel()
	key := a.server.key("answer", p.q.State())
	unlock, err := a.server.lockKey(ctx, key)
	if err != nil {
		return outcome{err: fail(codeSessionStore, err), again: true}
	}
	defer unlock()
	o, err := a.server.answer(ctx, key, p.hash)
	switch {
	case err == nil:
		return o
	case errors.Is(err, errSpent):
		return a.spentAnswer(p)
	case !errors.Is(err, ErrNoSession):
		return outcome{err: fail(codeSessionStore, err), again: true}
	}
	// Who dies from here on has spent the code for all that the others know: they refuse it.
	version, err := a.server.keepAnswer(ctx, key, p, a.spentAnswer(p), PutOptions{TTL: a.config.LoginTimeout})
	if err != nil {
		return outcome{err: fail(codeSessionStore, err), again: true}
	}
	o = a.settle(r, p)
	if o.to.URL != "" { // another login begins: its state is new
		_ = a.server.remove(ctx, key) // else the answer stays that the code is spent
		return o
	}
	// If the store fails now, that stays as well.
	_, _ = a.server.keepAnswer(ctx, key, p, o, PutOptions{Version: version, TTL: a.config.LoginTimeout})
	return o
}

// spentAnswer is for a form that an instance has taken up, when nobody knows what came of it.
func (a *Auth) spentAnswer(p response) outcome {
	e := fail(codeTransactionSpent, errSpent)
	e.RetryURL = a.LoginURL(p.t.returnTo)
	return outcome{err: e, lines: []string{dropCookie(p.name, a.transactionSite())}}
}

// settleTimeout bounds the wait for another instance and the login itself.
const settleTimeout = time.Minute

// answer returns what an instance has answered; errSpent if that was to another form, or too long ago.
func (s *serverStore) answer(ctx context.Context, key string, form [sha256.Size]byte) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	data, _, _, err := s.store.Load(ctx, key)
	if err != nil {
		return outcome{}, storeError(err)
	}
	plain, err := s.boxes.answer.Open(string(data), key)
	if err != nil {
		return outcome{}, errSpent // it cannot be read: better no session than two
	}
	r := wire.NewReader(plain, answerVersion)
	hash, until := r.Bytes(), r.Time()
	o := outcome{location: r.String(), lines: r.Strings()}
	e := Error{Code: r.String(), Reference: r.String(), RetryURL: r.String(), Status: int(r.Int()), Err: errElsewhere}
	if r.Close() != nil || subtle.ConstantTimeCompare(hash, form[:]) != 1 || !s.now().Before(until) {
		return outcome{}, errSpent
	}
	if e.Code != "" {
		o.err = &e
	}
	return o, nil
}

// keepAnswer notes what was answered, for as long as the transaction may be in the browser.
func (s *serverStore) keepAnswer(ctx context.Context, key string, p response, o outcome, to PutOptions) (uint64, error) {
	e := o.err
	if e == nil {
		e = &Error{}
	}
	w := wire.NewWriter(answerVersion, 512)
	w.Bytes(p.hash[:])
	w.Time(s.now().Add(shareFor))
	w.String(o.location)
	w.Strings(o.lines)
	w.String(e.Code)
	w.String(e.Reference)
	w.String(e.RetryURL)
	w.Int(int64(e.Status))
	sealed, err := s.boxes.answer.Seal(w.Done(), key)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	version, err := s.store.Put(ctx, key, []byte(sealed), to)
	if err != nil {
		return 0, storeError(err)
	}
	return version, nil
}
