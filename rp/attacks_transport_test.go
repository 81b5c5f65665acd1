package rp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
)

// E13 to E16: where an access token goes.

const apiToken = "canary-access-token-of-the-api"

// keyring is a token source that counts, and can renew.
type keyring struct {
	mu       sync.Mutex
	token    string
	renewals int
	fails    error
}

func (k *keyring) Token(context.Context) (*oauth2.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &oauth2.Token{AccessToken: k.token}, nil
}

func (k *keyring) Renew(_ context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails != nil {
		return nil, k.fails
	}
	if rejected.AccessToken == k.token {
		k.renewals++
		k.token += "+"
	}
	return &oauth2.Token{AccessToken: k.token}, nil
}

// ear remembers each request that leaves, and answers as it is told.
type ear struct {
	mu     sync.Mutex
	heard  []*http.Request
	bodies []string
	open   atomic.Int64 // answers whose bodies nobody has closed
	answer func(n int, r *http.Request) (status int, header http.Header)
}

func (e *ear) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b []byte
	if r.Body != nil {
		b, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	e.heard, e.bodies = append(e.heard, r), append(e.bodies, string(b))
	status, header := 200, http.Header{}
	if e.answer != nil {
		status, header = e.answer(len(e.heard), r)
	}
	e.open.Add(1)
	return &http.Response{StatusCode: status, Header: header, Body: &counted{strings.NewReader(""), e}, Request: r}, nil
}

type counted struct {
	io.Reader
	e *ear
}

func (c *counted) Close() error { c.e.open.Add(-1); return nil }

func TestTokenGoesToNamedOriginsOnly(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, address string
		allowed       bool
	}{
		{"E15_the_origin", "https://api.example/orders?x=1", true},
		{"E15_with_its_default_port", "https://api.example:443/", true},
		{"E15_in_another_case", "HTTPS://API.example/", true},
		{"E15_another_host", "https://evil.example/", false},
		{"E15_subdomain", "https://x.api.example/", false},
		{"E15_parent_domain", "https://example/", false},
		{"E15_as_a_prefix", "https://api.example.evil.example/", false},
		{"E15_as_a_suffix", "https://evilapi.example/", false},
		{"E15_as_a_user_name", "https://api.example@evil.example/", false},
		{"E15_as_a_user_name_and_password", "https://api.example:443@evil.example/", false},
		{"E15_another_port", "https://api.example:8443/", false},
		{"E15_over_http", "http://api.example/", false},
		{"E15_over_http_on_its_port", "http://api.example:443/", false},
		{"E15_with_a_dot_at_the_end", "https://api.example./", false},
		{"E15_homograph", "https://арі.example/", false},
		{"E15_wide_dot", "https://api。example/", false},
		{"E15_letter_that_Unicode_makes_an_i_and_the_DNS_does_not", "https://apİ.example/", false},
		{"E15_sign_that_Unicode_makes_a_k", "https://\u212aiosk.example/", false},
		{"E15_IPv6_zone", "https://[fe80::1%25api.example]/", false},
		{"E15_opaque", "https:api.example", false},
		{"E15_backslash_in_the_path", "https://evil.example/\\@api.example/", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := &ear{}
			transport := rp.Transport(&keyring{token: apiToken}, e, "https://api.example", "https://other.example/", "https://kiosk.example")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.address, http.NoBody)
			if err != nil {
				return // no request, no token
			}
			_, err = transport.RoundTrip(r)
			if row.allowed {
				if err != nil || e.heard[0].Header.Get("Authorization") != "Bearer "+apiToken || strings.Contains(e.heard[0].URL.String(), apiToken) {
					t.Errorf("%v", err)
				}
				if r.Header.Get("Authorization") != "" {
					t.Error("the caller's request was changed")
				}
				return
			}
			if !errors.Is(err, rp.ErrOrigin) || rp.ErrorCode(err) != "origin" || len(e.heard) != 0 {
				t.Errorf("%v; %d requests left", err, len(e.heard))
			}
		})
	}
	t.Run("E15_Host_header_of_somebody_else", func(t *testing.T) {
		t.Parallel()
		e := &ear{}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", http.NoBody)
		r.Host = "evil.example"
		if _, err := rp.Transport(&keyring{token: apiToken}, e, "https://api.example").RoundTrip(r); !errors.Is(err, rp.ErrOrigin) {
			t.Error(err)
		}
	})
	t.Run("E15_no_origin_at_all", func(t *testing.T) {
		t.Parallel()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", http.NoBody)
		if _, err := rp.Transport(&keyring{token: apiToken}, &ear{}).RoundTrip(r); !errors.Is(err, rp.ErrOrigin) {
			t.Error(err)
		}
	})
	t.Run("X23_request_without_a_header_map", func(t *testing.T) {
		t.Parallel()
		e := &ear{}
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "api.example"}}
		if _, err := rp.Transport(&keyring{token: apiToken}, e, "https://api.example").RoundTrip(r); err != nil || len(e.heard) != 1 {
			t.Error(err)
		}
	})
}

func TestOneBadOriginStopsAll(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{
		"", "api.example", "//api.example", "https://", "https://*.example", "https://api.example/path", "https://api.example?x",
		"https://api.example#x", "https://user@api.example", "http://api.example", "ftp://api.example", "*", "null",
	} {
		t.Run("E15_"+origin, func(t *testing.T) {
			t.Parallel()
			e := &ear{}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", http.NoBody)
			_, err := rp.Transport(&keyring{token: apiToken}, e, "https://api.example", origin).RoundTrip(r)
			if err == nil || len(e.heard) != 0 {
				t.Errorf("%v; %d requests left", err, len(e.heard))
			}
		})
	}
}

// E13: an API that redirects takes the token nowhere, not even to another origin that is named.
func TestTokenDoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		to   string
		hops int // requests that leave
		fine bool
	}{
		"E13_same_origin":          {"https://api.example/next", 2, true},
		"E13_relative":             {"/next", 2, true},
		"E13_another_host":         {"https://evil.example/", 1, false},
		"E13_subdomain":            {"https://x.api.example/", 1, false},
		"E13_another_port":         {"https://api.example:8443/", 1, false},
		"E13_downgrade_to_http":    {"http://api.example/", 1, false},
		"E13_named_origin_too":     {"https://other.example/", 1, false},
		"E13_without_a_scheme":     {"//evil.example/", 1, false},
		"E13_with_a_user_name":     {"https://api.example@evil.example/", 1, false},
		"E13_host_that_looks_like": {"https://apİ.example/", 1, false}, // net/http would ask xn--api-bec.example
		"E13_back_by_a_loop":       {"https://api.example/loop", 10, false},
		"E13_address_of_nothing":   {"https:///", 1, false},
	} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := &ear{answer: func(n int, r *http.Request) (int, http.Header) {
					if n == 1 || strings.HasSuffix(r.URL.Path, "/loop") {
						return code, http.Header{"Location": {row.to}}
					}
					return 200, http.Header{}
				}}
				client := &http.Client{Transport: rp.Transport(&keyring{token: apiToken}, e, "https://api.example", "https://other.example")}
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/", http.NoBody)
				_, err := client.Do(r)
				if (err == nil) != row.fine || len(e.heard) != row.hops {
					t.Errorf("%v; %d requests left, want %d", err, len(e.heard), row.hops)
				}
				if err != nil && strings.Contains(err.Error(), apiToken) {
					t.Error("the error shows the token")
				}
			})
		}
	}
}

// E14: a rejected token is renewed once, and a body that cannot be had again is not sent again.
func TestRejectedToken(t *testing.T) {
	t.Parallel()
	invalid := http.Header{"Www-Authenticate": {`Basic realm="x"`, `Bearer realm="y", error="invalid_token"`}}
	always := func(status int, h http.Header) func(int, *http.Request) (int, http.Header) {
		return func(int, *http.Request) (int, http.Header) { return status, h }
	}
	once := func(n int, _ *http.Request) (int, http.Header) {
		if n == 1 {
			return 401, invalid
		}
		return 200, http.Header{}
	}
	body := func() io.Reader { return bytes.NewReader([]byte("order")) }
	stream := func() io.Reader { return io.MultiReader(strings.NewReader("order")) } // cannot be had again
	for _, row := range []struct {
		name     string
		answer   func(int, *http.Request) (int, http.Header)
		body     func() io.Reader
		fails    error
		sent     int
		renewals int
		status   int
	}{
		{"E14_rejected_once", once, nil, nil, 2, 1, 200},
		{"E14_rejected_always", always(401, invalid), nil, nil, 2, 1, 401},
		{"E14_rejected_with_a_body", once, body, nil, 2, 1, 200},
		{"E14_rejected_with_a_stream", once, stream, nil, 1, 0, 401},
		{"E14_no_renewal_to_be_had", once, nil, rp.ErrUnavailable, 1, 0, 401},
		{"E14_401_of_another_reason", always(401, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope"`}}), nil, nil, 1, 0, 401},
		{"E14_401_of_another_scheme", always(401, http.Header{"Www-Authenticate": {`Basic error="invalid_token"`}}), nil, nil, 1, 0, 401},
		{"E14_403", always(403, invalid), nil, nil, 1, 0, 403},
		{"E14_500", always(500, invalid), nil, nil, 1, 0, 500},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e, k := &ear{answer: row.answer}, &keyring{token: apiToken, fails: row.fails}
			var b io.Reader
			if row.body != nil {
				b = row.body()
			}
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", b)
			resp, err := rp.Transport(k, e, "https://api.example").RoundTrip(r)
			if err != nil || resp.StatusCode != row.status || len(e.heard) != row.sent || k.renewals != row.renewals {
				t.Errorf("%v; %d requests, %d renewals", err, len(e.heard), k.renewals)
			}
			if n := e.open.Load(); n != 1 {
				t.Errorf("%d answers are open", n)
			}
			for i, sent := range e.bodies {
				if row.body != nil && sent != "order" {
					t.Errorf("request %d has the body %q", i, sent)
				}
			}
			if row.sent == 2 && e.heard[1].Header.Get("Authorization") == e.heard[0].Header.Get("Authorization") {
				t.Error("the rejected token was sent twice")
			}
		})
	}
}

// E16: a transport for one API has that API's token and no other's; E15: a source that fails sends nothing.
func TestOneTokenForEachAPI(t *testing.T) {
	t.Parallel()
	e := &ear{}
	one := rp.Transport(&keyring{token: apiToken + "-one"}, e, "https://one.example")
	two := rp.Transport(&keyring{token: apiToken + "-two"}, e, "https://two.example")
	for host, transport := range map[string]http.RoundTripper{"one.example": one, "two.example": two} {
		for _, target := range []string{"one.example", "two.example"} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+target+"/", http.NoBody)
			_, err := transport.RoundTrip(r)
			if (err == nil) != (host == target) {
				t.Errorf("E16: the token of %s at %s: %v", host, target, err)
			}
		}
	}
	for _, r := range e.heard {
		if name, _, _ := strings.Cut(r.URL.Host, "."); r.Header.Get("Authorization") != "Bearer "+apiToken+"-"+name {
			t.Errorf("E16: %s got %s", r.URL.Host, r.Header.Get("Authorization"))
		}
	}
}
