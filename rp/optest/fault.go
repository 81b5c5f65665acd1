package optest

import (
	"net/http"
	"net/url"
	"time"
)

// Answer is what an endpoint is about to say. A function given to [Handler.Fault] may change every field; what it
// leaves alone stays as an honest provider would have it.
//
// Tokens are signed after the function has run: wherever the honest token stands in Params or JSON, the one made from
// Header and Claims is put in its place. A token that the function replaced or deleted there stays replaced or deleted.
// Changing Params or JSON changes no hash: the code can be swapped under a correct c_hash. NumericDate claims are int64.
type Answer struct {
	// Endpoint is the path below the issuer, such as "/oauth/token". An authorization response is "/authorize", also
	// when a login page came first; the page itself is "/login".
	Endpoint string
	// Grant is the grant_type at /oauth/token: it tells a refresh from a code exchange. Elsewhere it is "".
	Grant string
	// Request is what the provider was asked; at /authorize the authorization request. For reading.
	Request Request

	// Header and Claims are those of the ID Token; at /userinfo Claims is what is said about the user, and Header is
	// nil unless the answer is a JWT. Both are nil where there is none.
	Header, Claims map[string]any
	// AccessHeader and AccessClaims are those of an access token that is a JWT; nil if it is opaque.
	AccessHeader, AccessClaims map[string]any
	// Sign makes the ID Token (or userinfo JWT) from the JSON of Header and Claims; nil signs honestly. It may return
	// anything; [Answer.JWS] signs bytes that no JSON encoder would write.
	Sign func(header, claims []byte) string

	// Params are the parameters of an authorization response; nil elsewhere. Add a second value to send one twice.
	Params url.Values
	// Mode is the response mode: form_post, fragment or query.
	Mode string
	// RedirectURI is where an authorization response or a logout goes.
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
	// Delay comes before the first byte. Negative: there is no answer until the client gives up or the server closes.
	Delay time.Duration
	// Reset ends the connection with a TCP reset instead of an answer.
	Reset bool
	// Respond, if not nil, answers instead: redirects, endless bodies, one byte a second.
	Respond http.HandlerFunc

	issuer any
}

// Request is what the provider received.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Form   url.Values // the form in the body, not the query; nil if there was none
}
