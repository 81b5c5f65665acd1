package rp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
	"github.com/twofold-auth/twofold/verify"
)

// Group I, as far as it is the client's: the rules of a logout token are in verify/logouttoken_test.go; sessions, routes
// and cookies are package middleware's.

const pathRevoke = "/revoke"

// refusedLogout is how a refused logout token is said.
func refusedLogout(reason error) error { return errors.Join(rp.ErrLogoutToken, reason) }

func TestVerifyLogoutToken(t *testing.T) {
	t.Parallel()
	both := map[string]any{"sub": "alice", "sid": "session-1"}
	for _, row := range []struct {
		name   string
		claims map[string]any
		lie    func(*optest.Answer)
		want   error
	}{
		{"I01_sub_and_sid", both, nil, nil},
		{"I01_only_sub", map[string]any{"sub": "alice"}, nil, nil},
		{"I01_only_sid", map[string]any{"sid": "session-1"}, nil, nil},
		{"I02_alg_none", both, func(a *optest.Answer) { a.Header["alg"] = "none" }, refusedLogout(verify.ErrAlgorithm)},
		{"I02_another_algorithm", both, func(a *optest.Answer) { a.Header["alg"] = "ES256" }, refusedLogout(verify.ErrAlgorithm)},
		{"I02_HS256", both, func(a *optest.Answer) { a.Header["alg"] = "HS256" }, refusedLogout(verify.ErrAlgorithm)},
		{"I02_signature", both, func(a *optest.Answer) {
			a.Sign = func(header, claims []byte) string { return optest.Tamper(a.JWS(header, claims)) }
		}, refusedLogout(verify.ErrSignature)},
		{"I03_iss", map[string]any{"sub": "alice", "iss": evilIssuer}, nil, refusedLogout(verify.ErrIssuer)},
		{"I11_sub_of_another_issuer", map[string]any{"sub": "alice", "iss": opIssuer + "/"}, nil, refusedLogout(verify.ErrIssuer)},
		{"I03_aud", map[string]any{"sub": "alice", "aud": []string{"other"}}, nil, refusedLogout(verify.ErrAudience)},
		{"I04_events", map[string]any{"sub": "alice", "events": nil}, nil, refusedLogout(verify.ErrType)},
		{"I05_nonce", map[string]any{"sub": "alice", "nonce": "n"}, nil, refusedLogout(verify.ErrNonce)},
		{"I06_iat_old", map[string]any{"sub": "alice", "iat": time.Now().Unix() - 3600}, nil, refusedLogout(verify.ErrIssuedAt)},
		{"I06_exp_missing", map[string]any{"sub": "alice", "exp": nil}, nil, refusedLogout(verify.ErrExpired)},
		{"I06_jti_missing", map[string]any{"sub": "alice", "jti": nil}, nil, refusedLogout(verify.ErrMalformed)},
		{"I08_nobody", nil, nil, refusedLogout(verify.ErrSubject)},
		{"I09_typ_of_an_access_token", both, func(a *optest.Answer) { a.Header["typ"] = "at+jwt" }, refusedLogout(verify.ErrType)},
		{"I15_encrypted", both, func(a *optest.Answer) {
			a.Sign = func(_, _ []byte) string { return "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.dGV4dA.dGFn" } // not supported yet
		}, refusedLogout(verify.ErrMalformed)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var event rp.Event
			w := newWorld(t, func(s *setting) { s.rp.Observe = func(_ context.Context, e rp.Event) { event = e } })
			w.op.Fault(row.lie)
			raw := w.op.LogoutToken(row.claims)
			w.said.secret(raw)
			got, err := w.client.VerifyLogoutToken(t.Context(), raw)
			w.want(err, row.want)
			w.observe(t.Context(), event)
			if event.Name != "logout_token" || (event.Receipt != nil) != (row.want == nil) || event.Code != rp.ErrorCode(err) {
				t.Errorf("event %+v", event)
			}
			if row.want != nil {
				if got != nil {
					t.Error("a refused token was handed out")
				}
				return
			}
			sub, _ := row.claims["sub"].(string)
			sid, _ := row.claims["sid"].(string)
			if got.Issuer != opIssuer || got.Subject != sub || got.SessionID != sid || got.ID == "" || got.IssuedAt.IsZero() {
				t.Errorf("%q %q %q", got.Issuer, got.Subject, got.SessionID)
			}
		})
	}
}

// I09: what comes from real tokens.
func TestI09_other_tokens_as_logout_token(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.Resources = []string{"https://api.example.com"} })
	tokens := w.tokens(rp.AuthOptions{})
	for _, raw := range []string{tokens.IDToken().Raw(), tokens.First().Raw(), tokens.OAuth2().AccessToken} {
		if strings.Count(raw, ".") != 2 {
			t.Fatalf("no JWT: %d bytes", len(raw))
		}
		_, err := w.client.VerifyLogoutToken(t.Context(), raw)
		w.want(err, refusedLogout(verify.ErrType))
	}
	for _, raw := range []string{"", "a.b", "..", tokens.OAuth2().RefreshToken} {
		_, err := w.client.VerifyLogoutToken(t.Context(), raw)
		w.want(err, refusedLogout(verify.ErrMalformed))
	}
}

func TestLogoutTokenWhileKeysCannotBeHad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
	raw := w.op.LogoutToken(map[string]any{"sub": "alice"})
	w.lie(pathKeys, status(http.StatusInternalServerError))
	_, err := w.client.VerifyLogoutToken(t.Context(), raw)
	if !errors.Is(err, rp.ErrUnavailable) || errors.Is(err, rp.ErrLogoutToken) || rp.ErrorCode(err) != "unavailable" {
		t.Errorf("I16: %v", err)
	}
	w.said.value(err)
}

// I07: replay is for whoever ends sessions, twice if need be.
func TestI07_logout_token_twice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	raw := w.op.LogoutToken(map[string]any{"sub": "alice"})
	first, err := w.client.VerifyLogoutToken(t.Context(), raw)
	w.must(err)
	second, err := w.client.VerifyLogoutToken(t.Context(), raw)
	w.must(err)
	if first.ID != second.ID {
		t.Errorf("%q and %q", first.ID, second.ID)
	}
}

// revocations are the tokens that were sent to be revoked, as "hint token".
func (w *world) revocations() []string {
	w.Helper()
	var list []string
	for _, r := range w.op.Requests(pathRevoke) {
		if len(r.Form["token"]) != 1 || r.URL.RawQuery != "" || r.Method != http.MethodPost {
			w.Errorf("revocation request %s %s", r.Method, r.URL.Path)
		}
		list = append(list, r.Form.Get("token_type_hint")+" "+r.Form.Get("token"))
	}
	return list
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	jwks := lazyClient(t, func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(key, "k") }).JWKS()
	for name, change := range map[string]func(*setting){
		"client_secret_basic": nil,
		"client_secret_post":  func(s *setting) { s.rp.ClientAuth = rp.SecretPost(clientSecret) },
		"client_secret_jwt":   func(s *setting) { s.rp.ClientAuth = rp.SecretJWT(clientSecret) },
		"private_key_jwt": func(s *setting) {
			s.rp.ClientAuth, s.op.ClientSecret, s.op.ClientKeys = rp.PrivateKeyJWT(key, "k"), "", jwks
		},
		"none": func(s *setting) { s.rp.ClientAuth, s.op.ClientSecret = rp.Public(), "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change)
			tokens := w.tokens(rp.AuthOptions{})
			w.want(w.client.Revoke(t.Context(), tokens), nil)
			want := []string{"refresh_token " + tokens.OAuth2().RefreshToken, "access_token " + tokens.OAuth2().AccessToken}
			if got := w.revocations(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("%d tokens were sent", len(got))
			}
			_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
			w.want(err, says("invalid_grant", http.StatusBadRequest))
			w.want(w.client.Revoke(t.Context(), tokens), nil) // unknown by now: no error
		})
	}
}

func TestRevokeRows(t *testing.T) {
	t.Parallel()
	problem := func(code string, status int) func(*optest.Answer) {
		return func(a *optest.Answer) {
			a.Status, a.JSON = status, map[string]any{"error": code, "error_description": "canary " + a.Request.Form.Get("token")}
		}
	}
	onlyAccess := func(f func(*optest.Answer)) func(*optest.Answer) {
		return func(a *optest.Answer) {
			if a.Request.Form.Get("token_type_hint") == "access_token" {
				f(a)
			}
		}
	}
	onlyRefresh := func(f func(*optest.Answer)) func(*optest.Answer) {
		return func(a *optest.Answer) {
			if a.Request.Form.Get("token_type_hint") == "refresh_token" {
				f(a)
			}
		}
	}
	for _, row := range []struct {
		name  string
		lie   func(*optest.Answer)
		calls int
		want  error
	}{
		{"I23_400", problem("invalid_request", 400), 2, says("invalid_request", 400)},
		{"I23_401", problem("invalid_client", 401), 2, says("invalid_client", 401)},
		{"I23_access_tokens_cannot_be_revoked", onlyAccess(problem("unsupported_token_type", 400)), 2, nil},
		{"I23_refresh_tokens_cannot_be_revoked", onlyRefresh(problem("unsupported_token_type", 400)), 2, says("unsupported_token_type", 400)},
		{"I23_access_token_refused", onlyAccess(problem("invalid_request", 400)), 2, says("invalid_request", 400)},
		{"I23_500", status(500), 1, down(500)},
		{"I23_503", problem("temporarily_unavailable", 503), 1, errors.Join(rp.ErrUnavailable, says("temporarily_unavailable", 503))},
		{"I23_429", status(429), 1, down(429)},
		{"I23_404_page", status(404), 2, says("", 404)},
		{"I23_reset", func(a *optest.Answer) { a.Reset = true }, 1, rp.ErrUnavailable},
		{"I23_redirect", func(a *optest.Answer) { a.Status = 307; a.HTTPHeader.Set("Location", "http://"+evilPlace) }, 2, says("", 307)},
		{"I23_200_with_a_page", func(a *optest.Answer) { a.Body = []byte("<html>"); a.HTTPHeader.Set("Content-Type", "text/html") }, 2, nil},
		{"I23_200_with_an_error_that_is_ignored", problem("server_error", 200), 2, nil},
		{"I23_204", func(a *optest.Answer) { a.Status = 204 }, 2, nil},
		{"I23_endless_answer", func(a *optest.Answer) { a.Body = make([]byte, 2<<20) }, 2, rp.ErrTokenResponse},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			tokens := w.tokens(rp.AuthOptions{})
			w.lie(pathRevoke, row.lie)
			w.want(w.client.Revoke(t.Context(), tokens), row.want)
			w.calls(pathRevoke, row.calls)
			if n := w.net.dials(evilPlace); n != 0 {
				t.Error("a redirect was followed")
			}
			if strings.Contains(w.said.String(), tokens.OAuth2().RefreshToken) {
				t.Error("K01: the token was said")
			}
		})
	}
}

func TestI23_revocation_takes_bounded_time(t *testing.T) {
	t.Parallel()
	hangs := func(a *optest.Answer) { a.Delay = -1 }
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, ours)
		tokens := w.tokens(rp.AuthOptions{})
		w.lie(pathRevoke, hangs)
		start := time.Now()
		w.want(w.client.Revoke(t.Context(), tokens), rp.ErrUnavailable)
		if took := since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start = time.Now()
		w.want(w.client.Revoke(ctx, tokens), rp.ErrUnavailable)
		if took := since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		w.calls(pathRevoke, 2)
	})
}

func TestRevokeWhatIsThere(t *testing.T) {
	t.Parallel()
	t.Run("no_refresh_token", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) { s.rp.Scopes = nil })
		tokens := w.tokens(rp.AuthOptions{})
		w.want(w.client.Revoke(t.Context(), tokens), nil)
		w.calls(pathRevoke, 1)
		w.lie(pathRevoke, func(a *optest.Answer) { a.Status, a.JSON = 400, map[string]any{"error": "unsupported_token_type"} })
		w.want(w.client.Revoke(t.Context(), tokens), says("unsupported_token_type", 400))
	})
	t.Run("access_token_has_expired", func(t *testing.T) {
		t.Parallel()
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, func(s *setting) { s.op.AccessTokenLifetime = time.Minute })
			tokens := w.tokens(rp.AuthOptions{})
			pass(time.Minute)
			w.want(w.client.Revoke(t.Context(), tokens), nil)
			if got := w.revocations(); len(got) != 1 || !strings.HasPrefix(got[0], "refresh_token ") {
				t.Errorf("%d tokens were sent", len(got))
			}
		})
	})
	t.Run("tokens_out_of_a_session", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		parsed, err := w.client.ParseTokens(w.tokens(rp.AuthOptions{}).Bytes())
		w.must(err)
		w.want(w.client.Revoke(t.Context(), parsed), nil)
		w.calls(pathRevoke, 2)
	})
	t.Run("nothing_verified", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.want(w.client.Revoke(t.Context(), nil), rp.ErrNotVerified)
		w.want(w.client.Revoke(t.Context(), &rp.Tokens{}), rp.ErrNotVerified)
		other := newWorld(t, func(s *setting) { s.rp.RedirectURL = "http://127.0.0.1:9/other" })
		w.want(other.client.Revoke(t.Context(), w.tokens(rp.AuthOptions{})), rp.ErrOtherClient)
		other.calls(pathRevoke, 0)
	})
	t.Run("no_endpoint", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) {
			s.rp.Endpoints = &rp.Endpoints{
				Authorization: opIssuer + "/authorize", Token: opIssuer + pathToken, JWKS: opIssuer + pathKeys,
			}
		})
		w.want(w.client.Revoke(t.Context(), w.tokens(rp.AuthOptions{})), rp.ErrUnsupported)
	})
	t.Run("endpoint_by_hand", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setting) {
			s.rp.Endpoints = &rp.Endpoints{
				Authorization: opIssuer + "/authorize", Token: opIssuer + pathToken, JWKS: opIssuer + pathKeys, Revocation: opIssuer + pathRevoke,
			}
		})
		w.want(w.client.Revoke(t.Context(), w.tokens(rp.AuthOptions{})), nil)
		w.calls(pathRevoke, 2)
	})
	t.Run("provider_is_down", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		lazy := newWorld(t, func(s *setting) { s.rp.Discovery = rp.Lazy })
		lazy.lie(pathMeta, status(503))
		tokens := w.tokens(rp.AuthOptions{})
		parsed, err := lazy.client.ParseTokens(tokens.Bytes())
		lazy.must(err)
		if err := lazy.client.Revoke(t.Context(), parsed); !errors.Is(err, rp.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// F10 for the endpoint of this file: what metadata may not say.
func TestRevocationEndpointOfMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, bad := range []string{"http://example.com/revoke", "javascript:1", "https://example.com/revoke#x", "revoke"} {
		doc := map[string]any{
			"issuer": opIssuer, "authorization_endpoint": opIssuer + "/authorize", "token_endpoint": opIssuer + pathToken,
			"jwks_uri": opIssuer + pathKeys, "revocation_endpoint": bad,
		}
		if _, err := rp.ReadMetadata(w.client, string(mustJSON(t, doc))); !errors.Is(err, rp.ErrMetadata) {
			t.Errorf("%s: %v", bad, err)
		}
		doc["revocation_endpoint"] = "https://other.example.com/revoke"
		e, err := rp.ReadMetadata(w.client, string(mustJSON(t, doc)))
		if u, _ := url.Parse(e.Revocation); err != nil || u.Host != "other.example.com" {
			t.Errorf("%v %v", e, err)
		}
	}
}
