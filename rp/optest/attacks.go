package optest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// Expect says what must come of a login under an [Attack].
type Expect int

const (
	// Refuse means that nobody may be logged in.
	Refuse Expect = iota
	// RefuseUnspent means that nobody may be logged in, and that the code must not go to the token endpoint: what the
	// browser brought is refused first.
	RefuseUnspent
	// Accept marks a control: the provider is honest in an unusual way, and the login must succeed. Without controls a
	// client that refuses everything would look safe.
	Accept
)

// Attack is one thing that a hostile provider, or somebody between it and the app, does in one login: a single change of
// answers that are honest otherwise.
type Attack struct {
	// ID is the line of the catalogue (docs/attacks.md) that it belongs to, for example "B26"; Name says what is done, for
	// example "c_hash_missing". Both together are unique.
	ID, Name string
	// Expect is what must come of it.
	Expect Expect
	// Cold marks an attack on what an app reads early and keeps: the provider's metadata or its keys. It needs an app of its
	// own: give Fault to [Handler.Fault] before that app starts. One that then does not start has refused.
	Cold bool
	// Fault carries it out. It changes only the answers that it is about.
	Fault func(*Answer)

	hits *atomic.Int64 // how often Fault has changed an answer; nil if nobody counts
}

// String returns ID and Name, for example "B26_c_hash_missing": a name for a subtest.
func (a Attack) String() string { return a.ID + "_" + a.Name }

// Attacks returns the catalogue, for clients that use a response type with an ID Token in the authorization response
// ("code id_token", "code id_token token"). Those about the access token beside it need the second one, those about the
// way back need form_post; where they do not apply, [Attack.Try] returns [ErrNotTried].
//
// All expect the defaults of OpenID Connect Core 1.0 and of package rp: one client, no further trusted audience, an
// asymmetric signature, a skew of clocks of half a minute.
func Attacks() []Attack {
	return slices.Concat(responseAttacks(), claimAttacks(), envelopeAttacks(), tokenAttacks(), metadataAttacks())
}

// Target is an app under attack.
type Target struct {
	// Provider is what the app logs in at.
	Provider *Handler
	// Login is the address of the app that starts a login.
	Login string
	// Private is the address of a page of the app that answers 200 to a user who is logged in; to anybody else it answers
	// anything else, a redirect for example.
	Private string
	// Client is passed to [NewBrowser]; nil: as there.
	Client *http.Client
}

// ErrNotTried is what [Attack.Try] returns if the provider was never asked for what the attack changes: it does not apply
// to the app's response type or mode, or the app does not get that far at all.
var ErrNotTried = errors.New("optest: the attack did not take place")

// markup is what attacks try to get into a page of the app.
const markup = `<script>optest()</script>`

// Try carries out the attack: it sets the provider's fault, logs in at the app with a new browser, and looks at what the
// browser may see then. It returns nil if the app did what [Attack.Expect] says, and else an error that says what it did
// instead. No code may be redeemed twice under any attack, and no text of the provider may become markup in a page.
//
// A provider has one fault at a time, so attacks on one provider are tried one after the other. The fault is taken away at
// the end.
func (a Attack) Try(ctx context.Context, t Target) error {
	host, err := url.Parse(t.Provider.issuer)
	if err != nil {
		return err
	}
	over := false // the login is; from then on nobody goes to the provider
	browser := NewBrowser(t.Client)
	browser.Stop = func(_ string, u *url.URL) bool { return over && u.Host == host.Host }
	before := t.Provider.Calls(pathToken)
	hit, page, failure := a.login(ctx, t, browser)
	over = true
	if !hit {
		return errors.Join(ErrNotTried, failure)
	}
	if page != nil && bytes.Contains(page.Body, []byte(markup)) {
		return fmt.Errorf("optest: %s: the page %s holds what the provider wrote, as markup", a, page.URL)
	}
	private, err := browser.Open(ctx, t.Private)
	if err != nil {
		return err
	}
	open := private.Status == http.StatusOK && len(private.History) == 1
	spent := t.Provider.Calls(pathToken) - before
	return a.judge(open, spent, t.Provider.repeated(spent), failure)
}

// login logs in while the fault is set. It reports whether the fault has changed something: in this login or, if the attack
// is cold, before it.
func (a Attack) login(ctx context.Context, t Target, b *Browser) (hit bool, page *Page, err error) {
	fault, hits := a.Fault, a.hits
	if hits == nil {
		hits = new(atomic.Int64)
		fault = func(answer *Answer) {
			hits.Add(1)
			a.Fault(answer)
		}
	}
	before := hits.Load()
	if a.Cold {
		before = 0
	}
	t.Provider.Fault(fault)
	defer t.Provider.Fault(nil)
	page, err = b.Open(ctx, t.Login)
	return hits.Load() > before, page, err
}

func (a Attack) judge(open bool, spent int, twice bool, failure error) error {
	switch {
	case twice:
		return fmt.Errorf("optest: %s: a code was sent twice", a)
	case a.Expect == Accept && !open:
		return errors.Join(fmt.Errorf("optest: %s: this is honest, and nobody is logged in", a), failure)
	case a.Expect != Accept && open:
		return fmt.Errorf("optest: %s: the user is logged in", a)
	case a.Expect == RefuseUnspent && spent > 0:
		return fmt.Errorf("optest: %s: refused, but the token endpoint was called %d times", a, spent)
	}
	return nil
}

// repeated tells if one of the last n requests for tokens has the code of another request.
func (h *Handler) repeated(n int) bool {
	requests := h.Requests(pathToken)
	for i := max(0, len(requests)-n); i < len(requests); i++ {
		code := requests[i].Form.Get("code")
		if code != "" && slices.ContainsFunc(requests[:i], func(r Request) bool { return r.Form.Get("code") == code }) {
			return true
		}
	}
	return false
}

// row is an attack before it is bound to an endpoint.
type row struct {
	id, name string
	expect   Expect
	lie      func(*Answer)
}

// bind makes attacks of rows: each changes the answers that aims accepts.
func bind(cold bool, aims func(*Answer) bool, rows []row) []Attack {
	attacks := make([]Attack, len(rows))
	for i, r := range rows {
		hits := new(atomic.Int64)
		attacks[i] = Attack{ID: r.id, Name: r.name, Expect: r.expect, Cold: cold, hits: hits, Fault: func(a *Answer) {
			if aims(a) {
				hits.Add(1)
				r.lie(a)
			}
		}}
	}
	return attacks
}

// isResponse tells if an answer is a successful authorization response with an ID Token.
func isResponse(a *Answer) bool {
	return a.Endpoint == pathAuthorize && a.Params.Has("id_token") && a.Params.Has("code")
}

// isTokens tells if an answer brings the tokens for a code.
func isTokens(a *Answer) bool {
	return a.Endpoint == pathToken && a.Grant == "authorization_code" && a.Claims != nil
}

func both(first, second func(*Answer) bool) func(*Answer) bool {
	return func(a *Answer) bool { return first(a) && second(a) }
}

// param sets a parameter of the authorization response.
func param(name, value string) func(*Answer) {
	return func(a *Answer) { a.Params.Set(name, value) }
}

// add adds a parameter, a second one of its name if there is one.
func add(name, value string) func(*Answer) {
	return func(a *Answer) { a.Params.Add(name, value) }
}

// drop takes parameters away.
func drop(names ...string) func(*Answer) {
	return func(a *Answer) {
		for _, name := range names {
			a.Params.Del(name)
		}
	}
}

// edit changes a parameter.
func edit(name string, f func(string) string) func(*Answer) {
	return func(a *Answer) { a.Params.Set(name, f(a.Params.Get(name))) }
}

// claim sets a claim.
func claim(name string, value any) func(*Answer) {
	return func(a *Answer) { a.Claims[name] = value }
}

// noClaim takes claims away.
func noClaim(names ...string) func(*Answer) {
	return func(a *Answer) {
		for _, name := range names {
			delete(a.Claims, name)
		}
	}
}

// headed sets a header parameter.
func headed(name string, value any) func(*Answer) {
	return func(a *Answer) { a.Header[name] = value }
}

// member sets a member of a JSON answer; nil takes it away.
func member(name string, value any) func(*Answer) {
	return func(a *Answer) {
		if a.JSON[name] = value; value == nil {
			delete(a.JSON, name)
		}
	}
}

// fromNow sets a NumericDate claim to a time from now, in seconds.
func fromNow(name string, seconds int64) func(*Answer) {
	return func(a *Answer) { a.Claims[name] = a.handler.now().Unix() + seconds }
}

// all makes one lie of several.
func all(lies ...func(*Answer)) func(*Answer) {
	return func(a *Answer) {
		for _, lie := range lies {
			lie(a)
		}
	}
}

// appended returns what puts text behind a value.
func appended(text string) func(string) string { return func(s string) string { return s + text } }

// long sets something to a text of n bytes. The text is made when it is used: whoever imports this package for another
// reason shall not carry it.
func long(set func(name string, value any) func(*Answer), name string, n int) func(*Answer) {
	return func(a *Answer) { set(name, strings.Repeat("a", n))(a) }
}

func longParam(name string, n int) func(*Answer) {
	return func(a *Answer) { param(name, strings.Repeat("a", n))(a) }
}
