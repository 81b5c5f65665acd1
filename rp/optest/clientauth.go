package optest

import (
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The token_endpoint_auth_methods (OpenID Connect Core section 9).
const (
	authBasic      = "client_secret_basic"
	authPost       = "client_secret_post"
	authSecretJWT  = "client_secret_jwt"
	authPrivateJWT = "private_key_jwt"
	authNone       = "none"
)

var authMethods = []string{authBasic, authPost, authSecretJWT, authPrivateJWT, authNone}

const (
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = 10 * time.Minute // the longest that is accepted
)

// signatureAlgorithms in the type that go-jose wants.
func signatureAlgorithms(prefixes ...string) []jose.SignatureAlgorithm {
	var list []jose.SignatureAlgorithm
	for _, alg := range algorithms {
		for _, prefix := range prefixes {
			if strings.HasPrefix(alg, prefix) {
				list = append(list, jose.SignatureAlgorithm(alg))
			}
		}
	}
	return list
}

// parseKeys reads a JWK Set and refuses one that holds a private key.
func parseKeys(raw []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		return set, err
	}
	for _, key := range set.Keys {
		if !key.IsPublic() {
			return set, errors.New("there is a private key in it")
		}
	}
	if len(set.Keys) == 0 {
		return set, errors.New("there is no key in it")
	}
	return set, nil
}

// open tells if any client may come, with any credential.
func (h *Handler) open() bool {
	return h.config.ClientID == "" && h.config.ClientSecret == "" && len(h.clientKeys.Keys) == 0
}

func (h *Handler) publicClient() bool {
	return h.config.ClientID != "" && h.config.ClientSecret == "" && len(h.clientKeys.Keys) == 0
}

// permits tells if the client may authenticate so.
func (h *Handler) permits(method string) bool {
	switch {
	case h.config.ClientAuth != "":
		return h.config.ClientAuth == method
	case h.open():
		return true
	case method == authNone:
		return h.publicClient()
	case method == authPrivateJWT:
		return len(h.clientKeys.Keys) > 0
	}
	return h.config.ClientSecret != ""
}

func refusedClient(text string) *protocolError { return &protocolError{"invalid_client", text} }

// authenticate finds out which client asks (RFC 6749 section 2.3, RFC 7523 section 2.2).
func (h *Handler) authenticate(r Request) (clientID string, err *protocolError) {
	authorization := r.Header.Get("Authorization")
	ways := 0
	for _, used := range []bool{authorization != "", r.Form.Has("client_secret"), r.Form.Has("client_assertion")} {
		if used {
			ways++
		}
	}
	switch {
	case ways > 1:
		return "", invalid("the client has authenticated in more than one way")
	case authorization != "":
		clientID, err = h.basic(authorization)
	case r.Form.Has("client_assertion"):
		clientID, err = h.assertion(r)
	case r.Form.Has("client_secret"):
		clientID, err = r.Form.Get("client_id"), h.secret(authPost, r.Form.Get("client_secret"))
	default:
		clientID = r.Form.Get("client_id")
		if !h.permits(authNone) {
			err = refusedClient("the client has to authenticate")
		}
	}
	switch {
	case err != nil:
		return "", err
	case clientID == "" || (h.config.ClientID != "" && clientID != h.config.ClientID):
		return "", refusedClient("the client is unknown")
	case r.Form.Has("client_id") && r.Form.Get("client_id") != clientID:
		return "", invalid("the client_id is not that of the credentials")
	}
	return clientID, nil
}

// basic reads client_secret_basic, whose parts are form-encoded first (RFC 6749 section 2.3.1).
func (h *Handler) basic(authorization string) (string, *protocolError) {
	scheme, credentials, _ := strings.Cut(authorization, " ")
	raw, err := base64.StdEncoding.DecodeString(credentials)
	id, secret, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok || !strings.EqualFold(scheme, "Basic") {
		return "", refusedClient("the Authorization header holds no Basic credentials")
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID != nil || errSecret != nil {
		return "", refusedClient("the Basic credentials are not form-encoded")
	}
	return id, h.secret(authBasic, secret)
}

func (h *Handler) secret(method, secret string) *protocolError {
	switch {
	case !h.permits(method):
		return refusedClient(method + " is not registered for this client")
	case h.config.ClientSecret == "" && secret != "":
		return nil // any client may come
	case subtle.ConstantTimeCompare([]byte(secret), []byte(h.config.ClientSecret)) != 1:
		return refusedClient("the secret is wrong")
	}
	return nil
}

// assertionClaims are those of RFC 7523 section 3.
type assertionClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	ID       string   `json:"jti"`
	Expiry   *float64 `json:"exp"`
	IssuedAt *float64 `json:"iat"`
	Before   *float64 `json:"nbf"`
}

// audience is a string or a list of them.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// assertion reads client_secret_jwt and private_key_jwt.
func (h *Handler) assertion(r Request) (string, *protocolError) {
	raw := r.Form.Get("client_assertion")
	if r.Form.Get("client_assertion_type") != assertionType {
		return "", invalid("the client_assertion_type must be " + assertionType)
	}
	payload, err := h.verifyAssertion(raw)
	if err != nil {
		return "", refusedClient("the client assertion: " + err.Error())
	}
	var c assertionClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", refusedClient("the client assertion's claims cannot be read")
	}
	if err := h.checkAssertion(c); err != nil {
		return "", refusedClient("the client assertion: " + err.Error())
	}
	return c.Subject, nil
}

func (h *Handler) verifyAssertion(raw string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, signatureAlgorithms("RS", "PS", "ES", "Ed", "HS"))
	if err != nil {
		return nil, errors.New("it is no JWS with an algorithm that is supported")
	}
	header := jws.Signatures[0].Header
	if typ, ok := header.ExtraHeaders["typ"]; ok && typ != "JWT" && typ != "client-authentication+jwt" {
		return nil, errors.New("its typ must be JWT")
	}
	if strings.HasPrefix(header.Algorithm, "HS") {
		return jws.UnsafePayloadWithoutVerification(), h.verifyMAC(header.Algorithm, raw)
	}
	if !h.permits(authPrivateJWT) {
		return nil, errors.New("private_key_jwt is not registered for this client")
	}
	if len(h.clientKeys.Keys) == 0 {
		return jws.UnsafePayloadWithoutVerification(), nil // any client may come
	}
	for _, key := range h.clientKeys.Keys {
		if (header.KeyID != "" && key.KeyID != header.KeyID) || (key.Algorithm != "" && key.Algorithm != header.Algorithm) {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no registered key with its kid and alg has made its signature")
}

// verifyMAC takes secrets of any length, as providers do that have handed out short ones.
func (h *Handler) verifyMAC(alg, raw string) error {
	if !h.permits(authSecretJWT) {
		return errors.New("client_secret_jwt is not registered for this client")
	}
	if h.config.ClientSecret == "" {
		return nil // any client may come
	}
	dot := strings.LastIndexByte(raw, '.')
	got, err := b64.DecodeString(raw[dot+1:])
	if err != nil {
		return err
	}
	want, err := sign(alg, []byte(h.config.ClientSecret), []byte(raw[:dot]))
	if err != nil {
		return err
	}
	if !hmac.Equal(got, want) {
		return errors.New("the secret has not made its signature")
	}
	return nil
}

func (h *Handler) checkAssertion(c assertionClaims) error {
	now := float64(h.now().UnixNano()) / 1e9
	switch {
	case c.Issuer == "" || c.Issuer != c.Subject:
		return errors.New("iss and sub must both be the client ID")
	case len(c.Audience) != 1 || (c.Audience[0] != h.issuer && c.Audience[0] != h.base+pathToken):
		return errors.New("aud must be the issuer " + h.issuer + " or the token endpoint")
	case c.Expiry == nil || *c.Expiry <= now || *c.Expiry > now+assertionLifetime.Seconds():
		return errors.New("exp is missing, over, or too far away")
	case c.IssuedAt != nil && *c.IssuedAt > now+60:
		return errors.New("iat is in the future")
	case c.Before != nil && *c.Before > now+60:
		return errors.New("nbf is in the future")
	case c.ID == "":
		return errors.New("jti is missing")
	case !h.state.firstUse(c.Subject+" "+c.ID, h.now(), time.Unix(int64(*c.Expiry)+1, 0)):
		return errors.New("its jti was used before")
	}
	return nil
}
