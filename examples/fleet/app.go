package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/rp"
)

// settings are what every instance of the app is given, as a real one is by its environment.
type settings struct {
	Name   string // of the instance
	Base   string // where browsers reach the app: the balancer
	Issuer string
	Secret string
	Redis  string
	Keys   [][]byte // the same for all instances
	Quiet  bool     // log nothing
}

// app is one instance. What makes it one of many is the Store and the shared Keys; everything else is as in an app
// that runs alone.
type app struct {
	settings
	client *rp.Client
	redis  *redis.Client
	auth   *middleware.Auth
	log    *slog.Logger
}

func newApp(ctx context.Context, s settings, log *slog.Logger) (*app, error) {
	a := &app{settings: s, log: log}
	var err error
	a.client, err = rp.New(ctx, rp.Config{
		Issuer:                s.Issuer,
		ClientID:              clientID,
		ClientAuth:            rp.SecretBasic(s.Secret),
		RedirectURL:           s.Base + "/auth/callback",
		PostLogoutRedirectURL: s.Base + "/auth/logged-out",
		Scopes:                []string{"openid", "profile", "email", "offline_access"},
		Insecure:              rp.Insecure{PlainHTTP: true},
		Logger:                log,
	})
	if err != nil {
		return nil, err
	}
	a.redis = redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true})
	store, err := redisstore.New(redisstore.Config{Client: a.redis})
	if err != nil {
		return nil, err
	}
	a.auth, err = middleware.New(middleware.Config{ //nolint:contextcheck // it makes no request
		Client:     a.client,
		Keys:       s.Keys,
		Store:      store,
		OnIdentity: rememberDevice,
		Logger:     log,
	})
	return a, err
}

// rememberDevice keeps in the session what "your devices" will call it.
func rememberDevice(l *middleware.Login) error {
	l.Values["device"] = deviceName(l.Request.UserAgent())
	return nil
}

// routes may be behind any number of balancers: none of them needs to send a browser to the same instance again.
func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	a.auth.Register(mux)
	mux.Handle("GET /{$}", a.auth.LoadSession(http.HandlerFunc(a.home)))
	mux.Handle("GET /me", a.auth.RequireTokens(http.HandlerFunc(a.me)))
	foreign := http.NewCrossOriginProtection() // the routes of auth look after themselves
	for pattern, action := range map[string]http.HandlerFunc{
		"POST /refresh":    a.refresh,
		"POST /end":        a.end,
		"POST /everywhere": a.everywhere,
	} {
		mux.Handle(pattern, foreign.Handler(a.auth.RequireLogin(action)))
	}
	mux.Handle("GET /style.css", demo.Style(style))
	mux.Handle("GET /icon.svg", demo.Icon())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Fleet-Instance", a.Name)
		mux.ServeHTTP(w, r)
	})
}

// me tells a script who is logged in, and which access token the app would call an API with now: a hash of it.
func (a *app) me(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	token, err := s.Token(r.Context())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	sum := sha256.Sum256([]byte(token.AccessToken))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"instance": a.Name, "subject": s.Subject, "sid": s.SessionID, "token": base64.RawURLEncoding.EncodeToString(sum[:6]),
	})
}

// refresh gets new tokens though the old ones may be good: they are then those of all instances.
func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	a.done(w, r, middleware.FromContext(r.Context()).Refresh(r.Context()))
}

// end logs one of the user's devices out.
func (a *app) end(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	a.done(w, r, a.auth.EndSession(r.Context(), s.Issuer, s.Subject, r.PostFormValue("id")))
}

// everywhere logs all of the user's devices out, this one too.
func (a *app) everywhere(w http.ResponseWriter, r *http.Request) {
	s := middleware.FromContext(r.Context())
	a.done(w, r, a.auth.EndSessions(r.Context(), s.Issuer, s.Subject, ""))
}

// done leads back to the page. A session that was over already is as good as ended.
func (a *app) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil && !errors.Is(err, middleware.ErrNoSession) && !errors.Is(err, middleware.ErrLoginRequired) {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// fail is for a moment in which the store or the provider does not answer.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.log.WarnContext(r.Context(), "fleet", "instance", a.Name, "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "2")
	http.Error(w, "Not just now. Try again in a moment.", http.StatusServiceUnavailable)
}

func (a *app) close() {
	_ = a.auth.Close() // first: it waits for refreshes under way
	_ = a.client.Close()
	_ = a.redis.Close()
}

// deviceName is what a user would call their browser.
func deviceName(userAgent string) string {
	for _, known := range browserNames {
		if known.in(userAgent) {
			return known.name
		}
	}
	return "another browser"
}

// age is how long something lasts, as people say it.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}
