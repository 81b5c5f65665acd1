package optest

import (
	"crypto/x509"
	"net/http"
)

// Server is a provider on a loopback port, as httptest.Server is a web server. It is safe for concurrent use.
type Server struct {
	*Handler
	URL string // the issuer

}

// NewServer starts a provider on http://localhost with a port of its own. It panics if c contradicts itself.
// Call Close when done.
func NewServer(c Config) *Server { return nil }

// NewTLSServer is NewServer with https and a certificate that only [Server.Client] trusts.
func NewTLSServer(c Config) *Server { return nil }

// Client returns an HTTP client that trusts the server's certificate and follows no redirects.
func (s *Server) Client() *http.Client { return nil }

// Certificate returns the server's certificate, or nil without TLS. It is its own root.
func (s *Server) Certificate() *x509.Certificate { return nil }

// Close stops the server and ends every connection, those that hang by a fault too.
func (s *Server) Close() {}

// Handler is a provider to embed in a server of one's own: mount it at the path of its issuer. Safe for concurrent use.
type Handler struct {
}

// NewHandler returns a provider whose issuer is exactly the given URL; it may end with a slash or have a path.
// It panics if the issuer is not on a loopback host (localhost, 127.0.0.0/8, ::1), or if c contradicts itself.
func NewHandler(issuer string, c Config) *Handler { return nil }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Fault sets the function that may change each following answer; nil ends it. The function runs once for each answer,
// never twice at the same time.
func (h *Handler) Fault(f func(*Answer)) {}

// Calls tells how many requests an endpoint got, for example Calls("/oauth/token").
func (h *Handler) Calls(endpoint string) int { return 0 }

// Requests returns the requests that an endpoint got, oldest first; of very many, the last hundred.
func (h *Handler) Requests(endpoint string) []Request { return nil }

// RotateKeys makes new signing keys. The old ones leave the JWK Set at once.
func (h *Handler) RotateKeys() {}

// JWKS returns the JWK Set as /jwks would send it now.
func (h *Handler) JWKS() []byte { return nil }
