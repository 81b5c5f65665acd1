package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// The view is the flow as the page and the terminal show it. It holds no value that is still good for anything: codes
// and tokens are cut.
type view struct {
	Base, Issuer, User                             string
	LogoutURL, LogoutToken                         string
	Figures                                        []row
	AuthorizationEndpoint, Callback, TokenEndpoint string
	Request, Answer, Tokens, Session               []row
	AnswerChecks                                   []passed
	First, Second                                  tokenView
	MatchText                                      string
	Claims                                         []claim
	Differences                                    int
	API                                            apiCall
	Attacks                                        []attackView
}

type row struct{ Name, Value, Why string }

type tokenView struct {
	Algorithm, KeyID, Signature, Total string
	Checks                             []passed
}

// passed is one rule of a receipt. A receipt lists what has passed; what is refused has no receipt but an error.
type passed struct{ Name, Section, Why string }

// claim is one claim of both tokens. Kind is "" if they are equal, "agrees" if they had to be, "differs" if Twofold
// reports it, "own" if each token has its own by nature.
type claim struct {
	Name, Note, Kind string
	First, Second    cell
}

type cell struct{ Value, Human string }

type apiCall struct{ Text, URL, Token, Answer string }

type attackView struct{ Title, Text, URL string }

// newView shows a login that succeeded.
func (a *app) newView(r *http.Request, f *flow, s *middleware.Session) *view {
	v := &view{
		Base: a.base, Issuer: a.issuer, User: userName(s), LogoutURL: "/auth/logout", LogoutToken: s.LogoutToken(),
		AuthorizationEndpoint: f.endpoint, Callback: a.redirectURL(), TokenEndpoint: a.tokenEndpoint(),
		Request: requestRows(f.request), Answer: answerRows(f.answer), Tokens: tokenRows(f.tokens),
		AnswerChecks: answerChecks(f.answer),
		First:        viewOf(f.first), Second: viewOf(f.tokens.IDToken()),
		Claims: claims(f.first, f.tokens), Differences: len(f.tokens.Diff()),
		Session: sessionRows(r, s), API: a.callAPI(r, s),
	}
	v.MatchText = matchText(v.Differences)
	v.Figures = figures(f, v)
	for _, name := range attackNames {
		v.Attacks = append(v.Attacks, attackView{Title: attacks[name].Title, Text: attacks[name].Text, URL: a.attackURL(name)})
	}
	return v
}

// attackURL starts a login whose answer the recorder will change. The login route ignores what it does not know.
func (a *app) attackURL(name string) string { return a.auth.LoginURL("/flow") + "&attack=" + name }

// tokenEndpoint: the client does not tell where it is.
func (a *app) tokenEndpoint() string {
	if a.embedded {
		return a.issuer + "/oauth/token"
	}
	return "the provider's token endpoint"
}

func userName(s *middleware.Session) string {
	var user struct {
		Name string `json:"name"`
	}
	if err := s.Claims(&user); err != nil || user.Name == "" {
		return s.Subject
	}
	return user.Name
}

func figures(f *flow, v *view) []row {
	rows := []row{
		{Value: v.First.Signature, Why: "to check the signature of the first ID Token"},
		{Value: v.First.Total, Why: "for all checks of it together"},
		{Value: strconv.Itoa(len(v.First.Checks) + len(v.Second.Checks)), Why: "checks passed in the two ID Tokens"},
	}
	if e, ok := f.event("exchange"); ok {
		rows = append(rows, row{Value: short(e.Took), Why: "to redeem the code, round trip and checks included"})
	}
	return rows
}

func viewOf(t *rp.IDToken) tokenView {
	receipt := t.Receipt()
	v := tokenView{
		Algorithm: receipt.Algorithm, KeyID: receipt.KeyID,
		Signature: short(receipt.Signature), Total: short(receipt.Total),
	}
	for _, rule := range receipt.Rules {
		v.Checks = append(v.Checks, passed{Name: rule.Name, Section: rule.Section, Why: ruleTexts[rule.Name]})
	}
	return v
}

// short rounds a duration to what a reader wants to know.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	default:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
}

// rows lists parameters in the order of texts, then the others by name. secret says which values are cut.
func rows(params url.Values, texts []row, secret ...string) []row {
	var list []row
	show := func(name, why string) {
		for _, value := range params[name] {
			if slices.Contains(secret, name) {
				value = cut(value)
			}
			list = append(list, row{Name: name, Value: value, Why: why})
		}
	}
	known := map[string]bool{}
	for _, t := range texts {
		known[t.Name] = true
		show(t.Name, t.Why)
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !known[name] {
			show(name, "")
		}
	}
	return list
}

// cut leaves enough of a secret to recognise it, and too little to use it.
func cut(secret string) string {
	if len(secret) < 24 {
		return fmt.Sprintf("… (%d characters)", len(secret))
	}
	return fmt.Sprintf("%s… (%d characters)", secret[:6], len(secret))
}

func requestRows(params url.Values) []row { return rows(params, requestTexts, "id_token_hint") }

func answerRows(params url.Values) []row {
	return rows(params, answerTexts, "code", "id_token", "access_token")
}

// answerChecks are those that [rp.Client.VerifyResponse] makes before it looks into a token. It has succeeded, so they
// have passed.
func answerChecks(answer url.Values) []passed {
	if answer.Has("iss") {
		return answerTextsChecked
	}
	return slices.DeleteFunc(slices.Clone(answerTextsChecked), func(p passed) bool { return p.Name == "iss" })
}

func tokenRows(t *rp.Tokens) []row {
	token := t.OAuth2()
	about := "for APIs"
	if !token.Expiry.IsZero() {
		about += "; ends at " + clock(token.Expiry)
	}
	list := []row{{Name: "access_token", Value: cut(token.AccessToken), Why: about}}
	if token.RefreshToken != "" {
		list = append(list, row{Name: "refresh_token", Value: cut(token.RefreshToken), Why: "gets new tokens without the user"})
	}
	if scope, ok := token.Extra("scope").(string); ok {
		list = append(list, row{Name: "scope", Value: scope, Why: "what was granted"})
	}
	return append(list, row{Name: "id_token", Value: cut(t.IDToken().Raw()), Why: "the second ID Token"})
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

func sessionRows(r *http.Request, s *middleware.Session) []row {
	list := []row{
		{Name: "subject", Value: s.Subject, Why: "with the issuer, the only name of a user that lasts"},
		{Name: "started", Value: clock(s.Started)},
		{Name: "ends", Value: clock(s.Expires), Why: "earlier if nobody uses it"},
	}
	for _, c := range r.Cookies() {
		if why := cookieText(c.Name); why != "" {
			list = append(list, row{Name: c.Name, Value: fmt.Sprintf("%d bytes", len(c.Name)+1+len(c.Value)), Why: why})
		}
	}
	return list
}

func cookieText(name string) string {
	i := strings.LastIndexByte(name, '-')
	switch {
	case !strings.HasPrefix(name, "__Host-"):
		return ""
	case strings.HasPrefix(name[i+1:], "s"):
		return "who you are"
	case strings.HasPrefix(name[i+1:], "t"):
		return "the tokens"
	case strings.HasPrefix(name[i+1:], "x"):
		return "remembers that this login is done, should its answer come again"
	default:
		return ""
	}
}

func matchText(differences int) string {
	text := "Issuer, subject and nonce must be the same in both. Time and strength of the authentication must be where both tell them. "
	switch differences {
	case 0:
		return text + "They are, and no other claim differs."
	case 1:
		return text + "They are. One other claim differs: that is reported, not refused."
	default:
		return text + fmt.Sprintf("They are. %d other claims differ: that is reported, not refused.", differences)
	}
}

// claims puts the claims of both tokens side by side: those that the protocol needs first.
func claims(first *rp.IDToken, tokens *rp.Tokens) []claim {
	left, right := decode(first), decode(tokens.IDToken())
	reported := map[string]bool{}
	for _, d := range tokens.Diff() {
		reported[d.Claim] = true
	}
	var list []claim
	for _, name := range claimNames(left, right) {
		c := claim{Name: name, Note: claimTexts[name], First: newCell(name, left[name]), Second: newCell(name, right[name])}
		switch {
		case reported[name]:
			c.Kind = "differs"
		case !bytes.Equal(left[name], right[name]):
			c.Kind = "own"
		case strings.HasPrefix(c.Note, "must agree"):
			c.Kind = "agrees"
		}
		list = append(list, c)
	}
	return list
}

func decode(t *rp.IDToken) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	_ = t.Claims(&all) // a verified token's payload is a JSON object
	return all
}

func claimNames(tokens ...map[string]json.RawMessage) []string {
	there := map[string]bool{}
	for _, m := range tokens {
		for name := range m {
			there[name] = true
		}
	}
	var names []string
	for _, name := range claimOrder {
		if there[name] {
			names = append(names, name)
			delete(there, name)
		}
	}
	return append(names, slices.Sorted(maps.Keys(there))...)
}

func newCell(name string, value json.RawMessage) cell {
	c := cell{Value: string(value)}
	var seconds int64
	if slices.Contains(claimTimes, name) && json.Unmarshal(value, &seconds) == nil {
		c.Human = clock(time.Unix(seconds, 0))
	}
	return c
}
