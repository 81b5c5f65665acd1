package rp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
)

// renewing is a source whose first token the API rejects.
type renewing struct{ renewed atomic.Int64 }

func (*renewing) Token(context.Context) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "old"}, nil
}

func (s *renewing) Renew(_ context.Context, rejected *oauth2.Token) (*oauth2.Token, error) {
	if s.renewed.Add(1); rejected.AccessToken != "old" {
		return nil, errors.New("another token")
	}
	return &oauth2.Token{AccessToken: "new"}, nil
}

func TestE15_the_token_goes_to_named_origins_only(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		seen.Add(1)
		if r.Header.Get("Authorization") != "Bearer t" {
			t.Error("no token")
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})
	client := &http.Client{Transport: rp.Transport(staticSource("t"), base, "https://API.example", "http://127.0.0.1:81")}
	for url, allowed := range map[string]bool{
		"https://api.example/x":            true,
		"https://API.EXAMPLE:443/x":        true,
		"http://127.0.0.1:81/":             true,
		"http://api.example/":              false,
		"https://api.example:444/":         false,
		"https://sub.api.example/":         false,
		"https://api.example.evil.test/":   false,
		"https://api.example@evil.test/":   false,
		"https://evil.test/?u=api.example": false,
		"https://api.example./":            false,
		"http://127.0.0.1:82/":             false,
	} {
		before := seen.Load()
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != allowed || (seen.Load() > before) != allowed || (!allowed && !errors.Is(err, rp.ErrOrigin)) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOriginsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"", "api.example", "https://", "https://a.example/path", "https://u@a.example", "http://a.example", "ftp://a.example", "ftp://localhost", "https://a.example?x", "*"} {
		client := &http.Client{Transport: rp.Transport(staticSource("t"), nil, origin)}
		if _, err := client.Get("https://a.example/"); err == nil || !strings.Contains(err.Error(), "rp: transport") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestE13_a_redirect_never_takes_the_token_to_another_origin(t *testing.T) {
	t.Parallel()
	var other *httptest.Server
	reached := make(chan string, 8)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- r.Host + r.URL.Path + " " + r.Header.Get("Authorization")
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/there", http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	})
	other = httptest.NewServer(handler)
	defer other.Close()
	api := httptest.NewServer(handler)
	defer api.Close()
	client := &http.Client{Transport: rp.Transport(staticSource("t"), nil, api.URL, other.URL)}
	if _, err := client.Get(api.URL + "/away"); !errors.Is(err, rp.ErrOrigin) {
		t.Errorf("to another origin, though named: %v", err)
	}
	resp, err := client.Get(api.URL + "/here")
	if err != nil {
		t.Fatalf("within the origin: %v", err)
	}
	_ = resp.Body.Close()
	close(reached)
	n := 0
	for line := range reached {
		if n++; !strings.HasSuffix(line, " Bearer t") || strings.HasPrefix(line, strings.TrimPrefix(other.URL, "http://")) {
			t.Errorf("reached %s", line)
		}
	}
	if n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestE14_a_rejected_token_is_renewed_once(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, challenge, body string
		rewinds               bool
		requests, renewals    int
	}{
		{"invalid_token without a body", `Bearer realm="x", error="invalid_token"`, "", false, 2, 1},
		{"invalid_token with a body that can be had again", `Bearer error="invalid_token"`, "body", true, 2, 1},
		{"invalid_token with a body that cannot", `Bearer error="invalid_token"`, "body", false, 1, 0},
		{"another error", `Bearer error="insufficient_scope"`, "", false, 1, 0},
		{"no challenge", "", "", false, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if body, _ := io.ReadAll(r.Body); string(body) != tc.body {
					t.Errorf("body %q", body)
				}
				if tc.challenge != "" {
					w.Header().Set("WWW-Authenticate", tc.challenge)
				}
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer api.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if !tc.rewinds && tc.body != "" {
				r.GetBody = nil
			}
			source := &renewing{}
			resp, err := rp.Transport(source, nil, api.URL).RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if requests.Load() != int64(tc.requests) || source.renewed.Load() != int64(tc.renewals) {
				t.Errorf("%d requests, %d renewals", requests.Load(), source.renewed.Load())
			}
			if r.Header.Get("Authorization") != "" {
				t.Error("the caller's request was changed")
			}
		})
	}
}

func TestOAuth2TokenSource(t *testing.T) {
	t.Parallel()
	token, err := rp.OAuth2TokenSource(t.Context(), staticSource("t")).Token()
	if err != nil || token.AccessToken != "t" {
		t.Error(err)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
