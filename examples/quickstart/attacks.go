package main

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// attack changes an answer on its way from the browser to the app, as whoever sits between them could.
type attack struct {
	Title, Text string
	Refusal     string // the stable code that it is refused with
	change      func(answer url.Values)
}

// attackNames are in the order of the page.
var attackNames = []string{"code", "token", "extra"}

var attacks = map[string]attack{
	"code": {
		Title: "Slip in another code", Refusal: "id_token_code_hash",
		Text:   "A code that was stolen from somebody else stands in the place of yours, beside your own ID Token.",
		change: func(a url.Values) { a.Set("code", strings.ToUpper(a.Get("code"))+"-stolen") },
	},
	"token": {
		Title: "Become somebody else", Refusal: "id_token_signature",
		Text:   "The ID Token says that you are “admin”. All else in it stays as the provider signed it.",
		change: func(a url.Values) { a.Set("id_token", claimAdmin(a.Get("id_token"))) },
	},
	"extra": {
		Title: "Ask for more than was promised", Refusal: "parameters",
		Text:   "An access token of another client rides along, as if the provider had sent it.",
		change: func(a url.Values) { a.Set("access_token", "of-another-client") },
	},
}

// claimAdmin replaces sub in a token's payload and leaves header and signature alone.
func claimAdmin(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return token
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return token
	}
	before, rest, ok := strings.Cut(string(payload), `"sub":"`)
	if !ok {
		return token
	}
	_, after, _ := strings.Cut(rest, `"`)
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(before + `"sub":"admin"` + after))
	return strings.Join(parts, ".")
}
