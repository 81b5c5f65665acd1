package middleware

import (
	"context"
)

// sessionKey finds the innermost session in a context; an *Auth as key finds that Auth's.
type sessionKey struct{}

// sessionContext carries a session. It answers both keys, so that a request costs one allocation.
type sessionContext struct {
	context.Context
	session *Session
}

func (c *sessionContext) Value(key any) any {
	switch k := key.(type) {
	case sessionKey:
		return c.session
	case *Auth:
		if owner := c.session.state.auth; owner == k || owner == nil {
			return c.session
		}
	}
	return c.Context.Value(key)
}

// sessionless is a context in which an Auth's session is not there. A hook that decides about the session's tokens would
// wait for itself if it asked the session for one.
type sessionless struct {
	context.Context
	auth *Auth
}

func (c sessionless) Value(key any) any {
	v := c.Context.Value(key)
	if s, ok := v.(*Session); ok && s.state.auth == c.auth {
		return nil
	}
	return v
}

// FromContext returns the session that the innermost wrapper ([Auth.RequireLogin], [Auth.RequireTokens], [Auth.Require],
// [Auth.LoadSession]) put into the request's context; nil if nobody is logged in.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Session returns this Auth's session in a request's context; nil if there is none. A session made by [NewSession]
// is every Auth's.
func (a *Auth) Session(ctx context.Context) *Session {
	s, _ := ctx.Value(a).(*Session)
	return s
}

// NewContext returns a context with a session, for tests of handlers: the wrappers let it pass, and [FromContext]
// finds it.
func NewContext(ctx context.Context, s *Session) context.Context {
	return &sessionContext{ctx, s}
}
