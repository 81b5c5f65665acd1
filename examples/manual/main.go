// Command manual is an app that uses package rp without the middleware: the protocol's steps, one after the other, and
// what an app has to add to them.
//
// Look at login and callback. Each step takes the value of the step before, so the wrong order does not compile. What
// lies between login and callback, an AuthRequest with its nonce and PKCE verifier, is sealed into a cookie of this one
// browser: that cookie is what makes the answer somebody else started worthless here.
//
// What the middleware does beyond this: answers that come twice, several tabs, sessions larger than a cookie, idle and
// absolute limits, one refresh at a time, logout, return-to, error pages.
//
//	go run ./examples/manual          # then open the address that it prints
//	go run ./examples/manual -check   # plays the browser itself
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp"
)

const secret = "only-for-the-provider-of-this-example"

var program = demo.Program{Name: "manual", Secret: secret, App: newApp, Check: check}

func main() { demo.Main(program) }

// app is a relying party by hand.
type app struct {
	client *rp.Client
	box    box
}

func newApp(issuer, base string) (http.Handler, error) {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:      issuer,
		ClientID:    "manual",
		ClientAuth:  rp.SecretPost(secret),
		RedirectURL: base + "/auth/callback",
		Scopes:      []string{"openid", "profile", "email", "offline_access"},
		Insecure:    rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		return nil, err
	}
	b, err := newBox()
	if err != nil {
		return nil, err
	}
	a := &app{client: client, box: b}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("POST /auth/callback", a.callback)
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /refresh", a.refresh)
	return mux, nil
}

// login makes the request and keeps it with the browser. SameSite=None: the callback is a POST from another site, and
// brings no other cookie.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	q, err := a.client.NewAuthRequest(r.Context(), rp.AuthOptions{})
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	a.box.set(w, loginCookie, q.Bytes(), http.SameSiteNoneMode)
	http.Redirect(w, r, q.Redirect().URL, http.StatusFound)
}

// callback goes through the steps in the only order there is.
func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	sealed, err := a.box.get(r, loginCookie)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	a.box.drop(w, loginCookie) // one answer only, whatever becomes of it
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	tokens, err := a.redeem(r, sealed)
	if err != nil {
		refuse(w, http.StatusForbidden, err)
		return
	}
	a.box.set(w, sessionCookie, tokens.Bytes(), http.SameSiteLaxMode)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// redeem reads PostForm, never Form: that one mixes in the URL, which anybody can write.
func (a *app) redeem(r *http.Request, sealed []byte) (*rp.Tokens, error) {
	q, err := a.client.ParseAuthRequest(sealed)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.VerifyResponse(r.Context(), q, r.PostForm)
	if err != nil {
		return nil, err
	}
	// The user is known here: answer.IDToken() has passed every check, and nothing has been asked of the provider.
	return a.client.Exchange(r.Context(), answer)
}

// home shows who is logged in, and what the UserInfo endpoint says to the second access token.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	tokens, err := a.session(r)
	if err != nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	info, err := a.client.UserInfo(r.Context(), tokens)
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	var user struct {
		Email string `json:"email"`
	}
	if err := info.Claims(&user); err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	//nolint:gosec // text/plain
	_, _ = fmt.Fprintf(w, "You are %s (%s). The ID Tokens differ in %d claims.\n",
		tokens.IDToken().Subject, user.Email, len(tokens.Diff()))
}

// refresh needs no CSRF value: the session cookie is Lax and does not come with another site's POST.
func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	tokens, err := a.session(r)
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	renewed, err := a.client.Refresh(r.Context(), tokens, rp.Target{})
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	a.box.set(w, sessionCookie, renewed.Bytes(), http.SameSiteLaxMode)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) session(r *http.Request) (*rp.Tokens, error) {
	sealed, err := a.box.get(r, sessionCookie)
	if err != nil {
		return nil, err
	}
	return a.client.ParseTokens(sealed)
}

// refuse tells the browser the error's stable code and no more: the rest is for the log.
func refuse(w http.ResponseWriter, status int, err error) {
	http.Error(w, "refused: "+rp.ErrorCode(err), status)
}
