package rp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
	defaultAlg    = "RS256"
)

// ConfigError is a mistake in one field of [Config]. It wraps [ErrConfig] and the reason. If there are several, [New]
// returns them together; errors.As finds the first.
type ConfigError struct {
	Field string // the name of the field, e.g. "RedirectURL" or "Insecure.NoPKCE"
	Err   error  // the reason
}

// Error names the field and the reason.
func (e *ConfigError) Error() string {
	return "rp: " + ErrConfig.Error() + ": " + e.Field + ": " + e.Err.Error()
}

// Unwrap returns [ErrConfig] and the reason.
func (e *ConfigError) Unwrap() []error { return []error{ErrConfig, e.Err} }

// field makes the error of one field of Config.
func field(name, format string, a ...any) error {
	return &ConfigError{Field: name, Err: fmt.Errorf(format, a...)}
}

// freeze returns a copy of c that shares no slice or map with the caller's, with the defaults filled in.
func freeze(c Config) Config {
	c.Scopes = slices.Clone(c.Scopes)
	c.Resources = slices.Clone(c.Resources)
	c.Audiences = slices.Clone(c.Audiences)
	if c.Endpoints != nil {
		e := *c.Endpoints
		c.Endpoints = &e
	}
	if c.Scopes == nil {
		c.Scopes = []string{"openid"}
	}
	if c.ResponseType == "" {
		c.ResponseType = CodeIDToken
	}
	c.ResponseType = c.ResponseType.canonical()
	if c.ResponseMode == "" {
		c.ResponseMode = FormPost
		if c.ResponseType == Code {
			c.ResponseMode = Query
		}
	}
	if c.IDTokenAlgorithm == "" {
		c.IDTokenAlgorithm = defaultAlg
	}
	if c.Leeway == 0 {
		c.Leeway = defaultLeeway
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of Config.Now
	}
	return c
}

// canonical gives each response type one spelling: the words of the type are a set (OAuth 2.0 Multiple Response Type Encoding Practices, section 5).
func (t ResponseType) canonical() ResponseType {
	words := strings.Fields(string(t))
	slices.Sort(words)
	return ResponseType(strings.Join(words, " "))
}

func (t ResponseType) has(word string) bool {
	for w := range strings.FieldsSeq(string(t)) {
		if w == word {
			return true
		}
	}
	return false
}

// validate reports every field of a frozen Config that contradicts another one, or a specification.
func (c *Config) validate() error {
	return errors.Join(
		c.validateIssuer(),
		required("ClientID", c.ClientID),
		checkOwnURL("RedirectURL", c.RedirectURL),
		c.validatePostLogout(),
		c.validateClientAuth(),
		validateScopes(c.Scopes),
		validateList("Resources", c.Resources, absoluteURI),
		validateList("Audiences", c.Audiences, notEmpty),
		c.validateResponse(),
		c.validateLeeway(),
		c.validateDiscovery(),
		c.validateInsecure(),
	)
}

func required(name, value string) error {
	if value == "" {
		return field(name, "required")
	}
	return nil
}

// validateIssuer: "URL using the https scheme with no query or fragment components" (Discovery 1.0, section 3).
func (c *Config) validateIssuer() error {
	if c.Issuer == "" {
		return field("Issuer", "required")
	}
	if strings.HasSuffix(strings.TrimSuffix(c.Issuer, "/"), wellKnown) {
		return field("Issuer", "%q: leave out %s", c.Issuer, wellKnown)
	}
	u, err := checkProviderURL(c.Issuer, c.Insecure)
	switch {
	case err != nil && strings.Contains(c.Issuer, "@"): // there may be a password
		return field("Issuer", "%w", err)
	case err != nil:
		return field("Issuer", "%q: %w; an issuer looks like https://login.example.com", c.Issuer, err)
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(c.Issuer, "#") {
		return field("Issuer", "%q: has a query or a fragment", c.Issuer)
	}
	return nil
}

// wellKnown is where discovery puts the metadata below an issuer.
const wellKnown = "/.well-known/openid-configuration"

func (c *Config) validatePostLogout() error {
	if c.PostLogoutRedirectURL == "" {
		return nil
	}
	return checkOwnURL("PostLogoutRedirectURL", c.PostLogoutRedirectURL)
}

func (c *Config) validateClientAuth() error {
	if err := c.ClientAuth.validate(); err != nil {
		return field("ClientAuth", "%w", err)
	}
	for _, use := range [...]struct{ field, alg string }{
		{"IDTokenAlgorithm", c.IDTokenAlgorithm}, {"UserInfoAlgorithm", c.UserInfoAlgorithm},
	} {
		if strings.HasPrefix(use.alg, "HS") && c.ClientAuth.secret == "" {
			return field(use.field, "HS algorithms need a client secret in ClientAuth, not %s", c.ClientAuth.describe())
		}
	}
	return nil
}

func validateScopes(scopes []string) error {
	if !slices.Contains(scopes, "openid") {
		return field("Scopes", "openid is missing (Core 3.1.2.1)")
	}
	return validateList("Scopes", scopes, scopeToken)
}

func validateList(name string, values []string, check func(string) error) error {
	if err := checkList(values, check); err != nil {
		return field(name, "%w", err)
	}
	return nil
}

// checkList refuses a value that check refuses, and one that is there twice.
func checkList(values []string, check func(string) error) error {
	for i, v := range values {
		if err := check(v); err != nil {
			return fmt.Errorf("%q: %w", v, err)
		}
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%q is there twice", v)
		}
	}
	return nil
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("empty")
	}
	return nil
}

// scopeToken is RFC 6749, section 3.3: 1*( %x21 / %x23-5B / %x5D-7E ).
func scopeToken(v string) error {
	if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return errors.New("not a scope")
	}
	return nil
}

// absoluteURI is RFC 8707, section 2: "an absolute URI […] MUST NOT include a fragment component".
func absoluteURI(v string) error {
	u, err := url.Parse(v)
	if err != nil || !u.IsAbs() || strings.Contains(v, "#") {
		return errors.New("not an absolute URI without fragment")
	}
	return nil
}

func (c *Config) validateResponse() error {
	known := []ResponseType{CodeIDToken, CodeToken, CodeIDTokenToken, Code, ImplicitIDToken}
	if !slices.Contains(known, c.ResponseType) {
		return field("ResponseType", "%q is not supported", c.ResponseType)
	}
	switch c.ResponseMode {
	case FormPost, Fragment:
		return nil
	case Query:
		if c.ResponseType != Code {
			return field("ResponseMode", "query is for the response type code alone (OAuth 2.0 Multiple Response Type Encoding Practices, section 5)")
		}
		return nil
	default:
		return field("ResponseMode", "%q is not supported", c.ResponseMode)
	}
}

func (c *Config) validateLeeway() error {
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		return field("Leeway", "%v is not between 0 and %v", c.Leeway, maxLeeway)
	}
	if c.Match > verify.MatchReport {
		return field("Match", "%d is unknown", c.Match)
	}
	return nil
}

func (c *Config) validateDiscovery() error {
	if c.Discovery > Lazy {
		return field("Discovery", "%d is unknown", c.Discovery)
	}
	if c.MetadataURL == "" {
		return nil
	}
	if c.Endpoints != nil {
		return field("MetadataURL", "has no use beside Endpoints")
	}
	if _, err := checkProviderURL(c.MetadataURL, c.Insecure); err != nil {
		return field("MetadataURL", "%w", err)
	}
	return nil
}

func (c *Config) validateInsecure() error {
	if !c.Insecure.NoPKCE {
		return nil
	}
	if !c.ClientAuth.confidential() || !c.ResponseType.has("id_token") {
		return field("Insecure.NoPKCE", "needs a confidential client and id_token in ResponseType")
	}
	return nil
}

// checkOwnURL checks a URL of this app: https, or http on a loopback host. Over http under any other name the browser
// stores no Secure cookie, and stops the form_post of an https provider.
func checkOwnURL(name, raw string) error {
	if raw == "" {
		return field(name, "required")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return field(name, "%q is not an absolute URL", raw)
	case strings.Contains(raw, "#"):
		return field(name, "has a fragment (RFC 6749, section 3.1.2)")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return field(name, "%s://%s: https, or http on localhost: elsewhere browsers drop the cookies of a login over http",
			u.Scheme, u.Host)
	}
}

// checkProviderURL checks a URL of the provider: https, or http on a loopback host if that was allowed.
func checkProviderURL(raw string, insecure Insecure) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("not an absolute URL")
	case u.User != nil:
		return nil, errors.New("holds a user name")
	case u.Scheme == "https":
		return u, nil
	case u.Scheme != "http":
		return nil, fmt.Errorf("scheme %q; https is required", u.Scheme)
	case !isLoopback(u.Hostname()):
		return nil, errors.New("http outside of loopback hosts; https is required")
	case !insecure.PlainHTTP:
		return nil, errors.New("http needs Insecure.PlainHTTP")
	default:
		return u, nil
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// logWeak logs what weakens this client: fields of Insecure, and a transport that verifies no certificates.
func (c *Config) logWeak() {
	weak := []struct {
		on   bool
		name string
	}{
		{c.Insecure.NoPKCE, "Insecure.NoPKCE"},
		{c.Insecure.NoIssuerParameter, "Insecure.NoIssuerParameter"},
		{c.Insecure.PlainHTTP, "Insecure.PlainHTTP"},
		{skipsVerify(c.HTTPClient), "HTTPClient.Transport.TLSClientConfig.InsecureSkipVerify"},
	}
	for _, w := range weak {
		if w.on {
			c.Logger.Warn("rp: a protection is switched off", "field", w.name, "issuer", c.Issuer)
		}
	}
}

func skipsVerify(client *http.Client) bool {
	if client == nil {
		return false
	}
	t, ok := client.Transport.(*http.Transport)
	return ok && t != nil && t.TLSClientConfig != nil && t.TLSClientConfig.InsecureSkipVerify
}
