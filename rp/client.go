package rp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/verify"
)

// Client is one relying party at one provider. It is safe for concurrent use. Close it when it is no longer needed.
type Client struct {
	redacted
	cfg      Config // frozen
	http     *http.Client
	http2    sync.Map      // hosts of the provider that speak HTTP/2
	policy   verify.Policy // of ID Tokens
	logout   verify.Policy // of logout tokens
	userInfo verify.Policy // of signed UserInfo responses
	provider *cached[provider]
	keys     *keySet
	spent    spentCodes
	sources  sources // of client credentials
	work     *work
	binding  [bindingSize]byte
	jwks     []byte
}

// New checks c and, unless c.Discovery is [Lazy] or c.Endpoints are given, reads the provider's metadata; ctx bounds
// that read only. Every error names the field of Config that it is about: [ErrConfig]; [ErrMetadata] if the provider's
// metadata is wrong; [ErrUnavailable] if it cannot be had.
func New(ctx context.Context, c Config) (*Client, error) {
	cfg := freeze(c)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	jwks, err := publicKeys(cfg.ClientAuth)
	if err != nil {
		return nil, field("ClientAuth", "%w", err)
	}
	client := &Client{cfg: cfg, http: newHTTPClient(cfg.HTTPClient), work: newWork(), jwks: jwks}
	client.binding = bindingOf(cfg)
	client.spent.now = cfg.Now
	client.provider = &cached[provider]{fetch: client.fetchProvider, now: cfg.Now, work: client.work}
	client.keys = newKeySet(client)
	if err := client.setPolicies(); err != nil {
		return nil, err
	}
	cfg.logWeak()
	if cfg.Discovery == AtStart || cfg.Endpoints != nil {
		if _, err := client.provider.get(ctx); err != nil {
			client.work.stop()
			return nil, err
		}
	}
	return client, nil
}

func (c *Client) setPolicies() error {
	base := verify.Policy{
		Issuer: c.cfg.Issuer, ClientID: c.cfg.ClientID, Audiences: c.cfg.Audiences, Leeway: c.cfg.Leeway, Now: c.cfg.Now,
	}
	c.policy = c.withKeys(base, c.cfg.IDTokenAlgorithm)
	if err := c.policy.Validate(); err != nil {
		return field("IDTokenAlgorithm", "%w", err)
	}
	c.logout = c.policy
	if c.logout.Keys != nil {
		c.logout.Keys = logoutKeys{c.keys}
	}
	if c.cfg.UserInfoAlgorithm == "" {
		return nil
	}
	c.userInfo = c.withKeys(base, c.cfg.UserInfoAlgorithm)
	if err := c.userInfo.Validate(); err != nil {
		return field("UserInfoAlgorithm", "%w", err)
	}
	return nil
}

// withKeys pins alg: with the client secret's bytes for HS* (Core 10.1), else with the provider's keys.
func (c *Client) withKeys(p verify.Policy, alg string) verify.Policy {
	p.Algorithm = alg
	if _, ok := hmacAlgorithms[alg]; ok {
		p.Secret = []byte(c.cfg.ClientAuth.secret)
	} else {
		p.Keys = c.keys
	}
	return p
}

// Issuer returns Config.Issuer.
func (c *Client) Issuer() string { return c.cfg.Issuer }

// ClientID returns Config.ClientID.
func (c *Client) ClientID() string { return c.cfg.ClientID }

// RedirectURL returns Config.RedirectURL.
func (c *Client) RedirectURL() string { return c.cfg.RedirectURL }

// PostLogoutRedirectURL returns Config.PostLogoutRedirectURL.
func (c *Client) PostLogoutRedirectURL() string { return c.cfg.PostLogoutRedirectURL }

// ResponseType returns the effective response type.
func (c *Client) ResponseType() ResponseType { return c.cfg.ResponseType }

// ResponseMode returns the effective response mode.
func (c *Client) ResponseMode() ResponseMode { return c.cfg.ResponseMode }

// Scopes returns a copy of Config.Scopes: what logins ask for, unless [AuthOptions] say otherwise.
func (c *Client) Scopes() []string { return slices.Clone(c.cfg.Scopes) }

// Resources returns a copy of Config.Resources: what logins ask for, unless AuthOptions say otherwise.
func (c *Client) Resources() []string { return slices.Clone(c.cfg.Resources) }

// Ready returns nil if the provider's metadata and keys are there, and fetches them if they are not: a readiness probe.
// Errors are those of [New].
func (c *Client) Ready(ctx context.Context) error {
	if _, err := c.provider.get(ctx); err != nil {
		return err
	}
	if !c.needsKeys() {
		return nil
	}
	_, err := c.keys.cached.get(ctx)
	return err
}

// needsKeys says whether any signature is checked with the provider's public keys.
func (c *Client) needsKeys() bool {
	_, hmacID := hmacAlgorithms[c.cfg.IDTokenAlgorithm]
	_, hmacUserInfo := hmacAlgorithms[c.cfg.UserInfoAlgorithm]
	return !hmacID || (c.cfg.UserInfoAlgorithm != "" && !hmacUserInfo)
}

// Close ends the background refresh of metadata and keys, and closes idle connections. What is under way ends with an
// error. Close returns nil and may be called more than once.
func (c *Client) Close() error {
	c.work.stop()
	c.http.CloseIdleConnections()
	return nil
}

const bindingSize = 8

// bindingOf is a short name of issuer, client and redirect URI: what was made for one is refused by another.
func bindingOf(cfg Config) [bindingSize]byte {
	w := wire.NewWriter(0, 256)
	w.String(cfg.Issuer)
	w.String(cfg.ClientID)
	w.String(cfg.RedirectURL)
	sum := sha256.Sum256(w.Done())
	return [bindingSize]byte(sum[:])
}

// unusable says why the provider's metadata stops us.
func unusable(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrMetadata, fmt.Errorf(format, a...))
}
