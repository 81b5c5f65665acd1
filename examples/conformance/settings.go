package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// settings are what the environment asks for. Only parse makes them.
type settings struct {
	listen   string
	base     string // scheme and host that the browser uses
	client   rp.Config
	options  rp.AuthOptions
	exchange middleware.ExchangeMode
	userInfo bool
	resource string // "" is none
	store    storeSetting
}

// settingError names the setting that is missing, malformed or not supported.
type settingError struct{ Name, Text string }

func (e *settingError) Error() string { return e.Name + ": " + e.Text }

// environment reads variables and keeps the first error, so that parse reads as a list of the settings.
type environment struct {
	get func(string) string
	err error
}

func (e *environment) fail(name, format string, a ...any) {
	if e.err == nil {
		e.err = &settingError{Name: name, Text: fmt.Sprintf(format, a...)}
	}
}

func (e *environment) required(name string) string {
	v := e.get(name)
	if v == "" {
		e.fail(name, "required")
	}
	return v
}

// oneOf returns the value of a variable that has only these values; "" becomes the first of them.
func (e *environment) oneOf(name string, values ...string) string {
	v := e.get(name)
	if v == "" {
		return values[0]
	}
	if !slices.Contains(values, v) {
		e.fail(name, "%q is not supported; supported: %s", v, strings.Join(slices.Compact(slices.Sorted(slices.Values(values))), ", "))
	}
	return v
}

// off refuses a feature that the library does not have: only "" and the given values mean that nobody asks for it.
func (e *environment) off(name string, values ...string) {
	if v := e.get(name); v != "" && !slices.Contains(values, v) {
		e.fail(name, "not supported")
	}
}

// parse reads the environment that the package comment describes. Its error is a *settingError.
func parse(get func(string) string) (*settings, error) {
	e := &environment{get: get}
	e.refuseUnsupported()
	s := &settings{listen: e.listen(), base: e.base(), resource: e.resource()}
	s.client = rp.Config{
		Issuer:                e.issuer(),
		ClientID:              e.required("RP_CLIENT_ID"),
		RedirectURL:           s.base + "/callback",
		PostLogoutRedirectURL: e.postLogout(s.base),
		Scopes:                e.scopes(),
		ResponseType:          e.responseType(),
		IDTokenAlgorithm:      e.algorithm("RP_ID_TOKEN_ALG"),
		UserInfoAlgorithm:     e.algorithm("RP_USERINFO_ALG"),
		UserInfoBody:          e.get("RP_USERINFO") == "bearer_body",
		Discovery:             rp.Lazy,
	}
	s.client.Insecure.PlainHTTP = strings.HasPrefix(s.client.Issuer, "http:")
	s.client.ResponseMode = e.responseMode(s.client.ResponseType)
	s.client.ClientAuth = e.clientAuth()
	s.client.HTTPClient = e.httpClient()
	s.userInfo = e.oneOf("RP_USERINFO", "none", "bearer_header", "bearer_body") != "none"
	s.options = e.authOptions()
	s.exchange = e.exchange(s.client.ResponseType)
	s.store = e.store()
	return s, e.err
}

// refuseUnsupported names each setting whose feature does not exist, or does not exist yet.
func (e *environment) refuseUnsupported() {
	e.off("RP_REGISTRATION", "static")
	e.off("RP_WEBFINGER")
	e.off("RP_REQUEST_OBJECT", "none")
	e.off("RP_REQUEST_OBJECT_ALG", signatureAlgorithms...) // without request objects it says nothing; none is refused
	e.off("RP_PAR", "0")
	e.off("RP_SENDER_CONSTRAIN")
	e.off("RP_CLIENT_CERT_FILE")
	e.off("RP_CLIENT_CERT_KEY_FILE")
	e.off("RP_ID_TOKEN_ENC_ALG")
	e.off("RP_ID_TOKEN_ENC_KEY_ID")
	e.off("RP_PROFILE")
}

func (e *environment) listen() string {
	v := e.required("RP_LISTEN")
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		e.fail("RP_LISTEN", "%q is not host:port", v)
		return v
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		e.fail("RP_LISTEN", "port %q is not a number up to 65535", port)
	}
	return v
}

// base returns RP_BASE_URL without a slash at its end: an origin, https or http on a loopback host.
func (e *environment) base() string {
	v := strings.TrimSuffix(e.required("RP_BASE_URL"), "/")
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || v != u.Scheme+"://"+u.Host:
		e.fail("RP_BASE_URL", "not http://localhost:PORT or https://NAME, without a path")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		e.fail("RP_BASE_URL", "%s://%s: https, or http on a loopback host", u.Scheme, u.Host)
	}
	return v
}

// issuer returns RP_ISSUER exactly as it is.
func (e *environment) issuer() string {
	v := e.required("RP_ISSUER")
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(v, "?#"):
		e.fail("RP_ISSUER", "not a URL without query and fragment")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		e.fail("RP_ISSUER", "scheme %q on host %q: https, or http on a loopback host", u.Scheme, u.Hostname())
	}
	return v
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *environment) resource() string {
	v := e.get("RP_RESOURCE_URL")
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		e.fail("RP_RESOURCE_URL", "not an absolute https URL, or http on a loopback host")
	}
	return v
}

func (e *environment) postLogout(base string) string {
	v := e.get("RP_POST_LOGOUT_REDIRECT_URI")
	if v != "" && v != base+"/logged-out" {
		e.fail("RP_POST_LOGOUT_REDIRECT_URI", "not RP_BASE_URL/logged-out")
	}
	return v
}

func (e *environment) scopes() []string {
	if e.get("RP_SCOPES") == "" {
		return nil
	}
	scopes := strings.Fields(e.get("RP_SCOPES"))
	if !slices.Contains(scopes, "openid") {
		e.fail("RP_SCOPES", "openid is missing")
	}
	return scopes
}

// responseType compares the words of a response type as a set.
func (e *environment) responseType() rp.ResponseType {
	words := strings.Fields(e.get("RP_RESPONSE_TYPE"))
	slices.Sort(words)
	if len(words) == 0 {
		return rp.CodeIDToken
	}
	v := rp.ResponseType(strings.Join(words, " "))
	known := []rp.ResponseType{rp.CodeIDToken, rp.CodeToken, rp.CodeIDTokenToken, rp.Code, rp.ImplicitIDToken}
	if !slices.Contains(known, v) {
		e.fail("RP_RESPONSE_TYPE", "%q is not supported", e.get("RP_RESPONSE_TYPE"))
	}
	return v
}

// responseMode: the type's own default mode is not sent by the library, which is what an empty setting asks for.
func (e *environment) responseMode(t rp.ResponseType) rp.ResponseMode {
	mode := rp.Fragment
	if t == rp.Code {
		mode = rp.Query
	}
	v := rp.ResponseMode(e.oneOf("RP_RESPONSE_MODE", string(mode), "form_post", "fragment", "query"))
	if v == rp.Query && t != rp.Code {
		e.fail("RP_RESPONSE_MODE", "query is for the response type code alone")
	}
	return v
}

var signatureAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
}

func (e *environment) algorithm(name string) string {
	if e.get(name) == "" {
		return ""
	}
	return e.oneOf(name, append([]string{"HS256", "HS384", "HS512"}, signatureAlgorithms...)...)
}

func (e *environment) exchange(t rp.ResponseType) middleware.ExchangeMode {
	modes := map[string]middleware.ExchangeMode{
		"now": middleware.ExchangeNow, "on_demand": middleware.ExchangeOnDemand, "never": middleware.ExchangeNever,
	}
	name := e.oneOf("RP_EXCHANGE", "now", "on_demand", "never")
	switch {
	case name != "now" && !strings.Contains(string(t), "id_token"):
		e.fail("RP_EXCHANGE", "%s needs id_token in RP_RESPONSE_TYPE", name)
	case name == "on_demand" && t == rp.ImplicitIDToken:
		e.fail("RP_EXCHANGE", "on_demand needs a code, and id_token in RP_RESPONSE_TYPE alone brings none")
	}
	return modes[name]
}

// authOptions sends what has a typed option through it, and the rest as it is. The library says which names are its own.
func (e *environment) authOptions() rp.AuthOptions {
	var o rp.AuthOptions
	params, err := url.ParseQuery(e.get("RP_AUTH_PARAMS"))
	if err != nil {
		e.fail("RP_AUTH_PARAMS", "not form-encoded")
		return o
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if err := setOption(&o, name, params[name]); err != nil {
			e.fail("RP_AUTH_PARAMS", "%s: %v", name, err)
		}
	}
	if err := o.Validate(); err != nil {
		e.fail("RP_AUTH_PARAMS", "%v", err)
	}
	return o
}

func setOption(o *rp.AuthOptions, name string, values []string) error {
	if name == "resource" { // the one parameter that may come more than once (RFC 8707, section 2)
		o.Resources = values
		return nil
	}
	if len(values) > 1 {
		return errors.New("is there twice")
	}
	value, err := values[0], error(nil)
	switch name {
	case "prompt":
		o.Prompt = value
	case "max_age":
		o.MaxAge, err = maxAge(value)
	case "acr_values":
		o.ACRValues = strings.Fields(value)
	case "claims":
		o.Claims, err = claims(value)
	case "login_hint":
		o.LoginHint = value
	case "id_token_hint":
		o.IDTokenHint = value
	case "ui_locales":
		o.UILocales = value
	default:
		if o.Extra == nil {
			o.Extra = url.Values{}
		}
		o.Extra.Set(name, value)
	}
	return err
}

func maxAge(value string) (*time.Duration, error) {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return nil, errors.New("not a number of seconds")
	}
	d := time.Duration(seconds) * time.Second
	return &d, nil
}

func claims(value string) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &object); err != nil || object == nil {
		return nil, errors.New("not a JSON object")
	}
	return json.RawMessage(value), nil
}
