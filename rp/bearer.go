package rp

import (
	"fmt"
	"net/http"

	"github.com/twofold-auth/twofold/internal/challenge"
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
	for _, c := range challenge.Of(h) {
		if code := c.Get("error"); code != "" && c.Is("Bearer") {
			return code
		}
	}
	return ""
}
