package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// user is somebody with two devices. One operation at a time knows which of them is logged in.
type user struct {
	soak    *soak
	name    string
	mu      sync.Mutex // held during an operation
	devices []*visit
}

// visit is a browser, and whether it should be logged in.
type visit struct {
	browser *optest.Browser
	live    bool
	again   time.Time // not to log in before: a logout by name counts for its whole second
}

// operation is one thing that a user may do. Of a hundred, so many are of this kind.
type operation struct {
	name  string
	share int
	do    func(u *user, ctx context.Context, v *visit)
}

var operations = []operation{
	{"request", 60, func(u *user, ctx context.Context, v *visit) { u.ask(ctx, v, "request") }},
	{"requests at once", 12, (*user).askAtOnce},
	{"page", 10, (*user).look},
	{"refresh", 8, (*user).refresh},
	{"logout here", 5, (*user).logOutHere},
	{"logout everywhere", 3, (*user).logOutEverywhere},
	{"logout at the provider", 2, (*user).logOutAtProvider},
}

// act does something with one of the devices; if it is logged out, it logs in.
func (u *user) act(ctx context.Context) {
	v := u.devices[random(len(u.devices))]
	if !v.live {
		if time.Now().Before(v.again) {
			u.ask(ctx, v, "request")
			return
		}
		u.logIn(ctx, v)
		return
	}
	n := random(100)
	for _, o := range operations {
		if n < o.share {
			o.do(u, ctx, v)
			return
		}
		n -= o.share
	}
}

func (u *user) logIn(ctx context.Context, v *visit) {
	query := url.Values{"iss": {u.soak.fleet.issuer}, "login_hint": {u.name}, "target_link_uri": {u.soak.fleet.base + "/style.css"}}
	page, err := v.browser.Open(ctx, u.soak.fleet.base+"/auth/initiate?"+query.Encode())
	if reason := wrong(page, err, u.soak.fleet.base+"/style.css"); reason != "" {
		u.soak.count("login", reason)
		return
	}
	v.live = true
	u.soak.count("login", "")
}

// wrong says what is wrong with where a navigation ended; "" if nothing.
func wrong(p *optest.Page, err error, want string) string {
	switch {
	case err != nil:
		return err.Error()
	case p.Status != http.StatusOK || !strings.HasPrefix(p.URL, want):
		return fmt.Sprintf("%d %.200s", p.Status, p.Text())
	default:
		return ""
	}
}

// ask asks as a script does, and compares the answer with what the session should be. It returns the token.
func (u *user) ask(ctx context.Context, v *visit, name string) (token string) {
	status, body, err := u.send(ctx, v, http.MethodGet, "/me")
	var m me
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(body, &m)
	}
	switch {
	case err != nil:
		u.soak.count(name, err.Error())
	case v.live && status == http.StatusOK && m.Subject == u.name, !v.live && status == http.StatusUnauthorized:
		u.soak.count(name, "")
	case v.live && status == http.StatusUnauthorized:
		v.live = false
		u.soak.note(&u.soak.lost, u.name+": "+string(body))
	case status == http.StatusOK:
		u.soak.note(&u.soak.letIn, fmt.Sprintf("%s: as %q, logged in %v", u.name, m.Subject, v.live))
	default:
		u.soak.count(name, fmt.Sprintf("%d %s", status, body))
	}
	return m.Token
}

func (s *soak) note(list *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, text)
}

// send sends a request with the browser's cookies.
func (u *user) send(ctx context.Context, v *visit, method, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, u.soak.fleet.base+path, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	for _, c := range v.browser.Cookies(u.soak.fleet.base) {
		request.AddCookie(c)
	}
	response, err := u.soak.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return response.StatusCode, body, err
}

// askAtOnce sends what a page of many parts does: several requests at the same time, to several instances.
func (u *user) askAtOnce(ctx context.Context, v *visit) {
	copies := make([]visit, 4)
	var asking sync.WaitGroup
	for i := range copies {
		copies[i] = *v
		asking.Go(func() { u.ask(ctx, &copies[i], "request") })
	}
	asking.Wait()
	for i := range copies {
		v.live = v.live && copies[i].live
	}
}

func (u *user) look(ctx context.Context, v *visit) {
	page, err := v.browser.Open(ctx, u.soak.fleet.base+"/")
	reason := wrong(page, err, u.soak.fleet.base+"/")
	if reason == "" && !strings.Contains(page.Text(), "Your devices") {
		v.live = false
		u.soak.note(&u.soak.lost, u.name+": the page knows nobody")
		return
	}
	u.soak.count("page", reason)
}

// refresh gets new tokens, and looks whether the next instance has them.
func (u *user) refresh(ctx context.Context, v *visit) {
	before := u.ask(ctx, v, "request")
	if !u.post(ctx, v, "/refresh", "refresh") {
		return
	}
	if after := u.ask(ctx, v, "request"); after == before {
		u.soak.count("refresh", "the token is the old one")
	}
}

func (u *user) post(ctx context.Context, v *visit, path, name string) bool {
	status, body, err := u.send(ctx, v, http.MethodPost, path)
	switch {
	case err != nil:
		u.soak.count(name, err.Error())
	case status != http.StatusSeeOther:
		u.soak.count(name, fmt.Sprintf("%d %s", status, body))
	default:
		u.soak.count(name, "")
		return true
	}
	return false
}

func (u *user) logOutHere(ctx context.Context, v *visit) {
	base := u.soak.fleet.base
	page, err := v.browser.Open(ctx, base+"/")
	if err == nil {
		page, err = v.browser.SubmitForm(ctx, page, optest.Form{Action: "/auth/logout", Method: http.MethodPost})
	}
	if err == nil && strings.HasPrefix(page.URL, u.soak.fleet.issuer) {
		page, err = v.browser.Submit(ctx, page, nil) // the provider asks whether the user means it
	}
	if reason := wrong(page, err, base+"/auth/logged-out"); reason != "" {
		u.soak.count("logout here", reason)
		return
	}
	u.soak.count("logout here", "")
	u.out(ctx, v)
}

func (u *user) logOutEverywhere(ctx context.Context, v *visit) {
	if u.post(ctx, v, "/everywhere", "logout everywhere") {
		u.out(ctx, u.devices...)
	}
}

func (u *user) logOutAtProvider(ctx context.Context, _ *visit) {
	for _, d := range u.soak.fleet.op.LogoutUser(ctx, u.name) {
		if d.Status != http.StatusOK {
			u.soak.count("logout at the provider", fmt.Sprintf("%d %s %v", d.Status, d.Body, d.Err))
			return
		}
		u.soak.count("logout at the provider", "")
		u.out(ctx, u.devices...)
	}
}

// out notes that these devices are logged out, and looks whether they are.
func (u *user) out(ctx context.Context, devices ...*visit) {
	for _, v := range devices {
		v.live, v.again = false, time.Now().Add(2*time.Second)
		u.ask(ctx, v, "request after a logout")
	}
}
