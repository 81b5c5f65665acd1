package middleware_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// TestStalledBody is a browser that begins a form and never ends it, at a real net/http server without limits of its
// own: what the handler leaves unread, the server reads before it sends the answer.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path   string
		length string
		drip   bool
	}{
		"A40_callback":            {"/auth/callback", "5000", false},
		"A40_callback_drips":      {"/auth/callback", "5000", true},
		"A40_callback_chunked":    {"/auth/callback", "", false},
		"A40_logout":              {"/auth/logout", "5000", false},
		"A40_initiate":            {"/auth/initiate", "5000", false},
		"A40_back_channel_logout": {"/auth/backchannel-logout", "5000", false},
		"A37_too_large":           {"/auth/callback", "5000000", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble.Test(t, func(t *testing.T) {
				conn := dial(t, lonelyApp(t))
				defer conn.Close()
				framing, start := "Content-Length: "+row.length, "state="
				if row.length == "" {
					framing, start = "Transfer-Encoding: chunked", "6\r\nstate=\r\n"
				}
				begun := time.Now()
				_, err := io.WriteString(conn, "POST "+row.path+" HTTP/1.1\r\nHost: app.example\r\n"+framing+
					"\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"+start)
				if err != nil {
					t.Fatal(err)
				}
				var dripping sync.WaitGroup
				if row.drip {
					dripping.Go(func() { drip(conn) })
				}
				rep, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err == nil {
					_, err = io.Copy(io.Discard, rep.Body)
				}
				want := http.StatusBadRequest
				if strings.HasSuffix(name, "too_large") {
					want = http.StatusRequestEntityTooLarge
				}
				if err != nil || rep.StatusCode != want {
					t.Errorf("answer %v, error %v", rep, err)
				}
				if _, err := conn.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // a pipe's own
					t.Errorf("the connection stays open: %v", err)
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				dripping.Wait()
			})
		})
	}
}

// drip sends a byte a second until nobody reads it.
func drip(conn net.Conn) {
	for tick := time.Tick(time.Second); ; <-tick {
		if _, err := conn.Write([]byte("a")); err != nil {
			return
		}
	}
}

// lonelyApp is an app without a provider.
func lonelyApp(t *testing.T) http.Handler {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	client, err := rp.New(t.Context(), rp.Config{
		Issuer: "https://op.example", ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret),
		RedirectURL: site + "/auth/callback", Discovery: rp.Lazy, Insecure: rp.Insecure{PlainHTTP: true}, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := middleware.New(middleware.Config{Client: client, Keys: [][]byte{attackKey("one")}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close(); _ = client.Close() })
	mux := http.NewServeMux()
	auth.Register(mux)
	return mux
}

// dial connects to a server of its own over a pipe.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h} // without time-outs
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// pipeListener accepts what is sent to it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
