package middleware

import (
	"errors"
	"net/http"

	"github.com/twofold-auth/twofold/rp"
)

// explain says in words what happened and what to do; nothing in it comes from a request or the provider, but the text
// of an app's Refusal.
func explain(e *Error) (title string, text []string) {
	t, known := texts[e.Code]
	var refusal *Refusal
	var tokens *TokensError
	switch {
	case errors.As(e.Err, &refusal) && refusal.Text != "" && known:
		return t[0], []string{refusal.Text}
	case e.Code == codeLoginLoop && errors.As(e.Err, &tokens):
		t = tokensLost
	case e.Code == codeLoginLoop && errors.Is(e.Err, ErrLoginRequired):
		t = tokensEnded
	case e.Code == codeInternal && errors.As(e.Err, new(mistakeError)):
		t = mistaken
	case e.Code == codeLoginLoop && challengeOf(e.Err) != nil:
		t = challengesGoOn
	case e.Code == codeLoginRequired && challengeOf(e.Err) != nil:
		t = anotherLogin
	case !known:
		return explainProtocol(e)
	}
	return t[0], t[1:]
}

// tokensEnded is for a login loop that no cookie can help.
var tokensEnded = []string{
	"Logging in does not get through",
	"You are logged in, but the access that this page needs had ended already when your identity provider gave it.",
	"Please tell the operators of this site.",
}

// tokensLost is for one in which each login's code brings nothing.
var tokensLost = []string{
	"This page does not get through",
	"You are logged in, but several times in a row your identity provider did not give the access that this page needs.",
	"Please tell the operators of this site.",
}

// mistaken is for a check that no login can satisfy.
var mistaken = []string{"Something went wrong on our side", "This page cannot be shown to anybody. Please tell the operators of this site."}

// challengesGoOn is for pages and APIs that want more, whatever login comes.
var challengesGoOn = []string{
	"Logging in does not get through",
	"You logged in several times, and each time something more was wanted.",
	"Please try again in a minute. If that does not help, tell the operators of this site.",
}

// anotherLogin is for who is logged in, but not as a page or an API wants it.
var anotherLogin = []string{"Another login is needed", "For this your identity provider has to confirm once more who you are."}

var texts = map[string][]string{
	codeTransactionMissing: {
		"This login cannot be completed",
		"Your browser did not send the cookie that belongs to it. It may have taken too long, or the browser blocks cookies. If you have many tabs open, you may already be logged in, in another one.",
		"If logging in again does not help, allow cookies for this site.",
	},
	codeTransactionExpired: {"This login took too long", "For your safety a login must be finished within some minutes. Please start again."},
	codeTransactionInvalid: {"This login cannot be completed", "It was not started in this browser, or too long ago. Please start again."},
	codeTransactionSpent:   {"This login is over", "It was answered before, and an answer counts only once. Please start again."},
	codeLoginLoop: {
		"Logging in does not get through",
		"You logged in several times, but your browser did not keep the cookie that says so.",
		"Please allow cookies for this site, and look at the clock of your device.",
	},
	codeLoggedOut:       {"You are logged out", "Your identity provider ended your session while you logged in. Please start again."},
	codeLoginRequired:   {"Please log in", "This page is for users who are logged in."},
	codeNoTokens:        {"This page needs more than you have", "Your session has no access to the service behind this page."},
	codeTokensPending:   {"One moment", "Your access to the service behind this page is still being set up. Please try again in a moment."},
	codeCodeExpired:     {"Please log in again", "Too much time has passed since you logged in to set up the access that this page needs."},
	codeInterrupted:     {"Please log in again", "Setting up the access that this page needs was interrupted."},
	codeForbidden:       {"This page is not for you", "You are logged in, but you may not see this page."},
	codeRefused:         {"You cannot log in here", "This site does not accept your account."},
	codeChallengeUnmet:  {"A stronger login is needed", "You logged in again, but not in the way that this page requires. Your identity provider may not offer it."},
	codeCrossOrigin:     {"You are still logged in", "Another site asked to log you out. If you want that, do it here."},
	codeNoResponse:      {"There is nothing to see here", "This address is where logins end. It was opened without one."},
	codeNotNavigation:   {"This does not work here", "A login needs a browser window of its own, not a frame or a script."},
	codeSessionStore:    {"We cannot look up your session", "Our session store does not answer. Please try again in a moment."},
	codeSessionTooLarge: {"Your session does not fit", "Your account brings more data than this site can keep. Please tell its operators."},
	codeInitiate:        {"This login cannot be started", "The link that brought you here is for another identity provider."},
	codeMethod:          {"This does not work here", "The page was asked for in a way that it does not know."},
}

func explainProtocol(e *Error) (title string, text []string) {
	var provider *rp.Error
	var inside loggedIn
	switch {
	case errors.As(e.Err, &inside) && e.Status == http.StatusServiceUnavailable:
		return "The identity provider does not answer", []string{"What this page needs cannot be had from it at the moment. You are still logged in. Please try again in a little while."}
	case errors.As(e.Err, &inside) && e.Status >= http.StatusInternalServerError:
		return "Something went wrong on our side", []string{"What this page needs could not be had. You are still logged in. If trying again does not help, please tell the operators of this site."}
	case errors.As(e.Err, &provider) && provider.StatusCode == 0 && provider.Code == "access_denied":
		return "You did not log in", []string{"The login was cancelled, or your identity provider did not permit it. If you were logged in before, you still are."}
	case errors.As(e.Err, &provider) && provider.StatusCode == 0:
		return "Your identity provider did not log you in", []string{"It ended the login with an error. You can try again."}
	case e.Status == http.StatusServiceUnavailable:
		return "The identity provider does not answer", []string{"Logging in is not possible at the moment. Please try again in a little while."}
	case e.Status >= http.StatusInternalServerError:
		return "Something went wrong on our side", []string{"Your login was stopped. If trying again does not help, please tell the operators of this site."}
	default:
		return "This login cannot be completed", []string{"The answer of the identity provider was not what we asked for, so we did not accept it. Please start again."}
	}
}
