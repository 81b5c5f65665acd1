package e2e_test

import (
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestLocalDevelopmentWithoutTLS: an app on http://localhost and a provider on http://127.0.0.1, which is another site.
// Chromium stores and sends the __Host- cookie with Secure and SameSite=None there; the Lax session does not come with
// the cross-site POST, and comes again after the 303 (design, section 6).
func TestLocalDevelopmentWithoutTLS(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := optest.NewServer(optest.Config{Host: "127.0.0.1", LoginPage: true, Claims: map[string]any{"sub": "alice"}})
	t.Cleanup(op.Close)
	local := newSites()
	server := httptest.NewServer(local)
	t.Cleanup(server.Close)
	base := "http://localhost:" + port(server.Listener)
	local.handlers["localhost"] = localApp(t, base, op.URL)
	b := w.profile(t)

	b.open(base + "/account")
	if got := b.where(); !strings.HasPrefix(got, "http://127.0.0.1:") {
		t.Fatalf("the login page is at %s", got)
	}
	for name, c := range b.cookies(base) {
		if !isKind(name, transactions) || !c.Secure || !c.HTTPOnly || c.SameSite != "None" {
			t.Errorf("stored on http://localhost: %+v", c)
		}
	}
	b.click("button[value=login]")
	b.see("#sub")
	b.open(base + "/auth/login?return_to=/account") // the provider remembers the user: it asks nothing
	b.see("#sub")

	posts := local.at("localhost", http.MethodPost, "/auth/callback")
	if len(posts) != 2 {
		t.Fatalf("%d callbacks, want 2", len(posts))
	}
	for _, p := range posts {
		if p.header.Get("Sec-Fetch-Site") != "cross-site" || len(p.of(transactions)) == 0 || len(p.of(identities, tokenParts)) != 0 {
			t.Errorf("a callback from %s brings %q", p.header.Get("Sec-Fetch-Site"), p.cookies)
		}
	}
	pages := local.at("localhost", http.MethodGet, "/account")
	if last := pages[len(pages)-1]; len(last.of(identities)) != 1 {
		t.Errorf("after the 303 the browser brings %q", last.cookies)
	}
	b.quiet()
}

func localApp(t *testing.T, base, issuer string) http.Handler {
	t.Helper()
	client, err := rp.New(t.Context(), rp.Config{
		Issuer: issuer, ClientID: "local", ClientAuth: rp.SecretBasic(secret), RedirectURL: base + "/auth/callback",
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext}},
		Logger:     slog.New(slog.DiscardHandler),
		Insecure:   rp.Insecure{PlainHTTP: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	auth, err := middleware.New(middleware.Config{
		Client: client, Keys: [][]byte{key}, Name: cookieName, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<p id="sub">` + middleware.FromContext(r.Context()).Subject + `</p>`))
	})))
	return mux
}
