package middleware_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"golang.org/x/oauth2"

	"github.com/twofold-auth/twofold/internal/canary"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// What the app decides about a code that is spent on demand, and what its configuration makes of it.

func TestOnDemandHook(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		hook   func(*middleware.Login, *rp.Tokens) error
		status int
		code   string
		says   string
	}{
		"fails":       {func(*middleware.Login, *rp.Tokens) error { return errors.New("database is down") }, 500, "hook", "Something went wrong"},
		"panics":      {func(*middleware.Login, *rp.Tokens) error { panic("canary") }, 500, "panic", "Something went wrong"},
		"refuses":     {func(*middleware.Login, *rp.Tokens) error { return &middleware.Refusal{Text: "Ask accounting."} }, 403, "refused", "Ask accounting."},
		"keeps_a_lot": {func(l *middleware.Login, _ *rp.Tokens) error { l.Values["x"] = strings.Repeat("x", 600); return nil }, 500, "values", "Something went wrong"},
	} {
		for _, store := range storeKinds {
			t.Run("G03_OnTokens_"+name+"_"+store.name, func(t *testing.T) {
				t.Parallel()
				w, v := pendingLogin(t, store.use(t), func(s *settings) { s.auth.OnTokens = row.hook })
				old, rep := v.clone(), v.open("/tokens")
				if rep.StatusCode != row.status || rep.code() != row.code {
					t.Errorf("%d %s", rep.StatusCode, rep.code())
				}
				wantText(t, rep, row.says)
				w.wantLogin(old.open("/private"), "")
				w.wantLogin(v.open("/private"), "")
				w.wantSent(1)
				_ = w.auth.Close()
				if w.op.Calls("/revoke") == 0 {
					t.Error("the tokens were not revoked")
				}
			})
		}
	}
	t.Run("G03_OnTokens_asks_for_more", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) {
			s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error {
				return &middleware.Challenge{Options: rp.AuthOptions{ACRValues: []string{"gold"}}}
			}
		})
		if q := w.wantLogin(v.open("/tokens"), ""); q.Get("acr_values") != "gold" {
			t.Errorf("acr_values %q", q.Get("acr_values"))
		}
		w.wantLogin(v.open("/private"), "")
	})
	t.Run("G03_OnTokens_knows_the_login", func(t *testing.T) {
		t.Parallel()
		for _, store := range storeKinds {
			called := 0
			w, v := pendingLogin(t, store.use(t), func(s *settings) {
				s.auth.OnIdentity = func(l *middleware.Login) error { l.Values["user"] = "17"; return nil }
				s.auth.OnTokens = func(l *middleware.Login, tokens *rp.Tokens) error {
					called++
					body, err := io.ReadAll(l.Request.Body)
					if l.IDToken.Subject != "alice" || l.IDToken.Raw() == tokens.IDToken().Raw() || !l.FrontChannel || l.Values["user"] != "17" ||
						l.Exchange != middleware.ExchangeOnDemand || l.Request.URL.Path != "/tokens" || len(body) != 0 || err != nil ||
						l.Request.Context().Err() != nil {
						t.Errorf("%+v, body %q", l, body)
					}
					l.Values["user"] += "+"
					return nil
				}
			})
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body) // the handler's
				s := middleware.FromContext(r.Context())
				_, _ = fmt.Fprintf(rw, "%s %s", s.Value("user"), body)
			}
			r := navigation("/tokens")
			r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader("form")), 4
			if rep := v.send(r); rep.body != "17+ form" {
				t.Errorf("%d %s %q", rep.StatusCode, rep.code(), rep.body)
			}
			if rep := v.open("/private"); rep.body != "17+ " || called != 1 {
				t.Errorf("%q, called %d times", rep.body, called)
			}
		}
	})
	t.Run("G03_OnTokens_that_nobody_waits_for_has_no_request", func(t *testing.T) {
		t.Parallel()
		var requests atomic.Int64
		w, v := pendingLogin(t, func(s *settings) {
			s.auth.Store = newFleetStore(s.auth.Now)
			s.auth.OnTokens = func(l *middleware.Login, _ *rp.Tokens) error {
				if l.Request != nil {
					requests.Add(1)
				}
				return nil
			}
		})
		w.clock.add(30 * time.Second)
		v.open("/private")
		_ = w.auth.Close()
		w.wantSent(1)
		if requests.Load() != 0 {
			t.Error("a request that nobody waits for")
		}
	})
	t.Run("G03_OnIdentity_chooses", func(t *testing.T) {
		t.Parallel()
		for _, chosen := range []middleware.ExchangeMode{middleware.ExchangeNow, middleware.ExchangeOnDemand, middleware.ExchangeNever} {
			w := newWorld(t, func(s *settings) {
				s.auth.OnIdentity = func(l *middleware.Login) error { l.Exchange = chosen; return nil }
			})
			w.page = reportTokens
			v := w.visitor()
			v.login("/auth/login", "alice")
			want := map[middleware.ExchangeMode]string{middleware.ExchangeNow: "ready", middleware.ExchangeOnDemand: "pending", middleware.ExchangeNever: "none"}
			v.wantTokens(want[chosen], "")
			if rep := v.open("/tokens"); (rep.StatusCode == http.StatusOK) != (chosen != middleware.ExchangeNever) {
				t.Errorf("%v: %d %s", chosen, rep.StatusCode, rep.code())
			}
			logged := strings.Contains(w.spoken.text(), "once in each process")
			if logged != (chosen == middleware.ExchangeOnDemand) {
				t.Errorf("%v: logged %v", chosen, logged)
			}
		}
	})
	t.Run("G03_OnIdentity_cannot_choose_without_a_first_token", func(t *testing.T) {
		t.Parallel()
		for _, responseType := range []rp.ResponseType{rp.CodeToken, rp.ImplicitIDToken} {
			w := newWorld(t, func(s *settings) {
				s.rp.ResponseType = responseType
				s.auth.OnIdentity = func(l *middleware.Login) error { l.Exchange = middleware.ExchangeOnDemand; return nil }
			})
			w.refused(w.visitor().answer("/auth/login", "alice").post(), http.StatusInternalServerError, "exchange_mode")
		}
	})
}

// text is all that was said.
func (s *spoken) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said()
}

func TestOnDemandInCookies(t *testing.T) {
	t.Parallel()
	t.Run("E10_nothing_is_sent_after_the_first_byte", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, "begun: ")
			_, err := middleware.FromContext(r.Context()).Token(r.Context())
			_, _ = fmt.Fprint(rw, errors.Is(err, middleware.ErrCommitted))
		}
		if rep := v.open("/private"); rep.body != "begun: true" {
			t.Errorf("%q", rep.body)
		}
		w.wantSent(0)
		w.page = reportTokens
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("E10_a_handler_redeems_before_it", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			if _, err := middleware.FromContext(r.Context()).Token(r.Context()); err != nil {
				t.Error(err)
			}
			reportTokens(rw, r)
		}
		v.wantTokens("ready", "")
		w.page = reportTokens
		w.clock.add(5 * time.Minute)
		v.wantTokens("ready", "") // it was in the cookies
	})
	t.Run("G03_cookies_from_before_come_again", func(t *testing.T) { // minutes later: the process knows the code
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) { s.auth.CodeLifetime = 10 * time.Minute })
		old := v.clone()
		v.open("/tokens")
		w.clock.add(5 * time.Minute)
		w.wantLogin(old.open("/tokens"), "none")
		old.wantTokens("lost", "code_spent")
		v.wantTokens("ready", "")
		w.wantSent(1)
	})
	t.Run("G03_tokens_do_not_fit", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.JSON["refresh_token"] = strings.Repeat("r", 8<<10)
			}
		})
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusInternalServerError || rep.code() != "session_too_large" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		if got := v.wantTokens("lost", "session_too_large"); !strings.Contains(got.Error, "do not fit") {
			t.Errorf("it says %q", got.Error)
		}
		w.wantSent(1)
		_ = w.auth.Close()
		if w.op.Calls("/revoke") == 0 {
			t.Error("tokens that nobody holds were not revoked")
		}
	})
	t.Run("nor_do_those_of_a_login", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.JSON["refresh_token"] = strings.Repeat("r", 8<<10)
			}
		})
		w.refused(w.visitor().answer("/auth/login", "alice").post(), http.StatusInternalServerError, "session_too_large")
		_ = w.auth.Close()
		if w.op.Calls("/revoke") == 0 {
			t.Error("tokens that nobody holds were not revoked")
		}
	})
	for name, change := range map[string]func(*settings){
		"fails": func(s *settings) {
			s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { return errors.New("down") }
		},
		"refuses": func(s *settings) {
			s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { return &middleware.Refusal{} }
		},
		"panics": func(s *settings) { s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { panic("canary") } },
		"has_no_store": func(s *settings) {
			store := newFleetStore(s.auth.Now)
			s.auth.OnTokens = func(*middleware.Login, *rp.Tokens) error { store.setDown(true, "Put"); return nil }
			s.auth.Store = struct { // no Locker: the answer is not kept either
				sessions.Store
				middleware.SessionStore
				middleware.Tombstones
			}{store, store, store}
		},
	} {
		t.Run("L16_tokens_of_a_login_that_"+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change)
			if rep := w.visitor().answer("/auth/login", "alice").post(); rep.StatusCode < 400 {
				t.Errorf("%d", rep.StatusCode)
			}
			_ = w.auth.Close()
			if w.op.Calls("/revoke") == 0 {
				t.Error("tokens that nobody holds were not revoked")
			}
		})
	}
	t.Run("G03_parts_of_two_states", func(t *testing.T) { // a browser may mix them: an answer was lost
		t.Parallel()
		w, v := pendingLogin(t, shortTokens)
		before := v.clone()
		v.open("/tokens")
		after := v.clone()
		other, mixed := newWorldLike(w), before.clone()
		for name, value := range after.cookies {
			if strings.HasPrefix(name, cookiePrefix+"t") {
				mixed.cookies[name] = value
			}
		}
		if rep := mixed.on(other).open("/tokens"); rep.tokens().Access == "" { // tokens are tokens
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		mixed = after.clone()
		for name := range after.cookies {
			if strings.HasPrefix(name, cookiePrefix+"t") {
				delete(mixed.cookies, name)
			}
		}
		for name, value := range before.cookies {
			if strings.HasPrefix(name, cookiePrefix+"t") {
				mixed.cookies[name] = value
			}
		}
		other.refused(mixed.on(other).open("/tokens"), http.StatusForbidden, "no_tokens")
		w.wantSent(1)
	})
}

// newWorldLike is another process of the same app, without the memory of the first.
func newWorldLike(w *world) *world {
	second := *w
	second.auth = second.newAuth(middleware.Config{
		Client: w.client, Keys: [][]byte{attackKey("one")}, Name: "t", Now: w.clock.Now, Exchange: middleware.ExchangeOnDemand,
		Logger: w.logger(), Observe: w.spoken.observe,
	})
	second.mux = http.NewServeMux()
	second.app = second.mux
	second.register(second.auth)
	return &second
}

func TestOnDemandSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, row := range map[string]struct {
		change func(*settings)
		says   string
	}{
		"too_short":   {func(s *settings) { s.auth.CodeLifetime = time.Millisecond }, "Config.CodeLifetime 1ms: between a second and 10m0s"},
		"too_long":    {func(s *settings) { s.auth.CodeLifetime = time.Hour }, "Config.CodeLifetime 1h0m0s"},
		"negative":    {func(s *settings) { s.auth.CodeLifetime = -time.Second }, "Config.CodeLifetime -1s"},
		"code_token":  {func(s *settings) { s.rp.ResponseType = rp.CodeToken }, "need id_token in the response type"},
		"code":        {func(s *settings) { s.rp.ResponseType = rp.Code }, "need id_token in the response type"},
		"no_code":     {func(s *settings) { s.rp.ResponseType = rp.ImplicitIDToken }, "ExchangeOnDemand needs a code"},
		"valid":       {func(s *settings) { s.auth.CodeLifetime = time.Second }, ""},
		"valid_again": {func(s *settings) { s.rp.ResponseType = rp.CodeIDTokenToken }, ""},
	} {
		t.Run("G03_"+name, func(t *testing.T) {
			s := settings{auth: middleware.Config{Exchange: middleware.ExchangeOnDemand, Keys: [][]byte{attackKey("one")}, Logger: w.logger()}}
			s.rp = rp.Config{
				ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/callback", Insecure: rp.Insecure{PlainHTTP: true},
				Logger: w.logger(),
			}
			row.change(&s)
			s.auth.Client = w.newClient(s.rp)
			a, err := middleware.New(s.auth)
			if row.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = a.Close()
			} else if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
	t.Run("its_own_lifetime", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) { s.auth.CodeLifetime = 5 * time.Second })
		w.clock.add(4 * time.Second)
		v.wantTokens("pending", "")
		w.clock.add(time.Second)
		v.wantTokens("lost", "code_expired")
	})
	t.Run("the_log_says_how_often", func(t *testing.T) {
		t.Parallel()
		for name, want := range map[string]bool{"cookies": true, "gorilla": true, "unlocked": true, "server": false, "redis": false} {
			f := newFleet(t, name, onDemand)
			if got := strings.Count(f.spoken.text(), "once in each process"); (got > 0) != want || got > 2 {
				t.Errorf("%s: %d times, want %v", name, got, want)
			}
		}
	})
	t.Run("G03_a_prompt_of_the_app_is_not_taken_away", func(t *testing.T) {
		t.Parallel()
		for _, prompt := range []string{"login", "consent", "select_account"} {
			w, v := pendingLogin(t, func(s *settings) { s.auth.AuthOptions.Prompt = prompt })
			w.clock.add(time.Minute)
			w.wantLogin(v.open("/tokens"), prompt)
		}
	})
	t.Run("no_ID_Token_is_kept_when_the_tokens_are_lost", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) { s.auth.OmitIDToken = true })
		w.grantFails(http.StatusBadRequest, "invalid_grant")
		v.open("/tokens")
		rep := v.open("/private").tokens()
		if rep.State != "lost" || rep.First || rep.Subject != "alice" {
			t.Errorf("%+v", rep)
		}
		w.wantLogin(v.open("/tokens"), "none")
	})
	t.Run("session_expiry_of_the_second_token", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.op.Fault(func(a *optest.Answer) {
			if a.Grant == "authorization_code" {
				a.Claims["session_expiry"] = at(-time.Second)
			}
		})
		rep := v.open("/tokens")
		if rep.StatusCode != http.StatusForbidden || rep.code() != "logged_out" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		w.op.Fault(nil)
		w.wantLogin(v.open("/private"), "")
	})
}

// moodySigner fails as long as it is told to.
type moodySigner struct {
	*ecdsa.PrivateKey
	fails atomic.Bool
}

func (m *moodySigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if m.fails.Load() {
		return nil, errors.New("the key is on holiday")
	}
	return m.PrivateKey.Sign(r, digest, o)
}

func TestOnDemandElsewhere(t *testing.T) {
	t.Parallel()
	t.Run("a_client_that_cannot_sign_has_sent_nothing", func(t *testing.T) {
		t.Parallel()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer := &moodySigner{PrivateKey: key}
		_, v := pendingLogin(t, func(s *settings) {
			s.rp.ClientAuth, s.op.ClientSecret = rp.PrivateKeyJWT(signer, "one"), ""
			s.op.ClientID = "" // it takes any client
		})
		signer.fails.Store(true)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusServiceUnavailable || rep.code() != "not_sent" {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
		v.wantTokens("pending", "not_sent")
		signer.fails.Store(false)
		if rep := v.open("/tokens"); rep.tokens().Access == "" {
			t.Errorf("%d %s %s", rep.StatusCode, rep.code(), errorOf(rep))
		}
	})
	t.Run("grant", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t, func(s *settings) { s.auth.Store = newFleetStore(s.auth.Now) })
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			id, err := middleware.FromContext(r.Context()).Grant(r.Context())
			if err != nil || id == "" {
				t.Errorf("%q %v", id, err)
			}
			reportTokens(rw, r)
		}
		v.wantTokens("ready", "")
		w.wantSent(1)
	})
	t.Run("what_the_second_token_adds_is_there_at_once", func(t *testing.T) {
		t.Parallel()
		for _, store := range storeKinds {
			w, v := pendingLogin(t, store.use(t))
			w.op.Fault(func(a *optest.Answer) {
				if a.Grant == "authorization_code" {
					a.Claims["acr"], a.Claims["name"] = "gold", "Alice"
				}
			})
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				s := middleware.FromContext(r.Context())
				var claims struct {
					Name string `json:"name"`
				}
				err := s.Claims(&claims)
				_, _ = fmt.Fprintf(rw, "%s %s %v", s.ACR, claims.Name, err)
			}
			if rep := v.open("/private"); rep.body != "  <nil>" {
				t.Errorf("%s: before: %q", store.name, rep.body)
			}
			for _, path := range []string{"/tokens", "/private"} {
				if rep := v.open(path); rep.body != "gold Alice <nil>" {
					t.Errorf("%s: %s: %q", store.name, path, rep.body)
				}
			}
		}
	})
	t.Run("transport", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				t.Error("no token")
			}
		}))
		t.Cleanup(api.Close)
		client := &http.Client{Transport: w.auth.Transport(canary.Network, api.URL)}
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			var group sync.WaitGroup
			for range 10 {
				group.Go(func() {
					out, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, api.URL, nil)
					resp, err := client.Do(out)
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
				})
			}
			group.Wait()
			reportTokens(rw, r)
		}
		v.wantTokens("ready", "")
		w.wantSent(1)
	})
	t.Run("sessions_of_tests", func(t *testing.T) {
		t.Parallel()
		state, err := middleware.NewSession(nil, nil).Tokens()
		if state != middleware.TokensNone || !errors.Is(err, middleware.ErrNoTokens) {
			t.Errorf("%v %v", state, err)
		}
		state, err = middleware.NewSession(nil, &oauth2.Token{AccessToken: "x"}).Tokens()
		if state != middleware.TokensReady || err != nil {
			t.Errorf("%v %v", state, err)
		}
	})
	t.Run("nobody_has_tokens_after_a_logout", func(t *testing.T) {
		t.Parallel()
		w, v := pendingLogin(t)
		w.page = func(rw http.ResponseWriter, r *http.Request) {
			s := middleware.FromContext(r.Context())
			if err := w.auth.Logout(rw, r); err != nil {
				t.Error(err)
			}
			if state, err := s.Tokens(); state != middleware.TokensNone || !errors.Is(err, middleware.ErrNoSession) {
				t.Errorf("%v %v", state, err)
			}
			if _, err := s.Token(r.Context()); !errors.Is(err, middleware.ErrNoSession) {
				t.Error(err)
			}
		}
		v.open("/private")
		w.wantSent(0)
	})
	t.Run("states_have_names", func(t *testing.T) {
		t.Parallel()
		var names []string
		for s := range middleware.TokensLost + 2 {
			names = append(names, s.String())
		}
		if got := strings.Join(names, " "); got != "none pending redeeming ready lost TokenState(5)" {
			t.Error(got)
		}
	})
	t.Run("errors_say_whether_waiting_helps", func(t *testing.T) {
		t.Parallel()
		all := []error{middleware.ErrNoTokens, middleware.ErrPending, middleware.ErrLoginRequired}
		for state, want := range map[middleware.TokenState]error{
			middleware.TokensNone: middleware.ErrNoTokens, middleware.TokensPending: middleware.ErrPending,
			middleware.TokensRedeeming: middleware.ErrPending, middleware.TokensLost: middleware.ErrLoginRequired,
		} {
			err := error(&middleware.TokensError{State: state, Err: io.EOF})
			for _, is := range all {
				if errors.Is(err, is) != (is == want) { //nolint:errorlint // these are the sentinels
					t.Errorf("%v is %v: %v", state, is, errors.Is(err, is))
				}
			}
			if !errors.Is(err, io.EOF) || !strings.HasPrefix(err.Error(), "middleware: tokens are "+state.String()+": ") {
				t.Error(err)
			}
		}
	})
}
