package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/verify"
)

const tokenSize = 1458

// verifyLimits are the targets, as multiples of the raw signature check.
var verifyLimits = map[string]float64{"RS256": 1.25, "PS256": 1.25, "ES256": 1.12, "EdDSA": 1.15}

func verifySection(ctx context.Context, o options, r *report) error {
	head := []string{"× the raw signature check"}
	rows := map[string][]string{}
	var order []string
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		s, err := verifyAll(ctx, o, alg)
		if err != nil {
			return fmt.Errorf("%s: %w", alg, err)
		}
		floor := s.named(nameFloor)
		head = append(head, fmt.Sprintf("%s, %.0f µs", alg, floor.micros()))
		for _, c := range s {
			if alg == "RS256" {
				order = append(order, c.name)
				rows[c.name] = []string{c.name}
			}
			rows[c.name] = append(rows[c.name], verifyCell(r, alg, c, floor))
			if c.name != nameFloor && (alg == "RS256" || alg == "EdDSA") {
				b := bar{group: "Verifying an ID Token, " + alg + " (× the raw signature check)", name: c.name, ratio: c.over(floor), ours: strings.Contains(c.name, "ours")}
				if c.name == nameOurs {
					b.limit = verifyLimits[alg]
				}
				r.bar(b)
			}
		}
		if alg == "RS256" {
			verifyMemory(r, s, rows)
		}
	}
	head = append(head[:2:2], append([]string{"RS256 allocations", "RS256 bytes"}, head[2:]...)...)
	table := make([][]string, 0, len(order))
	for _, name := range order {
		table = append(table, rows[name])
	}
	r.table(head, table...)
	return nil
}

const (
	nameFloor = "floor"
	nameOurs  = "**ours**"
)

func verifyCell(r *report, alg string, c, floor sample) string {
	got := c.over(floor)
	if c.name != nameOurs {
		return number(got, 2)
	}
	limit := verifyLimits[alg]
	return r.time("1", fmt.Sprintf("%s ≤ %.2f × the raw check", alg, limit), got, "%.2f", got <= limit)
}

// verifyMemory adds the columns of allocations and bytes.
func verifyMemory(r *report, s samples, rows map[string][]string) {
	for _, c := range s {
		allocs, bytes := number(c.allocs, 0), number(c.bytes, 0)
		if c.name == nameOurs {
			allocs = r.count("1", "RS256 ≤ 30 allocations", c.allocs, c.allocs <= 30)
			bytes = r.count("1", "RS256 ≤ 5,000 bytes", c.bytes, c.bytes <= 5000)
		}
		rows[c.name] = append(rows[c.name], allocs, bytes)
	}
}

// verifyAll measures one algorithm. Every contender has the key in memory, and accepts the token: that is looked at first.
func verifyAll(ctx context.Context, o options, alg string) (samples, error) {
	k := newKey(alg, "2026-11")
	a := newAuthority(k)
	defer a.close()
	raw := a.idToken(k, tokenSize, nil)
	contenders := []contender{{nameFloor, rawCheck(k, raw)}}
	for _, p := range verifiers {
		f, err := p.make(ctx, a, k)
		if err == nil {
			err = f(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		contenders = append(contenders, contender{p.name, func() { must(f(raw)) }})
	}
	return compare(o, cpuTime, contenders...), nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// verifiers are the peers and ours: make returns a function that verifies a token.
var verifiers = []struct {
	name string
	make func(ctx context.Context, a *authority, k signKey) (func(raw string) error, error)
}{
	{"go-oidc, remote keys cached", withGoOIDC},
	{"go-jose jwt", withGoJose},
	{"cap", withCap},
	{"zitadel", withZitadel},
	{"jwx", withJWX},
	{"golang-jwt (no OIDC checks)", withGolangJWT},
	{nameOurs, withOurs},
	{"ours, the whole rp.VerifyResponse", withOurResponse},
}

// rawCheck is the floor: hash and signature over the bytes that stand there, and nothing else.
func rawCheck(k signKey, raw string) func() {
	dot := strings.LastIndexByte(raw, '.')
	input := []byte(raw[:dot])
	sig, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	must(err)
	wrong := errors.New("wrong signature")
	switch public := k.private.Public().(type) {
	case *rsa.PublicKey:
		if k.alg == "PS256" {
			o := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return func() { sum := sha256.Sum256(input); must(rsa.VerifyPSS(public, crypto.SHA256, sum[:], sig, o)) }
		}
		return func() { sum := sha256.Sum256(input); must(rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig)) }
	case *ecdsa.PublicKey:
		rr, ss := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return func() {
			if sum := sha256.Sum256(input); !ecdsa.Verify(public, sum[:], rr, ss) {
				panic(wrong)
			}
		}
	case ed25519.PublicKey:
		return func() {
			if !ed25519.Verify(public, input, sig) {
				panic(wrong)
			}
		}
	}
	panic("bench: a key of an unknown type")
}

func withGoOIDC(ctx context.Context, a *authority, k signKey) (func(raw string) error, error) {
	v := gooidc.NewVerifier(a.issuer, gooidc.NewRemoteKeySet(ctx, a.issuer+"/jwks"),
		&gooidc.Config{ClientID: clientID, SupportedSigningAlgs: []string{k.alg}})
	return func(raw string) error {
		t, err := v.Verify(ctx, raw)
		if err == nil && t.Nonce != theNonce {
			err = errors.New("nonce")
		}
		return err
	}, nil
}

func withGoJose(_ context.Context, a *authority, k signKey) (func(raw string) error, error) {
	algs, key := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.alg)}, k.private.Public()
	return func(raw string) error {
		t, err := josejwt.ParseSigned(raw, algs)
		if err != nil {
			return err
		}
		var claims josejwt.Claims
		var rest map[string]any
		if err := t.Claims(key, &claims, &rest); err != nil {
			return err
		}
		return claims.Validate(josejwt.Expected{Issuer: a.issuer, AnyAudience: josejwt.Audience{clientID}})
	}, nil
}

func withZitadel(ctx context.Context, a *authority, k signKey) (func(raw string) error, error) {
	v := zitadel.NewIDTokenVerifier(a.issuer, clientID, zitadel.NewRemoteKeySet(http.DefaultClient, a.issuer+"/jwks"), //nolint:forbidigo // a peer's own default
		zitadel.WithSupportedSigningAlgorithms(k.alg), zitadel.WithNonce(func(context.Context) string { return theNonce }))
	return func(raw string) error {
		_, err := zitadel.VerifyIDToken[*oidc.IDTokenClaims](ctx, raw, v)
		return err
	}, nil
}

func withJWX(_ context.Context, a *authority, k signKey) (func(raw string) error, error) {
	set, err := jwk.Parse(keySetJSON([]signKey{k}))
	if err != nil {
		return nil, err
	}
	return func(raw string) error {
		_, err := jwxjwt.Parse([]byte(raw), jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(a.issuer), jwxjwt.WithAudience(clientID))
		return err
	}, nil
}

func withGolangJWT(_ context.Context, a *authority, k signKey) (func(raw string) error, error) {
	p := jwt.NewParser(jwt.WithValidMethods([]string{k.alg}), jwt.WithIssuer(a.issuer), jwt.WithAudience(clientID))
	key := k.private.Public()
	return func(raw string) error {
		_, err := p.ParseWithClaims(raw, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key, nil })
		return err
	}, nil
}

func withOurs(ctx context.Context, a *authority, k signKey) (func(raw string) error, error) {
	p := &verify.Policy{
		Issuer: a.issuer, ClientID: clientID, Algorithm: k.alg,
		Keys: verify.StaticKeys(verify.Key{ID: k.kid, Algorithm: k.alg, Public: k.private.Public()}),
	}
	e := verify.Expect{Nonce: theNonce, State: "state", Code: theCode}
	return func(raw string) error {
		_, err := p.FrontChannel(ctx, raw, e)
		return err
	}, nil
}

// newClient makes a Client of ours for an authority.
func newClient(ctx context.Context, a *authority, change func(*rp.Config)) (*rp.Client, error) {
	c := rp.Config{
		Issuer: a.issuer, ClientID: clientID, ClientAuth: rp.SecretBasic(clientSecret), RedirectURL: redirectURL,
		Scopes: []string{"openid", "profile", "email", "offline_access"},
		Logger: slog.New(slog.DiscardHandler), Insecure: rp.Insecure{PlainHTTP: true},
	}
	if change != nil {
		change(&c)
	}
	return rp.New(ctx, c)
}

// answer is what a front channel brings: the request that it answers, and its parameters.
func answer(ctx context.Context, c *rp.Client, a *authority, k signKey, size int) (*rp.AuthRequest, url.Values, error) {
	q, err := c.NewAuthRequest(ctx, rp.AuthOptions{})
	if err != nil {
		return nil, nil, err
	}
	to, err := url.Parse(q.Redirect().URL)
	if err != nil {
		return nil, nil, err
	}
	raw := a.idToken(k, size, map[string]any{"nonce": to.Query().Get("nonce")})
	return q, url.Values{"state": {q.State()}, "code": {theCode}, "id_token": {raw}}, nil
}

func withOurResponse(ctx context.Context, a *authority, k signKey) (func(raw string) error, error) {
	c, err := newClient(ctx, a, func(c *rp.Config) { c.IDTokenAlgorithm = k.alg })
	if err != nil {
		return nil, err
	}
	q, form, err := answer(ctx, c, a, k, tokenSize)
	if err != nil {
		return nil, err
	}
	return func(string) error {
		_, err := c.VerifyResponse(ctx, q, form)
		return err
	}, nil
}
