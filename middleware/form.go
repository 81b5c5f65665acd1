package middleware

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxBody is larger than any authorization response: an ID Token and an access token of 32 KB each.
	maxBody = 128 << 10
	// maxFields is how many fields a form may have; an answer has about ten.
	maxFields = 64
	// bodyTimeout is how long a body may take, whatever the server's own limits are.
	bodyTimeout = 15 * time.Second
)

// readForm reads the request's body as a form. The query is never looked at: http.Request.Form mixes it in, and then
// whoever wrote the URL speaks with the provider's voice.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *Error) {
	if !isPlainForm(r.Header) {
		return nil, fail(codeContentType, nil)
	}
	if r.ContentLength > maxBody {
		return nil, fail(codeBodyTooLarge, nil)
	}
	body, err := readBody(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fail(codeBodyTooLarge, nil)
	case err != nil:
		return nil, fail(codeBody, errors.New("the body breaks off"))
	}
	form, err := parseFields(string(body))
	if err != nil {
		return nil, fail(codeBody, err)
	}
	r.PostForm = form
	return form, nil
}

// readBody reads the body under a limit and a deadline of its own, which stands until the body is at its end: the server
// reads what is left of it before it answers. Afterwards it would end the request's context.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) //nolint:forbidigo // the network has no other clock
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		_ = c.SetReadDeadline(time.Time{})
	}
	return body, err
}

// parseFields parses a form, or a query, strictly: few fields, no stray percent sign, no semicolon, no NUL.
func parseFields(s string) (url.Values, error) {
	if strings.Count(s, "&") >= maxFields {
		return nil, errors.New("too many fields")
	}
	form, err := url.ParseQuery(s)
	if err != nil {
		return nil, errors.New("not a well-formed form") // the reason would quote it
	}
	for name, values := range form {
		for _, v := range values {
			if strings.ContainsRune(name, 0) || strings.ContainsRune(v, 0) {
				return nil, errors.New("a NUL character")
			}
		}
	}
	return form, nil
}

// isPlainForm reports whether a body is application/x-www-form-urlencoded in UTF-8, and not compressed.
func isPlainForm(h http.Header) bool {
	if len(h.Values("Content-Type")) != 1 {
		return false
	}
	for _, e := range h.Values("Content-Encoding") {
		if !strings.EqualFold(e, "identity") {
			return false
		}
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return false
	}
	charset, named := params["charset"]
	return !named || strings.EqualFold(charset, "utf-8")
}
