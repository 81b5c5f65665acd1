package main

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
)

//go:embed web
var web embed.FS

//go:embed web/style.css
var style []byte

var pages = template.Must(template.ParseFS(web, "web/fleet.html"))

// view is what the page shows. User is "" if nobody is logged in.
type view struct {
	Instance    string
	User        string
	LoginURL    string
	LogoutToken string
	Figures     []row
	Devices     []device
}

type row struct{ Name, Value string }

type device struct {
	ID, Name, Started, Used string
	Current                 bool
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	v := view{Instance: a.Name, LoginURL: a.auth.LoginURL("/")}
	if s := a.auth.Session(r.Context()); s != nil {
		if err := a.describe(r, s, &v); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "fleet", v); err != nil {
		a.fail(w, r, err)
		return
	}
	demo.PageHeaders(w.Header(), a.Issuer)
	_, _ = b.WriteTo(w) // the browser has gone: nobody is left to tell
}

// describe fills the view of somebody who is logged in.
func (a *app) describe(r *http.Request, s *middleware.Session, v *view) error {
	now := time.Now()
	infos, err := a.auth.Sessions(r.Context(), s.Issuer, s.Subject)
	if err != nil {
		return err
	}
	v.User, v.LogoutToken = userName(s), s.LogoutToken()
	v.Figures = []row{
		{Name: "since you logged in", Value: age(now.Sub(s.Started))},
		{Name: "until the session ends", Value: age(s.Expires.Sub(now))},
		{Name: "until the access token is renewed", Value: a.tokenLife(r, s, now)},
	}
	slices.SortFunc(infos, func(x, y middleware.SessionInfo) int { return x.Started.Compare(y.Started) })
	for _, info := range infos {
		v.Devices = append(v.Devices, device{
			ID: info.ID, Name: info.Value("device"), Started: age(now.Sub(info.Started)), Used: age(now.Sub(info.Used)), Current: info.Current,
		})
	}
	return nil
}

// tokenLife says how long the access token has left. The page is shown without tokens too.
func (a *app) tokenLife(r *http.Request, s *middleware.Session, now time.Time) string {
	token, err := s.Token(r.Context())
	switch {
	case errors.Is(err, middleware.ErrLoginRequired):
		return "log in again"
	case err != nil:
		return "unknown"
	}
	return age(token.Expiry.Sub(now))
}

func userName(s *middleware.Session) string {
	var user struct {
		Name string `json:"name"`
	}
	if err := s.Claims(&user); err != nil || user.Name == "" {
		return s.Subject
	}
	return user.Name
}

// browserName is what stands in a User-Agent for one browser. Most claim to be others too: the order matters.
type browserName struct{ name, mark string }

func (b browserName) in(userAgent string) bool { return strings.Contains(userAgent, b.mark) }

var browserNames = []browserName{
	{"Firefox", "Firefox/"},
	{"Edge", "Edg/"},
	{"Chrome", "Chrome/"},
	{"Safari", "Safari/"},
	{"a browser without a screen", "Go-http-client/"},
}
