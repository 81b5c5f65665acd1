package optest

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Response modes (OAuth 2.0 Multiple Response Types 2.1, Form Post Response Mode).
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

// protocolError is an OAuth error (RFC 6749 4.1.2.1 and 5.2).
type protocolError struct{ code, description string }

func invalid(description string) *protocolError {
	return &protocolError{"invalid_request", description}
}

// authRequest is an authorization request that has been checked.
type authRequest struct {
	clientID, redirectURI, state, nonce, challenge string
	mode, loginHint                                string
	types, scopes, prompt, acr, resources          []string
	maxAge                                         *time.Duration
	hint                                           *hint
	claims                                         claimsRequest
	request                                        Request // as it came
}

// claimsRequest is the claims parameter (OpenID Connect Core 5.5).
type claimsRequest struct {
	IDToken  map[string]*claimRequest `json:"id_token"`
	UserInfo map[string]*claimRequest `json:"userinfo"`
}

type claimRequest struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// accepts tells if a value is one of those asked for; no list asks for none.
func (c *claimRequest) accepts(v any) bool {
	if c == nil || (c.Value == nil && c.Values == nil) {
		return true
	}
	return c.Value == v || slices.Contains(c.Values, v)
}

func (c *claimRequest) essential() bool { return c != nil && c.Essential }

// strings returns the values asked for.
func (c *claimRequest) strings() []string {
	if c == nil {
		return nil
	}
	var list []string
	for _, v := range append([]any{c.Value}, c.Values...) {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// does tells if the response type holds a word.
func (q *authRequest) does(responseType string) bool { return slices.Contains(q.types, responseType) }

func (q *authRequest) prompts(value string) bool { return slices.Contains(q.prompt, value) }

// client reads what must be right before anything is sent to the redirect URI (RFC 6749 4.1.2.1). Its error is shown to
// the user and never redirected.
func (h *Handler) client(q *authRequest, p url.Values) *protocolError {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(p[name]) > 1 {
			return invalid(name + " occurs twice")
		}
	}
	q.clientID, q.redirectURI, q.state = p.Get("client_id"), p.Get("redirect_uri"), p.Get("state")
	switch {
	case q.clientID == "" || (h.config.ClientID != "" && q.clientID != h.config.ClientID):
		return &protocolError{"unauthorized_client", "the client is unknown"}
	case !registered(h.config.RedirectURLs, q.redirectURI):
		return invalid("the redirect_uri is not registered")
	}
	return nil
}

// registered compares byte for byte; without a list each http or https URI without a fragment will do.
func registered(list []string, uri string) bool {
	if list != nil {
		return slices.Contains(list, uri)
	}
	u, err := url.Parse(uri)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && !strings.Contains(uri, "#")
}

// authRules are the checks whose errors go to the client, in this order: the mode first, since it carries the errors.
var authRules = []func(*Handler, *authRequest, url.Values) *protocolError{
	checkMode, checkDuplicates, checkUnsupported, checkType, checkScope, checkNonce, checkPKCE, checkPrompt, checkMaxAge, checkClaims,
	checkResources, checkHint,
}

func checkMode(_ *Handler, q *authRequest, p url.Values) *protocolError {
	q.types = strings.Fields(p.Get("response_type"))
	slices.Sort(q.types)
	standard := modeFragment
	if slices.Equal(q.types, []string{"code"}) || len(q.types) == 0 {
		standard = modeQuery
	}
	q.mode = standard
	switch mode := p.Get("response_mode"); {
	case len(p["response_mode"]) > 1:
		return invalid("response_mode occurs twice")
	case mode == "":
	case mode != modeQuery && mode != modeFragment && mode != modeFormPost:
		return invalid("the response_mode is not supported")
	case mode == modeQuery && standard != modeQuery:
		return invalid("a token must not be sent in a query")
	default:
		q.mode = mode
	}
	return nil
}

func checkDuplicates(_ *Handler, _ *authRequest, p url.Values) *protocolError {
	for name, values := range p {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return invalid(name + " occurs twice")
		}
	}
	return nil
}

func checkUnsupported(_ *Handler, _ *authRequest, p url.Values) *protocolError {
	for _, name := range []string{"request", "request_uri", "registration"} {
		if p.Has(name) {
			return &protocolError{name + "_not_supported", name + " is not supported"}
		}
	}
	return nil
}

// responseTypes that are supported, sorted: a response type is a set (Multiple Response Types section 3).
var responseTypes = []string{"code", "id_token", "code id_token", "code token", "code id_token token"}

func checkType(_ *Handler, q *authRequest, p url.Values) *protocolError {
	switch {
	case p.Get("response_type") == "":
		return invalid("response_type is missing")
	case !slices.Contains(responseTypes, strings.Join(q.types, " ")):
		return &protocolError{"unsupported_response_type", "this response_type is not supported"}
	}
	return nil
}

func checkScope(_ *Handler, q *authRequest, p url.Values) *protocolError {
	q.scopes = strings.Fields(p.Get("scope"))
	if !slices.Contains(q.scopes, "openid") {
		return &protocolError{"invalid_scope", "the scope does not contain openid"}
	}
	if !q.does("code") {
		q.scopes = slices.DeleteFunc(q.scopes, func(s string) bool { return s == "offline_access" })
	}
	return nil
}

func checkNonce(_ *Handler, q *authRequest, p url.Values) *protocolError {
	q.nonce, q.loginHint = p.Get("nonce"), p.Get("login_hint")
	if q.nonce == "" && q.does("id_token") {
		return invalid("the nonce is missing") // OpenID Connect Core 3.2.2.1 and 3.3.2.11
	}
	return nil
}

func checkPKCE(h *Handler, q *authRequest, p url.Values) *protocolError {
	q.challenge = p.Get("code_challenge")
	switch method := p.Get("code_challenge_method"); {
	case q.challenge == "" && method != "":
		return invalid("code_challenge is missing")
	case q.challenge == "" && h.publicClient() && q.does("code"):
		return invalid("a client without credentials must use PKCE")
	case q.challenge == "":
		return nil
	case method != "S256":
		return invalid("the code_challenge_method must be S256") // an absent one means plain, RFC 7636 4.3
	case len(q.challenge) != 43:
		return invalid("the code_challenge is no SHA-256 hash")
	}
	return nil
}

func checkPrompt(_ *Handler, q *authRequest, p url.Values) *protocolError {
	q.prompt = strings.Fields(p.Get("prompt"))
	for _, value := range q.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, value) {
			return invalid("the prompt is not supported")
		}
	}
	if q.prompts("none") && len(q.prompt) > 1 {
		return invalid("prompt none goes with no other one")
	}
	return nil
}

func checkMaxAge(_ *Handler, q *authRequest, p url.Values) *protocolError {
	if !p.Has("max_age") {
		return nil
	}
	seconds, err := strconv.ParseUint(p.Get("max_age"), 10, 31)
	if err != nil {
		return invalid("max_age is no number of seconds")
	}
	age := time.Duration(seconds) * time.Second
	q.maxAge = &age
	return nil
}

func checkClaims(_ *Handler, q *authRequest, p url.Values) *protocolError {
	q.acr = strings.Fields(p.Get("acr_values"))
	raw := p.Get("claims")
	if raw == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(raw), &q.claims); err != nil {
		return invalid("the claims parameter is not what OpenID Connect Core 5.5 describes")
	}
	if asked := q.claims.IDToken["acr"].strings(); asked != nil {
		q.acr = asked
	}
	return nil
}

func checkResources(h *Handler, q *authRequest, p url.Values) (err *protocolError) {
	q.resources, err = h.resources(p["resource"], p["audience"])
	return err
}

// absolute tells if a text is an absolute URI without a fragment (RFC 8707 section 2).
func absolute(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.IsAbs() && !strings.Contains(raw, "#")
}

func checkHint(h *Handler, q *authRequest, p url.Values) *protocolError {
	raw := p.Get("id_token_hint")
	if raw == "" {
		return nil
	}
	found, err := h.readHint(raw)
	if err != nil {
		return invalid("the id_token_hint is none of ours")
	}
	q.hint = found
	return nil
}
