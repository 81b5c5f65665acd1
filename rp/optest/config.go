package optest

import (
	"net/http"
	"time"
)

// Config describes the provider and its one client. The zero value accepts any client and logs in "alice" without a page.
// Lifetimes that are zero have the value that their comment names.
type Config struct {
	// ClientID is the registered client. "" accepts any client ID, and any secret if ClientSecret is "" too.
	ClientID string
	// ClientSecret is the client's secret for client_secret_basic, client_secret_post, client_secret_jwt and HS* ID
	// Tokens. "" with a ClientID and without ClientKeys makes a public client, for which PKCE is required.
	ClientSecret string
	// ClientKeys is the JWK Set with the client's public keys, for private_key_jwt.
	ClientKeys []byte
	// ClientAuth is the registered token_endpoint_auth_method; "" accepts each one that the credentials above permit.
	ClientAuth string
	// RedirectURLs are the registered redirect URIs, compared byte for byte; nil accepts any http or https URI.
	RedirectURLs []string
	// PostLogoutRedirectURLs are the same for RP-Initiated Logout.
	PostLogoutRedirectURLs []string

	// BackchannelLogoutURL is the client's backchannel_logout_uri: where the provider posts a logout token when a session
	// ends at which the client's user was logged in. "" posts none. [Handler.SetLogoutURLs] changes it later.
	BackchannelLogoutURL string
	// FrontchannelLogoutURL is the client's frontchannel_logout_uri: the page at the end of a logout loads it in an
	// iframe, with iss and sid. "" loads none.
	FrontchannelLogoutURL string
	// LogoutClient sends the logout tokens; nil is a client with a timeout of 5 s that follows no redirects.
	LogoutClient *http.Client

	// Claims are added to what the provider says about its user, and replace it. "sub" names the user that is logged
	// in when nobody is asked; "" or absent is "alice". Claims outside the standard scopes are in every ID Token:
	// session_expiry, for example.
	Claims map[string]any
	// LoginPage shows a login page where a user name can be typed, and a button to cancel. Without it every request
	// for a login is granted at once: to the user that login_hint names, else to the one of Claims. Of a typed name the
	// ASCII letters, digits and signs before an @ count. Who is logged in here sees a page again for prompt=login,
	// select_account or consent, and for max_age or acr_values that the login does not meet; else a further scope or
	// resource is granted as if the user had agreed before.
	LoginPage bool
	// Algorithm signs ID Tokens: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, or HS256,
	// HS384, HS512 with the client secret. "" is RS256.
	Algorithm string
	// UserInfoAlgorithm makes /userinfo answer with a JWT signed with this algorithm; "" is plain JSON.
	UserInfoAlgorithm string
	// OddKeys puts keys into the JWK Set that no client may use or trip over: secp256k1, an unknown kty, use enc,
	// RSA of 1024 bits, a symmetric one, and one without kid or alg.
	OddKeys bool

	// Resources are the APIs that the provider knows (RFC 8707; some providers call them audiences). Another one is
	// answered with invalid_target. nil: any absolute URI, and any audience.
	Resources []string
	// ACRValues are the authentication context classes that a login here can reach. A request for others alone logs in
	// without one, or is refused with unmet_authentication_requirements if it calls them essential. nil: any.
	ACRValues []string

	// KeepRefreshTokens switches rotation off: a refresh token works again and again, and a refresh answers with none.
	KeepRefreshTokens bool

	// CodeLifetime is how long an authorization code can be redeemed; 0 is one minute.
	CodeLifetime time.Duration
	// AccessTokenLifetime is the expires_in of access tokens; 0 is one hour.
	AccessTokenLifetime time.Duration
	// IDTokenLifetime is the time from iat to exp; 0 is one hour.
	IDTokenLifetime time.Duration

	// Path is appended to the URL of NewServer and NewTLSServer to make the issuer, for example "/" or "/tenant/".
	Path string
	// Host is the host name of NewServer and NewTLSServer; "" is localhost. It must be a loopback host.
	Host string
	// Now is the provider's clock; nil is time.Now.
	Now func() time.Time
}
