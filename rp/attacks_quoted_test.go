package rp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// rawAnswers are no HTTP: net/http quotes a part of each in its error. secret is what the part says.
var rawAnswers = map[string]func(secret string) string{
	"first_line":        func(secret string) string { return secret + "\r\n\r\n" },
	"status_code":       func(secret string) string { return "HTTP/1.1 " + secret + " OK\r\n\r\n" },
	"version":           func(secret string) string { return secret + " 200 OK\r\n\r\n" },
	"header":            func(secret string) string { return "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n" },
	"folded_header":     func(secret string) string { return "HTTP/1.1 200 OK\r\n " + secret + ": y\r\n\r\n" },
	"content_length":    func(secret string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n" },
	"transfer_encoding": func(secret string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n" },
	"trailer": func(secret string) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, " + secret + "\r\n\r\n"
	},
	"after_a_quote":    func(secret string) string { return `a\"b" ` + secret + "\r\n\r\n" },
	"with_a_long_line": func(secret string) string { return strings.Repeat(secret+` "`, 100) + "\r\n\r\n" },
	"chunk": func(secret string) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n"
	},
}

// K01: a content type that says a secret, which media types in capitals lose but hexadecimal codes do not.
func TestSecretsInAContentType(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"code", "code_verifier"} {
		t.Run("K01_"+field, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			verified := w.verified(rp.AuthOptions{})
			var secret string
			w.lie(pathToken, func(a *optest.Answer) {
				secret = strings.ToLower(a.Request.Form.Get(field))
				a.HTTPHeader.Set("Content-Type", "x/"+secret)
			})
			_, err := w.client.Exchange(t.Context(), verified)
			w.want(err, rp.ErrTokenResponse)
			if strings.Contains(w.said.String(), secret) {
				t.Errorf("said: %v", err)
			}
		})
	}
}

// speak answers with bytes instead of HTTP.
func speak(bytes func(*http.Request) string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		text := bytes(r)
		if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
}

// K01: a token endpoint, or something before it, that answers with the secrets of the request in what is no HTTP.
func TestSecretsInWhatIsNoHTTP(t *testing.T) {
	t.Parallel()
	for name, answer := range rawAnswers {
		for _, field := range []string{"code", "code_verifier", "refresh_token"} {
			t.Run("K01_"+field+"_as_"+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				verified, tokens := w.verified(rp.AuthOptions{}), w.tokens(rp.AuthOptions{})
				w.lie(pathToken, func(a *optest.Answer) {
					a.Respond = speak(func(*http.Request) string { return answer(a.Request.Form.Get(field)) })
				})
				var err error
				if field == "refresh_token" {
					_, err = w.client.Refresh(t.Context(), tokens, rp.Target{})
				} else {
					_, err = w.client.Exchange(t.Context(), verified)
				}
				w.want(err, rp.ErrUnavailable)
			})
		}
	}
}

// K01: an API that does the same with the access token: the error goes to the caller's log.
func TestSecretsInAnAPIsError(t *testing.T) {
	t.Parallel()
	for name, answer := range rawAnswers {
		t.Run("K01_access_token_as_"+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			tokens := w.tokens(rp.AuthOptions{})
			w.net.serve("127.0.0.1:80", speak(func(r *http.Request) string {
				return answer(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			}))
			good := &source{token: func() (*oauth2.Token, error) { return tokens.OAuth2(), nil }}
			api := &http.Client{Transport: rp.Transport(good, w.net.transport, "http://127.0.0.1")}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", http.NoBody)
			w.must(err)
			resp, err := api.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			w.said.value(err)
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

// The end of the caller's patience is still to be seen.
func TestContextsInErrorsWithQuotations(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		w := newWorld(t, nil)
		good := &source{token: func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "at"}, nil }}
		transport := rp.Transport(good, failing{errors.Join(errors.New(`GET "secret"`), cause)}, "http://127.0.0.1")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", http.NoBody)
		w.must(err)
		if _, err := transport.RoundTrip(req); !errors.Is(err, cause) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %v", err, cause)
		}
	}
}

// failing is a transport that only fails.
type failing struct{ error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.error }
