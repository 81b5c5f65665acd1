package main

import (
	"context"
	"time"

	"github.com/hashicorp/cap/oidc"
)

func withCap(ctx context.Context, a *authority, k signKey) (func(raw string) error, error) {
	p, q, err := newCap(a, k.alg)
	if err != nil {
		return nil, err
	}
	return func(raw string) error {
		_, err := p.VerifyIDToken(ctx, oidc.IDToken(raw), q)
		return err
	}, nil
}

func newCap(a *authority, alg string) (*oidc.Provider, *oidc.Req, error) {
	c, err := oidc.NewConfig(a.issuer, clientID, clientSecret, []oidc.Alg{oidc.Alg(alg)}, []string{redirectURL}, oidc.WithAudiences(clientID))
	if err != nil {
		return nil, nil, err
	}
	p, err := oidc.NewProvider(c)
	if err != nil {
		return nil, nil, err
	}
	q, err := oidc.NewRequest(time.Hour, redirectURL, oidc.WithNonce(theNonce))
	return p, q, err
}
