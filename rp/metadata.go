package rp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/twofold-auth/twofold/internal/limitbody"
	"github.com/twofold-auth/twofold/internal/strictjson"
)

// metadataFresh is how long metadata is taken as it is. After that it is read again at the next need, beside the logins;
// the last good copy serves through any outage.
const metadataFresh = 24 * time.Hour

// provider is what we know of the provider: checked endpoints, and what is built from them once.
type provider struct {
	endpoints     Endpoints
	advertisesIss bool // authorization_response_iss_parameter_supported
	request       requestTemplate
}

// fetchProvider reads the metadata, or takes the endpoints given by hand.
func (c *Client) fetchProvider(ctx context.Context) (provider, time.Duration, error) {
	start := c.cfg.Now()
	if c.cfg.Endpoints != nil {
		p, err := c.newProvider(*c.cfg.Endpoints)
		return p, 100 * 365 * 24 * time.Hour, err // they never change
	}
	p, err := c.discover(ctx)
	if err != nil {
		err = fmt.Errorf("rp: discovery: %w", err)
	}
	c.observe(ctx, eventDiscovery, start, nil, err)
	return p, metadataFresh, err
}

// discover lets go-oidc fetch the document and compare its issuer, then reads it again strictly: go-oidc would take
// "ISSUER" for issuer, and the last of two.
func (c *Client) discover(ctx context.Context) (provider, error) {
	transport := &metadataTransport{base: c.http.Transport, url: c.cfg.MetadataURL}
	client := &http.Client{Transport: transport, Timeout: c.http.Timeout, CheckRedirect: c.http.CheckRedirect}
	doc, err := oidc.NewProvider(oidc.ClientContext(ctx, client), c.cfg.Issuer)
	if err != nil {
		return provider{}, discoveryError(err)
	}
	var raw json.RawMessage
	if err := doc.Claims(&raw); err != nil {
		return provider{}, unusable("%w", err)
	}
	return c.readMetadata(string(raw))
}

// discoveryError keeps what go-oidc says only where it cannot hold a piece of the document.
func discoveryError(err error) error {
	if e, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return wrongIssuer(e.Discovered, e.Provided)
	}
	e, ok := errors.AsType[*url.Error](err)
	switch {
	case !ok:
		return unusable("not a JSON document")
	case errors.Is(e.Err, errDocument):
		return unusable("%w", e.Err)
	case errors.Is(e.Err, ErrUnavailable):
		return e.Err
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		u = &url.URL{}
	}
	return unreachable(u, e.Err)
}

// wrongIssuer says what to do where that can be known: the metadata of another host is no reason to believe it.
func wrongIssuer(found, configured string) error {
	advice := ""
	shown := clean(found, maxDescription)
	f, err := url.Parse(found)
	c, errC := url.Parse(configured)
	switch {
	case strings.Contains(found, "{"):
		advice = "; issuers with a tenant template are not supported: use your tenant's own issuer"
	case err == nil && errC == nil && shown == found && f.Scheme == c.Scheme && strings.EqualFold(f.Host, c.Host):
		advice = "; set Config.Issuer to exactly that"
	}
	return unusable("issuer is %q, configured is %q%s", shown, configured, advice)
}

// errDocument marks an answer that came and is not a metadata document.
var errDocument = errors.New("unexpected answer")

// metadataTransport is the leash on go-oidc's fetch: it asks at MetadataURL if there is one, and passes on nothing but
// a complete 200 of a bearable size.
type metadataTransport struct {
	base http.RoundTripper
	url  string
}

// RoundTrip implements http.RoundTripper.
func (t *metadataTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.url != "" {
		u, err := url.Parse(t.url)
		if err != nil {
			return nil, err
		}
		r.URL, r.Host = u, ""
	}
	r.Header.Set("Accept", "application/json")
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{header: resp.Header}
	if err := checkDocument(r.URL, resp.StatusCode, a.mediaType()); err != nil {
		if errors.Is(err, ErrUnavailable) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	body, err := limitbody.Read(resp.Body, maxMetadata)
	if errors.Is(err, limitbody.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// readMetadata reads what this client needs of a metadata document. What a provider merely forgot to list is a warning.
func (c *Client) readMetadata(text string) (provider, error) {
	doc, err := strictjson.Parse(text)
	if err != nil {
		return provider{}, unusable("%w", err)
	}
	if issuer, _ := doc.Get("issuer").Text(); issuer != c.cfg.Issuer {
		return provider{}, wrongIssuer(issuer, c.cfg.Issuer)
	}
	for _, flag := range []string{"require_pushed_authorization_requests", "require_signed_request_object"} {
		if on, _ := doc.Get(flag).Bool(); on {
			return provider{}, unusable("%s: this client cannot do that", flag)
		}
	}
	var endpoints Endpoints
	for name, to := range map[string]*string{
		"authorization_endpoint": &endpoints.Authorization, "token_endpoint": &endpoints.Token,
		"userinfo_endpoint": &endpoints.UserInfo, "end_session_endpoint": &endpoints.EndSession,
		"revocation_endpoint": &endpoints.Revocation, "jwks_uri": &endpoints.JWKS,
	} {
		*to, _ = doc.Get(name).Text()
	}
	p, err := c.newProvider(endpoints)
	if err != nil {
		return provider{}, err
	}
	p.advertisesIss, _ = doc.Get("authorization_response_iss_parameter_supported").Bool()
	c.warnUnlisted(doc)
	return p, nil
}

// newProvider checks the endpoints: each that is there must be a URL that we dare to use, each that is needed must be
// there.
func (c *Client) newProvider(e Endpoints) (provider, error) {
	for _, check := range []struct {
		name, url string
		needed    bool
	}{
		{"authorization_endpoint", e.Authorization, true},
		{"token_endpoint", e.Token, c.cfg.ResponseType != ImplicitIDToken},
		{"jwks_uri", e.JWKS, c.needsKeys()},
		{"userinfo_endpoint", e.UserInfo, false},
		{"end_session_endpoint", e.EndSession, false},
		{"revocation_endpoint", e.Revocation, false},
	} {
		if err := c.checkEndpoint(check.url, check.needed); err != nil {
			return provider{}, c.endpointError(check.name, err)
		}
	}
	template, err := c.newRequestTemplate(e.Authorization)
	if err != nil {
		return provider{}, c.endpointError("authorization_endpoint", err)
	}
	return provider{endpoints: e, request: template}, nil
}

func (c *Client) checkEndpoint(raw string, needed bool) error {
	if raw == "" && needed {
		return errors.New("missing")
	}
	if raw == "" {
		return nil
	}
	if strings.Contains(raw, "#") {
		return errors.New("has a fragment")
	}
	_, err := checkProviderURL(raw, c.cfg.Insecure)
	return err
}

func (c *Client) endpointError(name string, err error) error {
	if c.cfg.Endpoints != nil {
		return field("Endpoints", "%s: %w", name, err)
	}
	return unusable("%s: %w", name, err)
}

// warnUnlisted warns of what we use and the provider does not list (Discovery 1.0, section 3).
func (c *Client) warnUnlisted(doc strictjson.Object) {
	method := c.cfg.ClientAuth.method
	if method == authBasicRaw {
		method = authBasic
	}
	pkce := "S256"
	if c.cfg.Insecure.NoPKCE || !c.cfg.ResponseType.has("code") {
		pkce = ""
	}
	for _, want := range []struct{ list, value string }{
		{"response_types_supported", string(c.cfg.ResponseType)},
		{"response_modes_supported", string(c.cfg.ResponseMode)},
		{"id_token_signing_alg_values_supported", c.cfg.IDTokenAlgorithm},
		{"token_endpoint_auth_methods_supported", method},
		{"code_challenge_methods_supported", pkce},
	} {
		listed, ok := doc.Get(want.list).Texts()
		if want.value == "" || !ok {
			continue
		}
		same := func(v string) bool { return ResponseType(v).canonical() == ResponseType(want.value) }
		if !slices.ContainsFunc(listed, same) {
			c.cfg.Logger.Warn("rp: the provider does not list what this client uses",
				"issuer", c.cfg.Issuer, "metadata", want.list, "value", want.value)
		}
	}
}
