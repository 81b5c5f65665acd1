package optest

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// scopeClaims are the claims that a scope asks for (OpenID Connect Core 5.4).
var scopeClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

func claimNames() []string {
	names := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid"}
	for _, list := range scopeClaims {
		names = append(names, list...)
	}
	slices.Sort(names)
	return names
}

// user is all that is known about a user.
func (h *Handler) user(sub string) map[string]any {
	claims := map[string]any{
		"name":               title(sub),
		"preferred_username": sub,
		"email":              sub + "@example.com",
		"email_verified":     true,
	}
	if sub == h.defaultUser() {
		maps.Copy(claims, h.config.Claims)
	}
	claims["sub"] = sub
	return claims
}

func title(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}

// about returns what the scopes and the claims parameter ask for, and every claim that belongs to no scope.
func (h *Handler) about(g *grant, scopes []string, asked map[string]*claimRequest) map[string]any {
	claims := h.user(g.session.sub)
	maps.DeleteFunc(claims, func(name string, _ any) bool {
		if _, ok := asked[name]; ok {
			return false
		}
		for scope, list := range scopeClaims {
			if slices.Contains(list, name) {
				return !slices.Contains(scopes, scope)
			}
		}
		return false
	})
	return claims
}

// idToken returns header and claims that every ID Token of a grant has (OpenID Connect Core section 2).
func (h *Handler) idToken(g *grant, scopes []string) (header, claims map[string]any) {
	now := h.now()
	claims = h.about(g, scopes, g.claims.IDToken)
	maps.Copy(claims, map[string]any{
		"iss": h.issuer, "aud": g.clientID, "azp": g.clientID,
		"iat": now.Unix(), "exp": now.Add(h.config.IDTokenLifetime).Unix(),
		"auth_time": g.session.authTime.Unix(), "sid": g.session.sid,
	})
	if _, ok := claims["amr"]; !ok {
		claims["amr"] = []string{"pwd"}
	}
	if g.session.acr != "" {
		claims["acr"] = g.session.acr
	}
	return h.joseHeader(h.config.Algorithm, "JWT"), claims
}

func (h *Handler) joseHeader(alg, typ string) map[string]any {
	header := map[string]any{"alg": alg, "typ": typ}
	if kid := h.KeyID(alg); kid != "" {
		header["kid"] = kid
	}
	return header
}

// putID makes the honest ID Token of an answer.
func (h *Handler) putID(a *Answer, header, claims map[string]any) {
	a.Header, a.Claims = header, claims
	a.honestKID, _ = header["kid"].(string)
	a.honestHash, _ = claims["at_hash"].(string)
	a.honestID = a.signed()
	a.honestHeader, a.honestClaims = mustEncode(header), mustEncode(claims)
}

// putFirst makes the front-channel ID Token, bound to what came with it (OpenID Connect Core 3.3.2.11).
func (h *Handler) putFirst(a *Answer, g *grant, p url.Values) {
	header, claims := h.idToken(g, g.scopes)
	alg := h.config.Algorithm
	claims["nonce"] = g.nonce
	if p.Has("code") {
		claims["c_hash"] = HalfHash(alg, p.Get("code"))
	}
	if p.Has("access_token") {
		claims["at_hash"] = HalfHash(alg, p.Get("access_token"))
	}
	if p.Has("state") {
		claims["s_hash"] = HalfHash(alg, p.Get("state")) // FAPI 1.0 Part 2 section 5.1.1; Keycloak always sends it
	}
	h.putID(a, header, claims)
}

// putAccess makes the honest access token of an answer: a JWT if it is for a resource (RFC 9068), else opaque.
func (h *Handler) putAccess(a *Answer, g *grant, scopes, resources []string) {
	now := h.now()
	expires := now.Add(h.config.AccessTokenLifetime)
	record := &accessToken{grant: g, scopes: scopes, resources: resources, issuedBy: a.Endpoint, expires: expires}
	a.honestAccess = random(32)
	if len(resources) > 0 {
		alg := h.accessAlgorithm()
		a.AccessHeader = h.joseHeader(alg, "at+jwt")
		a.AccessClaims = map[string]any{
			"iss": h.issuer, "sub": g.session.sub, "aud": oneOrMany(resources), "client_id": g.clientID,
			"iat": now.Unix(), "exp": expires.Unix(), "jti": random(12), "scope": strings.Join(scopes, " "),
			"auth_time": g.session.authTime.Unix(),
		}
		if g.session.acr != "" {
			a.AccessClaims["acr"] = g.session.acr
		}
		a.honestAccess = h.jws(alg, mustEncode(a.AccessHeader), mustEncode(a.AccessClaims))
	}
	h.state.addAccess(a.honestAccess, record)
}

// accessAlgorithm signs access tokens: never with the client's secret, which no API has.
func (h *Handler) accessAlgorithm() string {
	if kind(h.config.Algorithm) == "" {
		return "RS256"
	}
	return h.config.Algorithm
}

func oneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
