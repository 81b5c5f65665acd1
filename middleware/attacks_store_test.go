package middleware_test

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"
)

// storeKinds are the ways to keep sessions.
var storeKinds = []struct {
	name string
	use  func(testing.TB) func(*settings)
}{
	{"cookies", func(testing.TB) func(*settings) { return func(*settings) {} }},
	{"gorilla", func(t testing.TB) func(*settings) {
		return func(s *settings) { s.auth.Store = fileStore(t) }
	}},
	{"server", func(testing.TB) func(*settings) {
		return func(s *settings) { s.auth.Store = newFleetStore(s.auth.Now) }
	}},
}

func fileStore(tb testing.TB) *sessions.FilesystemStore {
	tb.Helper()
	store := sessions.NewFilesystemStore(tb.TempDir(), attackKey("gorilla"))
	store.MaxLength(0)
	return store
}

// hostileStore does what a test wants before it asks the real one.
type hostileStore struct {
	sessions.Store
	mu        sync.Mutex // guards what follows
	news      int
	saves     int
	newError  error
	saveError error
	onNew     func(*sessions.Session)
}

func (h *hostileStore) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *hostileStore) counts() (news, saves int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.news, h.saves
}

func (h *hostileStore) New(r *http.Request, name string) (*sessions.Session, error) {
	h.mu.Lock()
	h.news++
	err, change := h.newError, h.onNew
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s, err := h.Store.New(r, name)
	if change != nil && s != nil {
		change(s)
	}
	return s, err
}

func (h *hostileStore) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	h.mu.Lock()
	h.saves++
	err := h.saveError
	h.mu.Unlock()
	if err != nil {
		return err
	}
	return h.Store.Save(r, w, s)
}

func TestStore(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, changes ...func(*settings)) (*world, *hostileStore) {
		store := &hostileStore{Store: fileStore(t)}
		return newWorld(t, append(changes, func(s *settings) { s.auth.Store = store })...), store
	}
	broken := errors.New("connection refused")
	t.Run("G09_session_after_logout", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		old := v.clone()
		v.send(formPost("/auth/logout", nil))
		if rep := old.clone().open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
		again := newWorld(t, func(s *settings) { // another process with the same store
			s.auth.Store, s.rp.Issuer, s.auth.Client = store, w.op.URL, w.client
		})
		if rep := old.on(again).open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("in another process: %d", rep.StatusCode)
		}
	})
	t.Run("G23_store_is_down", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		v := w.visitor()
		v.login("/auth/login", "alice")
		store.set(func() { store.newError = broken })
		for _, path := range []string{"/private", "/tokens", "/"} {
			rep := v.clone().open(path)
			w.refused(rep, 503, "session_store")
			if rep.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		rep := v.clone().send(formPost("/auth/logout", nil))
		if rep.StatusCode != 503 {
			t.Errorf("logout: %d", rep.StatusCode)
		}
		if rep := w.visitor().open("/"); rep.StatusCode != 200 {
			t.Errorf("somebody without a session: %d", rep.StatusCode)
		}
		store.set(func() { store.newError = nil })
		if v.id() == "" {
			t.Error("the session is lost")
		}
	})
	t.Run("G23_store_cannot_save_a_login", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		a := w.visitor().answer("/auth/login", "")
		store.set(func() { store.saveError = broken })
		w.refused(a.post(), 503, "session_store")
	})
	t.Run("G23_store_cannot_renew", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		v := w.visitor()
		v.login("/auth/login", "")
		store.set(func() { store.saveError = broken })
		w.clock.add(10 * time.Minute)
		if rep := v.open("/private"); rep.StatusCode != 200 {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("G24_record_of_another_user", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		alice, bob := w.visitor(), w.visitor()
		alice.login("/auth/login", "alice")
		bob.login("/auth/login", "bob")
		_, inner, _ := strings.Cut(alice.cookies[sessionName], ".")
		own, _, _ := strings.Cut(bob.cookies[sessionName], ".")
		bob.cookies[sessionName] = own + "." + inner
		if rep := bob.open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("%d", rep.StatusCode)
		}
		var stolen map[any]any
		store.set(func() { store.onNew = func(s *sessions.Session) { stolen = maps.Clone(s.Values) } })
		alice.open("/private")
		bob = w.visitor()
		store.set(func() { store.onNew = nil })
		bob.login("/auth/login", "bob")
		store.set(func() { store.onNew = func(s *sessions.Session) { maps.Copy(s.Values, stolen) } })
		if rep := bob.clone().open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("the store confuses users and we believe it: %d", rep.StatusCode)
		}
		w.clock.add(2 * time.Minute) // a login of just now is not repeated
		tokens := stolen["tokens"]
		store.set(func() { store.onNew = func(s *sessions.Session) { s.Values["tokens"] = tokens } })
		if rep := bob.clone().open("/tokens"); rep.StatusCode != http.StatusFound {
			t.Errorf("tokens of another user: %d", rep.StatusCode)
		}
		store.set(func() { store.onNew = func(s *sessions.Session) { s.Values["identity"] = "corrupt" } })
		if rep := bob.clone().open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("a corrupt record: %d", rep.StatusCode)
		}
		store.set(func() { store.onNew = func(s *sessions.Session) { s.Values["identity"] = 7 } })
		if rep := bob.clone().open("/private"); rep.StatusCode != http.StatusFound {
			t.Errorf("a record of another type: %d", rep.StatusCode)
		}
	})
	t.Run("G25_session_ID", func(t *testing.T) {
		t.Parallel()
		w, _ := start(t)
		seen := map[string]bool{}
		for range 50 {
			v := w.visitor()
			v.login("/auth/login", "")
			id, _, _ := strings.Cut(v.cookies[sessionName], ".")
			if len(id) != 22 || seen[id] { // 128 bits in base64
				t.Fatalf("session ID of %d characters, seen: %v", len(id), seen[id])
			}
			seen[id] = true
			w.spoken.values = append(w.spoken.values, id) // not to be seen but in its cookie
		}
	})
	t.Run("G22_renewal_and_refresh_at_once", func(t *testing.T) {
		t.Parallel()
		w, store := start(t, func(s *settings) { s.op.AccessTokenLifetime = 5 * time.Minute })
		v := w.visitor()
		v.login("/auth/login", "")
		w.clock.add(10 * time.Minute)
		// The first request has loaded the session and wants to renew it; before that, another one refreshes the tokens.
		var began atomic.Bool
		store.set(func() {
			store.onNew = func(*sessions.Session) {
				if began.Swap(true) {
					return
				}
				if rep := v.clone().open("/tokens"); rep.StatusCode != 200 {
					t.Errorf("refresh: %d", rep.StatusCode)
				}
			}
		})
		if rep := v.open("/private"); rep.StatusCode != 200 {
			t.Errorf("renewal: %d", rep.StatusCode)
		}
		w.clock.add(10 * time.Minute) // so that nothing is remembered in the process
		if rep := v.open("/tokens"); rep.StatusCode != 200 {
			t.Errorf("the rotated refresh token was lost: %d %s", rep.StatusCode, rep.code())
		}
	})
	t.Run("J11_no_write_without_change", func(t *testing.T) {
		t.Parallel()
		w, store := start(t)
		v := w.visitor()
		v.login("/auth/login", "")
		news, saves := store.counts()
		for range 100 {
			v.open("/private")
			v.open("/tokens")
			v.open("/")
		}
		n, s := store.counts()
		if s != saves || n-news != 300 {
			t.Errorf("%d reads and %d writes for 300 requests", n-news, s-saves)
		}
	})
	// X15: the session cookie's value is a stranger's to choose: nothing of it may be believed, kept or passed on.
	t.Run("X15_hostile_session_name", func(t *testing.T) {
		t.Parallel()
		w, _ := start(t)
		for _, value := range []string{
			"x", ".", "..", strings.Repeat("A", 22) + ".", strings.Repeat("A", 22) + ".../../../../etc/passwd",
			strings.Repeat("A", 22) + "." + strings.Repeat("B", 60_000), strings.Repeat("A", 60_000), "\x00\x01", strings.Repeat(".", 1000),
		} {
			v := w.visitor()
			v.cookies[sessionName] = value
			a := v.clone().begin("/auth/login")
			if len(a.cookie) > 4000 {
				t.Errorf("the transaction cookie has %d bytes", len(a.cookie))
			}
			if rep := v.clone().open("/private"); rep.StatusCode != http.StatusFound {
				t.Errorf("%.30q: %d", value, rep.StatusCode)
			}
			if rep := v.clone().send(formPost("/auth/logout", nil)); rep.StatusCode != 303 {
				t.Errorf("%.30q: logout %d", value, rep.StatusCode)
			}
		}
	})
}
