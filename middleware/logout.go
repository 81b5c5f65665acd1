package middleware

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

const (
	logoutVersion = 1
	// logoutLife is how long the provider may take to send the browser back.
	logoutLife = 15 * time.Minute
	fieldCSRF  = "csrf"

	fieldReturnTo = "return_to"
)

// Logout ends the session of this browser, here: its cookies, its record, its logins under way. Then the provider is
// asked, in the background, to revoke its tokens (RFC 7009). It does not send the browser to the provider; the logout
// route does. The error is the store's: the cookies are gone anyway.
func (a *Auth) Logout(w http.ResponseWriter, r *http.Request) error {
	c := a.names.read(r.Header)
	if s := a.Session(r.Context()); s != nil && s.state.test == nil {
		return a.logout(w, r, c, s.state.record())
	}
	rec, err := a.store.load(r.Context(), c)
	if errors.Is(err, ErrNoSession) { // its name in the cookie is a stranger's to choose: nothing of it is kept
		a.clear(w, r, c)
		return nil
	}
	return a.logout(w, r, c, rec)
}

// logout ends the session of this browser; rec is nil if the store is down, and then nothing is revoked.
func (a *Auth) logout(w http.ResponseWriter, r *http.Request, c cookies, rec *record) error {
	var err error
	last := a.newest(rec)
	if handle := a.store.handle(c); handle != "" {
		err = a.end(r.Context(), handle, eventLogout)
	}
	a.revoke(r.Context(), last)
	a.clear(w, r, c)
	return err
}

// clear drops what this browser has of us, and what this request has of a session.
func (a *Auth) clear(w http.ResponseWriter, r *http.Request, c cookies) {
	if s := a.Session(r.Context()); s != nil {
		s.state.leave()
	}
	h := w.Header()
	addCookies(h, a.names.dropSession())
	addCookies(h, a.dropTransactions(c))
}

// newest is the record that has taken rec's place, as far as this process knows.
func (a *Auth) newest(rec *record) *record {
	if rec == nil {
		return nil
	}
	if next, _, _ := a.live.newer(rec.identity.id, rec.identity.generation, a.config.Now()); next != nil {
		rec = next
	}
	if next := a.live.unsaved(rec.identity.id, rec.identity.generation); next != nil {
		return next
	}
	return rec
}

// leave makes the session useless for the rest of the request.
func (t *sessionState) leave() {
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	t.commit.queue(nil)
}

// logoutPage asks whether the user wants to log out. A GET changes nothing: any page can make a browser send one.
func (a *Auth) logoutPage(w http.ResponseWriter, r *http.Request) {
	returnTo := a.named(r.URL.Query())
	f, err := a.find(r.Context(), a.names.read(r.Header))
	switch {
	case errors.Is(err, ErrNoSession):
		a.landingPage(w, "There is no session of yours on this site.", a.site.resolve(returnTo))
	case err != nil:
		a.storeDown(w, r, err)
	default:
		a.confirmPage(w, a.boxes.signCSRF(f.rec.identity.id), returnTo)
	}
}

// logoutRoute ends the session, first here and then at the provider, which gets the ID Token as a hint of whom it is
// about. It takes the word of our own pages only: by Origin and Sec-Fetch-Site, or by the value of
// Session.LogoutToken.
func (a *Auth) logoutRoute(w http.ResponseWriter, r *http.Request) {
	form, e := readForm(w, r)
	if e != nil && (e.Code != codeContentType || r.ContentLength != 0) { // a POST without a body has no type
		a.refuse(w, r, e)
		return
	}
	c := a.names.read(r.Header)
	rec, err := a.store.load(r.Context(), c)
	if err != nil && !errors.Is(err, ErrNoSession) {
		a.storeDown(w, r, err)
		return
	}
	if !sameOrigin(r.Header, a.site.origin) && (rec == nil || !a.boxes.checkCSRF(rec.identity.id, form.Get(fieldCSRF))) {
		e := fail(codeCrossOrigin, nil)
		e.RetryURL = a.site.public(routeLogout)
		a.refuse(w, r, e)
		return
	}
	hint := a.hint(rec)
	if rec == nil {
		a.clear(w, r, c)
	} else if err := a.logout(w, r, c, rec); err != nil {
		a.storeDown(w, r, err)
		return
	}
	a.leaveProvider(w, r, hint, rec != nil, a.named(form))
}

// named is the return-to of a logout, a path of this app; "" if the form or query names none.
func (a *Auth) named(v url.Values) string {
	if given := v.Get(fieldReturnTo); given != "" {
		return a.site.resolve(given)
	}
	return ""
}

// hint is the ID Token that names the session to the provider; "" if none was kept.
func (a *Auth) hint(rec *record) string {
	if rec == nil || a.store.openTokens(rec) != nil || rec.part == nil {
		return ""
	}
	if rec.part.kind != partTokens {
		first, err := rec.part.first()
		if err != nil {
			return ""
		}
		return first.Raw()
	}
	if t := rec.part.parsed.IDToken(); t != nil {
		return t.Raw()
	}
	return ""
}

// leaveProvider sends the browser to end_session_endpoint, or to our landing page where there is none, or none that
// answers: the session here is over either way.
func (a *Auth) leaveProvider(w http.ResponseWriter, r *http.Request, hint string, hadSession bool, returnTo string) {
	state := rand.Text()
	line, err := a.logoutCookie(state, returnTo)
	if err != nil {
		a.refuse(w, r, fail(codeInternal, err))
		return
	}
	addCookies(w.Header(), []string{line})
	local := a.site.public(routeLoggedOut) + "?state=" + state
	if !hadSession {
		seeOther(w, local)
		return
	}
	to, err := a.client.EndSession(r.Context(), hint, state)
	if err != nil {
		if !errors.Is(err, rp.ErrUnsupported) {
			a.observe(r.Context(), rp.Event{Name: eventLogout, Code: rp.ErrorCode(err), Err: err})
		}
		seeOther(w, local)
		return
	}
	a.redirect(w, r, *to)
}

// logoutCookie remembers, in the browser, where a logout that it began shall lead.
func (a *Auth) logoutCookie(state, returnTo string) (string, error) {
	v := wire.NewWriter(logoutVersion, 64+len(returnTo))
	v.String(state)
	v.String(returnTo)
	v.Time(a.config.Now().Add(logoutLife))
	sealed, err := a.boxes.logout.Seal(v.Done(), a.names.logout)
	if err != nil {
		return "", err
	}
	return setCookie(a.names.logout, sealed, logoutLife, http.SameSiteLaxMode), nil
}

// loggedOutRoute is where a logout ends; always with 200. Only the state of a logout that this browser began leads
// anywhere, and there only to a page of this app; by itself only if the logout named one.
func (a *Auth) loggedOutRoute(w http.ResponseWriter, r *http.Request) {
	c := a.names.read(r.Header)
	if returnTo, ok := a.endOfLogout(c, r.URL.Query()["state"]); ok {
		addCookies(w.Header(), []string{dropCookie(a.names.logout, http.SameSiteLaxMode)})
		if returnTo != "" {
			returnTo = a.site.resolve(returnTo)
			w.Header().Set("Refresh", "2;url="+returnTo)
		}
		a.landingPage(w, "Your session on this site has ended.", a.site.resolve(returnTo))
		return
	}
	if _, err := a.find(r.Context(), c); err == nil {
		a.stillHerePage(w)
		return
	}
	a.landingPage(w, "There is no session of yours on this site.", a.site.home())
}

func (a *Auth) endOfLogout(c cookies, state []string) (returnTo string, ok bool) {
	value, ok := c.get(a.names.logout)
	if !ok || len(state) != 1 {
		return "", false
	}
	plain, err := a.boxes.logout.Open(value, a.names.logout)
	if err != nil {
		return "", false
	}
	v := wire.NewReader(plain, logoutVersion)
	want, returnTo, until := v.String(), v.String(), v.Time()
	if v.Close() != nil || !a.config.Now().Before(until) ||
		subtle.ConstantTimeCompare([]byte(want), []byte(state[0])) != 1 {
		return "", false
	}
	return returnTo, true
}
