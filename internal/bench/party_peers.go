package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/gorilla/securecookie"
	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

// checkRSA returns a function that checks an RS256 signature, and that refuses everything if the key is no RSA key.
func checkRSA(key any) func(raw string) error {
	public, ok := key.(*rsa.PublicKey)
	return func(raw string) error {
		dot := strings.LastIndexByte(raw, '.')
		sig, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
		if err != nil || !ok {
			return errors.Join(errors.New("signature"), err)
		}
		sum := sha256.Sum256([]byte(raw[:dot]))
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig)
	}
}

// gooidcParty is what a careful app does with go-oidc, x/oauth2 and securecookie. Neither helps it with c_hash.
type gooidcParty struct {
	config   oauth2.Config
	verifier *gooidc.IDTokenVerifier
	codec    *securecookie.SecureCookie
}

func newGoOIDCParty(ctx context.Context, s settings) (*gooidcParty, error) {
	provider, err := gooidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &gooidcParty{
		config:   oauth2.Config{ClientID: clientID, ClientSecret: clientSecret, RedirectURL: s.Base + "/auth/callback", Scopes: scopes, Endpoint: endpoint},
		verifier: provider.Verifier(&gooidc.Config{ClientID: clientID}), codec: newCodec(),
	}, nil
}

func newCodec() *securecookie.SecureCookie {
	codec := securecookie.New(cookieKey, cookieKey)
	codec.MaxLength(0)
	return codec
}

func (p *gooidcParty) start(w http.ResponseWriter, r *http.Request) {
	s := loginState{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), "/account"}
	value, err := p.codec.Encode("login", s)
	must(err)
	http.SetCookie(w, &http.Cookie{Name: "login", Value: value, Path: "/", MaxAge: 900, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode})
	http.Redirect(w, r, p.config.AuthCodeURL(s.State, oauth2.S256ChallengeOption(s.Verifier), gooidc.Nonce(s.Nonce),
		oauth2.SetAuthURLParam("response_type", "code id_token"), oauth2.SetAuthURLParam("response_mode", "form_post")), http.StatusFound)
}

func (p *gooidcParty) callback(r *http.Request, form url.Values) (any, error) {
	c, err := r.Cookie("login")
	if err != nil {
		return nil, err
	}
	var sent loginState
	if err := p.codec.Decode("login", c.Value, &sent); err != nil || sent.State != form.Get("state") {
		return nil, errors.Join(errors.New("state"), err)
	}
	first, err := p.verifier.Verify(r.Context(), form.Get("id_token"))
	if err != nil || first.Nonce != sent.Nonce {
		return nil, errors.Join(errors.New("first ID Token"), err)
	}
	token, err := p.config.Exchange(r.Context(), form.Get("code"), oauth2.VerifierOption(sent.Verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	second, err := p.verifier.Verify(r.Context(), raw)
	if err != nil || second.Nonce != sent.Nonce || second.Subject != first.Subject {
		return nil, errors.Join(errors.New("second ID Token"), err)
	}
	var claims struct{ Name, Email string }
	if err := second.Claims(&claims); err != nil {
		return nil, err
	}
	return keepGorilla(p.codec, storedSession{second.Subject, claims.Name, claims.Email, raw, token.AccessToken, token.RefreshToken, token.Expiry.Unix()}), nil
}

// keepGorilla keeps the session in a securecookie.
func keepGorilla(codec *securecookie.SecureCookie, s storedSession) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		value, err := codec.Encode("session", s)
		must(err)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: value, Path: "/", HttpOnly: true, Secure: true})
	}
}

// zitadelParty is zitadel's client, with the front channel by hand: its own handlers do not know the hybrid flow.
type zitadelParty struct {
	party zitadel.RelyingParty
	codec *securecookie.SecureCookie
}

// nonceKey carries the nonce of a login to zitadel's verifier.
type nonceKey struct{}

func newZitadelParty(ctx context.Context, s settings) (*zitadelParty, error) {
	party, err := zitadel.NewRelyingPartyOIDC(ctx, s.Issuer, clientID, clientSecret, s.Base+"/auth/callback", scopes,
		zitadel.WithPKCE(zhttp.NewCookieHandler(cookieKey, cookieKey)), zitadel.WithAuthStyle(oauth2.AuthStyleInHeader),
		zitadel.WithVerifierOpts(zitadel.WithNonce(func(ctx context.Context) string { nonce, _ := ctx.Value(nonceKey{}).(string); return nonce })))
	return &zitadelParty{party: party, codec: newCodec()}, err
}

func (p *zitadelParty) start(w http.ResponseWriter, r *http.Request) {
	s := loginState{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), "/account"}
	value, err := p.codec.Encode("login", s)
	must(err)
	http.SetCookie(w, &http.Cookie{Name: "login", Value: value, Path: "/", MaxAge: 900, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode})
	extra := func() []oauth2.AuthCodeOption {
		return []oauth2.AuthCodeOption{
			oauth2.SetAuthURLParam("nonce", s.Nonce), oauth2.SetAuthURLParam("response_type", "code id_token"), oauth2.SetAuthURLParam("response_mode", "form_post"),
		}
	}
	http.Redirect(w, r, zitadel.AuthURL(s.State, p.party, zitadel.WithCodeChallenge(oauth2.S256ChallengeFromVerifier(s.Verifier)), extra), http.StatusFound)
}

func (p *zitadelParty) callback(r *http.Request, form url.Values) (any, error) {
	c, err := r.Cookie("login")
	if err != nil {
		return nil, err
	}
	var sent loginState
	if err := p.codec.Decode("login", c.Value, &sent); err != nil || sent.State != form.Get("state") {
		return nil, errors.Join(errors.New("state"), err)
	}
	ctx := context.WithValue(r.Context(), nonceKey{}, sent.Nonce)
	first, err := zitadel.VerifyIDToken[*oidc.IDTokenClaims](ctx, form.Get("id_token"), p.party.IDTokenVerifier())
	if err != nil {
		return nil, err
	}
	tokens, err := zitadel.CodeExchange[*oidc.IDTokenClaims](ctx, form.Get("code"), p.party, zitadel.WithCodeVerifier(sent.Verifier))
	if err != nil || tokens.IDTokenClaims.Subject != first.Subject {
		return nil, errors.Join(errors.New("second ID Token"), err)
	}
	second := tokens.IDTokenClaims
	return keepGorilla(p.codec, storedSession{second.Subject, second.Name, second.Email, tokens.IDToken, tokens.AccessToken, tokens.RefreshToken, tokens.Expiry.Unix()}), nil
}
