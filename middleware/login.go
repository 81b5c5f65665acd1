package middleware

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// begin says how a login starts.
type begin struct {
	options   rp.AuthOptions
	returnTo  string      // a path of this app, resolved
	challenge string      // digest of the challenge that it answers
	before    []time.Time // as in a transaction, where no cookies tell
	continues bool        // for a session that lives: if the same user comes back, it goes on
}

// Login starts a login from a handler, with options over those of the configuration. It comes back to the request's
// return_to parameter if that is a path of this app, else to the page itself if this is a GET, else to the home page.
// What is no navigation gets an error and no cookie.
func (a *Auth) Login(w http.ResponseWriter, r *http.Request, o rp.AuthOptions) {
	secureHeaders(w.Header())
	returnTo := a.site.home()
	if given := r.URL.Query().Get("return_to"); given != "" {
		returnTo = a.site.resolve(given)
	} else if r.Method == http.MethodGet {
		returnTo = a.site.here(r)
	}
	a.open(w, r, begin{options: merge(a.config.AuthOptions, o), returnTo: returnTo})
}

// loginRoute starts a login that comes back to return_to. With switch=1 the provider asks which account it shall be.
// It takes no other parameter but a challenge that we have sealed: what is sent to the provider is the app's to say.
func (a *Auth) loginRoute(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	returnTo := a.site.home()
	if values := q["return_to"]; len(values) == 1 {
		returnTo = a.site.resolve(values[0])
	}
	options := a.config.AuthOptions
	if values := q["switch"]; len(values) == 1 && values[0] == "1" {
		options.Prompt = withAccountChoice(options.Prompt)
	}
	if a.challengeRoute(w, r, q[challengeQuery], returnTo) {
		return
	}
	a.open(w, r, begin{options: options, returnTo: returnTo})
}

// withAccountChoice adds select_account to what the app asks for anyway: a link must not take a prompt=login away.
func withAccountChoice(prompt string) string {
	const choice = "select_account"
	words := strings.Fields(prompt)
	switch {
	case prompt == promptNone || len(words) == 0:
		return choice
	case slices.Contains(words, choice):
		return prompt
	default:
		return prompt + " " + choice
	}
}

func (a *Auth) initiateGet(w http.ResponseWriter, r *http.Request) {
	a.initiate(w, r, r.URL.Query())
}

func (a *Auth) initiatePost(w http.ResponseWriter, r *http.Request) {
	form, e := readForm(w, r)
	if e != nil {
		a.refuse(w, r, e)
		return
	}
	a.initiate(w, r, form)
}

// initiate is a login that a third party, the provider's portal say, sends the user to (Core 4): iss must be our
// provider's, target_link_uri is obeyed only if it is a URL of this app.
func (a *Auth) initiate(w http.ResponseWriter, r *http.Request, q url.Values) {
	if iss := q["iss"]; len(iss) != 1 || iss[0] != a.client.Issuer() {
		e := fail(codeInitiate, nil)
		e.RetryURL = a.site.home()
		a.refuse(w, r, e)
		return
	}
	options := a.config.AuthOptions
	if hint := q["login_hint"]; len(hint) == 1 {
		options.LoginHint = hint[0]
	}
	a.open(w, r, begin{options: options, returnTo: a.site.absolute(q.Get("target_link_uri"))})
}

// open starts a login that somebody asked for by opening a URL.
func (a *Auth) open(w http.ResponseWriter, r *http.Request, b begin) {
	c := a.names.read(r.Header)
	nav := classifyOpen(r.Method, r.Header)
	_, silent := a.recent(c)
	switch {
	case nav == navPrefetch:
		w.WriteHeader(http.StatusNoContent)
	case nav != navPage:
		e := fail(codeLoginRequired, nil)
		e.RetryURL = a.LoginURL(b.returnTo)
		a.refuse(w, r, e)
	case b.options.Prompt == promptNone && silent > 0: // the provider has just said that nobody is logged in there
		e := fail(codeLoginRequired, nil)
		e.RetryURL = a.LoginURL(b.returnTo)
		a.refuse(w, r, e)
	default:
		a.begins(w, r, c, b)
	}
}

const promptNone = "none"

// begins sends the browser to the provider, with a transaction cookie.
func (a *Auth) begins(w http.ResponseWriter, r *http.Request, c cookies, b begin) {
	to, lines, e := a.prepare(r, b, a.store.handle(c), c)
	if e != nil {
		e.RetryURL = a.LoginURL(b.returnTo)
		a.refuse(w, r, e)
		return
	}
	addCookies(w.Header(), lines)
	a.redirect(w, r, to)
}

// prepare makes the authorization request and its transaction.
func (a *Auth) prepare(r *http.Request, b begin, prior string, c cookies) (rp.Redirect, []string, *Error) {
	q, err := a.client.NewAuthRequest(r.Context(), b.options)
	if err != nil {
		return rp.Redirect{}, nil, failProtocol(err)
	}
	t := &transaction{
		created: a.config.Now().Truncate(time.Second), returnTo: b.returnTo, request: q.Bytes(), prior: prior,
		challenge: b.challenge, silent: b.options.Prompt == promptNone, continues: b.continues && prior != "",
	}
	if t.continues {
		t.scopes, t.resources, t.consent = b.options.Scopes, b.options.Resources, a.onlyConsent(b.options)
	}
	if t.before = b.before; c != nil {
		t.before, _ = a.finished(c)
	}
	lines, err := a.begin(c, q.State(), t)
	if err != nil {
		return rp.Redirect{}, nil, fail(codeInternal, err)
	}
	a.warnOfHost(r)
	a.observe(r.Context(), rp.Event{Name: eventLoginStarted})
	return q.Redirect(), lines, nil
}

// warnOfHost tells a developer who opens 127.0.0.1 where RedirectURL says localhost. The Host header is used for
// nothing else.
func (a *Auth) warnOfHost(r *http.Request) {
	if a.site.base.Scheme != "http" || len(r.Host) > maxHost {
		return
	}
	if host := strings.ToLower(strings.TrimSuffix(r.Host, ":80")); "http://"+host != a.site.origin {
		a.config.Logger.WarnContext(r.Context(), "twofold: a login was started at another host than RedirectURL's: its cookie will not come back",
			"started_at", "http://"+host, "redirect_url_at", a.site.origin)
	}
}

// maxHost is the longest name of a host with a port.
const maxHost = 261

// redirect sends the browser to the provider: 302 after a GET, 303 after anything else, or by a form where the
// request is too long for a URL.
func (a *Auth) redirect(w http.ResponseWriter, r *http.Request, to rp.Redirect) {
	if to.Fields != nil {
		a.autoPost(w, to)
		return
	}
	w.Header().Set("Location", to.URL)
	if r.Method == http.MethodGet {
		w.WriteHeader(http.StatusFound)
		return
	}
	w.WriteHeader(http.StatusSeeOther)
}

// merge lays options over others: what is set replaces.
func merge(base, over rp.AuthOptions) rp.AuthOptions {
	text := func(b *string, o string) {
		if o != "" {
			*b = o
		}
	}
	list := func(b *[]string, o []string) {
		if o != nil {
			*b = o
		}
	}
	text(&base.Prompt, over.Prompt)
	text(&base.LoginHint, over.LoginHint)
	text(&base.IDTokenHint, over.IDTokenHint)
	text(&base.UILocales, over.UILocales)
	list(&base.ACRValues, over.ACRValues)
	list(&base.EssentialACR, over.EssentialACR)
	list(&base.Scopes, over.Scopes)
	list(&base.Resources, over.Resources)
	if over.MaxAge != nil {
		base.MaxAge = over.MaxAge
	}
	if over.Claims != nil {
		base.Claims = over.Claims
	}
	if over.Expect != nil {
		base.Expect = over.Expect
	}
	base.Extra = mergeExtra(base.Extra, over.Extra)
	return base
}

func mergeExtra(base, over url.Values) url.Values {
	if len(over) == 0 {
		return base
	}
	out := url.Values{}
	for _, from := range []url.Values{base, over} {
		for name, values := range from {
			out[name] = values
		}
	}
	return out
}
