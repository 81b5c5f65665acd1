package rp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
)

// E15: "RoundTrip must always close the body, including on errors" (net/http), and what a source does wrong is the
// source's error or the API's 401, not a panic.

// upload is a body that counts how often it is open.
type upload struct {
	io.Reader
	open *atomic.Int64
}

func (u *upload) Close() error { u.open.Add(-1); return nil }

// source is a token source of two functions.
type source struct {
	token, renew func() (*oauth2.Token, error)
}

func (s *source) Token(context.Context) (*oauth2.Token, error) { return s.token() }

func (s *source) Renew(context.Context, *oauth2.Token) (*oauth2.Token, error) { return s.renew() }

func TestTransportEndsEveryBody(t *testing.T) {
	t.Parallel()
	errSource := errors.New("the source is dry")
	good := func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: apiToken}, nil }
	other := func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: apiToken + "+"}, nil }
	none := func() (*oauth2.Token, error) { return nil, nil } //nolint:nilnil // what a source may do wrong
	fails := func() (*oauth2.Token, error) { return nil, errSource }
	both := func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "beside-an-error"}, errSource }
	rejects := func(int, *http.Request) (int, http.Header) {
		return 401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}
	}
	for name, row := range map[string]struct {
		url    string
		source rp.TokenSource
		err    error
		sent   int
	}{
		"E15_another_origin":               {"https://evil.example/", &source{good, other}, rp.ErrOrigin, 0},
		"E15_a_source_that_fails":          {"https://api.example/", &source{fails, other}, errSource, 0},
		"E15_a_token_beside_an_error":      {"https://api.example/", &source{both, other}, errSource, 0},
		"E14_a_source_that_cannot_renew":   {"https://api.example/", staticSource(apiToken), nil, 1},
		"E14_a_renewal_that_fails":         {"https://api.example/", &source{good, fails}, nil, 1},
		"E14_a_renewal_beside_an_error":    {"https://api.example/", &source{good, both}, nil, 1},
		"E14_a_renewal_of_nothing":         {"https://api.example/", &source{good, none}, nil, 1},
		"E14_a_renewal_with_the_same":      {"https://api.example/", &source{good, good}, nil, 1},
		"E14_a_renewal_that_is_no_better":  {"https://api.example/", &source{good, other}, nil, 2},
		"E15_an_API_that_cannot_be_asked":  {"https://api.example/down", &source{good, other}, errNetwork, 0},
		"E15_a_request_without_any_body":   {"https://evil.example/empty", &source{good, other}, rp.ErrOrigin, 0},
		"E15_no_body_and_a_dry_source":     {"https://api.example/empty", &source{fails, other}, errSource, 0},
		"E14_no_body_and_a_failed_renewal": {"https://api.example/empty", &source{good, fails}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var open atomic.Int64
			body := func() (io.ReadCloser, error) {
				open.Add(1)
				return &upload{strings.NewReader("order"), &open}, nil
			}
			e := &ear{answer: rejects}
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/down" {
					return nil, errors.Join(errNetwork, r.Body.Close())
				}
				return e.RoundTrip(r)
			})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, row.url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if r.Body, r.GetBody = nil, nil; r.URL.Path != "/empty" {
				r.Body, _ = body()
				r.GetBody = body
			}
			resp, err := rp.Transport(row.source, base, "https://api.example").RoundTrip(r)
			if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) || len(e.heard) != row.sent {
				t.Errorf("%v, %d requests; want %v", err, len(e.heard), row.err)
			}
			if err == nil {
				if resp.StatusCode != http.StatusUnauthorized {
					t.Error(resp.Status)
				}
				_ = resp.Body.Close()
			}
			if open.Load() != 0 || e.open.Load() != 0 {
				t.Errorf("%d bodies and %d answers are open", open.Load(), e.open.Load())
			}
		})
	}
}
