package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"

	"github.com/twofold-auth/twofold/examples/internal/demo"
)

//go:embed web/page.html
var pageText string

//go:embed web/style.css
var style []byte

var page = template.Must(template.New("page").Parse(pageText))

// view is what the page shows. Name is "" if nobody is logged in.
type view struct {
	Name, LogoutToken string
	LoginURL          string
	Answers           []answer
	Mixed             *answer
	Three             bool
}

// answer is what an API says about the token that it got.
type answer struct {
	API    string
	Status string
	OK     bool
	For    string // whose token, for which APIs
	Token  string // tells tokens apart, and opens nothing
}

func read(api string, r *http.Response) (answer, error) {
	a := answer{API: strings.TrimPrefix(api, "https://"), Status: r.Status, OK: r.StatusCode == http.StatusOK}
	sum := sha256.Sum256([]byte(r.Request.Header.Get("Authorization")))
	a.Token = fmt.Sprintf("%x", sum[:4])
	var said struct {
		Subject  string   `json:"sub"`
		Audience []string `json:"aud"`
		Reason   string   `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&said); err != nil {
		return a, fmt.Errorf("%s: %w", api, err)
	}
	a.For = said.Reason
	if a.OK {
		a.For = said.Subject + ", for " + strings.Join(said.Audience, " and ")
	}
	return a, nil
}

func (a *app) home(w http.ResponseWriter, r *http.Request) { a.render(w, r, view{}) }

func (a *app) render(w http.ResponseWriter, r *http.Request, v view) {
	v.LoginURL, v.Three = a.auth.LoginURL("/two"), len(v.Answers) > 2
	if s := a.auth.Session(r.Context()); s != nil {
		v.Name, v.LogoutToken = demo.UserName(s), s.LogoutToken()
	}
	demo.Render(w, page, a.issuer, v)
}
