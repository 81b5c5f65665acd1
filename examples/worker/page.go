package main

import (
	_ "embed"
	"html/template"
	"net/http"
	"strconv"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
)

//go:embed web/page.html
var pageText string

//go:embed web/style.css
var style []byte

var page = template.Must(template.New("page").Parse(pageText))

// view is what the page shows. Name is "" if nobody is logged in here.
type view struct {
	Name, LogoutToken string
	LoginURL          string
	Allowed           bool   // the one who is logged in here has allowed the worker to act
	Users             []away // whom it acts for
	Rounds            []round
}

// away is a user whom the worker acts for.
type away struct {
	Subject, Sessions string
}

// home shows everybody what the worker does: so that one can log out and see that it goes on. A real app would not.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	v := view{LoginURL: a.auth.LoginURL("/"), Rounds: a.jobs.log()}
	if s := middleware.FromContext(r.Context()); s != nil {
		v.Name, v.LogoutToken = demo.UserName(s), s.LogoutToken()
		v.Allowed = a.jobs.grantOf(user{s.Issuer, s.Subject}) != ""
	}
	for _, u := range a.jobs.users() {
		infos, err := a.auth.Sessions(r.Context(), u.issuer, u.subject)
		if err != nil {
			http.Error(w, "not just now", http.StatusServiceUnavailable)
			return
		}
		v.Users = append(v.Users, away{u.subject, sessions(len(infos))})
	}
	w.Header().Set("Refresh", strconv.Itoa(int(every.Seconds())))
	demo.Render(w, page, a.issuer, v)
}

func sessions(n int) string {
	switch n {
	case 0:
		return "logged in nowhere"
	case 1:
		return "logged in once"
	default:
		return "logged in " + strconv.Itoa(n) + " times"
	}
}
