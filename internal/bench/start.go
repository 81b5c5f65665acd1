package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	capoidc "github.com/hashicorp/cap/oidc"

	"github.com/gorilla/securecookie"
	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/middleware"
)

// startSection: state, nonce, PKCE, URL, sealed transaction cookie, 302.
func startSection(ctx context.Context, o options, r *report) error {
	a := newAuthority(newKey("RS256", "2026-11"))
	defer a.close()
	client, err := newClient(ctx, a, nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	auth, err := middleware.New(authConfig(client, nil)) //nolint:contextcheck // it makes no request
	if err != nil {
		return err
	}
	defer func() { _ = auth.Close() }()
	list := []contender{
		{nameFloor, record(floorStart(a.issuer+"/authorize"), navigation(ctx, "/auth/login?return_to=%2Faccount", ""), http.StatusFound)},
		{nameOurs, record(auth, navigation(ctx, "/auth/login?return_to=%2Faccount", ""), http.StatusFound)},
	}
	peers, err := startPeers(ctx, a)
	if err != nil {
		return err
	}
	s := compareFor(o, cpuTime, longSlice, append(list, peers...)...)
	floor := s.named(nameFloor)
	const group = "Starting a login (× the floor)"
	rows := make([][]string, 0, len(s))
	for _, c := range s {
		b := bar{group: group, name: c.name, ratio: c.over(floor), ours: c.name == nameOurs}
		ratio, allocs := number(b.ratio, 2), number(c.allocs, 0)
		if b.ours {
			b.limit = 1.5
			ratio = r.time("2", "≤ 1.5 × the floor", b.ratio, "%.2f", b.ratio <= b.limit)
			allocs = r.count("2", "≤ 45 allocations", c.allocs, c.allocs <= 45)
		}
		if c.name != nameFloor {
			r.bar(b)
		}
		rows = append(rows, []string{c.name, number(c.micros(), 1), ratio, allocs, number(c.bytes, 0)})
	}
	r.table([]string{"", "µs", "× the floor", "allocations", "bytes"}, rows...)
	return nil
}

// floorStart is a login's start by hand, with nothing but the standard library: what any relying party has to do.
func floorStart(endpoint string) http.Handler {
	aead := newAEAD()
	fixed := endpoint + "?" + url.Values{
		"client_id": {clientID}, "redirect_uri": {redirectURL}, "response_type": {"code id_token"}, "response_mode": {"form_post"},
		"scope": {"openid profile email offline_access"}, "code_challenge_method": {"S256"},
	}.Encode()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, nonce, verifier := rand.Text(), rand.Text(), rand.Text()+rand.Text()
		sum := sha256.Sum256([]byte(verifier))
		plain := state + "\n" + nonce + "\n" + verifier + "\n" + r.URL.Query().Get("return_to")
		http.SetCookie(w, &http.Cookie{
			Name: "__Host-login", Value: sealText(aead, plain), Path: "/", MaxAge: 900, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode,
		})
		w.Header().Set("Location", fixed+"&state="+state+"&nonce="+nonce+"&code_challenge="+base64.RawURLEncoding.EncodeToString(sum[:]))
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusFound)
	})
}

func newAEAD() cipher.AEAD {
	block, err := aes.NewCipher(cookieKey)
	must(err)
	aead, err := cipher.NewGCM(block)
	must(err)
	return aead
}

// sealOverhead are nonce and tag.
const sealOverhead = 12 + 16

func sealText(aead cipher.AEAD, plain string) string {
	nonce := make([]byte, 12, 12+len(plain)+16)
	_, _ = rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(plain), nil))
}

// openText is the other way, as one writes it by hand.
func openText(aead cipher.AEAD, text string) []byte {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	must(err)
	plain, err := aead.Open(sealed[12:12], sealed[:12], sealed[12:], nil)
	must(err)
	return plain
}

func startPeers(ctx context.Context, a *authority) ([]contender, error) {
	to := navigation(ctx, "/login?return_to=%2Faccount", "")
	party, err := zitadel.NewRelyingPartyOIDC(ctx, a.issuer, clientID, clientSecret, redirectURL, scopes, zitadel.WithPKCE(zhttp.NewCookieHandler(cookieKey, cookieKey)))
	if err != nil {
		return nil, err
	}
	provider, _, err := newCap(a, "RS256")
	if err != nil {
		return nil, err
	}
	capURL := func() {
		verifier, err := capoidc.NewCodeVerifier()
		must(err)
		q, err := capoidc.NewRequest(time.Minute, redirectURL, capoidc.WithPKCE(verifier), capoidc.WithScopes(scopes...))
		must(err)
		_, err = provider.AuthURL(ctx, q)
		must(err)
	}
	return []contender{
		{"x/oauth2 + securecookie", record(byHandStart(a.issuer), to, http.StatusFound)},
		{"zitadel's handler (no nonce)", record(zitadel.AuthURLHandler(rand.Text, party), to, http.StatusFound)},
		{"cap, the URL alone", capURL},
	}, nil
}

var scopes = []string{"openid", "profile", "email", "offline_access"}

// loginState is what an app by hand remembers of a login.
type loginState struct{ State, Nonce, Verifier, ReturnTo string }

// byHandStart is what people write with x/oauth2 and gorilla/securecookie.
func byHandStart(issuer string) http.Handler {
	config := oauth2.Config{ClientID: clientID, RedirectURL: redirectURL, Scopes: scopes, Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize"}}
	cookie := securecookie.New(cookieKey, cookieKey)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := loginState{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), r.URL.Query().Get("return_to")}
		value, err := cookie.Encode("login", s)
		if err != nil {
			http.Error(w, "login", http.StatusInternalServerError)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "login", Value: value, Path: "/", MaxAge: 900, HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode})
		http.Redirect(w, r, config.AuthCodeURL(s.State, oauth2.S256ChallengeOption(s.Verifier), oauth2.SetAuthURLParam("nonce", s.Nonce),
			oauth2.SetAuthURLParam("response_type", "code id_token"), oauth2.SetAuthURLParam("response_mode", "form_post")), http.StatusFound)
	})
}
