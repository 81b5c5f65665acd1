package rp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twofold-auth/twofold/verify"
)

// The errors of this package. They come wrapped: compare with errors.Is.
var (
	// ErrState: the answer has no state, or not that of the request (Core 3.3.2.8, RFC 6749 section 10.12).
	ErrState = errors.New("state is missing or not that of the request")
	// ErrIssuerParameter: iss is not the provider's, or missing although it must be there (RFC 9207, section 2.4).
	ErrIssuerParameter = errors.New("iss parameter is missing or wrong")
	// ErrParameters: a parameter is there twice, or the answer is not what the response type promises.
	ErrParameters = errors.New("answer has other parameters than the response type promises")
	// ErrNotVerified: the value does not come from VerifyResponse, Exchange, Refresh or a Parse function.
	ErrNotVerified = errors.New("value was not verified")
	// ErrNoCode: the answer brought no code; there is nothing to exchange.
	ErrNoCode = errors.New("answer holds no code")
	// ErrCodeSpent: this Client has sent this code before.
	ErrCodeSpent = errors.New("code was sent before")
	// ErrNoRefreshToken: the provider gave no refresh token.
	ErrNoRefreshToken = errors.New("no refresh token")
	// ErrTokenResponse: the token endpoint's answer is not what RFC 6749, section 5.1, and Core 3.3.3.3 require.
	ErrTokenResponse = errors.New("token response is malformed")
	// ErrUserInfo: the UserInfo response is not what Core 5.3.2 requires.
	ErrUserInfo = errors.New("userinfo response is malformed")
	// ErrLogoutToken: the logout token is refused; the chain holds the *verify.Error that says why.
	ErrLogoutToken = errors.New("logout token is refused")
	// ErrMetadata: the provider's metadata is wrong, or asks for what this package does not do.
	ErrMetadata = errors.New("provider metadata is not usable")
	// ErrConfig: a field of Config contradicts another, or a specification.
	ErrConfig = errors.New("invalid configuration")
	// ErrOptions: a field of AuthOptions, Target or TokenExchange cannot be sent.
	ErrOptions = errors.New("invalid options")
	// ErrFormat: the bytes given to a Parse function are damaged, or of an unknown version.
	ErrFormat = errors.New("unknown or damaged format")
	// ErrOtherClient: the value belongs to another issuer, client ID or redirect URI.
	ErrOtherClient = errors.New("value belongs to another client")
	// ErrOrigin: the request goes to an origin that the token is not for.
	ErrOrigin = errors.New("origin is not one that the token is for")
	// ErrUnsupported: the provider has no such endpoint; or, from package middleware, the app's store cannot do that.
	ErrUnsupported = errors.New("not supported")
	// ErrUnavailable: the provider cannot be reached, or answers that it cannot answer; try later.
	ErrUnavailable = errors.New("provider is unavailable")
	// ErrNotSent: the request could not be made, or no connection for it: the provider got no byte of what it says, and
	// its code or token is as good as before. Without it, nobody knows. It comes beside the reason, mostly ErrUnavailable.
	ErrNotSent = errors.New("nothing was sent")
	// ErrNotSaved: the app's callback did not save the new tokens; they are kept and offered to it again.
	ErrNotSaved = errors.New("the new tokens were not saved")
	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("client is closed")
)

// Error is what the provider said: an authorization error (RFC 6749, section 4.1.2.1; Core 3.1.2.6) or a token error
// (section 5.2). Its texts come from the provider, or from whoever forged its answer: they are cut, and freed of
// control and direction characters, but still text that must be escaped where it is shown.
type Error struct {
	Code        string // error, e.g. access_denied; "" if the provider gave none that can be read
	Description string // error_description
	URI         string // error_uri, if it is an http or https URL
	Suberror    string // what Entra ID says more precisely: consent_required beside invalid_grant, for example; mostly ""
	StatusCode  int    // HTTP status of the answer; 0 on the front channel
}

// Error returns the code and the description.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("provider answered ")
	switch {
	case e.Code != "":
		b.WriteString(e.Code)
	default:
		b.WriteString("an error")
	}
	if e.Suberror != "" {
		b.WriteString(", " + e.Suberror)
	}
	if e.StatusCode != 0 {
		b.WriteString(" (status " + strconv.Itoa(e.StatusCode) + ")")
	}
	if e.Description != "" {
		fmt.Fprintf(&b, ": %q", e.Description)
	}
	return b.String()
}

// codes orders the sentinels by precision: the first one in an error's chain names it.
var codes = []struct {
	err  error
	code string
}{
	{ErrNotSaved, "not_saved"}, // whatever the callback's error says
	{ErrState, "state"},
	{ErrIssuerParameter, "issuer_parameter"},
	{ErrParameters, "parameters"},
	{ErrNotVerified, "not_verified"},
	{ErrNoCode, "no_code"},
	{ErrCodeSpent, "code_spent"},
	{ErrNoRefreshToken, "no_refresh_token"},
	{ErrOtherClient, "other_client"},
	{ErrFormat, "format"},
	{ErrOrigin, "origin"},
	{ErrOptions, "options"},
	{ErrConfig, "config"},
	{verify.ErrPolicy, "config"},
	{ErrMetadata, "metadata"},
	{ErrUnsupported, "unsupported"},
	{ErrClosed, "closed"},
	{context.Canceled, "canceled"},
	{verify.ErrKeySet, "unavailable"},
	{ErrUnavailable, "unavailable"},
	{verify.ErrMalformed, "id_token_malformed"},
	{verify.ErrType, "id_token_type"},
	{verify.ErrAlgorithm, "id_token_algorithm"},
	{verify.ErrKey, "id_token_key"},
	{verify.ErrSignature, "id_token_signature"},
	{verify.ErrIssuer, "id_token_issuer"},
	{verify.ErrSubject, "id_token_subject"},
	{verify.ErrAudience, "id_token_audience"},
	{verify.ErrAuthorizedParty, "id_token_authorized_party"},
	{verify.ErrExpired, "id_token_expired"},
	{verify.ErrIssuedAt, "id_token_issued_at"},
	{verify.ErrNotBefore, "id_token_not_before"},
	{verify.ErrNonce, "id_token_nonce"},
	{verify.ErrCodeHash, "id_token_code_hash"},
	{verify.ErrAccessTokenHash, "id_token_access_token_hash"},
	{verify.ErrStateHash, "id_token_state_hash"},
	{verify.ErrAuthTime, "id_token_auth_time"},
	{verify.ErrACR, "id_token_acr"},
	{verify.ErrClaim, "id_token_claim"},
	{verify.ErrMismatch, "id_token_mismatch"},
	{ErrTokenResponse, "token_response"},
	{context.DeadlineExceeded, "unavailable"},
	{ErrNotSent, "not_sent"}, // for no reason above: a key that cannot sign
}

// advise names the configured value that a token was held against. What the token says is not repeated.
func (c *Client) advise(err error) error {
	switch {
	case errors.Is(err, verify.ErrAlgorithm):
		return fmt.Errorf("%w; Config.IDTokenAlgorithm is %s", err, c.cfg.IDTokenAlgorithm)
	case errors.Is(err, verify.ErrIssuer):
		return fmt.Errorf("%w; Config.Issuer is %q", err, c.cfg.Issuer)
	case errors.Is(err, verify.ErrAudience):
		return fmt.Errorf("%w; Config.ClientID is %q", err, c.cfg.ClientID)
	default:
		return err
	}
}

// ErrorCode returns the stable code of an error of this package or of package verify, for logs, metrics and pages. The
// list is closed: the sentinels' codes, "id_token_…" for a refused ID Token, "userinfo" for a refused UserInfo
// response, "logout_token" for a refused logout token, "provider_error" for an [Error], "" for nil, and "internal" for anything else.
func ErrorCode(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, ErrUserInfo) {
		return "userinfo"
	}
	if errors.Is(err, ErrLogoutToken) {
		return "logout_token"
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return "provider_error"
	}
	return "internal"
}
