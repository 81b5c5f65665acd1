package middleware

import (
	"errors"
	"net/http"

	"github.com/twofold-auth/twofold/rp"
)

// explain says in words what happened and what to do; nothing in it comes from a request or the provider, but the text
// of an app's Refusal.
func explain(e *Error) (title string, text []string) {
	var refusal *Refusal
	if errors.As(e.Err, &refusal) && refusal.Text != "" {
		return "You cannot sign in here", []string{refusal.Text}
	}
	if t, ok := texts[e.Code]; ok {
		return t[0], t[1:]
	}
	return explainProtocol(e)
}

var texts = map[string][]string{
	codeTransactionMissing: {
		"This sign-in cannot be completed",
		"Your browser did not send the cookie that belongs to it. It may have taken too long or been finished in another tab, or the browser blocks cookies.",
		"Please start again. If that does not help, allow cookies for this site.",
	},
	codeTransactionExpired: {"This sign-in took too long", "For your safety a sign-in must be finished within some minutes. Please start again."},
	codeTransactionInvalid: {"This sign-in cannot be completed", "It was not started in this browser, or too long ago. Please start again."},
	codeTransactionSpent:   {"This sign-in is over", "It was answered before, and an answer counts only once. Please start again."},
	codeLoginLoop: {
		"Signing in does not get through",
		"You signed in several times, but your browser did not keep the cookie that says so.",
		"Please allow cookies for this site, and look at the clock of your device.",
	},
	codeLoggedOut:       {"You are logged out", "Your identity provider ended your session while you signed in. Please start again."},
	codeLoginRequired:   {"Please sign in", "This page is for signed-in users."},
	codeNoTokens:        {"This page needs more than you have", "Your session has no access to the service behind this page."},
	codeForbidden:       {"This page is not for you", "You are signed in, but you may not see this page."},
	codeRefused:         {"You cannot sign in here", "This site does not accept your account."},
	codeChallengeUnmet:  {"A stronger sign-in is needed", "You signed in again, but not in the way that this page requires. Your identity provider may not offer it."},
	codeCrossOrigin:     {"You are still signed in", "Another site asked to log you out. If you want that, do it here."},
	codeNoResponse:      {"There is nothing to see here", "This address is where sign-ins end. It was opened without one."},
	codeNotNavigation:   {"This does not work here", "A sign-in needs a browser window of its own, not a frame or a script."},
	codeSessionStore:    {"We cannot look up your session", "Our session store does not answer. Please try again in a moment."},
	codeSessionTooLarge: {"Your session does not fit", "Your account brings more data than this site can keep. Please tell its operators."},
	codeInitiate:        {"This sign-in cannot be started", "The link that brought you here is for another identity provider."},
	codeMethod:          {"This does not work here", "The page was asked for in a way that it does not know."},
}

func explainProtocol(e *Error) (title string, text []string) {
	var provider *rp.Error
	switch {
	case errors.As(e.Err, &provider) && provider.StatusCode == 0 && provider.Code == "access_denied":
		return "You did not sign in", []string{"The sign-in was cancelled, or your identity provider did not permit it."}
	case errors.As(e.Err, &provider) && provider.StatusCode == 0:
		return "Your identity provider did not sign you in", []string{"It ended the sign-in with an error. You can try again."}
	case e.Status == http.StatusServiceUnavailable, e.Status == http.StatusBadGateway:
		return "The identity provider does not answer", []string{"Signing in is not possible at the moment. Please try again in a little while."}
	case e.Status >= http.StatusInternalServerError:
		return "Something went wrong on our side", []string{"Your sign-in was stopped. Please try again."}
	default:
		return "This sign-in cannot be completed", []string{"The answer of the identity provider was not what we asked for, so we did not accept it. Please start again."}
	}
}
