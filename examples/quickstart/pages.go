package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	texttemplate "text/template"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

//go:embed web
var web embed.FS

//go:embed web/style.css
var style []byte

var (
	pages = template.Must(template.ParseFS(web, "web/pages.html"))
	text  = texttemplate.Must(texttemplate.ParseFS(web, "web/flow.txt"))
)

// render writes a page that loads nothing from elsewhere and runs no script.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		a.log.ErrorContext(r.Context(), "page", "name", name, "error", err)
		return
	}
	demo.PageHeaders(w.Header(), a.formTargets())
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser has gone: nobody is left to tell
}

// formTargets are where a form may lead beside this app: a logout goes to the provider.
func (a *app) formTargets() string {
	if a.embedded {
		return a.issuer
	}
	return "https: http:"
}

func (a *app) landing(w http.ResponseWriter, r *http.Request) {
	data := map[string]any{"LoginURL": a.auth.LoginURL("/flow"), "Issuer": a.issuer, "Embedded": a.embedded}
	if s := a.auth.Session(r.Context()); s != nil {
		data["User"], data["LogoutToken"], data["LogoutURL"] = userName(s), s.LogoutToken(), "/auth/logout"
	}
	a.render(w, r, http.StatusOK, "landing", data)
}

func (a *app) flowPage(w http.ResponseWriter, r *http.Request) {
	if v := a.find(w, r); v != nil {
		a.render(w, r, http.StatusOK, "flow", v)
	}
}

// flowText is the same for a terminal.
func (a *app) flowText(w http.ResponseWriter, r *http.Request) {
	v := a.find(w, r)
	if v == nil {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := text.Execute(w, v); err != nil { //nolint:gosec // text/plain for a terminal
		a.log.ErrorContext(r.Context(), "page", "name", "flow.txt", "error", err)
	}
}

// find makes the view of this session's login. If the login was too long ago to be remembered it answers itself.
func (a *app) find(w http.ResponseWriter, r *http.Request) *view {
	s := a.auth.Session(r.Context())
	f, ok := a.flows.get(s.Value("flow"))
	if !ok || f.tokens == nil {
		a.render(w, r, http.StatusGone, "refused", refusal{
			Title: "This login is forgotten", RetryURL: a.auth.LoginURL("/flow"), Retry: "Log in again",
			Text: "You are logged in, but the app keeps the steps of the last few logins only, and yours is not among them any more.",
		})
		return nil
	}
	return a.newView(r, &f, s)
}

// refusal is the page for what did not go well.
type refusal struct {
	Title, Text     string
	Code, Reference string
	Rule            *verify.Rule
	Why             string // what the rule wants
	Unspent         bool   // the code was not sent
	RetryURL, Retry string
}

// refused is middleware.Config.ErrorHandler.
func (a *app) refused(w http.ResponseWriter, r *http.Request, e *middleware.Error) {
	p := refusal{
		Title: "This login was refused", Text: "Nothing has changed: if you were logged in, you still are.",
		Code: e.Code, Reference: e.Reference, RetryURL: e.RetryURL, Retry: "Log in again",
	}
	if refused, ok := errors.AsType[*verify.Error](e.Err); ok {
		p.Rule, p.Why = &refused.Rule, ruleTexts[refused.Rule.Name]
	}
	f := flowOf(r.Context())
	if f != nil {
		_, spent := f.event("exchange")
		p.Unspent = !spent
	}
	switch {
	case e.Code == "transaction_missing":
		p.Title = "Your browser did not bring its cookie"
		p.Text = "The app keeps each login in a cookie of the browser that started it, and none came with this answer. " +
			"Safari keeps no Secure cookie over plain http, not even on localhost: try Chrome, Edge or Firefox here. " +
			"Over https, as in production, Safari works. The other reason is an answer that was meant for another browser; then this page has just saved you."
	case f != nil && f.attack != "":
		p.Title = "Attack refused"
		p.Text = attacks[f.attack].Text + " Twofold noticed. Nothing has changed: you are still logged in as before."
		p.RetryURL, p.Retry = "/flow", "Back to your login"
	case e.Status >= http.StatusInternalServerError:
		p.Title = "That did not work"
		p.Text = "The provider cannot be reached or does not answer as it should. Nothing has changed; try again in a while."
	case e.Code == "provider_error":
		p.Title = "The provider said no"
		p.Text = providerText(e.Err)
	}
	a.render(w, r, e.Status, "refused", p)
}

// providerText shows what the provider said: the template escapes it.
func providerText(err error) string {
	provider, ok := errors.AsType[*rp.Error](err)
	if !ok {
		return ""
	}
	if provider.Description == "" {
		return "It answered " + provider.Code + "."
	}
	return fmt.Sprintf("It answered %s: %s.", provider.Code, strings.TrimSuffix(provider.Description, "."))
}

// callAPI calls an API with the session's second access token, which the transport adds.
func (a *app) callAPI(r *http.Request, s *middleware.Session) apiCall {
	if !a.embedded {
		return a.callUserInfo(r, s)
	}
	call := apiCall{URL: a.issuer + "/api", Text: "The app's backend asks an API who is calling. The API client has no token of its own: the request's context names the session."}
	if token, err := s.Token(r.Context()); err == nil {
		call.Token = cut(token.AccessToken)
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, call.URL, http.NoBody)
	if err != nil {
		call.Answer = err.Error()
		return call
	}
	response, err := a.api.Do(request)
	if err != nil {
		call.Answer = err.Error()
		return call
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		call.Answer = err.Error()
		return call
	}
	call.Answer = "HTTP " + response.Status + "\n" + indent(body)
	return call
}

// callUserInfo is for a provider whose APIs are not known here: every one has this one.
func (a *app) callUserInfo(r *http.Request, s *middleware.Session) apiCall {
	call := apiCall{URL: "the provider's userinfo endpoint", Text: "UserInfo is the API that every provider has. It is asked once per login; its sub must be that of the ID Token."}
	if token, err := s.Token(r.Context()); err == nil {
		call.Token = cut(token.AccessToken)
	}
	info, err := s.UserInfo(r.Context())
	if err != nil {
		call.Answer = rp.ErrorCode(err)
		return call
	}
	var all json.RawMessage
	if err := info.Claims(&all); err != nil {
		call.Answer = rp.ErrorCode(err)
		return call
	}
	call.Answer = indent(all)
	return call
}

func indent(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return string(body)
	}
	return b.String()
}
