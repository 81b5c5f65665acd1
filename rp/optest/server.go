package optest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Server is a provider on a loopback port, as httptest.Server is a web server. It is safe for concurrent use.
type Server struct {
	*Handler
	URL string // the issuer

	web    *http.Server
	root   *x509.Certificate
	client *http.Client
}

// NewServer starts a provider on http://localhost with a port of its own. It panics if c contradicts itself.
// Call Close when done.
func NewServer(c Config) *Server { return start(c, "http", nil) }

// NewTLSServer is NewServer with https and a certificate that only [Server.Client] trusts. It speaks HTTP/1.1.
func NewTLSServer(c Config) *Server {
	certificate := newCertificate(c.host())
	return start(c, "https", &certificate)
}

func (c Config) host() string {
	if c.Host == "" {
		return "localhost"
	}
	return c.Host
}

func start(c Config, scheme string, certificate *tls.Certificate) *Server {
	listeners, port := listen()
	s := &Server{URL: scheme + "://" + net.JoinHostPort(c.host(), port) + c.Path}
	s.Handler = NewHandler(s.URL, c)
	s.web = &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // refused certificates and aborted answers are what tests want
		Protocols:         new(http.Protocols),
	}
	s.web.Protocols.SetHTTP1(true)
	s.setTLS(certificate)
	for _, l := range listeners {
		go s.serve(l)
	}
	return s
}

// listen takes a port on 127.0.0.1 and, where it can be had, the same one on ::1, since localhost may mean both.
func listen() ([]net.Listener, string) {
	var config net.ListenConfig
	four, err := config.Listen(backgroundContext(), "tcp4", "127.0.0.1:0")
	if err != nil {
		panic("optest: " + err.Error())
	}
	address, _ := four.Addr().(*net.TCPAddr)
	port := strconv.Itoa(address.Port)
	six, err := config.Listen(backgroundContext(), "tcp6", "[::1]:"+port)
	if err != nil {
		return []net.Listener{four}, port
	}
	return []net.Listener{four, six}, port
}

func (s *Server) serve(l net.Listener) {
	if s.web.TLSConfig != nil {
		l = tls.NewListener(l, s.web.TLSConfig)
	}
	if err := s.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(fmt.Sprintf("optest: %v", err))
	}
}

func (s *Server) setTLS(certificate *tls.Certificate) {
	transport := &http.Transport{ForceAttemptHTTP2: false, MaxIdleConnsPerHost: 100}
	if certificate != nil {
		s.root = certificate.Leaf
		roots := x509.NewCertPool()
		roots.AddCert(s.root)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		s.web.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		}
	}
	s.client = &http.Client{
		Transport:     transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Client returns an HTTP client that trusts the server's certificate and follows no redirects.
func (s *Server) Client() *http.Client { return s.client }

// Certificate returns the server's certificate, or nil without TLS. It is its own root.
func (s *Server) Certificate() *x509.Certificate { return s.root }

// Close stops the server and ends every connection, those that hang by a fault too.
func (s *Server) Close() {
	s.stop()
	_ = s.web.Close() // a listener that is gone already is what Close wants
	s.client.CloseIdleConnections()
}

// newCertificate makes a self-signed certificate for a loopback host. Its times are the machine's: TLS clients have no
// Config.Now.
func newCertificate(host string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("optest: " + err.Error())
	}
	now := systemNow()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{Organization: []string{"optest, a provider for tests"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost", "*.localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic("optest: " + err.Error())
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic("optest: " + err.Error())
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
