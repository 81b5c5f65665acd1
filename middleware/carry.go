package middleware

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/twofold-auth/twofold/rp"
)

// A login that asks for more of a user who is logged in already, by a step-up, for one more resource, or because the
// tokens are lost, goes on with the session that it was begun for: under a new ID, for it is a new authentication, and
// only if the user is the same.

// before returns the session that goes on in the new one; nil if none does, because it has ended meanwhile, say. With
// sealed cookies it is the one that this browser has now.
func (l *login) before() (*record, error) {
	if !l.t.continues {
		return nil, nil
	}
	a := l.auth
	var rec *record
	var err error
	if a.store.inCookies() {
		var f found
		f, err = a.look(l.ctx, a.names.read(l.request.Header))
		rec = f.rec
	} else {
		rec, err = a.reload(l.ctx, l.t.prior)
	}
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return rec, nil
}

// reload reads the session behind a handle, as a request that brought it would find it.
func (a *Auth) reload(ctx context.Context, handle string) (*record, error) {
	rec, err := a.store.reload(ctx, &record{handle: handle})
	if err != nil {
		return nil, err
	}
	if rec.identity.ended(a.config.Now(), a.config.Idle) {
		return nil, ErrNoSession
	}
	return rec, a.alive(ctx, &rec.identity)
}

// carry takes into a new session what the one before it has kept for the app, and the access tokens of other targets if the
// login was for more consent alone and the provider says the same of the authentication: an API that wanted a
// stronger one must not get the old token again (RFC 9470), nor one of another tenant. Of another user's session nothing
// is taken.
func (l *login) carry(rec, prior *record) error {
	i := &rec.identity
	if l.t.continues {
		i.scopes, i.resources = l.t.scopes, l.t.resources
	}
	if prior == nil || prior.identity.subject != i.subject {
		return nil
	}
	values := prior.identity.allValues()
	maps.Copy(values, l.hook.Values)
	var err error
	if i.values, err = encodeValues(values); err != nil {
		return fail(codeValues, err)
	}
	if rec.part == nil || rec.part.kind != partTokens && rec.part.kind != partPending ||
		!l.t.consent || !i.sameAuthentication(&prior.identity) {
		return nil
	}
	if l.auth.store.openTokens(prior) == nil && prior.part != nil {
		rec.part.targets = mergeTargets(nil, prior.part.targets, l.auth.config.Now())
	}
	return nil
}

// onlyConsent reports whether a login asks for scopes and APIs, and for nothing else that the configuration does not ask for.
// Not every provider's ID Tokens tell in what its logins differ.
func (a *Auth) onlyConsent(o rp.AuthOptions) bool {
	return challengeDigest(withoutTargets(o)) == challengeDigest(withoutTargets(a.config.AuthOptions))
}

func withoutTargets(o rp.AuthOptions) rp.AuthOptions {
	o.Scopes, o.Resources, o.Extra = nil, nil, maps.Clone(o.Extra)
	if delete(o.Extra, "audience"); len(o.Extra) == 0 {
		o.Extra = nil
	}
	if o.Prompt == "consent" {
		o.Prompt = ""
	}
	return o
}

// sameAuthentication reports whether the provider says the same of how and when the user authenticated.
func (i *identity) sameAuthentication(o *identity) bool {
	return i.acr == o.acr && slices.Equal(i.amr, o.amr) && i.authTime.Equal(o.authTime)
}

// optionsFor are the options of a login for a session that lives: what it asked for beyond the configuration is asked for
// again.
func (a *Auth) optionsFor(s *Session) rp.AuthOptions {
	if s.state.test != nil {
		return a.config.AuthOptions
	}
	i := &s.state.record().identity
	return merge(a.config.AuthOptions, rp.AuthOptions{Scopes: i.scopes, Resources: i.resources})
}
