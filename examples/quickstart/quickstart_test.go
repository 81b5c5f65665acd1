package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{url.Values{"CLIENT_SECRET": {"s"}}, "ISSUER is missing"},
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
