package rp_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

const goodMetadata = `{"issuer":"https://op.example/","authorization_endpoint":"https://op.example/a",` +
	`"token_endpoint":"https://other.example/t","jwks_uri":"https://op.example/j","x":{"y":[1]}}`

func TestMetadataThatIsRefused(t *testing.T) {
	t.Parallel()
	client := lazyClient(t, func(c *rp.Config) { c.Endpoints = nil })
	if e, err := rp.ReadMetadata(client, goodMetadata); err != nil || e.Token != "https://other.example/t" {
		t.Fatalf("%+v, %v", e, err)
	}
	for _, tc := range []struct{ name, old, new, says string }{
		{"F01_another_issuer", `"https://op.example/"`, `"https://evil.example/"`, "issuer"},
		{"F01_issuer_without_its_slash", `"https://op.example/"`, `"https://op.example"`, "issuer"},
		{"F01_issuer_in_another_case", `"https://op.example/"`, `"https://OP.example/"`, "issuer"},
		{"F01_what_to_do_about_a_slash", `"https://op.example/"`, `"https://op.example"`, `configured is "https://op.example/"; set Config.Issuer to exactly that`},
		{"F01_what_to_do_about_a_template", `"https://op.example/"`, `"https://op.example/{tenantid}/v2.0"`, "use your tenant's own issuer"},
		{"F01_nothing_to_do_about_another_host", `"https://op.example/"`, `"https://evil.example/"`, "configured is \"https://op.example/\"\x00"},
		{"F01_issuer_missing", `"issuer"`, `"Issuer"`, "issuer"},
		{"F01_issuer_twice", `"x"`, `"issuer"`, "twice"},
		{"F01_issuer_is_a_list", `"https://op.example/"`, `["https://op.example/"]`, "issuer"},
		{"F06_no_authorization_endpoint", "authorization_endpoint", "y", "authorization_endpoint: missing"},
		{"F06_no_token_endpoint", "token_endpoint", "y", "token_endpoint: missing"},
		{"F06_no_jwks_uri", "jwks_uri", "y", "jwks_uri: missing"},
		{"F05_D41_token_endpoint_over_http", "https://other", "http://other", "token_endpoint: http"},
		{"F05_token_endpoint_of_another_scheme", "https://other", "file://other", "token_endpoint: scheme"},
		{"F05_token_endpoint_with_user", "https://other", "https://op.example@other", "token_endpoint: holds a user name"},
		{"F05_token_endpoint_with_fragment", "example/t", "example/t#x", "token_endpoint: has a fragment"},
		{"F05_jwks_uri_is_data", "https://op.example/j", "data:,x", "jwks_uri"},
		{"F05_userinfo_over_http", `"x":`, `"userinfo_endpoint":"http://op.example/u","x":`, "userinfo_endpoint: http"},
		{"F05_logout_over_http", `"x":`, `"end_session_endpoint":"http://op.example/l","x":`, "end_session_endpoint: http"},
		{"PAR required", `"x":`, `"require_pushed_authorization_requests":true,"x":`, "require_pushed"},
		{"JAR required", `"x":`, `"require_signed_request_object":true,"x":`, "require_signed"},
		{"F04_data_after_it", `[1]}}`, `[1]}} {}`, "after"},
		{"F04_an_array", goodMetadata, `[]`, "object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(goodMetadata, tc.old, tc.new, 1)
			_, err := rp.ReadMetadata(client, text)
			if !errors.Is(err, rp.ErrMetadata) || rp.ErrorCode(err) != "metadata" || !strings.Contains(err.Error()+"\x00", tc.says) {
				t.Errorf("%v; want one that says %q", err, tc.says)
			}
		})
	}
}

func TestF07_what_the_provider_does_not_list_is_a_warning(t *testing.T) {
	t.Parallel()
	for list, warns := range map[string]bool{
		`"response_types_supported":["id_token code","code"]`:         false,
		`"response_types_supported":["code"]`:                         true,
		`"response_modes_supported":["query"]`:                        true,
		`"id_token_signing_alg_values_supported":["ES256"]`:           true,
		`"token_endpoint_auth_methods_supported":["private_key_jwt"]`: true,
		`"code_challenge_methods_supported":["plain"]`:                true,
		`"response_types_supported":7`:                                false,
	} {
		var log bytes.Buffer
		client := lazyClient(t, func(c *rp.Config) {
			c.Endpoints, c.Logger = nil, slog.New(slog.NewTextHandler(&log, nil))
		})
		if _, err := rp.ReadMetadata(client, strings.Replace(goodMetadata, `"x":`, list+`,"x":`, 1)); err != nil {
			t.Errorf("%s: %v", list, err)
		}
		if warned := log.Len() > 0; warned != warns {
			t.Errorf("%s: log %q", list, log.String())
		}
	}
}

func TestDiscoveryThatGoesWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		want  error
		fault func(*optest.Answer)
	}{
		{"F01_another_issuer", rp.ErrMetadata, func(a *optest.Answer) { a.JSON["issuer"] = "https://evil.example" }},
		{"F01_ISSUER_beside_issuer_is_not_read", nil, func(a *optest.Answer) { a.JSON["zISSUER"] = "https://evil.example" }},
		{"F01_only_ISSUER", rp.ErrMetadata, func(a *optest.Answer) {
			a.JSON["ISSUER"] = a.JSON["issuer"]
			delete(a.JSON, "issuer")
		}},
		{"F03_redirect", rp.ErrMetadata, func(a *optest.Answer) {
			a.Status = http.StatusFound
			a.HTTPHeader.Set("Location", "http://127.0.0.1:1/")
		}},
		{"F04_404", rp.ErrMetadata, func(a *optest.Answer) { a.Status = http.StatusNotFound }},
		{"F04_503", rp.ErrUnavailable, func(a *optest.Answer) { a.Status = http.StatusServiceUnavailable }},
		{"F04_204", rp.ErrMetadata, func(a *optest.Answer) { a.Status, a.Body = http.StatusNoContent, []byte{} }},
		{"F04_a_web_page", rp.ErrMetadata, func(a *optest.Answer) { a.HTTPHeader.Set("Content-Type", "text/html") }},
		{"F04_2_MiB", rp.ErrMetadata, func(a *optest.Answer) { a.JSON["x"] = strings.Repeat("x", 2<<20) }},
		{"F04_not_JSON", rp.ErrMetadata, func(a *optest.Answer) { a.Body = []byte("canary{") }},
		{"F04_reset", rp.ErrUnavailable, func(a *optest.Answer) { a.Reset = true }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			op := newOP(t, optest.Config{})
			op.Fault(func(a *optest.Answer) {
				if strings.HasSuffix(a.Endpoint, "openid-configuration") {
					tc.fault(a)
				}
			})
			c := lazyConfig()
			c.Issuer, c.Insecure.PlainHTTP, c.Discovery = op.URL, true, rp.AtStart
			client, err := rp.New(t.Context(), c)
			if err == nil {
				defer func() { _ = client.Close() }()
			}
			if !errors.Is(err, tc.want) || (err != nil && strings.Contains(err.Error(), "canary")) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestMetadataURLChangesWhereNotWhat(t *testing.T) {
	t.Parallel()
	op := newOP(t, optest.Config{})
	c := lazyConfig()
	c.Insecure.PlainHTTP, c.Discovery = true, rp.AtStart
	c.MetadataURL = op.URL + "/.well-known/openid-configuration"
	c.Issuer = op.URL
	client, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	c.Issuer = "https://op.example"
	if _, err := rp.New(t.Context(), c); !errors.Is(err, rp.ErrMetadata) {
		t.Errorf("metadata of another issuer: %v", err)
	}
}
