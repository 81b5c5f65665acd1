package middleware_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
)

var errDisk = errors.New("disk is on fire")

// brokenStore fails at everything.
type brokenStore struct{}

func (b *brokenStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return b.New(r, name)
}

func (b *brokenStore) New(_ *http.Request, name string) (*sessions.Session, error) {
	return sessions.NewSession(b, name), errDisk
}

func (*brokenStore) Save(*http.Request, http.ResponseWriter, *sessions.Session) error { return errDisk }

// vagueStore says the same of a missing session as of a broken disk.
type vagueStore struct{ sessions.Store }

func (v *vagueStore) New(r *http.Request, name string) (*sessions.Session, error) {
	s, err := v.Store.New(r, name)
	if err != nil {
		err = errDisk
	}
	return s, err
}

// longStore keeps the session in its cookie, as a CookieStore without a limit does.
type longStore struct{ sessions.Store }

func (l *longStore) Save(_ *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	http.SetCookie(w, &http.Cookie{Name: s.Name(), Value: strings.Repeat("x", 11_000)})
	return nil
}

// switchStore is a FilesystemStore that can break and counts what is written.
type switchStore struct {
	sessions.Store
	broken atomic.Bool
	writes atomic.Int32
}

func (s *switchStore) New(r *http.Request, name string) (*sessions.Session, error) {
	if s.broken.Load() {
		return sessions.NewSession(s, name), errDisk
	}
	return s.Store.New(r, name)
}

func (s *switchStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	s.writes.Add(1)
	if s.broken.Load() {
		return errDisk
	}
	return s.Store.Save(r, w, session)
}

func TestG23_a_broken_store_is_no_missing_session(t *testing.T) {
	t.Parallel()
	store := &switchStore{Store: newFileStore(t)}
	a := newApp(t, setup{auth: func(c *middleware.Config) { c.Store = store }})
	b := a.browser()
	a.expect(b, "/account", http.StatusOK, "user alice")
	store.broken.Store(true)
	for _, path := range []string{"/account", "/optional", "/orders"} {
		p := a.expect(b, path, http.StatusServiceUnavailable, "We cannot look up your session")
		if p.Header.Get("Retry-After") == "" || len(p.History) != 1 {
			t.Errorf("%s: Retry-After %q, via %v", path, p.Header.Get("Retry-After"), p.History)
		}
	}
	store.broken.Store(false)
	a.expect(b, "/account", http.StatusOK, "user alice")
}

func TestJ11_a_session_is_not_written_at_each_request(t *testing.T) {
	t.Parallel()
	store := &switchStore{Store: newFileStore(t)}
	a := newApp(t, setup{auth: func(c *middleware.Config) { c.Store = store }})
	b := a.browser()
	a.expect(b, "/account", http.StatusOK, "user alice")
	before := store.writes.Load()
	for range 20 {
		a.expect(b, "/account", http.StatusOK, "user alice")
		a.expect(b, "/orders", http.StatusOK, "token")
	}
	if n := store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

// What the store sets as cookie attributes never reaches the browser.
func TestStoreCookieHasOurAttributes(t *testing.T) {
	t.Parallel()
	a := newApp(t, setup{auth: func(c *middleware.Config) { c.Store = newFileStore(t) }})
	b := a.browser()
	a.expect(b, "/account", http.StatusOK, "user alice")
	for _, c := range b.Cookies(a.server.URL) {
		if strings.HasSuffix(c.Name, "-s") && (!c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/") {
			t.Errorf("%s has %v", c.Name, c)
		}
	}
}
