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
		e := fail(codeTransactionSpent, err)
		e.RetryURL = a.LoginURL(p.t.returnTo)
		return outcome{err: e, lines: []string{dropCookie(p.name, a.transactionSite())}}
	case !errors.Is(err, ErrNoSession):
		return outcome{err: fail(codeSessionStore, err), again: true}
	}
	o = a.settle(r, p)
	if o.to.URL == "" { // another login that begins needs no memory: its state is new
		a.server.keepAnswer(ctx, key, p, o, a.config.LoginTimeout)
	}
	return o
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

// keepAnswer notes what was answered, for as long as the transaction may be in the browser. If the store fails now, the
// provider still knows that the code is spent.
func (s *serverStore) keepAnswer(ctx context.Context, key string, p response, o outcome, life time.Duration) {
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
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, _ = s.store.Put(ctx, key, []byte(sealed), PutOptions{TTL: life})
}
