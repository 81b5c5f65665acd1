package middleware_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// granted logs alice in and moves her refresh token into a grant.
func granted(t *testing.T) (f *fleet, v *visitor, id string) {
	t.Helper()
	f = newFleet(t, "server", shortTokens)
	v = f.visitor()
	v.login("/auth/login", "alice")
	f.page = func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if id, err = middleware.FromContext(r.Context()).Grant(r.Context()); err != nil {
			t.Error(err)
		}
		if _, err := middleware.FromContext(r.Context()).Grant(r.Context()); !errors.Is(err, middleware.ErrLoginRequired) {
			t.Errorf("granted twice: %v", err)
		}
	}
	v.open("/private")
	f.page = fingerprint
	if n := f.store.grants(); n != 1 {
		t.Errorf("the store has %d grants", n)
	}
	return f, v, id
}

func TestGrant(t *testing.T) {
	t.Parallel()
	t.Run("outlives_the_session", func(t *testing.T) {
		t.Parallel()
		f, v, id := granted(t)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusOK {
			t.Errorf("the access token is gone: %d %s", rep.StatusCode, rep.code())
		}
		v.send(formPost("/auth/logout", nil))
		_ = f.auth.Close() // the revocation
		f.loggedOut(v)
		f.clock.add(24 * time.Hour)
		var group sync.WaitGroup
		tokens := make([]string, 20)
		for i := range tokens {
			auth := []*middleware.Auth{f.auth, f.other.auth}[i%2]
			group.Go(func() {
				source, err := auth.Offline(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				token, err := source.Token(t.Context())
				if err != nil || token.RefreshToken != "" {
					t.Errorf("%v", err)
					return
				}
				tokens[i] = token.AccessToken
			})
		}
		group.Wait()
		for _, token := range tokens {
			if token != tokens[0] {
				t.Error("the workers have different tokens")
			}
		}
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("uses_no_token_that_a_logout_revokes", func(t *testing.T) {
		t.Parallel()
		f, v, id := granted(t)
		v.send(formPost("/auth/logout", nil))
		_ = f.auth.Close() // the revocation
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: rp.Transport(source, nil, f.op.URL)}
		for range 2 {
			if status := statusOf(t, client, f.op.URL+"/api"); status != http.StatusOK || f.refreshes() != 1 {
				t.Errorf("the API answers %d after %d refreshes", status, f.refreshes())
			}
		}
	})
	t.Run("uses_the_sessions_token_while_the_provider_is_down", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		f.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" {
				a.Status = http.StatusServiceUnavailable
			}
		})
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := source.Token(t.Context()); err != nil || token.AccessToken == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("renews_what_an_api_rejects", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Token(t.Context()); err != nil || f.refreshes() != 1 {
			t.Fatalf("%v, %d refreshes", err, f.refreshes())
		}
		rejecting := true
		f.op.Fault(func(a *optest.Answer) {
			if a.Endpoint == "/api" && rejecting {
				a.Status = http.StatusUnauthorized
				a.HTTPHeader.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			}
			rejecting = rejecting && a.Grant != "refresh_token"
		})
		client := &http.Client{Transport: rp.Transport(source, nil, f.op.URL)}
		if status := statusOf(t, client, f.op.URL+"/api"); status != http.StatusUnauthorized || f.refreshes() != 1 {
			t.Errorf("a new token: the API answers %d after %d refreshes", status, f.refreshes())
		}
		f.clock.add(time.Minute)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if status := statusOf(t, client, f.op.URL+"/api"); status != http.StatusOK {
					t.Errorf("an older one: the API answers %d", status)
				}
			})
		}
		group.Wait()
		if f.refreshes() != 2 {
			t.Errorf("%d refreshes", f.refreshes())
		}
	})
	t.Run("session_without_it_asks_for_a_login", func(t *testing.T) {
		t.Parallel()
		f, v, _ := granted(t)
		f.clock.add(10 * time.Minute)
		if rep := v.open("/tokens"); rep.StatusCode != http.StatusFound || f.refreshes() != 0 {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("ended_by_the_app", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		if err := f.auth.EndGrant(t.Context(), id); err != nil {
			t.Error(err)
		}
		if _, err := f.auth.Offline(t.Context(), id); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("%v", err)
		}
		_ = f.auth.Close()
		if f.op.Calls("/revoke") == 0 {
			t.Error("nothing was revoked")
		}
	})
	t.Run("ended_by_the_provider", func(t *testing.T) {
		t.Parallel()
		f, _, id := granted(t)
		source, err := f.auth.Offline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		f.clock.add(10 * time.Minute)
		f.op.Fault(func(a *optest.Answer) {
			if a.Grant == "refresh_token" {
				a.Status, a.JSON = 400, map[string]any{"error": "invalid_grant"}
			}
		})
		if _, err := source.Token(t.Context()); !errors.Is(err, middleware.ErrLoginRequired) {
			t.Errorf("%v", err)
		}
		if _, err := source.Token(t.Context()); !errors.Is(err, middleware.ErrNoSession) || f.refreshes() != 1 {
			t.Errorf("%v, %d refreshes", err, f.refreshes())
		}
	})
	t.Run("needs_a_store", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		w.page = func(_ http.ResponseWriter, r *http.Request) {
			if _, err := middleware.FromContext(r.Context()).Grant(r.Context()); !errors.Is(err, rp.ErrUnsupported) {
				t.Errorf("%v", err)
			}
		}
		v.open("/private")
	})
}

func statusOf(t *testing.T, client *http.Client, address string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}
