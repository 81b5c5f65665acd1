package optest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The endpoints, below the issuer. [Handler.Calls] and [Answer] name them so.
const (
	pathDiscovery = "/.well-known/openid-configuration"
	pathKeys      = "/jwks"
	pathAuthorize = "/authorize"
	pathLogin     = "/login"
	pathToken     = "/oauth/token" //nolint:gosec // a path, no credential
	pathUserInfo  = "/userinfo"
	pathLogout    = "/logout"
	pathRevoke    = "/revoke"
	pathAPI       = "/api"

	// pathBackchannel is no endpoint: it names what we post to the client, for hooks.
	pathBackchannel = "/backchannel-logout"
)

const (
	maxBody     = 1 << 20 // bytes of a request
	maxRequests = 100     // requests that are remembered for each endpoint
)

// Handler is a provider to embed in a server of one's own: mount it at the path of its issuer. Safe for concurrent use.
type Handler struct {
	config     Config
	issuer     string
	base       string // the issuer without a slash at the end
	prefix     string // path of base
	clientKeys jose.JSONWebKeySet
	keys       keyring
	state      state
	done       chan struct{} // closed when the server stops
	stopOnce   sync.Once

	faultMu sync.Mutex // serializes the hook; never held together with mu
	mu      sync.Mutex // guards what follows
	fault   func(*Answer)
	calls   map[string]int
	seen    map[string][]Request

	backchannelURL, frontchannelURL string
	deliveries                      []Delivery
}

// NewHandler returns a provider whose issuer is exactly the given URL; it may end with a slash or have a path.
// It panics if the issuer is not on a loopback host (localhost, *.localhost, 127.0.0.0/8, ::1), since this provider lets
// anyone in, or if c contradicts itself.
func NewHandler(issuer string, c Config) *Handler {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "":
		panic(fmt.Sprintf("optest: %q is not an issuer: want http(s)://host with an optional port and path", issuer))
	case !loopback(u.Hostname()):
		panic(fmt.Sprintf("optest: refusing the issuer %q: this provider is for tests and lets anyone in, "+
			"so its host must be localhost or a loopback address", issuer))
	}
	c, err = c.withDefaults()
	if err != nil {
		panic("optest: " + err.Error())
	}
	h := &Handler{
		config: c, issuer: issuer, base: strings.TrimSuffix(issuer, "/"), prefix: strings.TrimSuffix(u.Path, "/"),
		done: make(chan struct{}), calls: map[string]int{}, seen: map[string][]Request{},
	}
	if len(c.ClientKeys) > 0 {
		h.clientKeys, err = parseKeys(c.ClientKeys)
		if err != nil {
			panic("optest: Config.ClientKeys: " + err.Error())
		}
	}
	if kind(c.Algorithm) != "" {
		h.keys.get(c.Algorithm)
	}
	h.SetLogoutURLs(c.BackchannelLogoutURL, c.FrontchannelLogoutURL)
	return h
}

func (c Config) withDefaults() (Config, error) {
	if c.Algorithm == "" {
		c.Algorithm = "RS256"
	}
	if c.CodeLifetime == 0 {
		c.CodeLifetime = time.Minute
	}
	if c.AccessTokenLifetime == 0 {
		c.AccessTokenLifetime = time.Hour
	}
	if c.IDTokenLifetime == 0 {
		c.IDTokenLifetime = time.Hour
	}
	if c.Now == nil {
		c.Now = systemNow
	}
	if c.LogoutClient == nil {
		c.LogoutClient = newLogoutClient()
	}
	c.Claims = maps.Clone(c.Claims)
	c.RedirectURLs, c.PostLogoutRedirectURLs = slices.Clone(c.RedirectURLs), slices.Clone(c.PostLogoutRedirectURLs)
	c.Resources, c.ACRValues = slices.Clone(c.Resources), slices.Clone(c.ACRValues)
	for _, alg := range []string{c.Algorithm, c.UserInfoAlgorithm} {
		switch {
		case alg != "" && !known(alg):
			return c, fmt.Errorf("config: unknown algorithm %q", alg)
		case strings.HasPrefix(alg, "HS") && c.ClientSecret == "":
			return c, fmt.Errorf("config: %s needs a ClientSecret", alg)
		}
	}
	if c.ClientAuth != "" && !slices.Contains(authMethods, c.ClientAuth) {
		return c, fmt.Errorf("config: unknown ClientAuth %q", c.ClientAuth)
	}
	if sub, ok := c.Claims["sub"]; ok {
		if _, ok := sub.(string); !ok {
			return c, errors.New("config: Claims[\"sub\"] is no string; use a fault to send such a one")
		}
	}
	return c, nil
}

func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// systemNow is the one place that asks the machine for the time.
func systemNow() time.Time { return time.Now() } //nolint:forbidigo // the default

// backgroundContext is for what belongs to no request.
func backgroundContext() context.Context { return context.Background() }

func (h *Handler) now() time.Time { return h.config.Now() }

// stop ends answers that hang. Embedded handlers live as long as their process and need none.
func (h *Handler) stop() { h.stopOnce.Do(func() { close(h.done) }) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, h.prefix)
	endpoint, ok := h.endpoints()[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	request, err := readRequest(r)
	h.record(path, request)
	if !slices.Contains(endpoint.methods, r.Method) {
		w.Header().Set("Allow", strings.Join(endpoint.methods, ", "))
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		http.Error(w, "optest: "+err.Error(), http.StatusBadRequest)
		return
	}
	a := endpoint.answer(&Answer{
		Endpoint: path, Request: request, Status: http.StatusOK, HTTPHeader: http.Header{}, handler: h,
	}, request)
	h.send(w, r, a)
}

type endpoint struct {
	methods []string
	answer  func(*Answer, Request) *Answer
}

func (h *Handler) endpoints() map[string]endpoint {
	get, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	both := []string{http.MethodGet, http.MethodPost}
	return map[string]endpoint{
		pathDiscovery: {get, h.discovery},
		pathKeys:      {get, h.jwks},
		pathAuthorize: {both, h.authorize},
		pathLogin:     {both, h.login},
		pathToken:     {post, h.token},
		pathUserInfo:  {both, h.userInfo},
		pathLogout:    {both, h.logout},
		pathRevoke:    {post, h.revoke},
		pathAPI:       {[]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, h.api},
	}
}

// readRequest takes the request apart; the body can be read again after it.
func readRequest(r *http.Request) (Request, error) {
	u := *r.URL
	u.Host = r.Host
	request := Request{Method: r.Method, URL: &u, Header: r.Header.Clone()}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return request, err
	}
	if len(body) > maxBody {
		return request, errors.New("the request is too long")
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return request, nil
	}
	request.Form, err = url.ParseQuery(string(body))
	return request, err
}

// params are the form of a POST and the query of anything else; never both.
func (r Request) params() url.Values {
	if r.Method == http.MethodPost {
		return r.Form
	}
	return r.URL.Query()
}

func (r Request) cookie(name string) string {
	for _, c := range (&http.Request{Header: r.Header}).CookiesNamed(name) {
		return c.Value
	}
	return ""
}

func (h *Handler) record(path string, r Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[path]++
	list := append(h.seen[path], r)
	if len(list) > maxRequests {
		list = slices.Clone(list[len(list)-maxRequests:])
	}
	h.seen[path] = list
}

// Calls tells how many requests an endpoint got, for example Calls("/oauth/token").
func (h *Handler) Calls(endpoint string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[endpoint]
}

// Requests returns the requests that an endpoint got, oldest first; of very many, the last hundred. They hold what the
// client sent, secrets included.
func (h *Handler) Requests(endpoint string) []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen[endpoint])
}
