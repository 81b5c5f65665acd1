package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// The pages that are compared, each in a process of its own.
const (
	pageBare     = "bare net/http"
	pageCookie   = "bare, with a cookie that it ignores"
	pageIdentity = "AES-256-GCM, identity part opened"
	pageAll      = "AES-256-GCM, all opened"
	pageGorilla  = "gorilla CookieStore, JSON"
	pageLogin    = "**ours, RequireLogin**"
	pageTokens   = "**ours, RequireTokens**"
)

// page is one of them, with a connection to it.
type page struct {
	name    string
	child   *child
	request []byte
	conns   []net.Conn
	readers []*bufio.Reader
}

// pageSection asks all pages in turn, a fixed number of requests each, over four connections that stay open. The servers
// have one processor each. Which one is left to the scheduler: with the load kept on another one, each request costs
// 20 µs to wake up the other side, and all differences look smaller.
func pageSection(ctx context.Context, o options, r *report) error {
	w, err := newWorld(ctx, setup{})
	if err != nil {
		return err
	}
	defer w.close()
	cookies, err := w.login(ctx)
	if err != nil {
		return err
	}
	pages := make([]*page, 0, 7)
	defer func() {
		for _, p := range pages {
			p.close()
		}
	}()
	for _, name := range []string{pageBare, pageCookie, pageIdentity, pageAll, pageGorilla, pageLogin, pageTokens} {
		p, err := startPage(ctx, name, w.op.URL, floorCookies(cookies))
		if err != nil {
			return err
		}
		pages = append(pages, p)
	}
	rate, cpu := make(samples, len(pages)), make(samples, len(pages))
	const n = 1000 // some 30 ms, in which everybody but the first collects garbage
	for round := range o.pick(11, 75) + 1 {
		for i := range pages {
			i = (i + round) % len(pages)
			took, used, err := pages[i].load(n)
			if err != nil {
				return fmt.Errorf("%s: %w", pages[i].name, err)
			}
			rate[i].name, cpu[i].name = pages[i].name, pages[i].name
			if round > 0 { // the first one warms up
				rate[i].ns = append(rate[i].ns, float64(took)/float64(n))
				cpu[i].ns = append(cpu[i].ns, float64(used)/float64(n))
			}
		}
	}
	pageTable(r, rate, cpu)
	return nil
}

func pageTable(r *report, rate, cpu samples) {
	const group = "A protected page over HTTP (CPU, × bare net/http)"
	rows := make([][]string, 0, len(rate))
	for i, p := range rate {
		share := rate.named(pageBare).over(p)
		micros := number(cpu[i].micros(), 1)
		cell := number(share, 2)
		switch p.name {
		case pageTokens:
			cell = r.time("4", "requests/s ≥ 0.45 × bare, with all tokens in the cookie", share, "%.2f", share >= 0.45)
		case pageLogin:
			ratio := cpu[i].over(cpu.named(pageIdentity))
			micros += ", " + r.time("4", "CPU ≤ 1.2 × a handler that opens the identity part only", ratio, "%.2f", ratio <= 1.2) + " × identity part"
		}
		if i > 0 {
			r.bar(bar{group: group, name: p.name, ratio: cpu[i].over(cpu[0]), ours: strings.HasPrefix(p.name, "**ours")})
		}
		rows = append(rows, []string{p.name, cell, micros})
	}
	r.table([]string{"", "× the requests/s of bare net/http", "CPU µs a request"}, rows...)
}

func startPage(ctx context.Context, name, issuer, floor string) (*page, error) {
	c, err := startChild(ctx, "page", settings{Variant: name, Issuer: issuer, Key: cookieKey, Procs: 1})
	if err != nil {
		return nil, err
	}
	p := &page{name: name, child: c}
	cookies := ""
	switch name {
	case pageBare:
	case pageLogin, pageTokens:
		if cookies, err = login(ctx, c.url()); err != nil {
			return p, err
		}
	case pageGorilla:
		if cookies, err = gorillaCookies(ctx); err != nil {
			return p, err
		}
	default:
		cookies = floor
	}
	p.request = rawRequest(c.addr, cookies)
	for range 4 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return p, err
		}
		p.conns, p.readers = append(p.conns, conn), append(p.readers, bufio.NewReader(conn))
	}
	return p, nil
}

// rawRequest is what a browser sends for the page.
func rawRequest(host, cookies string) []byte {
	r := "GET /page HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\n" +
		"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
	if cookies != "" {
		r += "Cookie: " + cookies + "\r\n"
	}
	return []byte(r + "\r\n")
}

func (p *page) close() {
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.child.stop()
}

// load sends n requests: one on each connection, then their answers are read, and so on. It costs next to nothing
// beside the server.
func (p *page) load(n int) (took, cpu time.Duration, err error) {
	before, start := p.child.cpu(), time.Now()
	for range n / len(p.conns) {
		for _, c := range p.conns {
			if _, err := c.Write(p.request); err != nil {
				return 0, 0, err
			}
		}
		for _, r := range p.readers {
			if err := readAnswer(r); err != nil {
				return 0, 0, err
			}
		}
	}
	took = time.Since(start)
	return took, p.child.cpu() - before, nil
}

// readAnswer reads one answer, which must have status 200 and a Content-Length.
func readAnswer(r *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := string(line)
		switch {
		case first && !strings.HasPrefix(text, "HTTP/1.1 200 "):
			return fmt.Errorf("the page answers %q", text)
		case strings.HasPrefix(text, "Content-Length: "):
			if length, err = strconv.Atoi(strings.TrimSpace(text[16:])); err != nil {
				return err
			}
		case text == "\r\n":
			_, err := io.CopyN(io.Discard, r, int64(length))
			return err
		}
	}
}

// helloPage is what every page says.
func helloPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<!DOCTYPE html><title>Account</title><p>Hello"))
}

// pageHandler is one contender, in its own process.
func pageHandler(ctx context.Context, s settings) (http.Handler, error) {
	hi := http.HandlerFunc(helloPage)
	mux := http.NewServeMux()
	h := http.Handler(hi)
	switch s.Variant {
	case pageBare, pageCookie:
	case pageIdentity, pageAll:
		cookieKey = s.Key
		if h = floorUser(newAEAD(), hi); s.Variant == pageAll {
			h = floorAll(newAEAD(), hi)
		}
	case pageGorilla:
		h = gorillaPage(gorillaStore(s.Key), hi)
	default:
		cookieKey = s.Key
		auth, err := newAuth(ctx, s, nil)
		if err != nil {
			return nil, err
		}
		auth.Register(mux)
		mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(showUser)))
		if h = auth.RequireLogin(hi); s.Variant == pageTokens {
			h = auth.RequireTokens(hi)
		}
	}
	mux.Handle("GET /page", h)
	return mux, nil
}

// newAuth makes our Auth in a child.
func newAuth(ctx context.Context, s settings, change func(*middleware.Config)) (*middleware.Auth, error) {
	client, err := rp.New(ctx, clientConfig(s.Issuer, s.Base, nil))
	if err != nil {
		return nil, err
	}
	return middleware.New(authConfig(client, change)) //nolint:contextcheck // it makes no request
}

func gorillaStore(key []byte) *sessions.CookieStore {
	codec := securecookie.New(key, key).SetSerializer(jsonValues{})
	codec.MaxLength(0)
	return &sessions.CookieStore{Codecs: []securecookie.Codec{codec}, Options: &sessions.Options{Path: "/"}}
}

func gorillaPage(store sessions.Store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := store.Get(r, "session")
		if err != nil || s.Values["sub"] != "alice" {
			http.Error(w, "log in", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// gorillaCookies are a session in gorilla's cookie.
func gorillaCookies(ctx context.Context) (string, error) {
	return fillGorilla(ctx, gorillaStore(cookieKey))
}
