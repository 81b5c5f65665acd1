package middleware

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/twofold-auth/twofold/rp"
)

//go:embed pages/*.html
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// page is what every template may use.
type page struct {
	Title     string
	Text      []string
	Ways      []way
	Reference string
	Action    string
	Fields    []field
	Nonce     string
}

// way is a link to a path of this site.
type way struct{ URL, Text string }

type field struct{ Name, Value string }

// retryAfter is what 503 tells a client to wait, in seconds.
const retryAfter = 10

// refuse answers with an error: by the app's handler, our page, or problem+json for what is no browser.
func (a *Auth) refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	a.announce(w, r, e)
	switch {
	case a.config.ErrorHandler != nil:
		a.config.ErrorHandler(w, r, e)
	case wantsPage(r.Header):
		a.errorPage(w, e)
	default:
		writeProblem(w, e)
	}
}

// announce reports an error, and sets the headers of its answer.
func (a *Auth) announce(w http.ResponseWriter, r *http.Request, e *Error) {
	secureHeaders(w.Header())
	a.observeRefusal(r.Context(), e)
	if e.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", "Session") // RFC 9110, section 15.5.2: a 401 MUST have one
	}
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
}

func (a *Auth) observeRefusal(ctx context.Context, e *Error) {
	event := rp.Event{Name: eventRefused, Code: e.Code, Reference: e.Reference, Err: e.Err}
	if event.Err == nil {
		event.Err = e
	}
	a.observe(ctx, event)
}

func wantsPage(h http.Header) bool {
	return h.Get("Sec-Fetch-Mode") == "navigate" || acceptsHTML(h)
}

// writeProblem writes RFC 9457 JSON. retry_url is where a script should take its user.
func writeProblem(w http.ResponseWriter, e *Error) {
	body, _ := json.Marshal(struct { // strings and a number: cannot fail
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Code      string `json:"code"`
		Reference string `json:"reference"`
		Retry     string `json:"retry_url,omitempty"`
	}{http.StatusText(e.Status), e.Status, e.Code, e.Reference, e.RetryURL})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}

func (a *Auth) errorPage(w http.ResponseWriter, e *Error) {
	p := page{Reference: e.Reference, Ways: a.ways(e)}
	p.Title, p.Text = explain(e)
	if e.Code == codeTransactionMissing && a.site.base.Scheme == "http" {
		p.Text = append(p.Text, "This site runs on plain HTTP, for development. Safari stores no secure cookie there; Chrome, Edge and Firefox do on localhost and 127.0.0.1.")
	}
	render(w, "error", e.Status, p)
}

// ways lead on from an error: where the Error says, and home, so that nobody is caught between an error and a login
// that leads to it again.
func (a *Auth) ways(e *Error) []way {
	home := way{a.site.home(), "To the home page"}
	if e.RetryURL == "" || e.RetryURL == home.URL {
		return []way{home}
	}
	first := way{e.RetryURL, "Try again"}
	login := a.site.public(routeLogin)
	if !strings.HasPrefix(e.RetryURL, login) {
		return []way{first}
	}
	switch {
	case strings.HasPrefix(e.RetryURL, login+switchQuery):
		first.Text = anotherAccount
	case e.Code == codeTransactionMissing:
		first.Text, home.Text = "Log in", "Continue" // there may be a session: the callback cannot see it
	case e.Code == codeLoginRequired, e.Code == codeNoResponse:
		first.Text = "Log in"
	case e.Status < http.StatusInternalServerError:
		first.Text = "Log in again"
	}
	if query, ok := strings.CutPrefix(e.RetryURL, login+"?"); ok && isDenied(e) {
		return []way{first, {login + switchQuery + "&" + query, anotherAccount}, home}
	}
	return []way{first, home}
}

const anotherAccount = "Use another account"

// landingPage is where a logout ends. It leads on to a path of this site.
func (a *Auth) landingPage(w http.ResponseWriter, text, path string) {
	render(w, "landing", http.StatusOK, page{Title: "You are logged out", Text: []string{text}, Ways: []way{{path, "Continue"}}})
}

// stillHerePage is the landing page of somebody who is logged in.
func (a *Auth) stillHerePage(w http.ResponseWriter) {
	render(w, "landing", http.StatusOK, page{
		Title: "You are logged in", Text: []string{"This page is where logouts end, but there is a session of yours on this site."},
		Ways: []way{{a.site.home(), "Continue"}},
	})
}

func (a *Auth) confirmPage(w http.ResponseWriter, csrf, returnTo string) {
	given := []field{{fieldCSRF, csrf}}
	if returnTo != "" {
		given = append(given, field{fieldReturnTo, returnTo})
	}
	render(w, "confirm", http.StatusOK, page{
		Title: "Log out?", Text: []string{"This ends your session on this site and, where it supports that, at your identity provider."},
		Action: a.site.public(routeLogout), Fields: given,
		Ways: []way{{a.site.resolve(returnTo), "Stay logged in"}},
	})
}

// relayPage posts the fragment, which the browser keeps from the server, to the callback.
func (a *Auth) relayPage(w http.ResponseWriter) {
	render(w, "relay", http.StatusOK, page{
		Title: "Logging you in", Action: a.site.public(a.site.last), Ways: []way{{a.LoginURL(""), "Log in"}},
	})
}

// repostPage posts an answer again, from our own site this time. It is built from what the request itself brought and
// shown to nobody else; a marker keeps it from coming twice.
func (a *Auth) repostPage(w http.ResponseWriter, form url.Values) {
	form.Set(markerField, "1")
	render(w, "post", http.StatusOK, page{
		Title: "Logging you in", Text: []string{"One moment, please."}, Action: a.site.public(a.site.last), Fields: fields(form),
	})
}

// autoPost sends a request to the provider that is too long for a URL.
func (a *Auth) autoPost(w http.ResponseWriter, to rp.Redirect) {
	render(w, "post", http.StatusOK, page{
		Title: "One moment, please", Text: []string{"You are being taken to your identity provider."}, Action: to.URL, Fields: fields(to.Fields),
	})
}

func fields(form url.Values) []field {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[name] {
			out = append(out, field{name, v})
		}
	}
	return out
}

// render writes a page with a policy that lets nothing in but its own style and script. form-action leaves out
// javascript: and data:; it cannot be narrower, because browsers apply it to the redirects after the form too.
func render(w http.ResponseWriter, name string, status int, p page) {
	p.Nonce = rand.Text()
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	policy := "default-src 'none'; style-src 'nonce-" + p.Nonce + "'; frame-ancestors 'none'; base-uri 'none'; "
	switch name {
	case "post", "relay":
		policy += "script-src 'nonce-" + p.Nonce + "'; form-action 'self' https: http:"
	case "confirm":
		policy += "form-action 'self' https: http:"
	default:
		policy += "form-action 'none'"
	}
	secureHeaders(w.Header())
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}
