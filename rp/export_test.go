package rp

import (
	"encoding/binary"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// What the tests of package rp_test need to see.

// KeySetOf returns the key set of c.
func KeySetOf(c *Client) verify.KeySet { return c.keys }

// ParseKeys reads a JWK Set.
func ParseKeys(text string) (keys []verify.Key, skipped []error, err error) { return parseKeys(text) }

// ReadMetadata reads a metadata document as c would, and returns the endpoints that it would use.
func ReadMetadata(c *Client, text string) (Endpoints, error) {
	p, err := c.readMetadata(text)
	return p.endpoints, err
}

// Freshness reads a Cache-Control header.
func Freshness(header string) time.Duration { return freshness(header) }

// Clean cleans a text of the provider.
func Clean(text string, limit int) string { return clean(text, limit) }

// Spender is the memory of spent codes.
type Spender struct{ s spentCodes }

// NewSpender returns an empty memory.
func NewSpender(now func() time.Time) *Spender { return &Spender{s: spentCodes{now: now}} }

// Spend reports whether code may be sent.
func (s *Spender) Spend(code string) bool { first, _ := s.s.spend(code); return first }

// Forget takes back a spend.
func (s *Spender) Forget(code string) { s.s.forget(code) }

// Len returns how many codes are remembered.
func (s *Spender) Len() int { return len(s.s.current) + len(s.s.old) }

// FillSpent fills c's memory of spent codes.
func FillSpent(c *Client) {
	now := c.spent.now()
	codes := make(map[codeHash]time.Time, maxSpent)
	for i := range uint64(maxSpent) {
		var hash codeHash
		binary.BigEndian.PutUint64(hash[:], i)
		codes[hash] = now
	}
	c.spent.current, c.spent.turned = codes, now
}

// Codes returns the closed list of error codes.
func Codes() []string {
	list := []string{"internal", "provider_error", "userinfo", "logout_token"}
	for _, c := range codes {
		list = append(list, c.code)
	}
	return list
}

// Events returns the closed list of event names.
func Events() []string {
	return []string{
		eventDiscovery, eventKeys, eventRequest, eventResponse, eventNoIssuer, eventExchange, eventRefresh, eventUserInfo,
		eventEndSession, eventLogout, eventRevoke, eventClientCredentials, eventTokenExchange, eventSave,
	}
}

// Sources returns how many targets c remembers for client credentials.
func Sources(c *Client) int { return len(c.sources.byKey) }
