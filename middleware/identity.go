package middleware

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
)

// formatVersion of everything that is sealed here. Another version is no session, never a misread one.
const (
	identityVersion = 2
	partVersion     = 3
	sessionIDSize   = 22 // 16 random bytes as base64url
)

// identity is the part of a session that a page needs: who, since when, until when. Issuer and client are bound by the
// key. Times are whole seconds.
type identity struct {
	id         string // 16 random bytes as text; new at each login
	generation int64  // raised at each change of the token part
	subject    string
	sid        string
	moved      bool // sid is not the one that the browser's cookie was made for
	acr        string
	amr        []string
	authTime   time.Time
	issued     time.Time // iat of the login's first ID Token, in the provider's clock
	started    time.Time
	used       time.Time // last renewal
	expires    time.Time // absolute limit
	hasPart    bool      // there is a token part; without it the session is not whole
	state      TokenState
	since      time.Time // pending: when the code came; redeeming: when it was sent; else zero
	why        string    // code of the error that made it pending or lost; "" is none
	challenge  string    // digest of the challenge that this login answered; "" is none
	scopes     []string  // what this login asked for instead of the configured; nil is nothing
	resources  []string  // the same
	claims     []byte    // JSON object of Config.SessionClaims
	values     []byte    // Login.Values, encoded
}

func newSessionID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (i *identity) encode() []byte {
	w := wire.NewWriter(identityVersion, 256+len(i.claims)+len(i.values))
	w.Text(i.id)
	w.Int(i.generation)
	w.String(i.subject)
	w.String(i.sid)
	w.Bool(i.moved)
	w.String(i.acr)
	w.Strings(i.amr)
	for _, t := range [...]time.Time{i.authTime, i.issued, i.started, i.used, i.expires} {
		w.Time(t)
	}
	w.Bool(i.hasPart)
	w.Int(int64(i.state))
	w.Time(i.since)
	w.String(i.why)
	w.String(i.challenge)
	w.Strings(i.scopes)
	w.Strings(i.resources)
	w.Bytes(i.claims)
	w.Bytes(i.values)
	return w.Done()
}

// decode fills i from b, whose memory it shares.
func (i *identity) decode(b []byte) error {
	r := wire.NewReader(b, identityVersion)
	i.id = r.Text()
	i.generation = r.Int()
	i.subject = r.String()
	i.sid = r.String()
	i.moved = r.Bool()
	i.acr = r.String()
	i.amr = r.Strings()
	for _, t := range [...]*time.Time{&i.authTime, &i.issued, &i.started, &i.used, &i.expires} {
		*t = r.Time()
	}
	i.hasPart = r.Bool()
	state := r.Int()
	i.since, i.why = r.Time(), r.String()
	i.challenge = r.String()
	i.scopes, i.resources = r.Strings(), r.Strings()
	i.claims = r.Bytes()
	i.values = r.Bytes()
	if err := r.Close(); err != nil {
		return err
	}
	if len(i.id) != sessionIDSize || state < 0 || state > int64(TokensLost) {
		return wire.ErrFormat
	}
	i.state = TokenState(state)
	return nil
}

// limit lowers the absolute limit to session_expiry of the newest ID Token, if it has one, in seconds since 1970: the
// ceiling that the OpenID IPSIE profiles let a provider set. It returns the limit.
func (i *identity) limit(claims map[string]json.RawMessage, absolute time.Duration) time.Time {
	var ceiling float64 // a NumericDate may have a fraction
	if json.Unmarshal(claims["session_expiry"], &ceiling) == nil && ceiling > 0 {
		i.expires = i.started.Add(absolute)
		if ceiling < float64(i.expires.Unix()) {
			i.expires = time.Unix(int64(ceiling), 0)
		}
	}
	return i.expires
}

// ended reports whether the session is over at now: it was not used for idle, or its absolute limit is reached.
func (i *identity) ended(now time.Time, idle time.Duration) bool {
	return !now.Before(i.expires) || !now.Before(i.used.Add(idle))
}

// stale reports whether the session should be renewed: a tenth of idle has passed, or a clock went back.
func (i *identity) stale(now time.Time, idle time.Duration) bool {
	return now.Sub(i.used) >= idle/10
}

// partKind says what a token part holds.
type partKind int64

const (
	partTokens    partKind = iota + 1 // rp.Tokens
	partIDToken                       // the ID Token alone, of a session without tokens
	partEnded                         // the ID Token alone, of a session whose tokens are lost
	partPending                       // rp.AuthResponse: the code is not spent yet
	partRedeeming                     // the ID Token alone, while somebody holds the code
)

// tokenPart is the secret part of a session. A route that does not need it never opens it.
type tokenPart struct {
	kind       partKind
	generation int64
	obtained   time.Time // when the tokens came
	refreshed  bool      // they came for a refresh token, not for a code
	tokens     []byte    // rp.Tokens.Bytes
	idToken    string
	userInfo   []byte // rp.UserInfo.Bytes; nil: not asked for yet
	response   []byte // rp.AuthResponse.Bytes, with the first ID Token
	targets    []targetToken

	parsed *rp.Tokens       // of tokens
	answer *rp.AuthResponse // of response
}

func (p *tokenPart) encode() []byte { return p.encodeWith(p.targets, p.userInfo) }

// encodeWith encodes the part with some of what can be had again.
func (p *tokenPart) encodeWith(targets []targetToken, userInfo []byte) []byte {
	w := wire.NewWriter(partVersion, 64+len(p.tokens)+len(p.idToken)+len(userInfo)+len(p.response))
	w.Int(int64(p.kind))
	w.Int(p.generation)
	w.Time(p.obtained)
	w.Bool(p.refreshed)
	w.Bytes(p.tokens)
	w.Text(p.idToken)
	w.Bytes(userInfo)
	w.Bytes(p.response)
	w.Int(int64(len(targets)))
	for _, t := range targets {
		t.write(&w)
	}
	return w.Done()
}

func decodePart(b []byte, client *rp.Client) (*tokenPart, error) {
	r := wire.NewReader(b, partVersion)
	p := &tokenPart{
		kind: partKind(r.Int()), generation: r.Int(), obtained: r.Time(), refreshed: r.Bool(), tokens: r.Bytes(),
		idToken: r.Text(), userInfo: r.Bytes(), response: r.Bytes(),
	}
	for n := r.Int(); n > 0 && len(p.targets) < maxTargets; n-- {
		p.targets = append(p.targets, readTarget(&r))
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	var err error
	switch p.kind {
	case partTokens:
		p.parsed, err = client.ParseTokens(p.tokens)
	case partPending:
		p.answer, err = client.ParseAuthResponse(p.response)
	case partIDToken, partEnded, partRedeeming:
	default:
		err = wire.ErrFormat
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

const (
	maxValues = 512
	maxClaims = 1 << 10
)

// encodeValues encodes Login.Values in a stable order; more than 512 bytes are refused.
func encodeValues(values map[string]string) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(values)
	if err == nil && len(b) > maxValues {
		err = fmt.Errorf("Login.Values take %d bytes as JSON, at most %d", len(b), maxValues)
	}
	return b, err
}

func checkValues(values map[string]string) error {
	_, err := encodeValues(values)
	return err
}

// value is one of Login.Values.
func (i *identity) value(key string) string {
	if len(i.values) == 0 {
		return ""
	}
	return i.allValues()[key]
}

// allValues are Login.Values, never nil.
func (i *identity) allValues() map[string]string {
	values := map[string]string{}
	if len(i.values) > 0 && json.Unmarshal(i.values, &values) != nil {
		return map[string]string{}
	}
	return values
}

// pick returns the JSON object of the named claims, those that exist, as far as they fit into 1 KB: a larger one is
// left out, and so is what comes after it.
func pick(claims map[string]json.RawMessage, names []string) []byte {
	out := []byte{'{'}
	for _, name := range names {
		value, ok := claims[name]
		key, err := json.Marshal(name)
		if !ok || err != nil {
			continue
		}
		if len(out)+len(key)+len(value)+3 > maxClaims {
			break
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}')
}
