package middleware

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/twofold-auth/twofold/rp"
)

// The errors of this package. They come wrapped: compare with errors.Is.
var (
	// ErrNoTokens: the session has no tokens of that kind: it was started without an exchange, or the provider gave none.
	ErrNoTokens = errors.New("middleware: session has no tokens")
	// ErrCommitted: the response has begun, so that a renewed cookie could not be sent. Nothing was asked of the provider.
	ErrCommitted = errors.New("middleware: response has begun, cookies cannot be renewed")
	// ErrPending: the code is not redeemed yet, see [ExchangeOnDemand]; a [*TokensError] says more.
	ErrPending = errors.New("middleware: tokens are pending")
	// ErrLoginRequired: the tokens have ended and cannot be renewed; only another login helps.
	ErrLoginRequired = errors.New("middleware: login required")
	// ErrConsentRequired: the provider gives no token for a target before it has asked the user. The error is a [*Challenge]
	// too, whose options ask for what the session has and for the target: pass it to [Auth.StepUp], or return it from a check.
	// It is none for another audience than the one in Config.AuthOptions.Extra: a login has one.
	ErrConsentRequired = errors.New("middleware: the provider wants to ask the user for this target")
	// ErrForbidden: a check of [Auth.Require] refused.
	ErrForbidden = errors.New("middleware: forbidden")
	// ErrNoSession: there is no session, or it has ended.
	ErrNoSession = errors.New("middleware: no session")
)

// Error is what went wrong with a request, as the browser may know it.
type Error struct {
	// Code is stable: one of this package's or, for what the protocol refused, an [rp.ErrorCode]. The lists are closed.
	Code string
	// Reference is the correlation ID that page and log have in common.
	Reference string
	// RetryURL leads on, on this site: to a new login where that helps (status 401, and most 400), else to the home page or
	// the same page. "" if nothing helps.
	RetryURL string
	// Status is the HTTP status.
	Status int
	// Err is the reason, for the log. It holds no token, code or cookie, but texts of the provider: not for the page.
	Err error
}

// Error returns the code and the reason.
func (e *Error) Error() string {
	switch reason, ok := reasons[e.Code]; {
	case e.Err != nil:
		return "middleware: " + e.Code + ": " + e.Err.Error()
	case ok:
		return "middleware: " + e.Code + ": " + reason
	default:
		return "middleware: " + e.Code
	}
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Refusal is an error that a hook or a check returns to refuse a user, with a text for them.
type Refusal struct {
	// Text is shown on the error page, escaped. It says what the user can do.
	Text string
}

// Error returns the text.
func (r *Refusal) Error() string { return "refused: " + r.Text }

// Challenge is an error that a hook or a check returns to have the user log in again, with these options: a higher
// acr, a younger max_age. It is sent once: if the answer does not satisfy the hook or check, the user is refused.
type Challenge struct {
	Options rp.AuthOptions
}

// Error says that more is needed.
func (*Challenge) Error() string { return "another login is needed" }

// The closed list of this package's codes. What the protocol refuses has the codes of [rp.ErrorCode].
const (
	codeMethod             = "method"              // a route does not know the method
	codeNotNavigation      = "not_navigation"      // a script or a frame asked for what only a navigation may have
	codeContentType        = "content_type"        // the callback is not a plain form
	codeBody               = "body"                // the form cannot be read
	codeBodyTooLarge       = "body_too_large"      // the form is larger than any answer
	codeResponseMode       = "response_mode"       // the answer came in another mode than asked for
	codeNoResponse         = "no_response"         // the callback was opened without an answer
	codeTransactionMissing = "transaction_missing" // this browser has no cookie of such a login
	codeTransactionInvalid = "transaction_invalid" // its cookie was not made here, or by another key
	codeTransactionExpired = "transaction_expired" // the user took too long
	codeTransactionSpent   = "transaction_spent"   // another answer to this login was handled before
	codeLoginLoop          = "login_loop"          // logins succeed and no session arrives
	codeLoggedOut          = "logged_out"          // the provider ended the session before it began
	codeLoginRequired      = "login_required"      // no session, and the request is no navigation
	codeForbidden          = "forbidden"           // a check refused
	codeRefused            = "refused"             // a hook refused
	codeChallengeUnmet     = "challenge_unmet"     // the second login did not satisfy either
	codeHook               = "hook"                // a hook failed
	codePanic              = "panic"               // a hook panicked
	codeExchangeMode       = "exchange_mode"       // a hook chose a way that this response type does not have
	codeValues             = "values"              // a hook keeps too much in Login.Values
	codeSessionTooLarge    = "session_too_large"   // the session does not fit into cookies
	codeSessionStore       = "session_store"       // the store is down
	codeNoTokens           = "no_tokens"           // the route needs tokens that this session cannot have
	codeTokensPending      = "tokens_pending"      // the code is being redeemed elsewhere; try again in a moment
	codeCodeExpired        = "code_expired"        // the code is older than Config.CodeLifetime and was not sent
	codeInterrupted        = "interrupted"         // who redeemed the code died over it
	codeCrossOrigin        = "cross_origin"        // the logout comes from another site
	codeInitiate           = "initiate"            // a third party asks for another provider's login
	codeInternal           = "internal"            // a fault of ours
)

// reasons are for the log, where the code is all that is known.
var reasons = map[string]string{
	codeMethod:             "this route does not know the method",
	codeNotNavigation:      "a script, a form or a frame asked for what only a navigation may have",
	codeContentType:        "the body is no application/x-www-form-urlencoded form",
	codeResponseMode:       "the answer did not come in the response mode that was asked for",
	codeNoResponse:         "the callback was opened without an answer of the provider",
	codeTransactionExpired: "the login was started longer ago than Config.LoginTimeout",
	codeLoginRequired:      "nobody is logged in, and this request cannot be sent to log in",
	codeCrossOrigin:        "by Origin or Sec-Fetch-Site it is not from a page of the RedirectURL's origin; see Session.LogoutToken for forms",
	codeInitiate:           "iss is missing or another provider's",
}

var statuses = map[string]int{
	codeMethod: http.StatusMethodNotAllowed, codeNotNavigation: http.StatusForbidden,
	codeContentType: http.StatusUnsupportedMediaType, codeBody: http.StatusBadRequest,
	codeBodyTooLarge: http.StatusRequestEntityTooLarge, codeResponseMode: http.StatusBadRequest,
	codeNoResponse: http.StatusBadRequest, codeTransactionMissing: http.StatusBadRequest,
	codeTransactionInvalid: http.StatusBadRequest, codeTransactionExpired: http.StatusBadRequest,
	codeTransactionSpent: http.StatusBadRequest, codeLoginLoop: http.StatusBadRequest, codeLoggedOut: http.StatusForbidden,
	codeLoginRequired: http.StatusUnauthorized, codeForbidden: http.StatusForbidden,
	codeRefused: http.StatusForbidden, codeChallengeUnmet: http.StatusForbidden,
	codeHook: http.StatusInternalServerError, codePanic: http.StatusInternalServerError,
	codeExchangeMode: http.StatusInternalServerError, codeValues: http.StatusInternalServerError,
	codeSessionTooLarge: http.StatusInternalServerError, codeSessionStore: http.StatusServiceUnavailable,
	codeTokensPending: http.StatusServiceUnavailable, codeCodeExpired: http.StatusUnauthorized, codeInterrupted: http.StatusUnauthorized,
	codeNoTokens: http.StatusForbidden, codeCrossOrigin: http.StatusForbidden,
	codeInitiate: http.StatusBadRequest, codeInternal: http.StatusInternalServerError,
}

// fail makes an Error with one of our codes.
func fail(code string, err error) *Error {
	return &Error{Code: code, Status: statuses[code], Err: err, Reference: newReference()}
}

// loggedIn marks what failed for a user who stays logged in.
type loggedIn struct{ error }

func (e loggedIn) Unwrap() error { return e.error }

// again is the same error for another request.
func (e *Error) again() *Error {
	return &Error{Code: e.Code, Status: e.Status, Err: e.Err, Reference: newReference()}
}

// failProtocol makes an Error of what rp refused.
func failProtocol(err error) *Error {
	code := rp.ErrorCode(err)
	return &Error{Code: code, Status: protocolStatus(err), Err: err, Reference: newReference()}
}

// protocolStatus is 400 for an answer that is not believed, 403 for a provider that says no, 5xx for what is nobody's
// doing here.
func protocolStatus(err error) int {
	var provider *rp.Error
	switch {
	case isUnavailable(err), errors.Is(err, rp.ErrNotSent), errors.Is(err, rp.ErrClosed):
		return http.StatusServiceUnavailable
	case errors.As(err, &provider) && provider.StatusCode == 0:
		return http.StatusForbidden
	case errors.As(err, &provider), errors.Is(err, rp.ErrTokenResponse), errors.Is(err, rp.ErrMetadata):
		return http.StatusBadGateway
	case errors.Is(err, rp.ErrOptions), errors.Is(err, rp.ErrConfig), rp.ErrorCode(err) == codeInternal:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// newReference is short enough to be read out on the telephone.
func newReference() string { return rand.Text()[:10] }

// errCeiling is why a login fails whose session is over when it begins.
var errCeiling = errors.New("session_expiry has passed")

// Names of events; the closed list is in the package documentation.
const (
	eventLoginStarted   = "login_started"
	eventLogin          = "login"
	eventLoginRepeated  = "login_repeated"
	eventLoginSuspended = "login_suspended"
	eventRefused        = "refused"
	eventRefreshed      = "refreshed"
	eventRedeemed       = "redeemed"
	eventUserInfo       = "userinfo"
	eventSessionEnded   = "session_ended"
	eventLogout         = "logout"
	eventMemoryFull     = "memory_full"
	eventGranted        = "granted"
	eventNotRenewed     = "not_renewed"
	eventRevoked        = "revoked"
	eventLogoutToken    = "backchannel_logout"
	eventFrame          = "frontchannel_logout"
)

// observe reports an event, once to each of the two who may listen.
func (a *Auth) observe(ctx context.Context, e rp.Event) {
	e.Took = max(e.Took, 0) // the clock may have been put back meanwhile
	if a.config.Observe != nil {
		a.config.Observe(ctx, e)
	}
	level := levelOf(e)
	if !a.config.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("event", e.Name)}
	if e.Reference != "" {
		attrs = append(attrs, slog.String("reference", e.Reference))
	}
	if e.Code != "" {
		attrs = append(attrs, slog.String("code", e.Code))
	}
	if e.Took > 0 {
		attrs = append(attrs, slog.Duration("took", e.Took))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	a.config.Logger.LogAttrs(ctx, level, "twofold", attrs...)
}

// levelOf: what only the operators can mend is an error, what users do every day is none.
func levelOf(e rp.Event) slog.Level {
	if e.Err == nil && e.Code == "" {
		return slog.LevelInfo
	}
	var provider *rp.Error
	said := ""
	if errors.As(e.Err, &provider) {
		said = provider.Code
	}
	switch {
	case e.Code == codeLoginRequired:
		return slog.LevelDebug // a script without a session
	case statuses[e.Code] == http.StatusInternalServerError, said == "invalid_client", said == "unauthorized_client":
		return slog.LevelError
	case e.Err == nil, provider != nil && provider.StatusCode == 0 && (said == "access_denied" || said == "login_required"):
		return slog.LevelInfo
	default:
		return slog.LevelWarn
	}
}

// panicError is what a hook left behind, and where. The value is not kept: it may hold anything. Call it in the deferred
// function itself.
func panicError(v any) error {
	return fmt.Errorf("hook panicked with a value of type %T%s", v, panicPlace())
}

// panicPlace returns the function and line that panicked.
func panicPlace() string {
	var calls [32]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(0, calls[:])])
	for panicked := false; ; {
		frame, more := frames.Next()
		if panicked && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" in %s (%s:%d)", frame.Function, filepath.Base(frame.File), frame.Line)
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}
