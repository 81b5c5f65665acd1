package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// Rows for places that could be broken without a test that noticed: see internal/mutation.

type handlerKey struct{}

// calls lets each request to /private bring its own handler: see with.
func (w *world) calls() {
	w.page = func(rw http.ResponseWriter, r *http.Request) {
		r.Context().Value(handlerKey{}).(http.HandlerFunc)(rw, r)
	}
}

// with runs h with v's session.
func (v *visitor) with(h func(ctx context.Context, s *middleware.Session)) {
	v.w.Helper()
	ran := false
	var handler http.HandlerFunc = func(_ http.ResponseWriter, r *http.Request) {
		ran = true
		h(r.Context(), middleware.FromContext(r.Context()))
	}
	r := navigation("/private")
	v.send(r.WithContext(context.WithValue(r.Context(), handlerKey{}, handler)))
	if !ran {
		v.w.Error("there is no session")
	}
}

// noGrant lets the provider end the grant at the next refresh.
func (w *world) noGrant() {
	w.op.Fault(func(a *optest.Answer) {
		if a.Grant == "refresh_token" {
			a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
		}
	})
}

// beforeWrite runs other when an instance is about to write, once.
func (f *fleet) beforeWrite(other func()) {
	once := first()
	f.store.onCall(func(method string) {
		if method == "Put" && once() {
			other()
		}
	})
}

// waiting is a context that says when somebody begins to wait for its end.
type waiting struct {
	context.Context
	waits func()
}

func (w waiting) Done() <-chan struct{} {
	w.waits()
	return w.Context.Done()
}

// E09: who waits for another one's renewal gets what came of it, but not its failure.
func TestFailureIsOfWhoWantedIt(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run("E09_userinfo_that_fails_fails_no_token_"+store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t), shortTokens)
			w.calls()
			v := w.visitor()
			v.login("/auth/login", "alice")
			asked, goOn := make(chan struct{}), make(chan struct{})
			w.op.Fault(func(a *optest.Answer) {
				if a.Endpoint == "/userinfo" {
					close(asked)
					<-goOn
					a.Status, a.JSON = http.StatusForbidden, map[string]any{"error": "insufficient_scope"}
				}
			})
			v.with(func(ctx context.Context, s *middleware.Session) {
				var group sync.WaitGroup
				group.Go(func() {
					if _, err := s.UserInfo(ctx); err == nil {
						t.Error("UserInfo: no error")
					}
				})
				<-asked
				w.clock.add(10 * time.Minute)
				if _, err := s.Token(waiting{ctx, sync.OnceFunc(func() { close(goOn) })}); err != nil {
					t.Errorf("Token: %v", err)
				}
				group.Wait()
			})
			if n := w.refreshes(); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
	}
}

// Two instances change one session, and the store has no lock.
func TestInstancesThatMeet(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) (*fleet, *visitor) {
		t.Helper()
		f := newFleet(t, "unlocked", append([]func(*settings){severalAPIs}, changes...)...)
		f.calls()
		v := f.visitor()
		v.login("/auth/login", "alice")
		return f, v
	}
	userInfo := func(ctx context.Context, s *middleware.Session) { _, _ = s.UserInfo(ctx) }
	t.Run("E08_both_hear_that_the_grant_has_ended", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.noGrant()
		refresh := func(ctx context.Context, s *middleware.Session) {
			if err := s.Refresh(ctx); !errors.Is(err, middleware.ErrLoginRequired) {
				t.Errorf("Refresh: %v", err)
			}
		}
		f.beforeWrite(func() {
			v.on(f.other).with(refresh)
			f.store.count()
		})
		v.with(refresh)
		if n := f.store.count("Put"); n != 1 { // the one that met the other's
			t.Errorf("%d writes say again what the store knows", n-1)
		}
	})
	t.Run("E08_userinfo_does_not_bring_back_a_grant_that_has_ended", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.noGrant()
		f.beforeWrite(func() {
			v.on(f.other).with(func(ctx context.Context, s *middleware.Session) { _ = s.Refresh(ctx) })
		})
		v.with(func(ctx context.Context, s *middleware.Session) {
			if _, err := s.UserInfo(ctx); !errors.Is(err, middleware.ErrLoginRequired) {
				t.Errorf("UserInfo: %v", err)
			}
		})
		v.with(func(_ context.Context, s *middleware.Session) {
			if state, _ := s.Tokens(); state != middleware.TokensLost {
				t.Errorf("tokens are %v", state)
			}
		})
	})
	t.Run("E06_userinfo_does_not_undo_a_refresh", func(t *testing.T) {
		t.Parallel()
		f, v := start(t, func(s *settings) { s.op.KeepRefreshTokens = true })
		f.beforeWrite(func() { v.on(f.other).with(userInfo) })
		v.with(func(ctx context.Context, s *middleware.Session) {
			before, _ := s.Token(ctx)
			if err := s.Refresh(ctx); err != nil {
				t.Errorf("Refresh: %v", err)
			}
			after, err := s.Token(ctx)
			if err != nil || after.AccessToken == before.AccessToken {
				t.Errorf("the old token is back: %v", err)
			}
			userInfo(ctx, s)
		})
		if f.refreshes() != 1 || f.op.Calls("/userinfo") != 1 {
			t.Errorf("%d refreshes, %d times asked for UserInfo", f.refreshes(), f.op.Calls("/userinfo"))
		}
	})
	t.Run("E06_userinfo_does_not_bring_back_a_refresh_token_that_is_spent", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.beforeWrite(func() { v.on(f.other).with(userInfo) })
		for _, to := range []string{ordersAPI, billingAPI} {
			v.with(func(ctx context.Context, s *middleware.Session) {
				if _, err := s.For(rp.Target{Resource: to}).Token(ctx); err != nil {
					t.Errorf("%s: %v", to, err)
				}
			})
		}
		if f.refreshes() != 2 || f.op.Calls("/userinfo") != 1 {
			t.Errorf("%d refreshes, %d times asked for UserInfo", f.refreshes(), f.op.Calls("/userinfo"))
		}
	})
}

// Another instance has changed the session since this request read it.
func TestSessionThatChangedSince(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*fleet, *visitor) {
		t.Helper()
		f := newFleet(t, "server", severalAPIs)
		f.calls()
		v := f.visitor()
		v.login("/auth/login", "alice")
		return f, v
	}
	orders := rp.Target{Resource: ordersAPI}
	t.Run("E08_grant_has_ended", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		f.noGrant()
		v.with(func(ctx context.Context, s *middleware.Session) {
			v.on(f.other).with(func(ctx context.Context, s *middleware.Session) { _ = s.Refresh(ctx) })
			if _, err := s.UserInfo(ctx); !errors.Is(err, middleware.ErrNoTokens) {
				t.Errorf("UserInfo: %v", err)
			}
		})
		if n := f.op.Calls("/userinfo"); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("E06_refresh_token_went_into_a_grant", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		v.with(func(ctx context.Context, s *middleware.Session) {
			v.on(f.other).with(func(ctx context.Context, s *middleware.Session) {
				if _, err := s.Grant(ctx); err != nil {
					t.Error(err)
				}
			})
			if _, err := s.For(orders).Token(ctx); !errors.Is(err, middleware.ErrLoginRequired) {
				t.Errorf("Token: %v", err)
			}
		})
	})
	t.Run("E06_main_token_is_new_and_the_targets_is_over", func(t *testing.T) {
		t.Parallel()
		f, v := start(t)
		token := func(ctx context.Context, s *middleware.Session) string {
			token, err := s.For(orders).Token(ctx)
			if err != nil {
				t.Error(err)
				return ""
			}
			return token.AccessToken
		}
		var before string
		v.with(func(ctx context.Context, s *middleware.Session) { before = token(ctx, s) })
		f.clock.add(10 * time.Minute)
		v.with(func(ctx context.Context, s *middleware.Session) {
			v.on(f.other).with(func(ctx context.Context, s *middleware.Session) { _, _ = s.Token(ctx) })
			if token(ctx, s) == before {
				t.Error("a token that is over")
			}
		})
		if n := f.refreshes(); n != 3 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestTargetsOfAnOddProvider(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*world, *visitor) {
		t.Helper()
		w := newWorld(t, severalAPIs)
		w.mux.Handle("/apis", w.auth.RequireLogin(http.HandlerFunc(audiences)))
		v := w.visitor()
		v.login("/auth/login", "alice")
		return w, v
	}
	t.Run("E09_a_provider_that_is_down_wants_no_consent", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" {
				a.Status, a.JSON = http.StatusServiceUnavailable, map[string]any{"error": "invalid_target"}
			}
		})
		if rep := v.open("/apis?for=" + ordersAPI); !strings.Contains(rep.body, rp.ErrUnavailable.Error()) {
			t.Errorf("%s", rep.body)
		}
	})
	t.Run("E16_token_without_an_end_stays", func(t *testing.T) {
		t.Parallel()
		w, v := start(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" {
				delete(a.JSON, "expires_in")
			}
		})
		token := v.wantAud("/apis?for="+ordersAPI, ordersAPI)
		v.wantAud("/apis?for="+billingAPI, billingAPI)
		if v.open("/apis?for="+ordersAPI).body != token || w.refreshes() != 2 {
			t.Errorf("another token: %d refreshes", w.refreshes())
		}
	})
}

// A code is not sent, and nothing is done for it, when it is too old.
func TestCodeThatIsTooOld(t *testing.T) {
	t.Parallel()
	t.Run("while the request waits for the lock", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.calls()
		f.store.onCall(func(method string) {
			if method == "Lock" {
				f.clock.add(time.Minute)
			}
		})
		v.with(func(ctx context.Context, s *middleware.Session) {
			_, err := s.Token(ctx)
			why, is := errors.AsType[*middleware.TokensError](err)
			if !is || why.Code != "code_expired" || !errors.Is(err, middleware.ErrLoginRequired) {
				t.Errorf("Token: %v", err)
			}
		})
		f.wantSent(0)
	})
	t.Run("before anybody asks", func(t *testing.T) {
		t.Parallel()
		f, v := pendingFleet(t, "server")
		f.calls()
		f.clock.add(time.Minute)
		f.store.count()
		v.with(func(context.Context, *middleware.Session) {})
		_ = f.auth.Close() // what runs in the background
		if n := f.store.count("Lock"); n != 0 {
			t.Errorf("locked %d times", n)
		}
		f.wantSent(0)
	})
}

func TestWhichIDToken(t *testing.T) {
	t.Parallel()
	t.Run("the newest", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.calls()
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["acr"] = "gold"
			}
		})
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.with(func(_ context.Context, s *middleware.Session) {
			newest, err := s.IDToken()
			first, errFirst := s.First()
			if err != nil || errFirst != nil || newest.ACR != "gold" || first.ACR != "" {
				t.Errorf("%v, %v", err, errFirst)
			}
		})
	})
	t.Run("none came through the browser", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *settings) { s.rp.ResponseType, s.rp.ResponseMode = rp.Code, rp.FormPost })
		w.calls()
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.with(func(_ context.Context, s *middleware.Session) {
			if first, err := s.First(); first != nil || !errors.Is(err, middleware.ErrNoTokens) {
				t.Errorf("First: %v", err)
			}
		})
	})
	t.Run("none was kept", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) { s.auth.OmitIDToken = true })
		w.calls()
		w.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/oauth/token" {
				a.Status, a.JSON = http.StatusBadRequest, map[string]any{"error": "invalid_grant"}
			}
		})
		v.with(func(ctx context.Context, s *middleware.Session) {
			if _, err := s.Token(ctx); err == nil {
				t.Error("Token: no error")
			}
			if _, err := s.IDToken(); !errors.Is(err, middleware.ErrNoTokens) {
				t.Errorf("IDToken: %v", err)
			}
		})
	})
	t.Run("E18_nothing_after_a_logout_in_the_same_request", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			if err := w.auth.Logout(rw, r); err != nil {
				t.Error(err)
			}
			_, idToken := s.IDToken()
			_, token := s.Token(r.Context())
			if !errors.Is(idToken, middleware.ErrNoSession) || !errors.Is(token, middleware.ErrNoSession) {
				t.Errorf("IDToken: %v, Token: %v", idToken, token)
			}
		}
		v := w.visitor()
		v.login("/auth/login", "alice")
		v.open("/private")
	})
}

// A list beside a store that keeps no sessions for us is nobody's.
func TestListWithoutAStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *settings) {
		s.auth.Store = struct {
			sessions.Store
			middleware.SessionLister
		}{fileStore(t), newFleetStore(s.auth.Now)}
	})
	if infos, err := w.auth.Sessions(t.Context(), w.client.Issuer(), "alice"); !errors.Is(err, rp.ErrUnsupported) {
		t.Errorf("%v, %v", infos, err)
	}
}

func TestG24_identity_that_is_none(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		size  int
		state int64
		good  bool
	}{{22, 0, true}, {22, 4, true}, {21, 0, false}, {23, 0, false}, {0, 0, false}, {22, -1, false}, {22, 5, false}} {
		if err := middleware.DecodeIdentity(strings.Repeat("A", row.size), row.state); (err == nil) != row.good {
			t.Errorf("an ID of %d bytes and state %d: %v", row.size, row.state, err)
		}
	}
}
