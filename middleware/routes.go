package middleware

import (
	"net/http"
	"net/url"
	"strings"
)

// The names of the routes beside the callback; they are siblings of RedirectURL's path.
const (
	routeLogin     = "login"
	routeLogout    = "logout"
	routeLoggedOut = "logged-out"
	routeInitiate  = "initiate"
	routeJWKS      = "jwks"
	routeFrame     = "frontchannel-logout"
	routeProvider  = "backchannel-logout"
	routeMe        = "me" // with Config.MeClaims
)

var routeNames = []string{
	routeLogin, routeLogout, routeLoggedOut, routeInitiate, routeJWKS, routeFrame, routeProvider, routeContinue,
}

// route is one path with what it does for each method.
type route struct {
	name string
	get  func(*Auth, http.ResponseWriter, *http.Request)
	post func(*Auth, http.ResponseWriter, *http.Request)
}

func (a *Auth) listRoutes() []route {
	routes := []route{
		{a.site.last, (*Auth).callbackGet, (*Auth).callbackPost},
		{routeLogin, (*Auth).loginRoute, nil},
		{routeLogout, (*Auth).logoutPage, (*Auth).logoutRoute},
		{routeLoggedOut, (*Auth).loggedOutRoute, nil},
		{routeInitiate, (*Auth).initiateGet, (*Auth).initiatePost},
		{routeJWKS, (*Auth).jwksRoute, nil},
		{routeFrame, (*Auth).frontchannelRoute, nil},
		{routeProvider, nil, (*Auth).backchannelRoute},
	}
	if a.store.inCookies() {
		routes = append(routes, route{routeContinue, (*Auth).continueRoute, nil})
	}
	if a.site.me {
		routes = append(routes, route{routeMe, (*Auth).meRoute, nil})
	}
	return routes
}

// Register adds the routes to mux, each as an exact "METHOD /path" pattern without PublicPrefix: beside the path of
// RedirectURL, say /auth/callback, they are /auth/login, /auth/logout, /auth/logged-out, /auth/initiate, /auth/jwks,
// /auth/frontchannel-logout and /auth/backchannel-logout; with sealed cookies /auth/login-continue, and with
// Config.MeClaims /auth/me, too.
func (a *Auth) Register(mux interface {
	Handle(pattern string, h http.Handler)
},
) {
	for _, rt := range a.routes {
		p := a.site.dir + "/" + rt.name
		if rt.get != nil {
			mux.Handle("GET "+p, a)
		}
		if rt.post != nil {
			mux.Handle("POST "+p, a)
		}
	}
}

// ServeHTTP serves the same routes for other routers: 404 for other paths, 405 with Allow for other methods.
func (a *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, a.site.dir+"/")
	if ok && r.URL.RawPath == "" {
		for _, rt := range a.routes {
			if rt.name == name {
				a.serveRoute(w, r, rt)
				return
			}
		}
	}
	http.NotFound(w, r)
}

func (a *Auth) serveRoute(w http.ResponseWriter, r *http.Request, rt route) {
	secureHeaders(w.Header())
	allow := "GET, HEAD"
	switch {
	case rt.get == nil:
		allow = "POST"
	case rt.post != nil && rt.name == a.site.last:
		allow = "GET, POST" // a HEAD would be answered like the provider's GET, and must not be
	case rt.post != nil:
		allow = "GET, HEAD, POST"
	}
	switch {
	case r.Method == http.MethodPost && rt.post != nil:
		rt.post(a, w, r)
	case rt.get != nil && r.Method == http.MethodGet, rt.get != nil && r.Method == http.MethodHead && rt.name != a.site.last:
		rt.get(a, w, r)
	default:
		w.Header().Set("Allow", allow)
		a.refuse(w, r, fail(codeMethod, nil))
	}
}

// secureHeaders are those of every answer of our own. The names are canonical, and one allocation holds all the values.
func secureHeaders(h http.Header) {
	v := []string{
		"no-store", "no-referrer", "nosniff", "DENY", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	}
	h["Cache-Control"] = v[0:1:1]
	h["Referrer-Policy"] = v[1:2:2]
	h["X-Content-Type-Options"] = v[2:3:3]
	h["X-Frame-Options"] = v[3:4:4]
	h["Content-Security-Policy"] = v[4:5:5]
}

// jwksRoute publishes the client's own keys, for a provider that fetches them by jwks_uri.
func (a *Auth) jwksRoute(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(a.client.JWKS())
}

// LoginURL is the path of the login route, which comes back to returnTo.
func (a *Auth) LoginURL(returnTo string) string {
	p := a.site.public(routeLogin)
	if returnTo == "" {
		return p
	}
	return p + "?return_to=" + url.QueryEscape(returnTo)
}

// switchQuery makes the login route have the provider ask for the account.
const switchQuery = "?switch=1"

// switchURL is LoginURL for another account.
func (a *Auth) switchURL(returnTo string) string {
	return a.site.public(routeLogin) + switchQuery + "&return_to=" + url.QueryEscape(a.site.resolve(returnTo))
}
