package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"
)

// world is what the tests share: a certificate authority, the provider, the app's sites, the APIs and the browser.
// Nothing in it is reached by an address: Chromium and the relying party look up every name as the loopback address.
type world struct {
	authority *authority
	provider  *provider
	apps      *sites
	api       *api
	chrome    *chrome
	closers   []func()
}

var (
	shared     *world
	sharedErr  error
	sharedOnce sync.Once
)

// start returns the shared world. A machine without Node.js or Chromium skips the test, except in CI.
func start(t *testing.T) *world {
	t.Helper()
	need(t)
	sharedOnce.Do(func() { shared, sharedErr = newWorld() })
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return shared
}

// need skips the test if the machine lacks something; with CI=true or TWOFOLD_E2E=1 it fails it.
func need(t *testing.T) {
	t.Helper()
	missing := missingNode()
	if missing == "" {
		missing = missingChromium()
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true" || os.Getenv("TWOFOLD_E2E") == "1":
		t.Fatalf("missing: %s", missing)
	default:
		t.Skipf("missing: %s", missing)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.close()
	}
	os.Exit(code)
}

func newWorld() (_ *world, err error) {
	w := &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.authority, err = newAuthority("op.test", "tenant.test", "api.test", "*.app.test"); err != nil {
		return nil, err
	}
	w.apps = newSites()
	appServer := w.serve(w.apps)
	w.apps.port = port(appServer.Listener)
	w.api = newAPI()
	w.api.url = "https://api.test:" + port(w.serve(w.api).Listener)
	if w.provider, err = newProvider(w.authority, w.api.resources()); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.provider.close)
	w.api.trust(w.httpClient(), w.provider.issuers)
	if w.chrome, err = newChrome(w.authority.pin()); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.chrome.close)
	return w, nil
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

// serve starts a TLS server with the test authority's certificate.
func (w *world) serve(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = w.authority.serverConfig()
	s.StartTLS()
	w.closers = append(w.closers, s.Close)
	return s
}

// httpClient is the HTTP client of the relying party and of the tests: every name is this machine, and the test
// authority is the only one that it trusts. It follows no redirects.
func (w *world) httpClient() *http.Client {
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, p, err := net.SplitHostPort(address)
				if err != nil {
					return nil, fmt.Errorf("dial: %w", err)
				}
				var d net.Dialer
				return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", p))
			},
			TLSClientConfig:   w.authority.clientConfig(),
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func port(l net.Listener) string {
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		panic(err) // a listener on TCP has a port
	}
	return p
}
