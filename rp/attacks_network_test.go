package rp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// D40, and what a peer can do below HTTP.

// certificate makes a self-signed certificate for a host.
func certificate(t *testing.T, host string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-48 * time.Hour), NotAfter: until, DNSNames: []string{host},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serveTLS answers at localhost:443 and returns a transport that trusts the certificate.
func serveTLS(t *testing.T, cert tls.Certificate, version uint16, serve func(net.Listener)) *http.Transport {
	t.Helper()
	n := newNetwork(t)
	p := &place{conns: make(chan net.Conn), done: make(chan struct{})}
	n.places["localhost:443"] = p
	t.Cleanup(func() { _ = p.Close() })
	go serve(tls.NewListener(p, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"},
	}))
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	n.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	n.transport.ForceAttemptHTTP2 = true
	return n.transport
}

func TestTLS(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for _, row := range []struct {
		name, host string
		until      time.Time
		version    uint16
		trusted    bool
		want       error
	}{
		{"D40_the_valid_certificate", "localhost", later, tls.VersionTLS13, true, nil},
		{"D40_self_signed", "localhost", later, tls.VersionTLS13, false, rp.ErrUnavailable},
		{"D40_another_host", "op.example", later, tls.VersionTLS13, true, rp.ErrUnavailable},
		{"D40_expired", "localhost", time.Now().Add(-time.Hour), tls.VersionTLS13, true, rp.ErrUnavailable},
		{"D40_TLS_1_1", "localhost", later, tls.VersionTLS11, true, rp.ErrUnavailable},
		{"D40_TLS_1_0", "localhost", later, tls.VersionTLS10, true, rp.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			op := optest.NewHandler("https://localhost", optest.Config{})
			var heard atomic.Int64
			web := &http.Server{ErrorLog: discard, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				heard.Add(1)
				op.ServeHTTP(w, r)
			})}
			t.Cleanup(func() { _ = web.Close() })
			transport := serveTLS(t, certificate(t, row.host, row.until), row.version, func(l net.Listener) { _ = web.Serve(l) })
			if !row.trusted {
				transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			}
			c := lazyConfig()
			c.Issuer, c.Discovery, c.HTTPClient = "https://localhost", rp.AtStart, &http.Client{Transport: transport}
			client, err := rp.New(t.Context(), c)
			if !errors.Is(err, row.want) || (heard.Load() != 0) != (row.want == nil) {
				t.Errorf("%v, want %v; the server heard %d requests", err, row.want, heard.Load())
			}
			if client != nil {
				_ = client.Close()
			}
		})
	}
	t.Run("D40_our_own_transport_trusts_no_self_signed_one", func(t *testing.T) {
		t.Parallel()
		op := optest.NewTLSServer(optest.Config{})
		t.Cleanup(op.Close)
		c := lazyConfig()
		c.Issuer, c.Discovery = op.URL, rp.AtStart
		_, err := rp.New(t.Context(), c)
		if !errors.Is(err, rp.ErrUnavailable) || op.Calls(pathMeta) != 0 {
			t.Errorf("%v; %d requests", err, op.Calls(pathMeta))
		}
	})
}

// codeAt returns a client of a provider at base that is known by hand, and an answer that holds a code.
func codeAt(t *testing.T, base string, c *http.Client) (*rp.Client, *rp.AuthResponse) {
	t.Helper()
	client := lazyClient(t, func(cfg *rp.Config) {
		cfg.Issuer, cfg.HTTPClient, cfg.ResponseType, cfg.Insecure.PlainHTTP = base, c, rp.Code, true
		cfg.Endpoints = &rp.Endpoints{Authorization: base + "/a", Token: base + "/t", JWKS: base + "/j"}
	})
	q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.VerifyResponse(t.Context(), q, url.Values{"state": {q.State()}, "code": {"the-code"}})
	if err != nil {
		t.Fatal(err)
	}
	return client, a
}

// D02 over HTTP/2: a stream or a connection that the server ends after it has the request must not bring the code twice.
// net/http repeats a request after some of these ends if its body can be had again.
func TestHTTP2EndsAfterTheRequest(t *testing.T) {
	t.Parallel()
	for name, end := range map[string][]byte{
		"D02_stream_INTERNAL_ERROR":  resetStream(0x2),
		"D02_stream_PROTOCOL_ERROR":  resetStream(0x1),
		"D02_stream_CANCEL":          resetStream(0x8),
		"D02_stream_REFUSED":         resetStream(0x7),
		"D02_connection_GOAWAY":      frame(7, 0, make([]byte, 8)), // last stream 0: "nothing was processed"
		"D02_stream_then_connection": append(resetStream(0x2), frame(7, 0, make([]byte, 8))...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			transport := serveTLS(t, certificate(t, "localhost", time.Now().Add(time.Hour)), tls.VersionTLS13, func(l net.Listener) {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go serveHTTP2(conn, &requests, end)
				}
			})
			client, a := codeAt(t, "https://localhost", &http.Client{Transport: transport, Timeout: 30 * time.Second})
			_, err := client.Exchange(t.Context(), a)
			if !errors.Is(err, rp.ErrUnavailable) {
				t.Error(err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

// frame makes an HTTP/2 frame (RFC 9113, section 4.1).
func frame(kind byte, stream uint32, payload []byte) []byte {
	f := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, 0}
	return append(binary.BigEndian.AppendUint32(f, stream), payload...)
}

// resetStream makes a RST_STREAM whose stream serveHTTP2 fills in.
func resetStream(code uint32) []byte {
	return frame(3, 0, binary.BigEndian.AppendUint32(nil, code))
}

// serveHTTP2 counts the requests that come whole, and answers each with end.
func serveHTTP2(conn net.Conn, requests *atomic.Int64, end []byte) {
	defer func() { _ = conn.Close() }()
	out := make(chan []byte, 100) // a pipe has no buffer, and both sides must not write at once
	defer close(out)
	go func() {
		for b := range out {
			_, _ = conn.Write(b)
		}
	}()
	r := bufio.NewReader(conn)
	if _, err := r.Discard(24); err != nil { // the preface
		return
	}
	out <- frame(4, 0, nil)
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(r, header); err != nil {
			return
		}
		if _, err := r.Discard(int(header[0])<<16 | int(header[1])<<8 | int(header[2])); err != nil {
			return
		}
		kind, flags := header[3], header[4]
		switch {
		case kind == 4 && flags&1 == 0: // SETTINGS
			ack := frame(4, 0, nil)
			ack[4] = 1
			out <- ack
		case kind <= 1 && flags&1 != 0: // END_STREAM: the request is here
			requests.Add(1)
			answer := append([]byte{}, end...)
			if answer[3] == 3 {
				copy(answer[5:9], header[5:9])
			}
			out <- answer
		}
	}
}

// D02 over HTTP/1.1 with real sockets: a kept connection that breaks under the request, in each way that it can.
func TestKeptConnectionBreaks(t *testing.T) {
	t.Parallel()
	for name, linger := range map[string]int{"D02_reset": 0, "D02_end": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/t" {
					_, _ = w.Write([]byte(`{"keys":[]}`)) // and the connection is kept
					return
				}
				requests.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_ = conn.(*net.TCPConn).SetLinger(linger)
					_ = conn.Close()
				}
			}))
			t.Cleanup(server.Close)
			client, a := codeAt(t, server.URL, nil)
			_ = client.Ready(t.Context()) // no keys; but a connection
			_, err := client.Exchange(t.Context(), a)
			if !errors.Is(err, rp.ErrUnavailable) {
				t.Error(err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

// X17: header fields without end are not read, and interim answers end nothing.
func TestHeaderFlood(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 10_000 {
			w.Header().Set(fmt.Sprintf("X-Flood-%d", i), strings.Repeat("x", 100))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}`))
	}))
	t.Cleanup(server.Close)
	client, a := codeAt(t, server.URL, nil)
	if _, err := client.Exchange(t.Context(), a); !errors.Is(err, rp.ErrUnavailable) {
		t.Error(err)
	}
}

// X18: the pool of connections to one provider is bounded, so that a slow token endpoint does not eat the process (J06).
func TestSlowTokenEndpointIsBounded(t *testing.T) {
	t.Parallel()
	const logins, limit = 300, 100
	var mu sync.Mutex
	more := sync.NewCond(&mu)
	var came, open, most int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gone := context.AfterFunc(r.Context(), func() {
			mu.Lock()
			defer mu.Unlock()
			more.Broadcast()
		})
		defer gone()
		mu.Lock()
		defer mu.Unlock()
		came, open = came+1, open+1
		most = max(most, open)
		more.Broadcast()
		for last := min(came+limit-1, logins); came < last && r.Context().Err() == nil; { // stays until as many are here as may be
			more.Wait()
		}
		open--
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	client, _ := codeAt(t, server.URL, &http.Client{Timeout: 2 * time.Minute})
	var running sync.WaitGroup
	for i := range logins {
		q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := client.VerifyResponse(t.Context(), q, url.Values{"state": {q.State()}, "code": {fmt.Sprint("code-", i)}})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if _, err := client.Exchange(t.Context(), a); rp.ErrorCode(err) != "provider_error" {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if came != logins || most > limit {
		t.Errorf("%d requests, %d at once", came, most)
	}
}
