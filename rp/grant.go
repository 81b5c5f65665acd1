package rp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/limitbody"
	"github.com/twofold-auth/twofold/internal/strictjson"
)

// Limits of the members of a token response.
const (
	maxRefreshToken = 64 << 10
	maxScope        = 16 << 10
	maxLifetime     = 10 * 365 * 24 * time.Hour
)

// tokenResponse is what the token endpoint gave (RFC 6749, section 5.1; Core 3.1.3.3).
type tokenResponse struct {
	access, tokenType, refresh, scope, idToken string
	issuedType                                 string    // of a token exchange
	expiry                                     time.Time // zero: the provider did not say
}

// grant is the one function that speaks to the token endpoint. onSend is called right before the request leaves, and may
// still stop it.
func (c *Client) grant(ctx context.Context, form url.Values, onSend func() error) (*tokenResponse, error) {
	p, err := c.provider.get(ctx)
	if err != nil {
		return nil, notSent(err)
	}
	if p.endpoints.Token == "" {
		return nil, fmt.Errorf("%w: the provider has no token_endpoint", ErrUnsupported)
	}
	a, err := c.post(ctx, p.endpoints.Token, form, onSend)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, c.tokenError(a, form)
	}
	return c.readTokens(a, form)
}

// post sends form, with the client's credentials, to an endpoint that wants them. Nothing is ever sent a second time.
// [ErrNotSent] if nothing was sent at all.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values, onSend func() error) (*answer, error) {
	r, err := newForm(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(r, form); err != nil {
		return nil, notSent(err)
	}
	r, sent := setForm(r, form)
	r.Header.Set("Accept", "application/json")
	if err := onSend(); err != nil {
		return nil, err
	}
	a, err := c.send(r, maxTokens)
	switch {
	case errors.Is(err, limitbody.ErrTooLarge):
		return nil, malformed("%w", err)
	case err != nil && sent.keep():
		return nil, notSent(err)
	}
	return a, err
}

func notSent(err error) error { return fmt.Errorf("%w: %w", ErrNotSent, err) }

// formSecrets are the values of a request with credentials that no error text may repeat.
func (c *Client) formSecrets(form url.Values) []string {
	return []string{
		form.Get("code"), form.Get("code_verifier"), form.Get("refresh_token"), form.Get("client_assertion"),
		form.Get("token"), form.Get("subject_token"), form.Get("actor_token"), c.cfg.ClientAuth.secret,
	}
}

// tokenError reads an error response (RFC 6749, section 5.2). A body that is not one is neither shown nor kept.
func (c *Client) tokenError(a *answer, form url.Values) error {
	e := &Error{StatusCode: a.status}
	if doc, err := strictjson.Parse(string(a.body)); err == nil && a.mediaType() == "application/json" {
		e = c.readError(a.status, doc, form)
	}
	if a.status >= 500 || a.status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: %w", ErrUnavailable, e)
	}
	if hint := c.audienceHint(); e.Code == "invalid_client" && hint != "" {
		return fmt.Errorf("%w (%s)", e, hint)
	}
	return e
}

func (c *Client) readError(status int, doc strictjson.Object, form url.Values) *Error {
	code, _ := doc.Get("error").Text()
	description, _ := doc.Get("error_description").Text()
	uri, _ := doc.Get("error_uri").Text()
	e := newError(status, code, description, uri, c.formSecrets(form)...)
	if more, _ := doc.Get("suberror").Text(); !repeats(more, c.formSecrets(form)) {
		e.Suberror = cleanCode(more)
	}
	return e
}

// audienceHint says which aud the refused assertion had, and which other one the provider may want.
func (c *Client) audienceHint() string {
	if m := c.cfg.ClientAuth.method; m != authPrivateJWT && m != authSecretJWT {
		return ""
	}
	sent, other := c.assertionAudience(), c.cfg.Issuer
	if p := c.provider.peek(); sent == c.cfg.Issuer && p != nil {
		other = p.endpoints.Token
	}
	return fmt.Sprintf("the client assertion's aud was %q; if the provider wants %q, use ClientAuth.WithAudience", sent, other)
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrTokenResponse, fmt.Errorf(format, a...))
}

// readTokens reads a successful response. Of two members with one name, or a text that is not quite JSON, nothing is
// believed.
func (c *Client) readTokens(a *answer, form url.Values) (*tokenResponse, error) {
	if t := a.mediaType(); t != "application/json" {
		return nil, malformed("content type %s", shownType(t))
	}
	doc, err := strictjson.Parse(string(a.body))
	if err != nil {
		return nil, malformed("%w", err)
	}
	if code, _ := doc.Get("error").Text(); code != "" { // some answer 200 to everything; tokens beside it are ignored
		return nil, c.readError(a.status, doc, form)
	}
	var t tokenResponse
	for _, m := range []struct {
		name  string
		to    *string
		limit int
	}{
		{"access_token", &t.access, maxAccessToken},
		{"token_type", &t.tokenType, maxErrorCode},
		{"refresh_token", &t.refresh, maxRefreshToken},
		{"id_token", &t.idToken, maxTokens},
		{"issued_token_type", &t.issuedType, maxErrorURI},
	} {
		if err := readToken(doc, m.name, m.to, m.limit); err != nil {
			return nil, err
		}
	}
	scope, ok := optionalText(doc.Get("scope"))
	if !ok || len(scope) > maxScope {
		return nil, malformed("scope is malformed")
	}
	t.scope = clean(scope, maxScope)
	if t.access == "" {
		return nil, malformed("access_token is missing")
	}
	exchanged := form.Get("grant_type") == grantTokenExchange && t.tokenType == notApplicable // TokenExchange looks closer
	if !isBearer(t.tokenType) && !exchanged {
		return nil, malformed("token_type is not Bearer")
	}
	t.expiry = c.expiry(lifetimeText(doc.Get("expires_in")))
	return &t, nil
}

func readToken(doc strictjson.Object, name string, to *string, limit int) error {
	text, ok := optionalText(doc.Get(name))
	if !ok || !isVisible(text, limit) {
		return malformed("%s is malformed", name)
	}
	*to = text
	return nil
}

// lifetimeText returns expires_in as it stands, number or numeric string.
func lifetimeText(v strictjson.Value) string {
	if text, ok := v.Text(); ok {
		return text
	}
	return v.Raw()
}

// expiry is when a token that lives for expiresIn seconds from now ends. What is no positive number says nothing: then
// it is unknown, the zero time. Absurd lives are cut.
func (c *Client) expiry(expiresIn string) time.Time {
	if strings.Trim(expiresIn, "0123456789.eE+-") != "" { // ParseFloat also reads words and hexadecimal
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(expiresIn, 64)
	if errors.Is(err, strconv.ErrRange) && math.IsInf(seconds, 1) {
		err = nil
	}
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	life := time.Duration(min(seconds, maxLifetime.Seconds())) * time.Second
	return c.cfg.Now().Add(life).Round(0)
}
