package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
)

// startupSection measures from nothing to the first redirect and, for which programs are built, what they grow by.
func startupSection(ctx context.Context, o options, r *report) error {
	a := newAuthority(newKey("RS256", "2026-11"))
	defer a.close()
	s := compare(o, wallTime,
		contender{"go-oidc + x/oauth2", func() { must(startGoOIDC(ctx, a.issuer)) }},
		contender{"zitadel", func() { must(startZitadel(ctx, a.issuer)) }},
		contender{nameOurs, func() { must(startOurs(ctx, a)) }},
	)
	if o.quick {
		r.table([]string{"", "ms to the first redirect"}, []string{s[0].name, number(s[0].micros()/1000, 2)},
			[]string{s[1].name, number(s[1].micros()/1000, 2)}, []string{s[2].name, number(s[2].micros()/1000, 2)})
		return nil
	}
	sizes, err := programs(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"empty net/http program", "", number(sizes["empty"].megabytes, 1), "", "0", ""}}
	for i, name := range []string{"gooidc", "zitadel", "ours"} {
		p := sizes[name]
		rows = append(rows, []string{
			s[i].name, number(s[i].micros()/1000, 2), number(p.megabytes, 1), number(p.megabytes-sizes["empty"].megabytes, 1),
			number(float64(p.linked), 0), number(float64(p.required), 0),
		})
	}
	r.table([]string{"", "ms to the first redirect", "binary, MB", "added, MB", "modules in the binary", "modules in go.mod"}, rows...)
	return nil
}

// freshHTTP is a client without connections, as every process starts with.
func freshHTTP() (*http.Client, func()) {
	t := &http.Transport{}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}

func startGoOIDC(ctx context.Context, issuer string) error {
	c, end := freshHTTP()
	defer end()
	p, err := gooidc.NewProvider(gooidc.ClientContext(ctx, c), issuer)
	if err != nil {
		return err
	}
	config := oauth2.Config{ClientID: clientID, RedirectURL: redirectURL, Endpoint: p.Endpoint(), Scopes: scopes}
	_ = config.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	return nil
}

func startZitadel(ctx context.Context, issuer string) error {
	c, end := freshHTTP()
	defer end()
	p, err := zitadel.NewRelyingPartyOIDC(ctx, issuer, clientID, clientSecret, redirectURL, scopes, zitadel.WithHTTPClient(c))
	if err != nil {
		return err
	}
	_ = zitadel.AuthURL("state", p)
	return nil
}

func startOurs(ctx context.Context, a *authority) error {
	c, end := freshHTTP()
	defer end()
	client, err := newClient(ctx, a, func(o *rp.Config) { o.HTTPClient = c })
	if err != nil {
		return err
	}
	q, err := client.NewAuthRequest(ctx, rp.AuthOptions{})
	if err != nil {
		return err
	}
	_ = q.Redirect()
	return client.Close()
}

// program is what one of the programs in size takes.
type program struct {
	megabytes        float64
	linked, required int // modules in the binary; lines of the library's go.mod
}

// programs builds those in size. It needs the go command and the source of this module, in the working directory.
func programs(ctx context.Context) (map[string]program, error) {
	dir, err := os.MkdirTemp("", "twofold-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator), "./size/...").CombinedOutput(); err != nil { //nolint:gosec // our own
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	found := map[string]program{}
	for name, module := range map[string]string{
		"empty": "", "gooidc": "github.com/coreos/go-oidc/v3", "zitadel": "github.com/zitadel/oidc/v3", "ours": "github.com/twofold-auth/twofold",
	} {
		p, err := inspect(ctx, filepath.Join(dir, name), module)
		if err != nil {
			return nil, err
		}
		found[name] = p
	}
	return found, nil
}

func inspect(ctx context.Context, path, module string) (p program, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return p, err
	}
	p.megabytes = float64(info.Size()) / (1 << 20)
	out, err := exec.CommandContext(ctx, "go", "version", "-m", path).Output() //nolint:gosec // our own
	if err != nil {
		return p, err
	}
	p.linked = strings.Count(string(out), "\tdep\t")
	if module == "" {
		return p, nil
	}
	p.required, err = requirements(ctx, module)
	return p, err
}

// requirements counts what a module's go.mod requires, the indirect included.
func requirements(ctx context.Context, module string) (int, error) {
	file, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.GoMod}}", module).Output() //nolint:gosec // our own
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "go", "mod", "edit", "-json", strings.TrimSpace(string(file))).Output() //nolint:gosec // our own
	if err != nil {
		return 0, err
	}
	var m struct{ Require []struct{ Path string } }
	err = json.Unmarshal(out, &m)
	return len(m.Require), err
}
