package websession_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/internal/websession"
)

const (
	name    = "web"
	someone = "AAAAAAAAAAAAAAAAAAAAAA" // an ID that nobody has
)

var (
	key     = sha256.Sum256([]byte("websession"))
	errDown = errors.New("down")
)

// store keeps one session, and counts.
type store struct {
	data    []byte
	version uint64
	calls   map[string]int
	before  func(method string)
	fail    map[string]error
}

func (s *store) enter(method string) error {
	s.calls[method]++
	if s.before != nil {
		s.before(method)
	}
	return s.fail[method]
}

func (s *store) Load(context.Context, string, ...string) ([]byte, uint64, time.Time, error) {
	err := s.enter("Load")
	if err == nil && s.data == nil {
		err = middleware.ErrNoSession
	}
	return s.data, s.version, time.Time{}, err
}

func (s *store) Put(_ context.Context, _ string, data []byte, o middleware.PutOptions) (uint64, error) {
	if err := s.enter("Put"); err != nil {
		return 0, err
	}
	if o.Version != s.version {
		return 0, middleware.ErrConflict
	}
	s.data = data
	s.version++
	return s.version, nil
}

func (s *store) Delete(context.Context, string) error {
	err := s.enter("Delete")
	if err == nil {
		s.data = nil
	}
	return err
}

// web is the store under test, over one that keeps one session.
type web struct {
	*testing.T
	store *store
	web   *websession.Store
}

func newWeb(t *testing.T, keys ...[]byte) *web {
	t.Helper()
	s := &store{calls: map[string]int{}, fail: map[string]error{}}
	w, err := websession.New(s, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &web{t, s, w}
}

// save saves a session and returns the value of its cookie; "-" if it is dropped, "" if none is set.
func (w *web) save(session *sessions.Session) (cookie string, err error) {
	rec := httptest.NewRecorder()
	err = w.web.Save(httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/", http.NoBody), rec, session)
	for _, c := range rec.Result().Cookies() {
		if cookie = c.Value; c.MaxAge < 0 {
			cookie = "-"
		}
	}
	return cookie, err
}

// load loads the session that a cookie names.
func (w *web) load(cookie string) (*sessions.Session, error) {
	r := httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("Cookie", name+"="+cookie)
	session := w.fresh()
	return session, w.web.Load(r, session)
}

func (w *web) fresh() *sessions.Session { return w.web.Fresh(nil, name) }

// stored saves a session with a value, and returns it with its cookie.
func (w *web) stored() (*sessions.Session, string) {
	w.Helper()
	session := w.fresh()
	session.Values["user"] = "alice"
	cookie, err := w.save(session)
	if err != nil || cookie == "" || cookie != session.ID {
		w.Fatalf("%q, %v", cookie, err)
	}
	return session, cookie
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if _, err := websession.New(&store{}, [][]byte{[]byte("short")}, nil); err == nil || !strings.Contains(err.Error(), "Config.Keys") {
		t.Errorf("a short key: %v", err)
	}
	w := newWeb(t)
	if _, err := w.load(someone); err == nil || !strings.Contains(err.Error(), "Config.Keys") {
		t.Errorf("Load without keys: %v", err)
	}
	if cookie, err := w.save(w.fresh()); err == nil || !strings.Contains(err.Error(), "Config.Keys") || cookie != "" {
		t.Errorf("Save without keys: %v, cookie %q", err, cookie)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	_, cookie := w.stored()
	if got, err := w.load(cookie); err != nil || got.IsNew || got.ID != cookie || got.Values["user"] != "alice" {
		t.Errorf("%+v, %v", got, err)
	}
	if bytes.Contains(w.store.data, []byte("alice")) {
		t.Error("the store can read it")
	}
}

// What cannot be the ID of a session of ours is not asked for.
func TestG05_cookie_that_is_no_ID(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	w.stored()
	for _, cookie := range []string{"", "x", someone[1:], someone + "A", strings.Replace(someone, "A", "+", 1), someone[1:] + "B", someone[2:] + "=="} {
		if got, err := w.load(cookie); err != nil || !got.IsNew || w.store.calls["Load"] != 0 {
			t.Errorf("%q: new %v, %v, asked %d times", cookie, got.IsNew, err, w.store.calls["Load"])
		}
	}
	if got, err := w.load(someone); err != nil || !got.IsNew || w.store.calls["Load"] != 1 { // it is another's record that comes
		t.Errorf("new %v, %v, asked %d times", got.IsNew, err, w.store.calls["Load"])
	}
}

func TestG23_store_that_is_down(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	session, cookie := w.stored()
	w.store.fail = map[string]error{"Load": errDown, "Put": errDown, "Delete": errDown}
	if got, err := w.load(cookie); !errors.Is(err, errDown) || !got.IsNew {
		t.Errorf("Load: %v", err)
	}
	if cookie, err := w.save(session); !errors.Is(err, errDown) || cookie != "" {
		t.Errorf("Save: %v, cookie %q", err, cookie)
	}
	fresh := w.fresh()
	if cookie, err := w.save(fresh); !errors.Is(err, errDown) || cookie != "" || fresh.ID != "" {
		t.Errorf("Save of a new one: %v, cookie %q, ID %q", err, cookie, fresh.ID)
	}
	session.Options.MaxAge = -1
	if cookie, err := w.save(session); !errors.Is(err, errDown) || cookie != "" {
		t.Errorf("Save of one that ends: %v, cookie %q", err, cookie)
	}
}

func TestG17_end_of_a_session(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	session, cookie := w.stored()
	session.Options.MaxAge = -1
	if got, err := w.save(session); err != nil || got != "-" || w.store.data != nil || w.store.calls["Put"] != 1 {
		t.Errorf("%v, cookie %q, %d writes", err, got, w.store.calls["Put"])
	}
	if got, err := w.load(cookie); err != nil || !got.IsNew {
		t.Errorf("new %v, %v", got.IsNew, err)
	}
	session.Options.MaxAge = 60
	if got, err := w.save(session); !errors.Is(err, middleware.ErrNoSession) || got != "" {
		t.Errorf("G09: it is back: %v, cookie %q", err, got)
	}
}

func TestValuesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	session, cookie := w.stored()
	session.Values["f"] = func() {}
	if got, err := w.save(session); err == nil || got != "" || w.store.version != 1 {
		t.Errorf("Save: %v, cookie %q", err, got)
	}
	ring, err := seal.NewRing([][]byte{key[:]}, "")
	if err != nil {
		t.Fatal(err)
	}
	box, err := ring.Box("gorilla session")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := box.Seal([]byte("of another version of the app"), name, cookie)
	if err != nil {
		t.Fatal(err)
	}
	w.store.data = []byte(sealed)
	if got, err := w.load(cookie); err == nil || !got.IsNew {
		t.Errorf("Load: new %v, %v", got.IsNew, err)
	}
}

// Gorilla sessions have no versions: of two writes the last wins, and the one before it has not failed.
func TestG22_another_write_comes_between(t *testing.T) {
	t.Parallel()
	w := newWeb(t, key[:])
	session, cookie := w.stored()
	w.store.before = func(method string) {
		if method == "Put" {
			w.store.data, w.store.version = slices.Clone(w.store.data), w.store.version+1
		}
	}
	if got, err := w.save(session); err != nil || got != cookie {
		t.Errorf("%v, cookie %q", err, got)
	}
}
