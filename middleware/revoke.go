package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/twofold-auth/twofold/rp"
)

// revokeTimeout bounds what a revocation may take; no user waits for it.
const revokeTimeout = 3 * time.Second

// revoke tells the provider, in the background, that nobody holds the tokens of a session any more (RFC 7009). The
// session is over here whatever comes of it.
func (a *Auth) revoke(ctx context.Context, rec *record) {
	if rec == nil || a.store.openTokens(rec) != nil || rec.part == nil || rec.part.kind != partTokens {
		return
	}
	a.revokeTokens(ctx, rec.part.parsed)
}

func (a *Auth) revokeTokens(ctx context.Context, tokens *rp.Tokens) {
	ctx = context.WithoutCancel(ctx)
	a.background.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
		defer cancel()
		began := a.config.Now()
		err := a.client.Revoke(ctx, tokens)
		if errors.Is(err, rp.ErrUnsupported) {
			return
		}
		a.observe(ctx, rp.Event{Name: eventRevoked, Took: a.config.Now().Sub(began), Code: errorCode(err), Err: err})
	})
}
