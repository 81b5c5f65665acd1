package main

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/twofold-auth/twofold/rp/optest"
)

// The relying parties of section 5, each in a process of its own.
const (
	partyEmpty   = "empty handlers and the round trip"
	partyFloor   = "floor: by hand, standard library"
	partyGoOIDC  = "go-oidc + x/oauth2 by hand (no c_hash)"
	partyZitadel = "zitadel, front channel by hand"
	partyOurs    = "**ours, every check**"
)

// partyHandler serves /auth/login and /auth/callback in one of these ways.
func partyHandler(ctx context.Context, s settings) (http.Handler, error) {
	cookieKey = s.Key
	mux := http.NewServeMux()
	var p interface {
		start(w http.ResponseWriter, r *http.Request)
		callback(r *http.Request, form url.Values) (any, error)
	}
	var err error
	switch s.Variant {
	case partyOurs:
		auth, err := newAuth(ctx, s, nil)
		if err != nil {
			return nil, err
		}
		auth.Register(mux)
		return mux, nil
	case partyEmpty:
		p = &emptyParty{s: s, http: ownHTTP()}
	case partyFloor:
		p, err = newFloorParty(ctx, s)
	case partyGoOIDC:
		p, err = newGoOIDCParty(ctx, s)
	case partyZitadel:
		p, err = newZitadelParty(ctx, s)
	default:
		err = errors.New("unknown relying party")
	}
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /auth/login", p.start)
	mux.HandleFunc("POST /auth/callback", func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		var session any
		if err == nil {
			session, err = p.callback(r, r.PostForm)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if keep, ok := session.(func(http.ResponseWriter)); ok {
			keep(w)
		}
		http.Redirect(w, r, "/account", http.StatusSeeOther)
	})
	return mux, nil
}

func ownHTTP() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
}

// emptyParty checks nothing: what HTTP costs alone.
type emptyParty struct {
	s    settings
	http *http.Client
}

func (p *emptyParty) start(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, p.s.Issuer+"/authorize?"+url.Values{
		"client_id": {clientID}, "redirect_uri": {p.s.Base + "/auth/callback"}, "response_type": {"code id_token"}, "response_mode": {"form_post"},
		"scope": {"openid profile email offline_access"}, "state": {"state"}, "nonce": {"nonce"},
	}.Encode(), http.StatusFound)
}

func (p *emptyParty) callback(r *http.Request, form url.Values) (any, error) {
	_, err := exchange(r.Context(), p.http, p.s, form.Get("code"), "")
	return nil, err
}

// exchange is the least that a token request takes.
func exchange(ctx context.Context, c *http.Client, s settings, code, verifier string) ([]byte, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.Base + "/auth/callback"}}
	if verifier != "" {
		form.Set("code_verifier", verifier)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Issuer+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(clientSecret))
	answer, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("token endpoint: %s", body)
	}
	return body, err
}

// floorParty does what has to be done, once, with the standard library: random values, two signatures, two JSON
// objects, hash, nonce and subject compared, two cookies sealed.
type floorParty struct {
	s    settings
	http *http.Client
	aead cipher.AEAD
	keys map[string]func(raw string) error
}

func newFloorParty(ctx context.Context, s settings) (*floorParty, error) {
	p := &floorParty{s: s, http: ownHTTP(), aead: newAEAD(), keys: map[string]func(string) error{}}
	set, err := fetchKeys(ctx, p.http, s.Issuer+"/jwks")
	if err != nil {
		return nil, err
	}
	for _, k := range set.Keys {
		p.keys[k.KeyID] = checkRSA(k.Key)
	}
	return p, nil
}

func fetchKeys(ctx context.Context, c *http.Client, address string) (set jose.JSONWebKeySet, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return set, err
	}
	answer, err := c.Do(r)
	if err != nil {
		return set, err
	}
	defer func() { _ = answer.Body.Close() }()
	return set, json.NewDecoder(answer.Body).Decode(&set)
}

func (p *floorParty) start(w http.ResponseWriter, r *http.Request) {
	state, nonce, verifier := rand.Text(), rand.Text(), rand.Text()+rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	http.SetCookie(w, &http.Cookie{
		Name: "__Host-login", Value: sealText(p.aead, state+"\n"+nonce+"\n"+verifier), Path: "/", MaxAge: 900, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode,
	})
	http.Redirect(w, r, p.s.Issuer+"/authorize?"+url.Values{
		"client_id": {clientID}, "redirect_uri": {p.s.Base + "/auth/callback"}, "response_type": {"code id_token"}, "response_mode": {"form_post"},
		"scope": {"openid profile email offline_access"}, "state": {state}, "nonce": {nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), http.StatusFound)
}

// fewClaims are those that a login by hand looks at.
type fewClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Nonce    string `json:"nonce"`
	CodeHash string `json:"c_hash"`
	Expiry   int64  `json:"exp"`
}

func (p *floorParty) callback(r *http.Request, form url.Values) (any, error) {
	c, err := r.Cookie("__Host-login")
	if err != nil {
		return nil, err
	}
	sent := strings.Split(string(openText(p.aead, c.Value)), "\n")
	if subtle.ConstantTimeCompare([]byte(sent[0]), []byte(form.Get("state"))) != 1 {
		return nil, errors.New("state")
	}
	first, err := p.verify(form.Get("id_token"), sent[1])
	if err != nil || first.CodeHash != optest.HalfHash("RS256", form.Get("code")) {
		return nil, errors.Join(errors.New("first ID Token"), err)
	}
	body, err := exchange(r.Context(), p.http, p.s, form.Get("code"), sent[2])
	if err != nil {
		return nil, err
	}
	var tokens storedTokens
	if err := json.Unmarshal(body, &tokens); err != nil {
		return nil, err
	}
	second, err := p.verify(tokens.IDToken, sent[1])
	if err != nil || second.Subject != first.Subject || second.Issuer != first.Issuer {
		return nil, errors.Join(errors.New("second ID Token"), err)
	}
	return func(w http.ResponseWriter) {
		part := tokens.IDToken + "\n" + tokens.AccessToken + "\n" + tokens.RefreshToken
		http.SetCookie(w, &http.Cookie{Name: cookieFloorUser, Value: sealText(p.aead, second.Subject), Path: "/", HttpOnly: true, Secure: true})
		http.SetCookie(w, &http.Cookie{Name: cookieFloorToken, Value: sealText(p.aead, part), Path: "/", HttpOnly: true, Secure: true})
	}, nil
}

// storedTokens is a token response.
type storedTokens struct {
	IDToken      string `json:"id_token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

func (p *floorParty) verify(raw, nonce string) (claims fewClaims, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return claims, errors.New("not a JWS")
	}
	var header struct{ Kid string }
	if err := decodePart(parts[0], &header); err != nil {
		return claims, err
	}
	check := p.keys[header.Kid]
	if check == nil {
		return claims, errors.New("unknown key")
	}
	if err := check(raw); err != nil {
		return claims, err
	}
	if err := decodePart(parts[1], &claims); err != nil {
		return claims, err
	}
	if claims.Nonce != nonce || time.Now().Unix() > claims.Expiry {
		return claims, errors.New("nonce or exp")
	}
	return claims, nil
}

func decodePart(part string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
