package optest

import (
	"html/template"
	"net/url"
	"slices"
)

type pageData struct {
	Nonce string
	Data  any
}

type formPostPage struct {
	Action string
	Params url.Values
}

type loginPage struct {
	ID, Client, User, Error string
	Scopes                  []string
	Consent                 bool
}

type messagePage struct{ Title, Text string }

// scopeTexts say what a scope is, for the login page.
var scopeTexts = map[string]string{
	"profile":        "your name",
	"email":          "your email address",
	"address":        "your postal address",
	"phone":          "your phone number",
	"offline_access": "access while you are away",
}

func (h *Handler) loginPage(a *Answer, id string, l *login, text string) *Answer {
	data := loginPage{ID: id, Client: l.request.clientID, User: h.autoUser(l.request), Error: text, Consent: l.consent != nil}
	if l.consent != nil {
		data.User = l.consent.sub
	}
	for _, scope := range l.request.scopes {
		if s, ok := scopeTexts[scope]; ok {
			data.Scopes = append(data.Scopes, s)
		}
	}
	data.Scopes = append(data.Scopes, l.request.resources...)
	a.HTTPHeader.Set("Cache-Control", "no-store")
	a.HTTPHeader.Set("Referrer-Policy", "no-referrer")
	a.Body = a.page("login", data, origin(l.request.redirectURI))
	return a
}

func (h *Handler) confirmPage(a *Answer, p url.Values) *Answer {
	fields := url.Values{}
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if p.Has(name) {
			fields.Set(name, p.Get(name))
		}
	}
	fields.Set("confirmed", "yes")
	a.Body = a.page("confirm", formPostPage{Action: h.base + pathLogout, Params: fields}, origin(p.Get("post_logout_redirect_uri")))
	return a
}

func loggedOutPage(a *Answer) *Answer {
	a.Body = a.page("message", messagePage{"You are logged out", "You can close this page."}, "")
	return a
}

// errorPage is for what must not be sent to the client (RFC 6749 section 4.1.2.1).
func errorPage(a *Answer, status int, text string) *Answer {
	a.Status = status
	a.HTTPHeader.Set("Cache-Control", "no-store")
	a.Body = a.page("message", messagePage{"This cannot be answered", text}, "")
	return a
}

type field struct{ Name, Value string }

// Fields returns the parameters in a fixed order.
func (p formPostPage) Fields() []field {
	var list []field
	for name, values := range p.Params {
		for _, v := range values {
			list = append(list, field{name, v})
		}
	}
	slices.SortStableFunc(list, func(a, b field) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return list
}

var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<style nonce="{{.}}">
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6678; --paper: #f4f6f9; --card: #fff; --line: #d5dbe4; --blue: #2457c5; --red: #a32020 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --soft: #9aa7b8; --paper: #12161c; --card: #1b212a; --line: #343d4a; --blue: #7aa7ff; --red: #ff9a9a }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
main { width: 100%; max-width: 24rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem }
h1 { margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.3 }
p, ul { margin: 0 0 1rem; overflow-wrap: anywhere } ul { padding-left: 1.2rem }
label { display: block; margin-bottom: .3rem; font-weight: 600 }
input { width: 100%; padding: .6rem .7rem; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: .4rem }
.buttons { display: flex; gap: .75rem; margin: 1.25rem 0 }
button { flex: 1; padding: .6rem; font: inherit; font-weight: 600; border: 1px solid var(--blue); border-radius: .4rem; cursor: pointer;
  color: var(--card); background: var(--blue) }
button.second { color: var(--blue); background: transparent }
input:focus-visible, button:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px }
.soft { margin: 0; font-size: .875rem; color: var(--soft) } .error { color: var(--red) }
</style>
{{end}}

{{define "login"}}{{template "head" .Nonce}}<title>Log in · test provider</title>
</head>
<body><main>
{{with .Data}}<h1>{{if .Consent}}Allow access?{{else}}Log in{{end}}</h1>
<p>to continue to <strong>{{.Client}}</strong>{{if .Consent}} as <strong>{{.User}}</strong>{{end}}</p>
{{with .Scopes}}<p>It asks for:</p><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
<form method="post" action="login">
<input type="hidden" name="request" value="{{.ID}}">
{{if not .Consent}}<label for="username">User name</label>
<input id="username" name="username" value="{{.User}}" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus>{{end}}
<div class="buttons"><button name="action" value="login">{{if .Consent}}Allow{{else}}Log in{{end}}</button>
<button name="action" value="cancel" class="second">Cancel</button></div>
</form>{{end}}
<p class="soft">This is a provider for tests. Any name will do, and there is no password.</p>
</main></body>
</html>
{{end}}

{{define "confirm"}}{{template "head" .Nonce}}<title>Log out · test provider</title>
</head>
<body><main>
<h1>Log out?</h1>
<p>An application asks to end your login here.</p>
{{with .Data}}<form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<div class="buttons"><button>Log out</button></div>
</form>{{end}}
<p class="soft">This is a provider for tests.</p>
</main></body>
</html>
{{end}}

{{define "logout"}}{{template "head" .Nonce}}<title>Logging out… · test provider</title>
</head>
<body><main>
<h1>You are logged out</h1>
{{with .Data}}{{with .Target}}<p><a href="{{.}}">Continue</a></p>{{else}}<p>You can close this page.</p>{{end}}
{{range .Frames}}<iframe src="{{.}}" hidden title="logout"></iframe>
{{end}}{{end}}<p class="soft">This is a provider for tests.</p>
</main></body>
</html>
{{end}}

{{define "message"}}{{template "head" .Nonce}}<title>{{.Data.Title}} · test provider</title>
</head>
<body><main>
<h1>{{.Data.Title}}</h1>
<p>{{.Data.Text}}</p>
<p class="soft">This is a provider for tests.</p>
</main></body>
</html>
{{end}}

{{define "form_post"}}{{template "head" .Nonce}}<title>Going back…</title>
</head>
<body><main>
<h1>Going back…</h1>
{{with .Data}}<form method="post" action="{{.Action}}">
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<noscript><p>Your browser runs no scripts, so please go on yourself.</p>
<div class="buttons"><button>Continue</button></div></noscript>
</form>{{end}}
<script nonce="{{.Nonce}}">document.forms[0].submit()</script>
</main></body>
</html>
{{end}}
`))
