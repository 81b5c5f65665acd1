package middleware

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// transaction is a login under way. It lives in a sealed cookie of its own, one for each state, so that a stranger's
// logins cost us no memory and two tabs do not disturb each other.
type transaction struct {
	created   time.Time
	returnTo  string
	request   []byte // rp.AuthRequest.Bytes
	prior     string // the store's handle of the session that this browser had when the login began
	challenge string // digest of the challenge that this login answers
	silent    bool   // prompt=none: the provider may say that nobody is logged in there
	continues bool   // the session before goes on in the new one, if its user is the same
	consent   bool   // it asks for more consent and for nothing else
	scopes    []string
	resources []string    // what this login asks for beyond the configuration
	before    []time.Time // ends of the logins of this browser in the loop window before it
}

// done replaces the transaction after its end, so that a reload or the back button leads on instead of failing.
type done struct {
	at       time.Time
	until    time.Time
	form     [sha256.Size]byte // hash of the answer that was accepted
	returnTo string
	silent   bool // nobody was logged in at the provider
	// suspended says that the answer was verified, and that the login goes on at the route of continuations.
	suspended bool
	// before is the transaction's. Where addresses are long the browser keeps one marker or two, and a loop is to be told
	// all the same.
	before []time.Time
}

const (
	transactionVersion = 2
	doneVersion        = 2
	// maxTransactions and maxTransactionSize bound what logins in many tabs take of a browser's cookies.
	maxTransactions    = 5
	maxTransactionSize = 4 << 10
	// loopWindow and maxLogins: so many logins in so short a time, and still no session, are a loop.
	loopWindow = time.Minute
	maxLogins  = 3
)

func (t *transaction) encode() []byte {
	w := wire.NewWriter(transactionVersion, 64+len(t.request)+len(t.returnTo)+len(t.prior))
	w.Time(t.created)
	w.String(t.returnTo)
	w.Bytes(t.request)
	w.String(t.prior)
	w.String(t.challenge)
	w.Bool(t.silent)
	w.Bool(t.continues)
	w.Bool(t.consent)
	w.Strings(t.scopes)
	w.Strings(t.resources)
	writeTimes(&w, t.before)
	return w.Done()
}

func decodeTransaction(b []byte) (*transaction, error) {
	r := wire.NewReader(b, transactionVersion)
	t := &transaction{
		created: r.Time(), returnTo: r.String(), request: r.Bytes(), prior: r.String(), challenge: r.String(), silent: r.Bool(),
		continues: r.Bool(), consent: r.Bool(), scopes: r.Strings(), resources: r.Strings(), before: readTimes(&r),
	}
	return t, r.Close()
}

func (d *done) encode() []byte {
	w := wire.NewWriter(doneVersion, 64+len(d.returnTo))
	w.Time(d.at)
	w.Time(d.until)
	w.Bytes(d.form[:])
	w.String(d.returnTo)
	w.Bool(d.silent)
	w.Bool(d.suspended)
	writeTimes(&w, d.before)
	return w.Done()
}

func writeTimes(w *wire.Writer, times []time.Time) {
	w.Int(int64(len(times)))
	for _, t := range times {
		w.Time(t)
	}
}

func readTimes(r *wire.Reader) (times []time.Time) {
	for range min(r.Int(), maxTransactions) {
		times = append(times, r.Time())
	}
	return times
}

func decodeDone(b []byte) (*done, error) {
	r := wire.NewReader(b, doneVersion)
	d := &done{at: r.Time(), until: r.Time()}
	form := r.Bytes()
	d.returnTo, d.silent, d.suspended = r.String(), r.Bool(), r.Bool()
	d.before = readTimes(&r)
	if err := r.Close(); err != nil || copy(d.form[:], form) != len(d.form) {
		return nil, wire.ErrFormat
	}
	return d, nil
}

// transactionName names the cookie of a state. The state itself is no part of it: names are logged more easily.
func (a *Auth) transactionName(state string) string {
	sum := sha256.Sum256([]byte(state))
	var text [12]byte
	base64.RawURLEncoding.Encode(text[:], sum[:9])
	return a.names.prefix + suffixTransaction + string(text[:])
}

// transactionSite is None only where the answer comes as a cross-site POST: that brings no other cookie.
func (a *Auth) transactionSite() http.SameSite {
	if a.client.ResponseMode() == rp.FormPost {
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// begin returns the Set-Cookie lines of a new transaction: its own, and those that drop the oldest of the others until
// all fit.
func (a *Auth) begin(c cookies, state string, t *transaction) ([]string, error) {
	name := a.transactionName(state)
	sealed, err := a.boxes.transaction.Seal(t.encode(), name)
	if err != nil {
		return nil, err
	}
	lines := make([]string, 1, 2)
	lines[0] = setCookie(name, sealed, a.config.LoginTimeout, a.transactionSite())
	for _, old := range a.surplus(c, name, len(name)+len(sealed)) {
		lines = append(lines, dropCookie(old, a.transactionSite()))
	}
	return lines, nil
}

// surplus returns the names of the transactions and markers that must go so that one more of that size fits: all that
// do not open, then the oldest.
func (a *Auth) surplus(c cookies, newest string, size int) []string {
	type entry struct {
		cookie
		at time.Time
	}
	var entries []entry
	var drop []string
	for _, k := range c {
		if !a.isTransaction(k.name) || k.name == newest {
			continue
		}
		if at := a.age(k); !at.IsZero() {
			entries = append(entries, entry{k, at})
			continue
		}
		drop = append(drop, k.name)
	}
	slices.SortFunc(entries, func(x, y entry) int { return cmp.Or(y.at.Compare(x.at), strings.Compare(x.name, y.name)) })
	kept := 1
	for _, e := range entries {
		size += len(e.name) + len(e.value)
		if kept++; kept > maxTransactions || size > maxTransactionSize {
			drop = append(drop, e.name)
		}
	}
	return drop
}

func (a *Auth) isTransaction(name string) bool {
	return strings.HasPrefix(name[len(a.names.prefix):], suffixTransaction)
}

// age returns when a transaction began or ended; zero if it is none of ours or over.
func (a *Auth) age(k cookie) time.Time {
	now := a.config.Now()
	if d, err := a.openDone(k.name, k.value); err == nil && now.Before(d.until) {
		return d.at
	}
	if t, err := a.openTransaction(k.name, k.value); err == nil && now.Before(t.created.Add(a.config.LoginTimeout)) {
		return t.created
	}
	return time.Time{}
}

func (a *Auth) openTransaction(name, value string) (*transaction, error) {
	plain, err := a.boxes.transaction.Open(value, name)
	if err != nil {
		return nil, err
	}
	return decodeTransaction(plain)
}

func (a *Auth) openDone(name, value string) (*done, error) {
	plain, err := a.boxes.done.Open(value, name)
	if err != nil {
		return nil, err
	}
	return decodeDone(plain)
}

// finish returns the line that replaces a transaction by its marker d, for what remains of its life.
func (a *Auth) finish(name string, t *transaction, d done) (string, error) {
	now := a.config.Now()
	d.at, d.until, d.returnTo, d.before = now, t.created.Add(a.config.LoginTimeout), t.returnTo, t.before
	sealed, err := a.boxes.done.Seal(d.encode(), name)
	if err != nil {
		return "", err
	}
	return setCookie(name, sealed, d.until.Sub(now), a.transactionSite()), nil
}

// recent counts the logins that this browser finished within the loop window, all and the silent ones that found
// nobody. The newest marker is always there, and knows of those before it.
func (a *Auth) recent(c cookies) (all, silent int) {
	times, silent := a.finished(c)
	return len(times), silent
}

// finished are the ends of those logins.
func (a *Auth) finished(c cookies) (times []time.Time, silent int) {
	now := a.config.Now()
	old := func(at time.Time) bool { return now.Sub(at) >= loopWindow }
	var ends []time.Time
	for _, k := range c {
		if !a.isTransaction(k.name) {
			continue
		}
		d, err := a.openDone(k.name, k.value)
		if err != nil || old(d.at) {
			continue
		}
		ends = append(ends, d.at)
		if d.silent {
			silent++
		}
		if told := append(slices.DeleteFunc(d.before, old), d.at); len(told) > len(times) {
			times = told
		}
	}
	if len(ends) > len(times) {
		times = ends
	}
	return times[max(0, len(times)-maxTransactions):], silent
}

// transactions counts the cookies of logins.
func (a *Auth) transactions(c cookies) (n int) {
	for _, k := range c {
		if a.isTransaction(k.name) {
			n++
		}
	}
	return n
}

// dropTransactions returns the lines that remove every transaction and marker of this browser.
func (a *Auth) dropTransactions(c cookies) []string {
	var lines []string
	for _, k := range c {
		switch {
		case a.isTransaction(k.name):
			lines = append(lines, dropCookie(k.name, a.transactionSite()))
		case strings.HasPrefix(k.name, a.names.prefix+suffixSuspended):
			lines = append(lines, dropCookie(k.name, http.SameSiteLaxMode))
		}
	}
	return lines
}
