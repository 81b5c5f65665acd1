package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The proxy that pages in the browser call an API through (H28): what it sends to the API, and what it lets back. Requests
// go over real connections, byte for byte as an attacker writes them.

// proxyWorld is an app at a port with the proxy of the documentation, and an API behind it.
type proxyWorld struct {
	testing.TB
	auth   *middleware.Auth
	app    *httptest.Server
	cookie string

	mu     sync.Mutex // guards what follows
	got    []*http.Request
	bodies []string
	answer func(net.Conn) // nil: 200
}

func newProxyWorld(t *testing.T, keep ...string) *proxyWorld {
	t.Helper()
	p := &proxyWorld{TB: t}
	op := optest.NewServer(optest.Config{})
	t.Cleanup(op.Close)
	api := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(api.Close)
	mux := http.NewServeMux()
	p.app = httptest.NewServer(mux)
	t.Cleanup(p.app.Close)
	auth, err := newAuth(op.URL, p.app.URL, middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p.auth = auth
	auth.Register(mux)
	target, _ := url.Parse(api.URL + "/v1")
	mux.Handle("/api/", http.NewCrossOriginProtection().Handler(auth.RequireTokens(http.StripPrefix("/api", &httputil.ReverseProxy{
		Transport: auth.Transport(canary.Network, api.URL),
		Rewrite: func(r *httputil.ProxyRequest) {
			middleware.StripRequest(r.Out, keep...)
			r.SetURL(target)
		},
		ModifyResponse: middleware.StripResponse,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !auth.StepUp(w, r, err) {
				http.Error(w, "the API does not answer", http.StatusBadGateway)
			}
		},
	}))))
	p.login(op, mux)
	return p
}

// login leaves the user's cookies in p.
func (p *proxyWorld) login(op *optest.Server, mux *http.ServeMux) {
	p.Helper()
	mux.Handle("GET /cookies", p.auth.RequireTokens(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p.cookie = r.Header.Get("Cookie")
	})))
	if _, err := optest.NewBrowser(op.Client()).Open(p.Context(), p.app.URL+"/cookies"); err != nil || p.cookie == "" {
		p.Fatalf("no login: %v", err)
	}
}

// serve is the API.
func (p *proxyWorld) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.got, p.bodies = append(p.got, r), append(p.bodies, string(body))
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		_, _ = io.WriteString(w, "orders")
		return
	}
	conn, _, err := w.(http.Hijacker).Hijack() //nolint:forcetypeassert // a real server
	if err != nil {
		p.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	answer(conn)
}

// send writes a request as it is, with the user's cookies, and returns the raw answer.
func (p *proxyWorld) send(start string, lines ...string) (status string, raw string) {
	p.Helper()
	host := strings.TrimPrefix(p.app.URL, "http://")
	conn, err := (&net.Dialer{}).DialContext(p.Context(), "tcp", host)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	body := ""
	if i := slices.Index(lines, ""); i >= 0 {
		lines, body = lines[:i], strings.Join(lines[i+1:], "\r\n")
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(strings.ToLower(l), "connection:") }) {
		lines = append(lines, "Connection: close")
	}
	_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n%s\r\n\r\n%s", start, host, p.cookie, strings.Join(lines, "\r\n"), body)
	all, _ := io.ReadAll(conn)
	status, _, _ = strings.Cut(string(all), "\r\n")
	return status, string(all)
}

// last is the newest request that came to the API; nil if none came.
func (p *proxyWorld) last() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) == 0 {
		return nil
	}
	return p.got[len(p.got)-1]
}

// TestProxiedRequest: what a browser sends, and what the API may see of it.
func TestProxiedRequest(t *testing.T) {
	t.Parallel()
	p := newProxyWorld(t, "x-tenant", "Cookie", "authorization")
	for _, row := range []struct {
		name  string
		lines []string
	}{
		{"H28_X-Forwarded-User", []string{"X-Forwarded-User: root"}},
		{"H28_other_case", []string{"x-FORWARDED-user: root"}},
		{"H28_underscore_twin", []string{"X_Forwarded_User: root", "x_user: root", "HTTP_X_USER: root"}},
		{"H28_of_every_proxy", []string{
			"X-User: root", "X-Auth-Request-User: root", "X-Auth-Request-Email: root", "Remote-User: root", "X-Remote-User: root",
			"X-Remote-Group: root", "Impersonate-User: root", "X-Goog-Authenticated-User-Email: root", "X-Amzn-Oidc-Identity: root",
			"X-MS-CLIENT-PRINCIPAL-NAME: root", "Cf-Access-Authenticated-User-Email: root", "X-authentik-username: root", "X-WEBAUTH-USER: root",
			"X-SSL-Client-S-DN: root", "X-Forwarded-Client-Cert: root", "X-Grafana-User: root", "OIDC_CLAIM_sub: root", "X-Whatever-Comes-Next: root",
		}},
		{"H28_where_it_comes_from", []string{
			"X-Forwarded-For: root", "X-Forwarded-Host: root", "X-Forwarded-Proto: root", "X-Forwarded-Prefix: root", "Forwarded: for=root;host=root",
			"X-Real-IP: root", "True-Client-IP: root", "Client-IP: root", "Via: root", "Proxy: root",
		}},
		{"H28_another_path", []string{"X-Original-URL: /root", "X-Rewrite-URL: /root", "X-HTTP-Method-Override: root"}},
		{"H28_another_token", []string{"Authorization: Bearer root", "Proxy-Authorization: Bearer root", "X-Access-Token: root", "X-Id-Token: root"}},
		{"H28_cookies", []string{"Cookie: a=root", "Cookie2: a=root"}},
		{"H28_what_a_browser_says_of_itself", []string{"Origin: " + p.app.URL, "Referer: https://root.test/", "Sec-Fetch-Site: same-origin", "Sec-Fetch-User: root"}},
		{"X55_Connection_names_what_we_add", []string{"Connection: close, Authorization, Host, Cookie, Content-Length"}},
		{"X55_Connection_names_what_we_remove", []string{"Connection: close, X-User, Cookie", "X-User: root"}},
		{"X55_a_second_Connection", []string{"Connection: close", "Connection: Authorization", "Keep-Alive: root"}},
		{"X55_Te_and_Trailer", []string{"Te: trailers", "Trailer: X-User"}},
		{"X55_Expect", []string{"Expect: root"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(p.got)
			status, _ := p.send("GET /api/orders?a=1", append(row.lines, "X-Tenant: t1", "Accept: application/json")...)
			if strings.Contains(row.name, "Expect") && status == "HTTP/1.1 417 Expectation Failed" {
				return
			}
			r := p.last()
			if status != "HTTP/1.1 200 OK" || len(p.got) != before+1 {
				t.Fatalf("%s", status)
			}
			for name, values := range r.Header {
				if text := strings.Join(values, " "); strings.Contains(text, "root") || strings.Contains(text, p.cookie) {
					t.Errorf("%s: %q comes through", name, text)
				}
			}
			token := r.Header["Authorization"]
			if len(token) != 1 || !strings.HasPrefix(token[0], "Bearer ") || len(token[0]) < 20 {
				t.Errorf("Authorization is %q", token)
			}
			if r.Header.Get("X-Tenant") != "t1" || r.Header.Get("Accept") != "application/json" || r.RequestURI != "/v1/orders?a=1" {
				t.Errorf("%s %v", r.RequestURI, r.Header)
			}
			if names := namesOf(r.Header); !slices.Equal(names, []string{"Accept", "Accept-Encoding", "Authorization", "X-Tenant"}) {
				t.Errorf("the API sees %v", names)
			}
		})
	}
}

func namesOf(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestProxiedPath: the path stays below the API's, and the query brings no token.
func TestProxiedPath(t *testing.T) {
	t.Parallel()
	p := newProxyWorld(t)
	for target, want := range map[string]string{
		"/api/orders/17?x=1%202":               "/v1/orders/17?x=1%202",
		"/api/a%2Fb":                           "/v1/a%2Fb",
		"/api/a..b/..c/...":                    "/v1/a..b/..c/...",
		"/api/%2e%2e/admin":                    "/v1/admin",
		"/api/%2E%2E%2F%2e%2e/admin":           "/v1/admin",
		"/api/x%2f..%2f..%2f..%2fadmin":        "/v1/admin",
		"/api/..%5c..%5cadmin/":                "/v1/admin/",
		"/api/..;/admin":                       "/v1/admin",
		"/api/x/..;a=b/..;c/../admin":          "",
		"/api/x/%2e%2e;a=b/..%3bc/admin":       "/v1/admin",
		"/api/%252e%252e/admin":                "/v1/admin",
		"/api/%25252e%25252e%25252fadmin":      "/v1/admin",
		"/api/a;b=c/100%25":                    "/v1/a;b=c/100%25",
		"/api/%2e/orders":                      "/v1/orders",
		"/api/orders?access_token=root":        "/v1/orders?",
		"/api/orders?a=1&access_token=r&b=2":   "/v1/orders?a=1&b=2",
		"/api/orders?%61ccess_token=root&a=1":  "/v1/orders?a=1",
		"/api/orders?a=1;access_token=root":    "/v1/orders?",
		"http://other.example/api/orders":      "/v1/orders",
		"/api//evil.example/x":                 "", // the mux makes it /api/evil.example/x
		"/api/../auth/logout":                  "",
		"/api":                                 "",
		"/apiary":                              "",
		"/api/orders#access_token=root&id_tok": "/v1/orders%23access_token=root&id_tok", // no server takes that for a fragment
	} {
		before := len(p.got)
		status, _ := p.send("GET " + target)
		switch r := p.last(); {
		case want == "" && len(p.got) != before:
			t.Errorf("%s: the API is asked for %s (%s)", target, r.RequestURI, status)
		case want == "":
		case len(p.got) != before+1:
			t.Errorf("%s: %s", target, status)
		case strings.TrimSuffix(r.RequestURI, "?") != strings.TrimSuffix(want, "?"):
			t.Errorf("%s: the API is asked for %s, want %s", target, r.RequestURI, want)
		}
	}
}

// TestProxiedMethods: a page of another site cannot use the user's cookies, and nobody gets a connection of their own.
func TestProxiedMethods(t *testing.T) {
	t.Parallel()
	p := newProxyWorld(t)
	for _, row := range []struct {
		name, start string
		lines       []string
		status      string
		asked       bool
	}{
		{"a form of ours", "POST /api/orders", []string{"Sec-Fetch-Site: same-origin", "Content-Length: 3", "", "a=1"}, "200", true},
		{"H28_without_cookies", "GET /api/orders", []string{"Cookie: "}, "200", true},
		{"X56_another_site_posts", "POST /api/orders", []string{"Sec-Fetch-Site: cross-site", "Content-Length: 3", "", "a=1"}, "403", false},
		{"X56_a_sibling_posts", "POST /api/orders", []string{"Sec-Fetch-Site: same-site", "Content-Length: 3", "", "a=1"}, "403", false},
		{"X56_another_Origin_deletes", "DELETE /api/orders", []string{"Origin: https://evil.example"}, "403", false},
		{"X56_a_WebSocket", "GET /api/orders", []string{"Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"}, "200", true},
		{"X56_smuggled_length", "POST /api/orders", []string{"Sec-Fetch-Site: same-origin", "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", "", "GET /v1/admin HTTP/1.1", "", ""}, "200", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(p.got)
			status, raw := p.send(row.start, row.lines...)
			if !strings.HasPrefix(status, "HTTP/1.1 "+row.status) || (len(p.got) == before+1) != row.asked || len(p.got) > before+1 {
				t.Errorf("%d requests, %s", len(p.got)-before, raw)
			}
			if r := p.last(); row.asked && r != nil && (r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" && r.Header.Get("Connection") != "close") {
				t.Errorf("%v", r.Header)
			}
		})
	}
	t.Run("X55_trailers_of_a_request", func(t *testing.T) {
		status, _ := p.send("POST /api/orders", "Sec-Fetch-Site: same-origin", "Transfer-Encoding: chunked", "Trailer: X-User", "", "1", "a", "0", "X-User: root", "", "")
		if r := p.last(); status != "HTTP/1.1 200 OK" || len(r.Trailer) > 0 {
			t.Errorf("%s %v", status, r.Trailer)
		}
	})
	t.Run("H22_nobody", func(t *testing.T) {
		before := len(p.got)
		cookie := p.cookie
		p.cookie = "a=b"
		defer func() { p.cookie = cookie }()
		status, raw := p.send("GET /api/orders", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
		if !strings.HasPrefix(status, "HTTP/1.1 401") || len(p.got) != before || strings.Contains(raw, "Set-Cookie") || strings.Contains(raw, "Location") {
			t.Errorf("%s", raw)
		}
	})
}

// TestProxiedAnswer: what an API sends, and what the browser may see of it.
func TestProxiedAnswer(t *testing.T) {
	t.Parallel()
	p := newProxyWorld(t)
	head := "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n"
	for _, row := range []struct {
		name, answer string
		absent       []string
	}{
		{"H28_cookies", head + "Set-Cookie: __Host-root=1; Path=/; Secure\r\nset-cookie: root=2\r\nSet-Cookie2: root=3\r\n\r\norders", nil},
		{"H28_CORS", head + "Access-Control-Allow-Origin: https://root\r\nAccess-Control-Allow-Credentials: true\r\n\r\norders", []string{"Access-Control"}},
		{"H28_orders_to_the_browser", head + "Clear-Site-Data: \"root\"\r\nAlt-Svc: h2=\"root:443\"\r\nStrict-Transport-Security: root\r\nService-Worker-Allowed: /root\r\n" +
			"Refresh: 0;url=https://root\r\nContent-Location: /root\r\nReport-To: root\r\nNEL: root\r\nLink: </root>; rel=preload\r\nOrigin-Agent-Cluster: root\r\nX-Powered-By: root\r\n\r\norders", nil},
		{"H28_orders_to_a_proxy_in_front", head + "X-Accel-Redirect: /root\r\nX-Accel-Expires: root\r\nX-Sendfile: /root\r\nSurrogate-Control: root\r\nCDN-Cache-Control: root\r\n\r\norders", nil},
		{"H28_a_password_is_asked_for", "HTTP/1.1 401 No\r\nContent-Length: 6\r\nConnection: close\r\nWWW-Authenticate: Basic realm=\"root\"\r\nProxy-Authenticate: root\r\n\r\norders", []string{"Basic"}},
		{"X57_shared_caches", head + "Cache-Control: public, max-age=31536000, s-maxage=1\r\nExpires: Thu, 01 Dec 2094 16:00:00 GMT\r\nPragma: root\r\nAge: 5\r\n\r\norders", []string{"public", "max-age", "2094", "Age:"}},
		{"X57_a_page", head + "Content-Type: text/html\r\nContent-Security-Policy: root\r\n\r\norders", nil},
		{"X57_a_redirect", "HTTP/1.1 302 Found\r\nContent-Length: 6\r\nConnection: close\r\nLocation: https://root.test/\r\n\r\norders", []string{"Location"}},
		{"X57_Connection_names_what_we_add", head + "Connection: Cache-Control, X-Content-Type-Options, Content-Security-Policy\r\nX-Root: root\r\n\r\norders", nil},
		{"X57_Early_Hints", "HTTP/1.1 103 Early Hints\r\nSet-Cookie: root=1\r\nLink: </root>\r\n\r\n" + head + "\r\norders", []string{" 103 "}},
		{"X57_trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTrailer: Set-Cookie, X-User\r\n\r\n6\r\norders\r\n0\r\nSet-Cookie: root=1\r\nX-User: root\r\n\r\n", []string{"Trailer"}},
		{"X57_trailers_nobody_announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n6\r\norders\r\n0\r\nSet-Cookie: root=1\r\n\r\n", nil},
		{"X57_a_folded_header", head + "X-A: a\r\n Set-Cookie: root=1\r\n\r\norders", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			p.mu.Lock()
			p.answer = func(c net.Conn) { _, _ = io.WriteString(c, row.answer) }
			p.mu.Unlock()
			_, raw := p.send("GET /api/orders")
			if !strings.Contains(raw, "orders") {
				t.Fatalf("%s", raw)
			}
			for _, part := range append(row.absent, "root", "Set-Cookie") {
				if strings.Contains(raw, part) {
					t.Errorf("the browser sees %q:\n%s", part, raw)
				}
			}
			h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(raw[strings.Index(raw, "\r\n")+2:]))).ReadMIMEHeader()
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox", "Vary": "Cookie",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
			if strings.HasPrefix(row.answer, "HTTP/1.1 401") && h.Get("WWW-Authenticate") != "Session" {
				t.Errorf("WWW-Authenticate: %q", h["Www-Authenticate"])
			}
			for _, v := range h["Cache-Control"] {
				if v != "private, no-store" {
					t.Errorf("Cache-Control: %q", h["Cache-Control"])
				}
			}
		})
	}
	t.Run("what_describes_the_content_comes_back", func(t *testing.T) {
		p.mu.Lock()
		p.answer = func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\nContent-Type: application/json\r\nETag: \"1\"\r\nLocation: /orders/18\r\nRetry-After: 3\r\n\r\n{}")
		}
		p.mu.Unlock()
		_, raw := p.send("GET /api/orders")
		for _, line := range []string{"Content-Type: application/json", `Etag: "1"`, "Location: /orders/18", "Retry-After: 3"} {
			if !strings.Contains(raw, line+"\r\n") {
				t.Errorf("%s is not in\n%s", line, raw)
			}
		}
	})
	for name, answer := range map[string]string{
		"X57_switches_protocols": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: root=1\r\n\r\nroot",
		"X57_101_without_a_word": "HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: root=1\r\n\r\nroot",
		"X57_no_answer":          "",
	} {
		t.Run(name, func(t *testing.T) {
			p.mu.Lock()
			p.answer = func(c net.Conn) { _, _ = io.WriteString(c, answer) }
			p.mu.Unlock()
			if status, raw := p.send("GET /api/orders"); !strings.HasPrefix(status, "HTTP/1.1 502") || strings.Contains(raw, "root") {
				t.Errorf("%s", raw)
			}
		})
	}
	t.Run("X57_StripResponse_knows_no_other_protocol", func(t *testing.T) {
		if middleware.StripResponse(&http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{}}) == nil {
			t.Error("it does")
		}
	})
	t.Run("H41_a_demand_reaches_the_page", func(t *testing.T) {
		p.mu.Lock()
		p.answer = func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 6\r\nConnection: close\r\nWWW-Authenticate: Bearer "+insufficient+", acr_values=\"gold\"\r\n\r\norders")
		}
		p.mu.Unlock()
		status, raw := p.send("GET /api/orders", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Referer: "+p.app.URL+"/board")
		if !strings.HasPrefix(status, "HTTP/1.1 401") || !strings.Contains(raw, "application/problem+json") || !strings.Contains(raw, "/auth/login?return_to=%2Fboard") ||
			!strings.Contains(raw, `Session `+insufficient+`, acr_values="gold"`) || strings.Contains(raw, "Set-Cookie") {
			t.Errorf("%s", raw)
		}
	})
}
