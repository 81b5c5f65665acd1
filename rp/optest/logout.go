package optest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// hint is what an id_token_hint says.
type hint struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
}

// readHint verifies an ID Token of ours, as old as it may be and with keys that have been replaced too.
func (h *Handler) readHint(raw string) (*hint, error) {
	jws, err := jose.ParseSignedCompact(raw, signatureAlgorithms("RS", "PS", "ES", "Ed", "HS"))
	if err != nil {
		return nil, err
	}
	if alg := jws.Signatures[0].Header.Algorithm; strings.HasPrefix(alg, "HS") {
		dot := strings.LastIndexByte(raw, '.')
		signature, err := sign(alg, []byte(h.config.ClientSecret), []byte(raw[:dot]))
		if err != nil || h.config.ClientSecret == "" || b64.EncodeToString(signature) != raw[dot+1:] {
			return nil, errors.New("the signature is not ours")
		}
		return h.parseHint(jws.UnsafePayloadWithoutVerification())
	}
	current, retired := h.keys.list()
	for _, key := range slices.Concat(current, retired) {
		if payload, err := jws.Verify(key.signer.Public()); err == nil {
			return h.parseHint(payload)
		}
	}
	return nil, errors.New("the signature is not ours")
}

func (h *Handler) parseHint(payload []byte) (*hint, error) {
	var found hint
	if err := json.Unmarshal(payload, &found); err != nil {
		return nil, err
	}
	if found.Issuer != h.issuer || found.Subject == "" {
		return nil, errors.New("the token is not ours")
	}
	return &found, nil
}

// logout is OpenID Connect RP-Initiated Logout 1.0.
func (h *Handler) logout(a *Answer, r Request) *Answer {
	p := r.params()
	a.HTTPHeader.Set("Cache-Control", "no-store")
	clientID, known, err := h.logoutClient(p)
	target := p.Get("post_logout_redirect_uri")
	switch {
	case err != nil:
		return errorPage(a, http.StatusBadRequest, err.description)
	case target != "" && (clientID == "" || !registered(h.config.PostLogoutRedirectURLs, target)):
		return errorPage(a, http.StatusBadRequest, "The post_logout_redirect_uri is not registered for this client.")
	}
	cookie := r.cookie(h.cookieName())
	s := h.state.session(cookie)
	sure := known != nil && s != nil && known.Subject == s.sub // else the user is asked (section 2)
	if s != nil && !sure && h.config.LoginPage && !confirmed(r) {
		return h.confirmPage(a, p)
	}
	h.state.endSession(cookie)
	h.setCookie(a, "", -1)
	if target != "" && p.Has("state") {
		target = appendQuery(target, url.Values{"state": {p.Get("state")}})
	}
	frames := h.tellClients(s)
	switch {
	case len(frames) > 0:
		return framesPage(a, frames, target)
	case target == "":
		return loggedOutPage(a)
	}
	return redirect(a, r, target)
}

// confirmed tells if our own page has asked.
func confirmed(r Request) bool {
	return r.Method == http.MethodPost && r.Form.Get("confirmed") == "yes"
}

// logoutClient finds out which client sent the browser: by the hint, by client_id, and both must agree.
func (h *Handler) logoutClient(p url.Values) (clientID string, known *hint, fault *protocolError) {
	for name, values := range p {
		if len(values) > 1 {
			return "", nil, invalid(name + " occurs twice")
		}
	}
	clientID = p.Get("client_id")
	if h.config.ClientID != "" && clientID != "" && clientID != h.config.ClientID {
		return "", nil, invalid("The client is unknown.")
	}
	raw := p.Get("id_token_hint")
	if raw == "" {
		return clientID, nil, nil
	}
	known, err := h.readHint(raw)
	if err != nil {
		return "", nil, invalid("The id_token_hint is none of ours.")
	}
	if clientID != "" && !slices.Contains(known.Audience, clientID) {
		return "", nil, invalid("The id_token_hint was given to another client.")
	}
	if clientID == "" && len(known.Audience) > 0 {
		clientID = known.Audience[0]
	}
	return clientID, known, nil
}

func appendQuery(target string, p url.Values) string {
	target, fragment, found := strings.Cut(target, "#")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	target += separator + p.Encode()
	if found {
		target += "#" + fragment
	}
	return target
}
