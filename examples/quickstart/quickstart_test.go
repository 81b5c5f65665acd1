package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := runCheck(t.Context(), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), "passed  ") && len(strings.Fields(line)) < 5 {
			t.Errorf("a rule without words: %q", line)
		}
	}
}

func TestAnotherProvider_with_a_private_key(t *testing.T) {
	t.Parallel()
	listener, err := demo.Listen(t.Context(), "-listen", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	file := keyFile(t)
	key, err := readKey(file)
	if err != nil {
		t.Fatal(err)
	}
	op := optest.NewServer(optest.Config{Host: "127.0.0.1", ClientID: "mine", ClientKeys: publicKeys(t, key)})
	defer op.Close()
	env := url.Values{"ISSUER": {op.URL}, "CLIENT_ID": {"mine"}, "CLIENT_KEY_FILE": {file}, "CLIENT_KEY_ID": {"k"}, "AUDIENCE": {"https://api.example/"}}
	s, err := parse(env.Get)
	if err != nil {
		t.Fatal(err)
	}
	s.base, s.log = demo.URL(listener), slog.New(slog.DiscardHandler)
	a, err := newApp(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = demo.Serve(ctx, listener, a.routes()) }()
	page, err := optest.NewBrowser(nil).Open(t.Context(), a.base+"/flow")
	if err != nil || page.URL != a.base+"/flow" || !strings.Contains(page.Text(), `"email": "alice@example.com"`) {
		t.Errorf("%v: %+v", err, page)
	}
	if !strings.Contains(strings.Join(page.History, " "), "audience=https%3A%2F%2Fapi.example%2F") {
		t.Errorf("no request asked for the audience: %v", page.History)
	}
	if op.Calls("/userinfo") != 1 {
		t.Errorf("userinfo was asked %d times", op.Calls("/userinfo"))
	}
	var out bytes.Buffer
	a.greet(&out)
	if !strings.Contains(out.String(), a.redirectURL()) {
		t.Errorf("the redirect URI to register is not printed: %s", out.String())
	}
}

// publicKeys is the JWK Set that the provider knows the key by.
func publicKeys(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	c, err := rp.New(t.Context(), rp.Config{
		Issuer: "https://op.example", ClientID: "mine", ClientAuth: rp.PrivateKeyJWT(key, "k"),
		RedirectURL: "https://app.example/auth/callback", Discovery: rp.Lazy,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.JWKS()
}

func TestNewApp_names_an_issuer_that_does_not_answer(t *testing.T) {
	t.Parallel()
	s := settings{issuer: "http://127.0.0.1:1", clientID: "c", secret: "s", base: "http://localhost:1", log: slog.New(slog.DiscardHandler)}
	if _, err := newApp(t.Context(), s); err == nil || !strings.HasPrefix(err.Error(), "ISSUER http://127.0.0.1:1: ") {
		t.Error(err)
	}
}

func TestListen_says_what_to_do_about_a_taken_port(t *testing.T) {
	t.Parallel()
	first, err := demo.Listen(t.Context(), "-listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if _, err := demo.Listen(t.Context(), "-listen", first.Addr().String()); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Error(err)
	}
}

func TestParse_names_the_wrong_setting(t *testing.T) {
	t.Parallel()
	key := keyFile(t)
	rows := []struct {
		env  url.Values
		want string // prefix of the error; "" is accepted
	}{
		{url.Values{}, ""},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}}, ""},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_KEY_FILE": {key}, "CLIENT_KEY_ID": {"k"}}, ""},
		{url.Values{"CLIENT_ID": {"c"}}, "ISSUER is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}, "CLIENT_AUTH": {"client_secret_post"}}, ""},
		{url.Values{"CLIENT_SECRET": {"s"}}, "ISSUER is missing"},
		{url.Values{"AUDIENCE": {"https://api.example/"}}, "ISSUER is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}, "CLIENT_AUTH": {"private_key_jwt"}}, "CLIENT_AUTH "},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_KEY_FILE": {key}, "CLIENT_KEY_ID": {"k"}, "CLIENT_AUTH": {"client_secret_post"}}, "CLIENT_AUTH "},
		{url.Values{"ISSUER": {"op.example"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}}, "ISSUER "},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_SECRET": {"s"}}, "CLIENT_ID is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}}, "CLIENT_SECRET is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}, "CLIENT_KEY_FILE": {key}}, "CLIENT_SECRET and CLIENT_KEY_FILE"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_SECRET": {"s"}, "CLIENT_KEY_ID": {"k"}}, "CLIENT_KEY_FILE is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_KEY_FILE": {key}}, "CLIENT_KEY_ID is missing"},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_KEY_FILE": {"/does/not/exist"}, "CLIENT_KEY_ID": {"k"}}, "CLIENT_KEY_FILE: "},
		{url.Values{"ISSUER": {"https://op.example/"}, "CLIENT_ID": {"c"}, "CLIENT_KEY_FILE": {os.Args[0]}, "CLIENT_KEY_ID": {"k"}}, "CLIENT_KEY_FILE "},
	}
	for _, row := range rows {
		_, err := parse(row.env.Get)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%v: %v", row.env, err)
		case row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)):
			t.Errorf("%v: %v, want %s…", row.env, err, row.want)
		}
	}
}

func keyFile(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCut_leaves_too_little_to_use(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"":                               "… (0 characters)",
		"short":                          "… (5 characters)",
		"a-code-of-thirty-characters-xx": "a-code… (30 characters)",
	} {
		if got := cut(secret); got != want {
			t.Errorf("cut(%q) = %q, want %q", secret, got, want)
		}
	}
}
