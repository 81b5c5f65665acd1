package rp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Group F, discovery. F02 is in config_test.go; F18 (issuer templates of several tenants) does not exist yet: an Issuer
// with {tenantid} in it is compared as it stands. F05: an address inside a private network is normal (design, decision
// 15); a dial guard is the application's, in HTTPClient.

func lazy(s *setting) { s.rp.Discovery = rp.Lazy }

// web makes a lie that answers with a handler.
func web(h http.HandlerFunc) func(*optest.Answer) { return func(a *optest.Answer) { a.Respond = h } }

func TestDiscovery(t *testing.T) {
	t.Parallel()
	type discoveryRow struct {
		name string
		lie  func(*optest.Answer)
		want error
		says string // part of the error
	}
	rows := []discoveryRow{
		{"F00_the_valid_document_that_all_rows_change", func(*optest.Answer) {}, nil, ""},
		{"F01_another_issuer", member("issuer", "https://evil.example"), rp.ErrMetadata, "issuer"},
		{"F01_issuer_with_a_slash", member("issuer", opIssuer+"/"), rp.ErrMetadata, "issuer"},
		{"F01_issuer_with_line_break", member("issuer", opIssuer+"\r\nx"), rp.ErrMetadata, "issuer"},
		{"F01_issuer_missing", member("issuer", nil), rp.ErrMetadata, "issuer"},
		{"F01_issuer_a_list", member("issuer", []string{opIssuer}), rp.ErrMetadata, ""},
		{"F03_301", status(301), rp.ErrMetadata, "redirect"},
		{"F03_302", status(302), rp.ErrMetadata, "redirect"},
		{"F03_307", status(307), rp.ErrMetadata, "redirect"},
		{"F03_308", status(308), rp.ErrMetadata, "redirect"},
		{"F04_500", status(500), rp.ErrUnavailable, "500"},
		{"F04_404", status(404), rp.ErrMetadata, "404"},
		{"F04_html", contentType("text/html"), rp.ErrMetadata, "web page"},
		{"F04_204", func(a *optest.Answer) { a.Status, a.Body = 204, []byte{} }, rp.ErrMetadata, "204"},
		{"F04_two_megabytes", member("x", strings.Repeat("x", 2<<20)), rp.ErrMetadata, "large"},
		{"F04_endless", web(endless), rp.ErrMetadata, "large"},
		{"F04_gzip_bomb", web(bomb), rp.ErrMetadata, "large"},
		{"F04_breaks_off", web(breakOff), rp.ErrUnavailable, ""},
		{"F04_reset", func(a *optest.Answer) { a.Reset = true }, rp.ErrUnavailable, ""},
		{"F04_array", body("[]"), rp.ErrMetadata, ""},
		{"F04_null", body("null"), rp.ErrMetadata, ""},
		{"F04_empty", body(""), rp.ErrMetadata, ""},
		{"F04_a_page_of_text", body("canary-body-of-an-error"), rp.ErrMetadata, ""},
		{"L11_authorization_endpoint_sets_our_parameter", member("authorization_endpoint", opIssuer+"/authorize?state=evil"), rp.ErrMetadata, "state"},
		{"L11_the_same_in_another_case", member("authorization_endpoint", opIssuer+"/authorize?Redirect_URI=evil"), rp.ErrMetadata, "Redirect_URI"},
		{"L11_the_same_percent_encoded", member("authorization_endpoint", opIssuer+"/authorize?%72edirect_uri=evil"), rp.ErrMetadata, "redirect_uri"},
	}
	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		rows = append(
			rows, discoveryRow{"F06_" + endpoint + "_missing", member(endpoint, nil), rp.ErrMetadata, endpoint},
			discoveryRow{"F06_" + endpoint + "_a_number", member(endpoint, 7), rp.ErrMetadata, ""},
		)
	}
	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"} {
		for kind, address := range map[string]string{
			"http_elsewhere": "http://op.example/x", "data": "data:application/json,{}", "file": "file:///etc/passwd",
			"file_with_host": "file://localhost/etc/passwd", "gopher": "gopher://localhost:25/x", "user": "https://user@op.example/x",
			"javascript": "javascript:alert(1)", "relative": "/x", "without_scheme": "//op.example/x", "fragment": "https://op.example/x#y",
			"no_host": "https:///x", "port_only": "https://:443/x", "space": "https://op.example /x", "line_break": "https://op.example/\r\nx",
			"http_like_loopback": "http://localhost.evil.example/", "http_loopback_as_user": "http://localhost@evil.example/",
			"http_any_address": "http://0.0.0.0/x", "bad_port": "https://op.example:port/x",
		} {
			rows = append(rows, discoveryRow{"F05_D41_" + endpoint + "_" + kind, member(endpoint, address), rp.ErrMetadata, endpoint})
		}
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lazy)
			w.lie(pathMeta, row.lie)
			err := w.client.Ready(t.Context())
			w.want(err, row.want)
			if err != nil && (!strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%v; want one that says %q", err, row.says)
			}
			w.calls(pathMeta, 1)
			if n := len(w.net.dialled); row.want != nil && n != w.net.dials("localhost:80") {
				t.Errorf("connections to %v", w.net.dialled)
			}
			_, err = w.client.NewAuthRequest(t.Context(), rp.AuthOptions{})
			w.want(err, row.want)
		})
	}
}

// F01 byte for byte: a document with two issuers, or with one that only encoding/json would take for it.
func TestDiscoveryIsReadStrictly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		before, after string
		want          error
	}{
		"F01_issuer_twice":                 {`"issuer":"https://evil.example",`, "", rp.ErrMetadata},
		"F01_issuer_twice_good_ones":       {`"issuer":"` + opIssuer + `",`, "", rp.ErrMetadata},
		"F01_ISSUER_after_it":              {"", `,"ISSUER":"https://evil.example"`, rp.ErrMetadata},
		"F01_evil_issuer_behind_ISSUER":    {"", `,"ISSUER":"` + opIssuer + `"`, rp.ErrMetadata},
		"F01_token_endpoint_twice":         {`"token_endpoint":"http://` + evilPlace + `/",`, "", rp.ErrMetadata},
		"F01_Token_Endpoint_in_other_case": {"", `,"Token_Endpoint":"http://` + evilPlace + `/"`, nil},
		"F04_data_after_it":                {"", `}{"x":1`, rp.ErrMetadata},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lazy)
			w.lie(pathMeta, func(a *optest.Answer) {
				if name == "F01_evil_issuer_behind_ISSUER" {
					a.JSON["issuer"] = "https://evil.example" // which encoding/json would overwrite
				}
				text := string(mustJSON(t, a.JSON))
				a.Body = []byte("{" + row.before + text[1:len(text)-1] + row.after + "}")
			})
			err := w.client.Ready(t.Context())
			w.want(err, row.want)
			if err == nil {
				_ = w.tokens(rp.AuthOptions{})
			}
			if n := w.net.dials(evilPlace); n != 0 {
				t.Error("the other endpoint was used")
			}
		})
	}
}

// F07: what is not advertised is a warning, once, and no refusal.
func TestUnadvertisedIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lazy)
	w.lie(pathMeta, lies(
		member("response_types_supported", []string{"code"}), member("response_modes_supported", []string{"query"}),
		member("id_token_signing_alg_values_supported", []string{"none\r\nevil"}), member("token_endpoint_auth_methods_supported", 7),
	))
	_ = w.tokens(rp.AuthOptions{})
	_ = w.tokens(rp.AuthOptions{})
	for _, field := range []string{"response_types_supported", "response_modes_supported", "id_token_signing_alg_values_supported"} {
		if n := strings.Count(w.said.String(), field); n != 1 {
			t.Errorf("F07: %s is said %d times", field, n)
		}
	}
}

// F08: the app starts although the provider is down, says so while it is, and heals by itself; at start New fails.
func TestProviderIsDownAtStart(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, lazy)
		w.op.Fault(status(503))
		for range 60 { // an impatient minute
			_, err := w.client.NewAuthRequest(t.Context(), rp.AuthOptions{})
			w.want(err, rp.ErrUnavailable)
			pass(time.Second)
		}
		if n := w.op.Calls(pathMeta); n < 5 || n > 20 {
			t.Errorf("F08: asked %d times in a minute", n)
		}
		w.op.Fault(nil)
		start := time.Now()
		for w.client.Ready(t.Context()) != nil {
			pass(100 * time.Millisecond)
		}
		if took := since(start); took > 5*time.Second {
			t.Errorf("F08: it took %v to heal", took)
		}
		_ = w.tokens(rp.AuthOptions{})
	})
	t.Run("F08_slow_at_start", func(t *testing.T) {
		for name, h := range map[string]http.HandlerFunc{"drip": drip, "stall": stall} {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s *setting) { lazy(s); ours(s) })
				w.lie(pathMeta, web(h))
				start := time.Now()
				err := w.client.Ready(t.Context())
				w.want(err, rp.ErrUnavailable)
				if took := since(start); took != 10*time.Second {
					t.Errorf("F04: %s took %v", name, took)
				}
			})
		}
	})
	t.Run("F08_eager", func(t *testing.T) {
		w := newWorld(t, lazy)
		w.op.Fault(status(503))
		c := lazyConfig()
		c.Issuer, c.Discovery, c.HTTPClient = opIssuer, rp.AtStart, &http.Client{Transport: w.net.transport}
		c.Insecure.PlainHTTP = true
		if _, err := rp.New(t.Context(), c); !errors.Is(err, rp.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// F09: once known, the provider's metadata serves through any outage, and a lie that comes later changes nothing.
func TestProviderIsDownLater(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*optest.Answer){
		"F09_down":           status(503),
		"F09_gone":           status(404),
		"F09_another_issuer": member("issuer", "https://evil.example"),
		"F09_no_endpoints":   body(`{"issuer":"` + opIssuer + `"}`),
		"F09_evil_endpoints": lies(member("token_endpoint", "file:///etc/passwd"), member("jwks_uri", "data:,x")),
		"F09_stalls":         web(stall),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				_ = w.tokens(rp.AuthOptions{})
				w.lie(pathMeta, lie)
				for range 5 {
					pass(25 * time.Hour)
					_ = w.tokens(rp.AuthOptions{})
				}
				if w.op.Calls(pathMeta) < 2 {
					t.Error("the metadata was never read again")
				}
			})
		})
	}
	t.Run("F09_a_good_change_is_followed", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.lie(pathMeta, member("end_session_endpoint", opIssuer+"/elsewhere"))
			pass(25 * time.Hour)
			_ = w.tokens(rp.AuthOptions{}) // starts the fetch beside it
			synctest.Wait()
			r, err := w.client.EndSession(t.Context(), "", "")
			w.must(err)
			if !strings.HasPrefix(r.URL, opIssuer+"/elsewhere?") {
				t.Error(r.URL)
			}
		})
	})
}

// An evil provider that lists the honest one's keys gets nothing by it: iss is compared.
func TestF19_KeysOfAnotherProvider(t *testing.T) {
	t.Parallel()
	honest, evil := evilWorld(t, nil)
	keys := honest.op.JWKS()
	evil.lie(pathKeys, func(a *optest.Answer) { a.Body = keys })
	q := evil.request(rp.AuthOptions{})
	p := honest.open(q, opIssuer+strings.TrimPrefix(q.Redirect().URL, evilIssuer))
	p.Del("iss")
	_, err := evil.client.VerifyResponse(t.Context(), q, p)
	evil.want(err, verify.ErrIssuer)
	evil.calls(pathKeys, 1)
	evil.calls(pathToken, 0)
	honest.calls(pathToken, 0)
}

// F03 for keys, and X25: no address that the provider names later is ever asked with what it should not get.
func TestKeysAreNotFetchedElsewhere(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprintf("F03_%d", code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			var heard atomic.Int64
			w.net.serve(evilPlace, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
			w.lie(pathKeys, status(code))
			q := w.request(rp.AuthOptions{})
			_, err := w.client.VerifyResponse(t.Context(), q, w.answer(q))
			w.want(err, joined(rp.ErrUnavailable, verify.ErrKeySet))
			if heard.Load() != 0 || w.net.dials(evilPlace) != 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

// X26: what an application passes on from its own routes stays one value of one parameter.
func TestOptionsDoNotInject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	evil := "x&state=evil&redirect_uri=https://evil.example#\r\nLocation: https://evil.example\x00é"
	q, err := w.client.NewAuthRequest(t.Context(), rp.AuthOptions{
		LoginHint: evil, UILocales: evil, ACRValues: []string{strings.ReplaceAll(strings.ReplaceAll(evil, "\r\n", ""), " ", "")},
		Extra: url.Values{"audience": {evil}, "a&nonce": {evil}},
	})
	w.must(err)
	u, err := url.Parse(q.Redirect().URL)
	w.must(err)
	got, err := url.ParseQuery(u.RawQuery)
	w.must(err)
	if got.Get("login_hint") != evil || got.Get("audience") != evil || got.Get("a&nonce") != evil {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"state", "nonce", "redirect_uri", "response_type", "client_id", "scope", "code_challenge"} {
		if len(got[name]) != 1 || strings.Contains(got.Get(name), "evil") {
			t.Errorf("D49: %s is %q", name, got[name])
		}
	}
	if strings.ContainsAny(q.Redirect().URL, "\r\n\x00 #") || u.Host != "localhost" {
		t.Errorf("the URL is %q", q.Redirect().URL)
	}
}
