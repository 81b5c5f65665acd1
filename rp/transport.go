package rp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

// TokenSource supplies access tokens that are still good. It is safe for concurrent use. The caller's context bounds
// what it may have to do for one.
//
// A TokenSource may also have a method Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error). Then
// [Transport] calls it, once for a request, when the API rejects a token before its time.
type TokenSource interface {
	Token(ctx context.Context) (*oauth2.Token, error)
}

// renewer is the optional half of a TokenSource.
type renewer interface {
	Renew(ctx context.Context, rejected *oauth2.Token) (*oauth2.Token, error)
}

// OAuth2TokenSource adapts ts for APIs whose token sources take no context. ctx bounds each fetch.
func OAuth2TokenSource(ctx context.Context, ts TokenSource) oauth2.TokenSource {
	return tokenSourceFunc(func() (*oauth2.Token, error) { return ts.Token(ctx) })
}

type tokenSourceFunc func() (*oauth2.Token, error)

// Token implements oauth2.TokenSource.
func (f tokenSourceFunc) Token() (*oauth2.Token, error) { return f() }

// Transport returns a RoundTripper that adds the token of ts to requests for the given origins and refuses all others
// with [ErrOrigin], so that no mistake in a URL and no redirect of an API hands the token to somebody else. An origin is
// scheme://host or scheme://host:port; https, or http on a loopback host. A redirect to another origin is refused even
// if that origin is named too. base does the requests; nil is http.DefaultTransport.
//
// The token goes into the Authorization header, never into the URL. An API that answers 401 with the error
// invalid_token is asked once more with a renewed token, if ts can renew (see [TokenSource]) and the request has no body
// or one that can be had again.
func Transport(ts TokenSource, base http.RoundTripper, origins ...string) http.RoundTripper {
	t := &transport{source: ts, base: base}
	for _, raw := range origins {
		origin, err := parseOrigin(raw)
		if err != nil && t.err == nil {
			t.err = err
		}
		t.origins = append(t.origins, origin)
	}
	return t
}

type transport struct {
	redacted // a source of the app's may have no Format of its own
	source   TokenSource
	base     http.RoundTripper
	origins  []string
	err      error // an origin that is none: every request returns it
}

// Err says, before the first request, why there will be no answer to any.
func (t *transport) Err() error {
	if t.err == nil && len(t.origins) == 0 {
		return errNoOrigin
	}
	return t.err
}

var errNoOrigin = errors.New("rp: transport: no origin is named, so every request is refused")

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.allow(r); err != nil {
		closeBody(r)
		return nil, err
	}
	token, err := t.source.Token(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := t.send(r, r.Body, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	return t.again(r, resp, token)
}

// allow says whether the token may go where r goes.
func (t *transport) allow(r *http.Request) error {
	if t.err != nil {
		return t.err
	}
	origin := originOf(r.URL)
	if !slices.Contains(t.origins, origin) {
		return fmt.Errorf("rp: %w: %s", ErrOrigin, origin)
	}
	if r.Host != "" && !strings.EqualFold(r.Host, r.URL.Host) {
		// A front for many hosts goes by the header. httputil.ReverseProxy keeps the browser's: Rewrite with SetURL does not.
		return fmt.Errorf("rp: %w: the Host header names another host than %s", ErrOrigin, origin)
	}
	if r.Response != nil && r.Response.Request != nil && originOf(r.Response.Request.URL) != origin {
		return fmt.Errorf("rp: %w: redirected from %s to %s", ErrOrigin, originOf(r.Response.Request.URL), origin)
	}
	return nil
}

// send does not change r, as http.RoundTripper demands. No error of it quotes the API, which may send the token back.
func (t *transport) send(r *http.Request, body io.ReadCloser, token *oauth2.Token) (*http.Response, error) {
	clone := r.Clone(r.Context())
	clone.Body = body
	if clone.Header == nil {
		clone.Header = http.Header{}
	}
	clone.Header.Set("Authorization", "Bearer "+token.AccessToken)
	base := t.base
	if base == nil {
		base = http.DefaultTransport //nolint:forbidigo // the API's client has its own time-out
	}
	resp, err := base.RoundTrip(clone)
	if err != nil {
		return nil, unquoted(err)
	}
	return resp, nil
}

// again repeats a request whose token the API rejected, once and with a new one; else the API's answer stands.
func (t *transport) again(r *http.Request, resp *http.Response, rejected *oauth2.Token) (*http.Response, error) {
	source, ok := t.source.(renewer)
	if !ok || challengeError(resp.Header) != "invalid_token" {
		return resp, nil
	}
	body, ok := bodyAgain(r)
	if !ok {
		return resp, nil
	}
	token, err := source.Renew(r.Context(), rejected)
	if err != nil || token == nil || token.AccessToken == rejected.AccessToken {
		if body != nil {
			_ = body.Close()
		}
		return resp, nil //nolint:nilerr // the API's 401 says more to the caller than a failed refresh
	}
	_ = resp.Body.Close()
	return t.send(r, body, token)
}

func bodyAgain(r *http.Request) (io.ReadCloser, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// parseOrigin reads scheme://host[:port].
func parseOrigin(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || strings.Contains(u.Host, "*"),
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("rp: transport: %q is not scheme://host[:port]", clean(raw, maxDescription))
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return originOf(u), nil
	default:
		return "", fmt.Errorf("rp: transport: %s: https, or http on a loopback host (RFC 6750, section 5.3)", originOf(u))
	}
}

// originOf is scheme, host and port in one spelling (RFC 6454, section 4). Only ASCII letters have two cases here: Unicode
// also makes an i of the Turkish İ, which is another name in the DNS.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, u.Hostname())
	return u.Scheme + "://" + host + ":" + port
}
