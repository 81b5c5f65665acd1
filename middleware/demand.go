package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/challenge"
	"github.com/twofold-auth/twofold/rp"
)

// stepUps turns an API's demand for a stronger or younger login into an error that wraps a [*Challenge] (RFC 9470,
// https://www.rfc-editor.org/rfc/rfc9470). All other answers pass as they are.
type stepUps struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t stepUps) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(withoutHints(r))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	options, ok := demanded(resp.Header)
	if !ok {
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, fmt.Errorf("middleware: the API at %s refused the login (RFC 9470): %w", r.URL.Host, &Challenge{Options: options})
}

// withoutHints keeps an API's informational answers (103 Early Hints) to itself. httputil.ReverseProxy writes their headers
// to the browser before anybody could strip them, and clears those of the real answer.
func withoutHints(r *http.Request) *http.Request {
	trace := httptrace.ContextClientTrace(r.Context())
	if trace == nil || trace.Got1xxResponse == nil {
		return r
	}
	deaf := *trace
	deaf.Got1xxResponse = nil
	return r.WithContext(traceContext{r.Context(), &deaf}) //nolint:contextcheck // it wraps the request's
}

// traceContext has another trace.
type traceContext struct {
	context.Context
	trace *httptrace.ClientTrace
}

func (c traceContext) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return c.trace
	}
	return v
}

// What an API may demand. Each of it ends up in the URL of the next authorization request.
const (
	maxACRs   = 8
	maxACR    = 128
	maxDigits = 9 // of max_age: thirty years
)

// demanded reads a challenge with the error insufficient_user_authentication. The classes in acr_values are in order of
// preference; max_age is in seconds (RFC 9470, section 3). One that names neither, or names what cannot be asked for,
// is none: nobody would know which login helps.
func demanded(h http.Header) (rp.AuthOptions, bool) {
	for _, c := range challenge.Of(h) {
		if !c.Is("Bearer") || c.Get("error") != "insufficient_user_authentication" {
			continue
		}
		var o rp.AuthOptions
		ok := demandACR(&o, c.Get("acr_values")) && demandAge(&o, c.Get("max_age"))
		return o, ok && (o.ACRValues != nil || o.MaxAge != nil)
	}
	return rp.AuthOptions{}, false
}

func demandACR(o *rp.AuthOptions, text string) bool {
	if text == "" {
		return true
	}
	for value := range strings.SplitSeq(text, " ") {
		if value == "" || len(value) > maxACR || strings.ContainsFunc(value, isOdd) {
			return false
		}
		o.ACRValues = append(o.ACRValues, value)
	}
	return len(o.ACRValues) <= maxACRs
}

// isOdd finds what stands in no token of OAuth (NQCHAR of RFC 6749, appendix A).
func isOdd(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

func demandAge(o *rp.AuthOptions, text string) bool {
	if text == "" {
		return true
	}
	if len(text) > maxDigits || strings.Trim(text, "0123456789") != "" {
		return false
	}
	seconds, err := strconv.Atoi(text)
	age := time.Duration(seconds) * time.Second
	o.MaxAge = &age
	return err == nil
}
