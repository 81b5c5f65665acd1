package rp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// ours are the parameters that AuthOptions.Extra may not set: those that this package sends, and those that would change
// what it sends or take its place.
var ours = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "code_verifier", "prompt", "login_hint", "id_token_hint", "ui_locales",
	"max_age", "acr_values", "claims", "resource", "request", "request_uri", "registration", "dpop_jkt",
	"client_secret", "client_assertion", "client_assertion_type", "grant_type",
	"code", "id_token", "access_token", "refresh_token", "token_type", "expires_in", "iss", "error", "response",
}

func isOurs(name string) bool { return slices.Contains(ours, strings.ToLower(name)) }

func optionError(format string, a ...any) error {
	return fmt.Errorf("rp: %w", badOption(format, a...))
}

// badOption is optionError for an error that is wrapped once more.
func badOption(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, a...))
}

// Validate reports what [Client.NewAuthRequest] would refuse, as an error that wraps [ErrOptions] and names the field: for
// options that are known when the program starts.
func (o AuthOptions) Validate() error {
	if err := o.validate(); err != nil {
		return err
	}
	demanded, err := o.demands()
	if err != nil {
		return err
	}
	if _, err := o.expected(demanded.sub); err != nil {
		return err
	}
	_, err = o.claims()
	return err
}

// validate refuses what could not be sent, or would contradict itself.
func (o *AuthOptions) validate() error {
	prompts := strings.Fields(o.Prompt)
	if len(prompts) > 1 && slices.Contains(prompts, "none") {
		return optionError("Prompt: none stands alone (Core 3.1.2.1)")
	}
	if o.MaxAge != nil && (*o.MaxAge < 0 || *o.MaxAge%time.Second != 0) {
		return optionError("MaxAge: %v is not a number of whole seconds", *o.MaxAge)
	}
	if o.Scopes != nil && !slices.Contains(o.Scopes, "openid") {
		return optionError("Scopes: openid is missing (Core 3.1.2.1)")
	}
	for _, list := range [...]struct {
		name   string
		values []string
		check  func(string) error
	}{
		{"Scopes", o.Scopes, scopeToken},
		{"Resources", o.Resources, absoluteURI},
		{"ACRValues", o.ACRValues, acrValue},
		{"EssentialACR", o.EssentialACR, acrValue},
	} {
		if err := checkList(list.values, list.check); err != nil {
			return optionError("%s: %w", list.name, err)
		}
	}
	if o.EssentialACR != nil && len(o.EssentialACR) == 0 {
		return optionError("EssentialACR: empty list; nil asks for none")
	}
	return o.validateExtra()
}

func acrValue(v string) error {
	if v == "" || strings.ContainsAny(v, " \t\r\n") {
		return fmt.Errorf("not one value")
	}
	return nil
}

func (o *AuthOptions) validateExtra() error {
	for name, values := range o.Extra {
		switch {
		case name == "" || isOurs(name):
			return optionError("Extra: %q is not the application's to set", name)
		case len(values) != 1:
			return optionError("Extra: %q has %d values; one is allowed (RFC 6749, section 3.1)", name, len(values))
		}
	}
	return nil
}

// expected returns the claims that the ID Token must show; sub is who the claims parameter asks for. It never shares o's
// map.
func (o *AuthOptions) expected(sub string) (map[string]string, error) {
	expect := maps.Clone(o.Expect)
	want := func(claim, value string) error {
		if have, ok := expect[claim]; ok && have != value {
			return optionError("Expect: %s contradicts the request", claim)
		}
		if expect == nil {
			expect = map[string]string{}
		}
		expect[claim] = value
		return nil
	}
	if org := o.Extra.Get("organization"); strings.HasPrefix(org, "org_") {
		if err := want("org_id", org); err != nil {
			return nil, err
		}
	}
	if hd := o.Extra.Get("hd"); hd != "" && hd != "*" {
		if err := want("hd", hd); err != nil {
			return nil, err
		}
	}
	if sub != "" {
		if err := want("sub", sub); err != nil {
			return nil, err
		}
	}
	if o.IDTokenHint == "" {
		return expect, nil
	}
	hinted, err := hintedSubject(o.IDTokenHint)
	if err != nil {
		return nil, optionError("IDTokenHint: %w", err)
	}
	return expect, want("sub", hinted)
}

// hintedSubject reads sub from an ID Token that this application verified before. A wrong one harms only its own login.
func hintedSubject(hint string) (string, error) {
	segments := strings.Split(hint, ".")
	if len(segments) != 3 {
		return "", fmt.Errorf("not a JWS")
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		return "", fmt.Errorf("not a JWS")
	}
	claims, err := strictjson.Parse(string(payload))
	if err != nil {
		return "", fmt.Errorf("not a JWS")
	}
	sub, ok := claims.Get("sub").Text()
	if !ok || sub == "" {
		return "", fmt.Errorf("no sub")
	}
	return sub, nil
}

// write appends the optional parameters.
func (o *AuthOptions) write(b *strings.Builder) error {
	for _, p := range [...]struct{ name, value string }{
		{"prompt", o.Prompt},
		{"login_hint", o.LoginHint},
		{"id_token_hint", o.IDTokenHint},
		{"ui_locales", o.UILocales},
		{"acr_values", strings.Join(o.ACRValues, " ")},
	} {
		if p.value != "" {
			add(b, p.name, p.value)
		}
	}
	if o.MaxAge != nil {
		add(b, "max_age", strconv.FormatInt(int64(*o.MaxAge/time.Second), 10))
	}
	claims, err := o.claims()
	if err != nil {
		return err
	}
	if claims != "" {
		add(b, "claims", claims)
	}
	if len(o.Extra) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.Extra)) {
		add(b, url.QueryEscape(name), o.Extra[name][0])
	}
	return nil
}

// claims returns the claims parameter: the caller's, with the essential acr added (Core 5.5.1.1).
func (o *AuthOptions) claims() (string, error) {
	if len(o.Claims) == 0 && len(o.EssentialACR) == 0 {
		return "", nil
	}
	all := map[string]json.RawMessage{}
	if len(o.Claims) > 0 {
		if err := strictjson.Unmarshal(string(o.Claims), &all); err != nil {
			return "", optionError("Claims: not a JSON object")
		}
	}
	if len(o.EssentialACR) == 0 {
		return string(o.Claims), nil
	}
	idToken := map[string]json.RawMessage{}
	if raw, ok := all["id_token"]; ok {
		if err := json.Unmarshal(raw, &idToken); err != nil || idToken == nil {
			return "", optionError("Claims: id_token is not an object")
		}
	}
	if _, ok := idToken["acr"]; ok {
		return "", optionError("Claims: acr is there beside EssentialACR")
	}
	acr, err := json.Marshal(map[string]any{"essential": true, "values": o.EssentialACR})
	if err != nil {
		return "", err
	}
	idToken["acr"] = acr
	if all["id_token"], err = json.Marshal(idToken); err != nil {
		return "", err
	}
	text, err := json.Marshal(all)
	return string(text), err
}
