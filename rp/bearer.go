package rp

import (
	"fmt"
	"net/http"
	"strings"
)

// bearerError reads how a protected resource refused a token (RFC 6750, section 3).
func bearerError(a *answer, token string) error {
	e := newError(a.status, challengeError(a.header), "", "", token)
	if a.status >= 500 || a.status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	}
	return e
}

// challengeError returns the error code of a Bearer challenge; "" if there is none.
func challengeError(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		scheme, params, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		for param := range strings.SplitSeq(params, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			if strings.EqualFold(strings.TrimSpace(name), "error") {
				return strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return ""
}
