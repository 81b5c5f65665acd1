package optest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp/optest"
)

func TestAttacksAreNamed(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[A-F][0-9]{2}_[A-Za-z0-9_]+$`)
	seen := map[string]bool{}
	accepted := 0
	for _, a := range optest.Attacks() {
		if !name.MatchString(a.String()) || seen[a.String()] {
			t.Errorf("%q is no name for one attack", a)
		}
		seen[a.String()] = true
		if a.Expect == optest.Accept {
			accepted++
		}
	}
	if len(seen) < 200 || accepted < 20 {
		t.Errorf("only %d attacks, %d of them controls", len(seen), accepted)
	}
}

// careless logs in whoever comes back, and refuses on demand.
func careless(t *testing.T, op *optest.Server, behave func(w http.ResponseWriter, r *http.Request) bool) optest.Target {
	t.Helper()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		q := url.Values{
			"client_id": {"app"}, "redirect_uri": {app.URL + "/callback"}, "response_type": {"code id_token"},
			"response_mode": {"form_post"}, "scope": {"openid"}, "state": {"state-1"}, "nonce": {"nonce-1"},
		}
		http.Redirect(w, r, op.URL+"/authorize?"+q.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if behave(w, r) {
			http.SetCookie(w, &http.Cookie{Name: "user", Value: "alice", Path: "/"})
		}
	})
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("user"); err != nil {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "alice")
	})
	return optest.Target{Provider: op.Handler, Login: app.URL + "/login", Private: app.URL + "/me"}
}

// TestTryNotices: what each kind of careless app does wrong is said, and a careful one is not blamed.
func TestTryNotices(t *testing.T) {
	t.Parallel()
	op := optest.NewServer(optest.Config{})
	t.Cleanup(op.Close)
	redeem := func(r *http.Request, times int) {
		for range times {
			form := url.Values{
				"grant_type": {"authorization_code"}, "client_id": {"app"}, "code": r.PostForm["code"], "redirect_uri": {"x"},
			}
			resp, err := http.PostForm(op.URL+"/oauth/token", form)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = resp.Body.Close()
		}
	}
	wrong := optest.Attack{ID: "X00", Name: "c_hash", Expect: optest.RefuseUnspent, Fault: func(a *optest.Answer) {
		if a.Endpoint == "/authorize" {
			a.Claims["c_hash"] = "x"
		}
	}}
	honest := optest.Attack{ID: "X00", Name: "nothing", Expect: optest.Accept, Fault: func(*optest.Answer) {}}
	for _, row := range []struct {
		name   string
		attack optest.Attack
		behave func(w http.ResponseWriter, r *http.Request) bool
		want   string
	}{
		{"accepts", wrong, func(http.ResponseWriter, *http.Request) bool { return true }, "the user is logged in"},
		{"refuses", wrong, func(http.ResponseWriter, *http.Request) bool { return false }, ""},
		{"refuses_too_late", wrong, func(_ http.ResponseWriter, r *http.Request) bool { redeem(r, 1); return false }, "called 1 times"},
		{"repeats_the_code", honest, func(_ http.ResponseWriter, r *http.Request) bool { redeem(r, 2); return true }, "sent twice"},
		{"refuses_all", honest, func(http.ResponseWriter, *http.Request) bool { return false }, "nobody is logged in"},
		{"accepts_the_honest", honest, func(http.ResponseWriter, *http.Request) bool { return true }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.attack.Try(t.Context(), careless(t, op, row.behave))
			if (err == nil) != (row.want == "") || (err != nil && !strings.Contains(err.Error(), row.want)) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// TestTryNoticesMarkup: an app that shows what the provider wrote.
func TestTryNoticesMarkup(t *testing.T) {
	t.Parallel()
	op := optest.NewServer(optest.Config{})
	t.Cleanup(op.Close)
	target := careless(t, op, func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, r.PostForm.Get("error_description"))
		return false
	})
	blamed := 0
	for _, a := range optest.Attacks() {
		if strings.HasPrefix(a.Name, "description_") && a.Try(t.Context(), target) != nil {
			blamed++
		}
	}
	if blamed == 0 {
		t.Error("markup in a page was not noticed")
	}
}

// TestTryWithoutAttack: an attack that cannot take place is no success.
func TestTryWithoutAttack(t *testing.T) {
	t.Parallel()
	op := optest.NewServer(optest.Config{})
	t.Cleanup(op.Close)
	nowhere := optest.Target{Provider: op.Handler, Login: "http://127.0.0.1:1/", Private: "http://127.0.0.1:1/"}
	for _, a := range optest.Attacks() {
		if a.Cold {
			continue
		}
		if err := a.Try(t.Context(), nowhere); !errors.Is(err, optest.ErrNotTried) {
			t.Fatalf("%s: %v", a, err)
		}
	}
}

// TestEachAttackBites: a client that looks at nothing is caught by every attack that is about a login.
func TestEachAttackBites(t *testing.T) {
	t.Parallel()
	op := optest.NewServer(optest.Config{Algorithm: "ES256"})
	t.Cleanup(op.Close)
	target := careless(t, op, func(http.ResponseWriter, *http.Request) bool { return true })
	tried := 0
	for _, a := range optest.Attacks() {
		if a.Cold {
			continue
		}
		err := a.Try(t.Context(), target)
		switch {
		case errors.Is(err, optest.ErrNotTried):
		case (err == nil) != (a.Expect == optest.Accept):
			t.Errorf("%s: %v", a, err)
		default:
			tried++
		}
	}
	if tried < 150 {
		t.Errorf("only %d attacks took place", tried)
	}
}
