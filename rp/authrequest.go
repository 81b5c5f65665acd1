package rp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// AuthOptions change one authorization request. The zero value asks for what [Config] says. They are the application's
// decision: do not fill them from a browser's request without a check of your own.
type AuthOptions struct {
	// Prompt is none, login, consent, select_account, or several of the latter with spaces between (Core 3.1.2.1).
	Prompt string
	// LoginHint is who the user probably is.
	LoginHint string
	// IDTokenHint is an ID Token that this application has, as an expectation: the answer must be about its sub.
	IDTokenHint string
	// UILocales are the user's languages, best first, with spaces between.
	UILocales string
	// Expect are claims that the ID Token must show with these values, e.g. org_id, hd, tid. Values that the request itself
	// asks for are added: sub from IDTokenHint and Claims, hd from Extra, org_id from an organization "org_…" in Extra.
	Expect map[string]string
	// MaxAge is the oldest authentication that is accepted, in whole seconds; nil is any, 0 is a new one. The ID Token
	// must then have auth_time.
	MaxAge *time.Duration
	// ACRValues are preferred authentication context classes, best first; the answer need not have one of them.
	ACRValues []string
	// EssentialACR are classes of which the ID Token must have one (Core 5.5.1.1).
	EssentialACR []string
	// Scopes replace Config.Scopes; nil keeps them.
	Scopes []string
	// Resources replace Config.Resources; nil keeps them.
	Resources []string
	// Claims is the claims parameter, a JSON object (Core 5.5). What its id_token calls indispensable the answer must show:
	// an essential acr with values, a sub with a value, an essential auth_time.
	Claims json.RawMessage
	// Extra are further parameters, e.g. audience. One of ours is refused with [ErrOptions], and so is a name with two
	// values.
	Extra url.Values
}

// AuthRequest is one authorization request on its way: what was sent, and what the answer must show. It does not
// change. Keep it with the browser that it was made for, and nowhere else.
type AuthRequest struct {
	redacted
	redirect Redirect // zero in a parsed one
	requestState
}

// requestState is what survives Bytes.
type requestState struct {
	binding                [bindingSize]byte
	state, nonce, verifier string // verifier is "" without PKCE
	responseType           ResponseType
	mode                   ResponseMode
	maxAge                 *time.Duration
	requestedAt            time.Time // kept with maxAge only, which counts back from it
	acr                    []string
	expect                 map[string]string
}

// Redirect is where to send the browser: GET URL or, if there are Fields, POST them to URL as a form, because the
// request is too long for a URL.
type Redirect struct {
	URL    string
	Fields url.Values
}

// maxURL is the longest URL that every browser, proxy and server takes.
const maxURL = 2000

// Sizes of the random values, in bytes. As base64url the first two are 32 characters (192 bits), the verifier 43
// (256 bits), which is what RFC 7636, section 4.1, recommends.
const (
	stateSize    = 24
	nonceSize    = 24
	verifierSize = 32
	stateEnd     = stateSize / 3 * 4
	nonceEnd     = stateEnd + nonceSize/3*4
	verifierEnd  = nonceEnd + 43
)

// NewAuthRequest makes a request with fresh state, nonce and PKCE verifier. ctx bounds the discovery that a [Lazy]
// client may still have to do. [ErrOptions] if an option cannot be sent; [ErrUnavailable] or [ErrMetadata] if the
// provider's metadata cannot be had or used.
//
// See Core 3.3.2.1, https://openid.net/specs/openid-connect-core-1_0.html#HybridAuthRequest, and RFC 7636.
func (c *Client) NewAuthRequest(ctx context.Context, o AuthOptions) (*AuthRequest, error) {
	start := c.cfg.Now()
	q, err := c.newAuthRequest(ctx, &o)
	c.observe(ctx, eventRequest, start, nil, err)
	return q, err
}

func (c *Client) newAuthRequest(ctx context.Context, o *AuthOptions) (*AuthRequest, error) {
	p, err := c.provider.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	demanded, err := o.demands()
	if err != nil {
		return nil, err
	}
	expect, err := o.expected(demanded.sub)
	if err != nil {
		return nil, err
	}
	q := &AuthRequest{requestState: requestState{
		binding: c.binding, responseType: c.cfg.ResponseType, mode: c.cfg.ResponseMode,
		acr: slices.Concat(o.EssentialACR, demanded.acr), expect: expect, // never both: see claims
	}}
	if o.MaxAge != nil || demanded.authTime {
		age := anyAge
		if o.MaxAge != nil {
			age = *o.MaxAge
		}
		q.maxAge, q.requestedAt = &age, c.cfg.Now()
	}
	c.randomize(q)
	if q.redirect, err = p.request.build(q, o); err != nil {
		return nil, err
	}
	return q, nil
}

// randomize fills in what must not be guessed. All of it is one string, and parts of it.
func (c *Client) randomize(q *AuthRequest) {
	var random [stateSize + nonceSize + verifierSize]byte
	_, _ = rand.Read(random[:]) // never fails: the program ends first
	text := base64.RawURLEncoding.EncodeToString(random[:])
	q.state, q.nonce = text[:stateEnd], text[stateEnd:nonceEnd]
	if c.usesPKCE() {
		q.verifier = text[nonceEnd:verifierEnd]
	}
}

func (c *Client) usesPKCE() bool { return !c.cfg.Insecure.NoPKCE && c.cfg.ResponseType.has("code") }

// Redirect returns where to send the browser. It is empty for a request that went through Bytes.
func (q *AuthRequest) Redirect() Redirect {
	r := q.redirect
	if r.Fields != nil {
		fields := make(url.Values, len(r.Fields))
		for name, values := range r.Fields {
			fields[name] = append([]string(nil), values...)
		}
		r.Fields = fields
	}
	return r
}

// State returns the state parameter, which finds the request again when the answer comes.
func (q *AuthRequest) State() string { return q.state }

// ResponseMode returns how a successful answer to q comes. The caller reads the parameters from there only: from the
// POST form for [FormPost] and [Fragment] (whose relay page posts them), from the URL's query for [Query]. An error
// answer may come either way.
func (q *AuthRequest) ResponseMode() ResponseMode { return q.mode }

// requestTemplate is the part of the authorization URL that is always the same.
type requestTemplate struct {
	endpoint string
	query    string // our constant parameters, encoded
	scope    string // default scope, encoded
	resource string // default resource parameters, encoded, each with its &
	pkce     bool
}

// newRequestTemplate encodes what does not change. An endpoint's own query is kept (RFC 6749, section 3.1), but it must
// not hold a parameter of ours: each is sent exactly once.
func (c *Client) newRequestTemplate(endpoint string) (requestTemplate, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return requestTemplate{}, err
	}
	for name := range u.Query() {
		if isOurs(name) {
			return requestTemplate{}, fmt.Errorf("its query sets %q", name)
		}
	}
	var b strings.Builder
	add(&b, "response_type", string(c.cfg.ResponseType))
	add(&b, "client_id", c.cfg.ClientID)
	add(&b, "redirect_uri", c.cfg.RedirectURL)
	if c.sendsMode() {
		add(&b, "response_mode", string(c.cfg.ResponseMode))
	}
	return requestTemplate{
		endpoint: endpoint, query: b.String()[1:], pkce: c.usesPKCE(),
		scope: url.QueryEscape(strings.Join(c.cfg.Scopes, " ")), resource: resources(c.cfg.Resources),
	}, nil
}

// sendsMode: "If the default is what is wanted, the parameter is not needed" (MRT, section 2.1).
func (c *Client) sendsMode() bool {
	if c.cfg.ResponseType == Code {
		return c.cfg.ResponseMode != Query
	}
	return c.cfg.ResponseMode != Fragment
}

func resources(list []string) string {
	var b strings.Builder
	for _, r := range list {
		add(&b, "resource", r)
	}
	return b.String()
}

func add(b *strings.Builder, name, value string) {
	b.WriteByte('&')
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(url.QueryEscape(value))
}

// build writes the request. state, nonce and challenge need no escaping.
func (t *requestTemplate) build(q *AuthRequest, o *AuthOptions) (Redirect, error) {
	var b strings.Builder
	b.Grow(len(t.endpoint) + len(t.query) + len(t.scope) + len(t.resource) + 256)
	b.WriteString(t.endpoint)
	separator := byte('?')
	if strings.Contains(t.endpoint, "?") {
		separator = '&'
	}
	b.WriteByte(separator)
	start := b.Len()
	b.WriteString(t.query)
	b.WriteString("&state=")
	b.WriteString(q.state)
	b.WriteString("&nonce=")
	b.WriteString(q.nonce)
	if t.pkce {
		writeChallenge(&b, q.verifier)
	}
	t.writeTargets(&b, o)
	if err := o.write(&b); err != nil {
		return Redirect{}, err
	}
	if b.Len() <= maxURL {
		return Redirect{URL: b.String()}, nil
	}
	fields, err := url.ParseQuery(b.String()[start:])
	return Redirect{URL: t.endpoint, Fields: fields}, err
}

func (t *requestTemplate) writeTargets(b *strings.Builder, o *AuthOptions) {
	b.WriteString("&scope=")
	if o.Scopes == nil {
		b.WriteString(t.scope)
	} else {
		b.WriteString(url.QueryEscape(strings.Join(o.Scopes, " ")))
	}
	if o.Resources == nil {
		b.WriteString(t.resource)
	} else {
		b.WriteString(resources(o.Resources))
	}
}

// writeChallenge: code_challenge = BASE64URL-ENCODE(SHA256(ASCII(code_verifier))) (RFC 7636, section 4.2).
func writeChallenge(b *strings.Builder, verifier string) {
	sum := sha256.Sum256([]byte(verifier))
	var text [43]byte
	base64.RawURLEncoding.Encode(text[:], sum[:])
	b.WriteString("&code_challenge_method=S256&code_challenge=")
	b.Write(text[:])
}
