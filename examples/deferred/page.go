package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
)

//go:embed web/page.html
var pageText string

//go:embed web/style.css
var style []byte

var page = template.Must(template.New("page").Parse(pageText))

// view is what the page shows. Name is "" if nobody is logged in.
type view struct {
	Name, Subject, LogoutToken string
	LoginURL                   string
	Login, Since               string // from the provider's answer to the session, and since then
	State, Why                 string // of the tokens
	Left                       string // until the next request redeems the code without waiting
	Notes                      []string
	Orders                     string // what the API says
	Day                        string
	Calls                      int
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	v := a.view(r)
	if v.State == "redeeming" {
		w.Header().Set("Refresh", "1")
	}
	demo.Render(w, page, a.issuer, v)
}

func (a *app) view(r *http.Request) view {
	v := view{LoginURL: a.auth.LoginURL("/"), Day: a.endpoint.today(), Calls: a.endpoint.calls()}
	s := middleware.FromContext(r.Context())
	if s == nil {
		return v
	}
	v.Name, v.Subject, v.LogoutToken = demo.UserName(s), s.Subject, s.LogoutToken()
	since := time.Since(s.Started)
	v.Login = fmt.Sprintf("%.1f ms", float64(a.login.Load())/float64(time.Millisecond))
	v.Since = fmt.Sprintf("%.0f s", since.Seconds())
	v.Left = fmt.Sprintf("%.0f s", max(0, codeLifetime/2-since).Seconds())
	v.Notes = a.notes.of(s.Issuer + " " + s.Subject)
	state, err := s.Tokens()
	v.State = state.String()
	var why *middleware.TokensError
	if errors.As(err, &why) {
		v.Why = why.Code
	}
	return v
}

// orders runs when there is a live access token, and not before.
func (a *app) orders(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, a.issuer+"/api", http.NoBody)
	if err != nil {
		http.Error(w, "no such API", http.StatusInternalServerError)
		return
	}
	response, err := a.api.Do(request)
	if err != nil {
		http.Error(w, "the API cannot be reached", http.StatusBadGateway)
		return
	}
	defer func() { _ = response.Body.Close() }()
	var said struct {
		Subject string `json:"sub"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&said); err != nil {
		http.Error(w, "the API says nothing that makes sense", http.StatusBadGateway)
		return
	}
	v := a.view(r)
	v.Orders = said.Subject
	demo.Render(w, page, a.issuer, v)
}
