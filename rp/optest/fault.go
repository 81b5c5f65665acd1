package optest

import (
	"bytes"
	"net/http"
	"net/url"
	"time"
)

// Answer is what an endpoint is about to say. A function given to [Handler.Fault] may change every field; what it
// leaves alone stays as an honest provider would have it.
//
// Tokens are signed after the function has run: wherever the honest token stands in Params or JSON, the one made from
// Header and Claims is put in its place. A token that the function replaced or deleted there stays replaced or deleted.
// If AccessClaims change, an at_hash that was left alone follows; nothing else changes a hash, so that the code can be
// swapped under a c_hash that stays. The header's kid, left alone, follows its alg. NumericDate claims are int64.
type Answer struct {
	// Endpoint is the path below the issuer, such as "/oauth/token". An authorization response is "/authorize", also
	// when a login page came first; the way to that page, and the page, are "/login". "/backchannel-logout" is no endpoint
	// but what the provider posts to the client: Params are the form with its logout_token, Header and Claims are the
	// token's, RedirectURI is where it goes and Delay comes before it; what belongs to an HTTP response has no effect.
	Endpoint string
	// Grant is the grant_type at /oauth/token: it tells a refresh from a code exchange. Elsewhere it is "".
	Grant string
	// Request is what the provider was asked; in an authorization response the authorization request. For reading.
	Request Request

	// Header and Claims are those of the ID Token or logout token; at /userinfo Claims is what is said about the user, and Header is
	// nil unless the answer is a JWT. Both are nil where there is none.
	Header, Claims map[string]any
	// AccessHeader and AccessClaims are those of an access token that is a JWT; nil if it is opaque.
	AccessHeader, AccessClaims map[string]any
	// Sign makes the ID Token (or userinfo JWT) from the JSON of Header and Claims; nil signs honestly. It may return
	// anything; [Answer.JWS] signs bytes that no JSON encoder would write.
	Sign func(header, claims []byte) string

	// Params are the parameters of an authorization response or logout request; nil elsewhere. Add a second value to send one twice.
	Params url.Values
	// Mode is the response mode of an authorization response: form_post, fragment or query.
	Mode string
	// RedirectURI is where an authorization response goes.
	RedirectURI string

	// JSON are the members of a JSON answer: the token response, the discovery document, the JWK Set ("keys" is a
	// []any of map[string]any), /api; also of their errors. Values may be json.RawMessage or json.Number.
	JSON map[string]any

	// Status is the HTTP status.
	Status int
	// HTTPHeader are the HTTP header fields.
	HTTPHeader http.Header
	// Body, if not nil, is sent instead of what would be made from the fields above.
	Body []byte
	// Delay, in real time, comes before the first byte. Negative: there is no answer until the client gives up or the server closes.
	Delay time.Duration
	// Reset ends the connection with a TCP reset instead of an answer.
	Reset bool
	// Respond, if not nil, answers instead: redirects, endless bodies, one byte a second.
	Respond http.HandlerFunc

	handler                *Handler
	honestID, honestAccess string // as they stand in Params or JSON
	honestKID, honestHash  string // the ID Token's kid and at_hash
	honestHeader           []byte // JSON of Header
	honestClaims           []byte // JSON of Claims
	honestStatus           int
	frameSources           string // an addition to the policy of a page
	posted                 bool   // the request of this answer is a POST; Request may be an earlier one
}

// Request is what the provider received.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Form   url.Values // the form in the body, not the query; nil if there was none
}

// Fault sets the function that may change each following answer; nil ends it. The function runs once for each answer,
// never twice at the same time, so that it may count; it must not wait for another answer (use Delay).
func (h *Handler) Fault(f func(*Answer)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// lie runs the hook and signs again what it has changed.
func (h *Handler) lie(a *Answer) {
	h.faultMu.Lock()
	defer h.faultMu.Unlock()
	h.mu.Lock()
	f := h.fault
	h.mu.Unlock()
	if f == nil {
		return
	}
	f(a)
	a.resign()
	if a.Params != nil && a.Status == a.honestStatus {
		a.Status = a.modeStatus()
	}
}

func (a *Answer) resign() {
	if a.AccessClaims != nil && a.honestAccess != "" {
		header := mustEncode(a.AccessHeader)
		made := a.handler.jws(algOf(header), header, mustEncode(a.AccessClaims))
		a.handler.state.alias(a.honestAccess, made)
		a.replace(a.honestAccess, made)
		if a.honestHash != "" && a.Claims["at_hash"] == a.honestHash {
			a.Claims["at_hash"] = HalfHash(a.handler.config.Algorithm, made)
		}
	}
	if a.Claims != nil && a.honestID != "" && a.changed() {
		a.replace(a.honestID, a.signed())
	}
}

// changed tells if the ID Token has to be signed again. An honest one keeps its bytes, also where signatures are random.
func (a *Answer) changed() bool {
	return a.Sign != nil || !bytes.Equal(mustEncode(a.Header), a.honestHeader) || !bytes.Equal(mustEncode(a.Claims), a.honestClaims) ||
		a.honestKID != a.handler.KeyID(a.handler.config.Algorithm) // the hook has rotated the keys
}

// signed makes the JWT of Header and Claims.
func (a *Answer) signed() string {
	if alg, ok := a.Header["alg"].(string); ok && kind(alg) != "" && a.honestKID != "" && a.Header["kid"] == a.honestKID {
		a.Header["kid"] = a.handler.KeyID(alg)
	}
	sign := a.Sign
	if sign == nil {
		sign = a.JWS
	}
	return sign(mustEncode(a.Header), mustEncode(a.Claims))
}

// replace puts a token in the place of another one.
func (a *Answer) replace(honest, made string) {
	for _, values := range a.Params {
		for i, v := range values {
			if v == honest {
				values[i] = made
			}
		}
	}
	for name, v := range a.JSON {
		if v == honest { // both are strings, or they differ
			a.JSON[name] = made
		}
	}
}
