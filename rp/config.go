package rp

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// Config says who the provider is, who we are there, and how we talk. [New] copies, checks and freezes it: a field
// that is changed later changes nothing. The zero value of a field is its secure default; an empty field never skips a
// check.
type Config struct {
	// Issuer is the provider's issuer identifier, compared byte for byte: with a slash at its end if, and only if,
	// the provider writes one. Required. https, without query and fragment (OpenID Connect Discovery 1.0, section 2).
	Issuer string
	// ClientID is what the provider calls us. Required.
	ClientID string
	// RedirectURL is where the provider sends its answer; it is never taken from a request. Required. https, or http
	// on a loopback host; without fragment.
	RedirectURL string
	// PostLogoutRedirectURL is where the provider sends the browser after a logout. Empty: the provider decides.
	PostLogoutRedirectURL string
	// ClientAuth is how we authenticate at the token endpoint. Required; [Public] for a client without credentials.
	ClientAuth ClientAuth
	// Scopes to ask for; nil is openid. Must contain openid.
	Scopes []string
	// Resources are the APIs that access tokens shall be for (RFC 8707), sent with each authorization request.
	Resources []string
	// Audiences are aud values that are trusted in an ID Token beside ClientID; azp must then name ClientID.
	Audiences []string
	// ResponseType is what the provider answers with; "" is [CodeIDToken].
	ResponseType ResponseType
	// ResponseMode is how its answer comes; "" is [FormPost], or [Query] for [Code]. A mode that is the type's own
	// default (Query for Code, Fragment for the others) is not sent.
	ResponseMode ResponseMode
	// IDTokenAlgorithm is the only algorithm that an ID Token may be signed with; "" is RS256. The provider's list is
	// never consulted. HS256, HS384 and HS512 use the client secret, which must be long enough.
	IDTokenAlgorithm string
	// UserInfoAlgorithm is the algorithm of a signed UserInfo response (application/jwt); "" means a JSON response.
	UserInfoAlgorithm string
	// UserInfoBody sends the access token to the UserInfo endpoint in a form body (RFC 6750, section 2.2), not in
	// the Authorization header.
	UserInfoBody bool
	// Leeway is the clock difference that is tolerated; 0 is 30 s, more than 5 min is refused.
	Leeway time.Duration
	// Match says how closely the second ID Token must agree with the first (Core 3.3.3.6).
	Match verify.Strictness
	// Discovery says when the provider's metadata is read.
	Discovery Discovery
	// Endpoints, given by hand, replace discovery. nil: discovered.
	Endpoints *Endpoints
	// MetadataURL is where the metadata is fetched if not below the issuer. The issuer in it must still match.
	MetadataURL string
	// RequireIss requires the iss response parameter (RFC 9207) in every successful answer, also beside an ID Token
	// and also if the provider does not advertise it.
	RequireIss bool
	// HTTPClient's Transport and Timeout are used; its cookie jar and its redirect policy are not. nil, or a zero
	// Timeout: 10 s for each request. No redirect is ever followed.
	HTTPClient *http.Client
	// Logger gets warnings about the configuration and about background work; nil is slog.Default().
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Observe is called for each step, in the goroutine that does it; it must not block. nil: nobody watches.
	Observe func(context.Context, Event)
	// Insecure weakens what a specification requires. Each field that is set is logged by New.
	Insecure Insecure
}

// ResponseType is what the provider answers an authorization request with. The order of its words is without meaning.
type ResponseType string

// The response types: the three of the Hybrid Flow (Core 3.3), and two for apps that migrate. "token" and
// "id_token token" are not supported: nothing binds such an access token to this client.
const (
	CodeIDToken      ResponseType = "code id_token"
	CodeToken        ResponseType = "code token"
	CodeIDTokenToken ResponseType = "code id_token token"
	Code             ResponseType = "code"
	ImplicitIDToken  ResponseType = "id_token"
)

// ResponseMode is how the provider's answer travels through the browser.
type ResponseMode string

// The response modes. Query exists for [Code] alone: a token in a URL ends up in histories and logs.
const (
	FormPost ResponseMode = "form_post"
	Fragment ResponseMode = "fragment"
	Query    ResponseMode = "query"
)

// Discovery says when the provider's metadata is read.
type Discovery uint8

const (
	// AtStart reads it in [New], which fails if the provider is down.
	AtStart Discovery = iota
	// Lazy reads it at the first need. Until the provider is there, what needs it returns [ErrUnavailable]; it heals by
	// itself.
	Lazy
)

// Endpoints are the provider's URLs for a provider without discovery. Authorization is required; so are Token, unless
// the response type is id_token, and JWKS, unless ID Tokens are signed with HS*.
type Endpoints struct {
	Authorization string // authorization_endpoint
	Token         string // token_endpoint
	UserInfo      string // userinfo_endpoint; "": Client.UserInfo returns ErrUnsupported
	EndSession    string // end_session_endpoint; "": Client.EndSession returns ErrUnsupported
	Revocation    string // revocation_endpoint; "": Client.Revoke returns ErrUnsupported
	JWKS          string // jwks_uri
}

// Insecure holds everything that weakens a MUST. Each field that is set is logged by [New].
type Insecure struct {
	// NoPKCE sends no code_challenge, for a provider that chokes on it. Only for a confidential client with id_token
	// in its response type, where c_hash and nonce bind the code.
	NoPKCE bool
	// NoIssuerParameter accepts an answer without iss although the provider advertises it (RFC 9207). A wrong one is
	// always refused.
	NoIssuerParameter bool
	// PlainHTTP accepts http URLs of the provider on loopback hosts. Elsewhere http is refused even so.
	PlainHTTP bool
}
