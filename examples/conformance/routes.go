package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// errUserInfoOff: the environment says that userinfo is not asked for.
var errUserInfoOff = errors.New("RP_USERINFO is none")

// routes adds what a suite looks at to the routes of the middleware: /login, /callback, /logout, /logged-out,
// /initiate, /jwks, /frontchannel-logout and /backchannel-logout.
func (p *program) routes() http.Handler {
	mux := http.NewServeMux()
	p.auth.Register(mux)
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /discover", p.discover)
	mux.HandleFunc("GET /register", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "RP_REGISTRATION is static: there is nothing to register", http.StatusNotFound)
	})
	mux.Handle("GET /protected", p.auth.RequireLogin(http.HandlerFunc(protected)))
	mux.Handle("GET /me", p.session(p.me))
	mux.Handle("GET /token", p.session(p.token))
	mux.Handle("GET /userinfo", p.session(p.userInfo))
	mux.Handle("GET /resource", p.session(p.resource()))
	mux.Handle("POST /refresh", p.sameOrigin(p.session(p.refresh)))
	return homeAfterLogout(mux)
}

// homeAfterLogout has a logout that names no page lead to the home page: the landing page leads on only where a page was
// named, and suites look at how it does so.
func homeAfterLogout(next http.Handler) http.Handler {
	const form = "return_to=%2F"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/logout" && r.ContentLength == 0 {
			r = r.Clone(r.Context())
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
		}
		next.ServeHTTP(w, r)
	})
}

func home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>Home</title><p><a href=\"/login\">Log in</a></p>")
}

// sessionHandler answers a request of a browser that is logged in; nothing is written before it returns an error.
type sessionHandler func(w http.ResponseWriter, r *http.Request, s *middleware.Session) error

// noteKey finds, in a request's context, whether the middleware has logged a refusal: one line is enough.
type noteKey struct{}

// note is middleware.Config.Observe.
func note(ctx context.Context, e rp.Event) {
	if logged, ok := ctx.Value(noteKey{}).(*atomic.Bool); ok && e.Err != nil {
		logged.Store(true)
	}
}

// session answers 401 without a session: these routes are for programs, not for navigations.
func (p *program) session(next sessionHandler) http.Handler {
	return p.auth.LoadSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := p.auth.Session(r.Context())
		if s == nil {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "not logged in"})
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), noteKey{}, new(atomic.Bool)))
		if err := next(w, r, s); err != nil {
			p.refuse(w, r, err)
		}
	}))
}

// refuse logs the reason, which holds no secret, and tells the browser its code alone.
func (p *program) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := rp.ErrorCode(err)
	if tokens, ok := errors.AsType[*middleware.TokensError](err); ok && tokens.Code != "" {
		code = tokens.Code
	}
	if logged, ok := r.Context().Value(noteKey{}).(*atomic.Bool); !ok || !logged.Load() {
		p.log.WarnContext(r.Context(), "refused", "route", r.Pattern, "code", code, "reason", err)
	}
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, middleware.ErrNoSession) && code == "internal": // nothing has ended it but damage to its cookies
		status, code = http.StatusUnauthorized, "login_required"
	case errors.Is(err, middleware.ErrNoTokens), errors.Is(err, middleware.ErrLoginRequired):
		status = http.StatusUnauthorized
	case errors.Is(err, rp.ErrUnavailable), errors.Is(err, middleware.ErrPending):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errUserInfoOff), errors.Is(err, rp.ErrUnsupported):
		status = http.StatusNotFound
	}
	answer(w, status, map[string]any{"error": code})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody is left to tell
}

func (p *program) discover(w http.ResponseWriter, r *http.Request) {
	if err := p.client.Ready(r.Context()); err != nil {
		p.refuse(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"issuer": p.client.Issuer()})
}

func protected(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "<!doctype html><title>Protected</title><p>You are logged in.</p>")
}

// me tells the newest ID Token's claims; what only the login said of the authentication is kept beside them.
func (p *program) me(w http.ResponseWriter, _ *http.Request, s *middleware.Session) error {
	token, err := s.IDToken()
	if err != nil {
		return err
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return err
	}
	add(claims, "sid", s.SessionID, s.SessionID != "")
	add(claims, "acr", s.ACR, s.ACR != "")
	add(claims, "amr", s.AMR, s.AMR != nil)
	add(claims, "auth_time", s.AuthTime.Unix(), !s.AuthTime.IsZero())
	answer(w, http.StatusOK, map[string]any{"sub": s.Subject, "claims": claims})
	return nil
}

func add(claims map[string]any, name string, value any, there bool) {
	if _, ok := claims[name]; !ok && there {
		claims[name] = value
	}
}

func (p *program) token(w http.ResponseWriter, r *http.Request, s *middleware.Session) error {
	token, err := s.Token(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"access_token": token.AccessToken})
	return nil
}

func (p *program) userInfo(w http.ResponseWriter, r *http.Request, s *middleware.Session) error {
	if !p.settings.userInfo {
		return errUserInfoOff
	}
	info, err := s.UserInfo(r.Context())
	if err != nil {
		return err
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return err
	}
	answer(w, http.StatusOK, claims)
	return nil
}

func (p *program) refresh(w http.ResponseWriter, r *http.Request, s *middleware.Session) error {
	if err := s.Refresh(r.Context()); err != nil {
		return err
	}
	answer(w, http.StatusOK, nil)
	return nil
}

// resource calls RP_RESOURCE_URL with the session's access token, which the transport adds for that origin alone.
func (p *program) resource() sessionHandler {
	target := p.settings.resource
	if target == "" {
		return func(w http.ResponseWriter, _ *http.Request, _ *middleware.Session) error {
			answer(w, http.StatusNotFound, map[string]any{"error": "RP_RESOURCE_URL is not set"})
			return nil
		}
	}
	api := &http.Client{Transport: p.auth.Transport(p.settings.transport(), origin(target)), Timeout: requestTimeout}
	return func(w http.ResponseWriter, r *http.Request, _ *middleware.Session) error {
		request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target, http.NoBody)
		if err != nil {
			return err
		}
		response, err := api.Do(request)
		if refused, ok := errors.AsType[*url.Error](err); ok {
			return refused.Err // without the URL, which a redirect may have made up
		}
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		status := http.StatusOK
		if response.StatusCode != http.StatusOK {
			status = http.StatusBadGateway
		}
		answer(w, status, map[string]any{"status": response.StatusCode})
		return nil
	}
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// sameOrigin refuses what another site sent. A request with neither header is no browser's.
func (p *program) sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, site := r.Header.Values("Origin"), r.Header.Get("Sec-Fetch-Site")
		foreign := len(from) > 1 || len(from) == 1 && from[0] != p.settings.base
		if foreign || site != "" && site != "same-origin" && site != "none" {
			p.log.WarnContext(r.Context(), "refused", "route", r.Pattern, "code", "cross_site", "reason", "not sent by this site")
			answer(w, http.StatusForbidden, map[string]any{"error": "cross_site"})
			return
		}
		next.ServeHTTP(w, r)
	})
}
