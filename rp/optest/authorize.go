package optest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

const loginLifetime = 10 * time.Minute // how long a login page waits

// authorize is the authorization endpoint (OpenID Connect Core 3.1.2, 3.2.2 and 3.3.2).
func (h *Handler) authorize(a *Answer, r Request) *Answer {
	p := r.params()
	q := &authRequest{request: r}
	if err := h.client(q, p); err != nil {
		return errorPage(a, http.StatusBadRequest, err.description)
	}
	for _, rule := range authRules {
		if err := rule(h, q, p); err != nil {
			return h.refuse(a, q, err)
		}
	}
	return h.decide(a, q, h.state.session(r.cookie(h.cookieName())))
}

// decide finds out if the user has to be asked (OpenID Connect Core 3.1.2.3).
func (h *Handler) decide(a *Answer, q *authRequest, s *session) *Answer {
	needsLogin := s == nil || h.stale(q, s) || !h.rightUser(q, s.sub)
	switch {
	case q.prompts("none") && needsLogin:
		return h.refuse(a, q, &protocolError{"login_required", "the user has to log in"})
	case needsLogin && h.config.LoginPage:
		return h.ask(a, &login{request: q})
	case needsLogin:
		return h.enter(a, q, h.autoUser(q))
	case q.prompts("consent") && h.config.LoginPage:
		return h.ask(a, &login{request: q, consent: s})
	}
	return h.grant(a, q, s)
}

// stale tells if a session is not the login that the request asks for.
func (h *Handler) stale(q *authRequest, s *session) bool {
	switch {
	case q.prompts("login") || q.prompts("select_account"):
		return true
	case q.maxAge != nil && (*q.maxAge == 0 || h.now().Sub(s.authTime) > *q.maxAge): // 0 is prompt=login
		return true
	case len(q.acr) > 0 && !slices.Contains(q.acr, s.acr):
		return true
	}
	return false
}

// rightUser compares with the user that id_token_hint or the claims parameter names.
func (h *Handler) rightUser(q *authRequest, sub string) bool {
	if q.hint != nil && q.hint.Subject != sub {
		return false
	}
	return q.claims.IDToken["sub"].accepts(sub)
}

// autoUser is who is logged in when nobody is asked.
func (h *Handler) autoUser(q *authRequest) string {
	if q.hint != nil {
		return q.hint.Subject
	}
	for _, asked := range append(q.claims.IDToken["sub"].strings(), userName(q.loginHint)) {
		if asked != "" {
			return asked
		}
	}
	return h.defaultUser()
}

func (h *Handler) defaultUser() string {
	if sub, ok := h.config.Claims["sub"].(string); ok && sub != "" {
		return sub
	}
	return "alice"
}

// userName makes a subject of what was typed: a name, or an address whose local part is one.
func userName(typed string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(typed), "@")
	name = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) || r == ' ' {
			return -1
		}
		return r
	}, name)
	return name[:min(len(name), 64)]
}

// ask sends the browser to the login page.
func (h *Handler) ask(a *Answer, l *login) *Answer {
	l.expires = h.now().Add(loginLifetime)
	a.Endpoint = pathLogin
	target := h.base + pathLogin + "?" + url.Values{"request": {h.state.wait(l, h.now())}}.Encode()
	return redirect(a, l.request.request, target)
}

func redirect(a *Answer, r Request, target string) *Answer {
	a.Status = http.StatusFound
	if r.Method == http.MethodPost {
		a.Status = http.StatusSeeOther
	}
	a.HTTPHeader.Set("Location", target)
	a.HTTPHeader.Set("Cache-Control", "no-store")
	return a
}

// login is the login page and what it posts.
func (h *Handler) login(a *Answer, r Request) *Answer {
	if r.Method != http.MethodPost {
		id := r.URL.Query().Get("request")
		l := h.state.waiting(id, h.now())
		if l == nil {
			return errorPage(a, http.StatusBadRequest, "This login has ended. Please start again where you came from.")
		}
		return h.loginPage(a, id, l, "")
	}
	id, name := r.Form.Get("request"), userName(r.Form.Get("username"))
	waiting := h.state.waiting(id, h.now())
	if waiting != nil && waiting.consent == nil && name == "" && r.Form.Get("action") != "cancel" {
		return h.loginPage(a, id, waiting, "Please type a user name.")
	}
	l := h.state.take(id, h.now())
	if l == nil {
		return errorPage(a, http.StatusBadRequest, "This login has ended. Please start again where you came from.")
	}
	a.Endpoint = pathAuthorize
	switch {
	case r.Form.Get("action") == "cancel":
		return h.refuse(a, l.request, &protocolError{"access_denied", "the user did not agree"})
	case l.consent != nil:
		return h.grant(a, l.request, l.consent)
	case !h.rightUser(l.request, name):
		return h.refuse(a, l.request, &protocolError{"login_required", "another user has logged in"})
	}
	return h.enter(a, l.request, name)
}

// enter logs a user in and answers the request.
func (h *Handler) enter(a *Answer, q *authRequest, sub string) *Answer {
	s := &session{sub: sub, sid: random(12), authTime: h.now()}
	var ok bool
	if s.acr, ok = h.reach(q.acr); !ok && q.claims.IDToken["acr"].essential() {
		return h.refuse(a, q, &protocolError{"unmet_authentication_requirements", "no login here is of that kind"})
	}
	h.setCookie(a, h.state.addSession(s), 0)
	return h.grant(a, q, s)
}

// reach returns the first class of those asked for that a login here can have.
func (h *Handler) reach(asked []string) (acr string, ok bool) {
	for _, acr := range asked {
		if h.config.ACRValues == nil || slices.Contains(h.config.ACRValues, acr) {
			return acr, true
		}
	}
	return "", len(asked) == 0
}

// grant answers with what the response type promises.
func (h *Handler) grant(a *Answer, q *authRequest, s *session) *Answer {
	g := &grant{
		clientID: q.clientID, scopes: q.scopes, resources: q.resources, nonce: q.nonce, claims: q.claims, session: *s,
	}
	h.state.visit(s.sid, q.clientID)
	p := url.Values{"iss": {h.issuer}}
	if q.state != "" {
		p.Set("state", q.state)
	}
	if q.does("code") {
		p.Set("code", h.state.addCode(&code{
			grant: g, redirectURI: q.redirectURI, challenge: q.challenge, expires: h.now().Add(h.config.CodeLifetime),
		}))
	}
	if q.does("token") {
		h.putAccess(a, g, g.scopes, g.resources)
		p.Set("access_token", a.honestAccess)
		p.Set("token_type", "Bearer")
		p.Set("expires_in", seconds(h.config.AccessTokenLifetime))
	}
	if q.does("id_token") {
		h.putFirst(a, g, p)
		p.Set("id_token", a.honestID)
	}
	return h.respond(a, q, p)
}

// refuse answers with an error, in the response mode that was asked for.
func (h *Handler) refuse(a *Answer, q *authRequest, err *protocolError) *Answer {
	p := url.Values{"error": {err.code}, "error_description": {err.description}, "iss": {h.issuer}}
	if q.state != "" {
		p.Set("state", q.state)
	}
	return h.respond(a, q, p)
}

// respond prepares an authorization response; render makes a page or a redirect of it.
func (h *Handler) respond(a *Answer, q *authRequest, p url.Values) *Answer {
	a.HTTPHeader.Set("Cache-Control", "no-store")
	a.HTTPHeader.Set("Referrer-Policy", "no-referrer")
	a.posted = a.Request.Method == http.MethodPost
	a.Request = q.request
	a.Params, a.Mode, a.RedirectURI = p, q.mode, q.redirectURI
	a.Status = a.modeStatus()
	a.honestStatus = a.Status
	return a
}

// modeStatus is the status that fits the response mode.
func (a *Answer) modeStatus() int {
	switch {
	case a.Mode == modeFormPost:
		return http.StatusOK
	case a.posted:
		return http.StatusSeeOther // not 307, which would post the user's input to the client
	}
	return http.StatusFound
}

// cookieName is the session cookie's: cookies do not know ports, so providers on one host need names of their own.
func (h *Handler) cookieName() string { return "__Host-optest-" + HalfHash("RS256", h.issuer)[:8] }

// setCookie keeps the provider's own session. None, since POST requests come from the client's site; browsers take
// Secure cookies on loopback hosts over plain http too (Safari does not).
func (h *Handler) setCookie(a *Answer, value string, maxAge int) {
	a.HTTPHeader.Add("Set-Cookie", (&http.Cookie{ //nolint:gosec // None is meant, see above
		Name: h.cookieName(), Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode,
	}).String())
}
