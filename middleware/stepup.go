package middleware

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// StepUp answers a request whose handler ran into an error that wraps a [*Challenge]: one that a call of
// [Auth.Transport] or [Session.HTTPClient] returned because the API wants a stronger or younger login (RFC 9470), or
// one of [Session.For] because its API needs more consent. A navigation goes to the provider and comes back to the same
// page; anything else gets 401; and where a login of the last minute asked for the same it gets 403, because another
// would end there again. With any other error, or nil, it writes nothing and returns false.
//
//	resp, err := client.Do(req)
//	if auth.StepUp(w, r, err) {
//		return
//	}
//
// Call it before the response begins. r may be the request of a handler or, in the ErrorHandler of an
// [net/http/httputil.ReverseProxy], the proxy's: what counts is the one that the wrapper got.
func (a *Auth) StepUp(w http.ResponseWriter, r *http.Request, err error) bool {
	challenge := challengeOf(err)
	if challenge == nil {
		return false
	}
	s := a.Session(r.Context())
	if s != nil {
		a.stepUp(w, s.state.received(r), s, challenge)
		return true
	}
	c := a.names.read(r.Header)
	f, err := a.look(r.Context(), c) // there is no wrapper around the handler
	if err != nil {
		a.withoutSession(w, r, c, err)
		return true
	}
	a.stepUpOf(w, r, &f.rec.identity, challenge)
	return true
}

// received is the request that the wrapper got, where it is known, with the context of r.
func (t *sessionState) received(r *http.Request) *http.Request {
	if t.request == nil {
		return r
	}
	return t.request.WithContext(r.Context())
}

// stepUp starts the login that a check or an API asks for, once.
func (a *Auth) stepUp(w http.ResponseWriter, r *http.Request, s *Session, challenge *Challenge) {
	if s.state.test != nil {
		a.challenge(w, r, &identity{}, challenge.Options, a.site.here(r))
		return
	}
	a.stepUpOf(w, r, &s.state.record().identity, challenge)
}

func (a *Auth) stepUpOf(w http.ResponseWriter, r *http.Request, i *identity, challenge *Challenge) {
	secureHeaders(w.Header())
	if classify(r.Method, r.Header) == navPage || a.unmet(i, challengeDigest(a.optionsOf(i, challenge.Options))) {
		a.challenge(w, r, i, challenge.Options, a.site.here(r))
		return
	}
	e := fail(codeLoginRequired, challenge)
	e.RetryURL = a.challengeURL(i, challenge.Options, a.pageOf(r))
	w.Header().Set("WWW-Authenticate", demand(challenge.Options))
	a.refuse(w, r, e)
}

// maxStepUps are so many logins within the loop window that another one would not help either. A session that is there
// allows for more than maxLogins: a user may need more consent here and a stronger login there.
const maxStepUps = maxTransactions

// challenge sends a session's user to the provider, unless that has just been in vain.
func (a *Auth) challenge(w http.ResponseWriter, r *http.Request, i *identity, o rp.AuthOptions, returnTo string) {
	c := a.names.read(r.Header)
	options := a.optionsOf(i, o)
	digest := challengeDigest(options)
	all, _ := a.recent(c)
	var e *Error
	switch {
	case a.unmet(i, digest):
		e = fail(codeChallengeUnmet, fmt.Errorf("%w: asked for %s, and the login has %s", ErrForbidden, wanted(o), i.has()))
	case all >= maxStepUps: // whoever asks, asks for something else each time
		e = fail(codeLoginLoop, &Challenge{Options: o})
	default:
		a.begins(w, r, c, begin{options: options, returnTo: returnTo, challenge: digest, continues: true})
		return
	}
	e.RetryURL = a.site.home()
	a.refuse(w, r, e)
}

// unmet reports whether a session was just begun by a login that answered this very challenge.
func (a *Auth) unmet(i *identity, digest string) bool {
	return i.challenge == digest && a.config.Now().Sub(i.started) < loopWindow
}

// optionsOf asks for o beside what the session's login asked for. It never asks for less than the configuration: an API
// that is content with an old login does not make the app so.
func (a *Auth) optionsOf(i *identity, o rp.AuthOptions) rp.AuthOptions {
	base := merge(a.config.AuthOptions, rp.AuthOptions{Scopes: i.scopes, Resources: i.resources})
	sum := merge(base, o)
	if base.MaxAge != nil && *base.MaxAge < *sum.MaxAge {
		sum.MaxAge = base.MaxAge
	}
	if len(base.Expect) > 0 && len(o.Expect) > 0 {
		sum.Expect = maps.Clone(base.Expect)
		maps.Copy(sum.Expect, o.Expect)
	}
	return sum
}

// challengeDigest tells challenges apart.
func challengeDigest(o rp.AuthOptions) string {
	b, err := json.Marshal(o)
	if err != nil {
		return "?"
	}
	sum := sha256.Sum256(b)
	return string(sum[:8])
}

// challengeQuery is the login route's parameter for what a script or a form was refused for: sealed, for this session
// alone, for as long as a login may take.
const challengeQuery = "challenge"

// maxChallenge bounds what goes into a URL.
const maxChallenge = 1 << 10

// challengeURL is LoginURL with a challenge: what its user opens asks for what a script or a form was refused for. One
// that is too long is left out.
func (a *Auth) challengeURL(i *identity, o rp.AuthOptions, returnTo string) string {
	plain, err := json.Marshal(sealedChallenge{a.config.Now().Unix(), o})
	if err != nil {
		return a.LoginURL(returnTo)
	}
	sealed, err := a.boxes.challenge.Seal(plain, i.id)
	if err != nil || len(sealed) > maxChallenge {
		return a.LoginURL(returnTo)
	}
	return a.LoginURL(returnTo) + "&" + challengeQuery + "=" + url.QueryEscape(sealed)
}

type sealedChallenge struct {
	At      int64
	Options rp.AuthOptions
}

var errChallengeExpired = errors.New("the challenge has expired")

func (a *Auth) openChallenge(i *identity, sealed string) (c sealedChallenge, err error) {
	plain, err := a.boxes.challenge.Open(sealed, i.id)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, err
	}
	if string(c.Options.Claims) == "null" { // as encoding/json writes none, and reads it back
		c.Options.Claims = nil
	}
	if age := a.config.Now().Sub(time.Unix(c.At, 0)); age >= a.config.LoginTimeout {
		return c, errChallengeExpired
	}
	return c, nil
}

// challengeRoute starts the login of a challengeURL; false if there is nothing in it for this session: then the login
// is one as any other.
func (a *Auth) challengeRoute(w http.ResponseWriter, r *http.Request, values []string, returnTo string) bool {
	if len(values) != 1 || classifyOpen(r.Method, r.Header) != navPage {
		return false
	}
	f, err := a.look(r.Context(), a.names.read(r.Header))
	if err != nil {
		return false
	}
	c, err := a.openChallenge(&f.rec.identity, values[0])
	if err != nil {
		return false
	}
	a.challenge(w, r, &f.rec.identity, c.Options, returnTo)
	return true
}

// demand is what a script is told that wants to know more, in the words of RFC 9470.
func demand(o rp.AuthOptions) string {
	if o.ACRValues == nil && o.EssentialACR == nil && o.MaxAge == nil && o.Prompt == "" {
		return `Session error="insufficient_scope"`
	}
	text := `Session error="insufficient_user_authentication"`
	if values := slices.Concat(o.EssentialACR, o.ACRValues); len(values) > 0 && !slices.ContainsFunc(values, isOddText) {
		text += `, acr_values="` + strings.Join(values, " ") + `"`
	}
	if o.MaxAge != nil {
		text += ", max_age=" + seconds(*o.MaxAge)
	}
	return text
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// wanted is what a challenge asked for, for the log.
func wanted(o rp.AuthOptions) string {
	var parts []string
	for _, list := range []struct {
		name   string
		values []string
	}{{"acr_values", o.ACRValues}, {"essential acr", o.EssentialACR}, {"scope", o.Scopes}, {"resource", o.Resources}} {
		if list.values != nil {
			parts = append(parts, fmt.Sprintf("%s %q", list.name, strings.Join(list.values, " ")))
		}
	}
	if o.MaxAge != nil {
		parts = append(parts, "max_age "+seconds(*o.MaxAge))
	}
	if parts == nil {
		return "another login"
	}
	return strings.Join(parts, ", ")
}

// has is how the session's user logged in, for the log.
func (i *identity) has() string {
	text := fmt.Sprintf("acr %q", i.acr)
	if i.authTime.IsZero() {
		return text + " and no auth_time"
	}
	return text + " and auth_time " + i.authTime.UTC().Format(time.RFC3339)
}

func isOddText(s string) bool { return strings.ContainsFunc(s, isOdd) }
