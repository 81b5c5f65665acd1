package middleware_test

import (
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
)

// oddStore changes what the real one says from a moment on.
type oddStore struct {
	sessions.Store
	mu    sync.Mutex // guards what follows
	found func(*sessions.Session, error) (*sessions.Session, error)
	saved error
}

func (o *oddStore) become(found func(*sessions.Session, error) (*sessions.Session, error), saved error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found, o.saved = found, saved
}

func (o *oddStore) New(r *http.Request, name string) (*sessions.Session, error) {
	s, err := o.Store.New(r, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.found != nil {
		return o.found(s, err)
	}
	return s, err
}

func (o *oddStore) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.saved != nil {
		return o.saved
	}
	return o.Store.Save(r, w, s)
}

// What a gorilla store may say of a session.
var (
	saysGone = func(*sessions.Session, error) (*sessions.Session, error) { return nil, nil }
	saysDown = func(*sessions.Session, error) (*sessions.Session, error) { return nil, errDown }
	saysNew  = func(s *sessions.Session, err error) (*sessions.Session, error) { s.IsNew = true; return s, err }
	saysNone = func(s *sessions.Session, _ error) (*sessions.Session, error) { return s, fs.ErrNotExist }
	saysLess = func(s *sessions.Session, err error) (*sessions.Session, error) {
		delete(s.Values, "tokens")
		return s, err
	}
	saysOther = func(s *sessions.Session, err error) (*sessions.Session, error) {
		s.Values["tokens"] = "AAAA"
		return s, err
	}
)

func oddWorld(t *testing.T, changes ...func(*settings)) (*world, *oddStore, *visitor) {
	t.Helper()
	store := &oddStore{Store: fileStore(t)}
	w := newWorld(t, append(changes, func(s *settings) { s.auth.Store = store })...)
	v := w.visitor()
	v.login("/auth/login", "alice")
	w.clock.add(2 * time.Minute) // a login of just now is not repeated
	return w, store, v
}

// What the store says when a session is read.
func TestGorillaStoreThatReads(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		found  func(*sessions.Session, error) (*sessions.Session, error)
		path   string
		status int
	}{
		{"G23_nothing_and_no_error", saysGone, "/private", http.StatusFound},
		{"G23_a_new_session_with_old_values", saysNew, "/private", http.StatusFound},
		{"G23_a_session_and_that_there_is_none", saysNone, "/private", http.StatusFound},
		{"G23_an_error", saysDown, "/private", http.StatusServiceUnavailable},
		{"G10_without_its_tokens", saysLess, "/private", http.StatusFound},
		{"G24_with_the_tokens_of_nobody", saysOther, "/tokens", http.StatusFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, store, v := oddWorld(t)
			store.become(row.found, nil)
			if rep := v.clone().open(row.path); rep.StatusCode != row.status {
				t.Errorf("%d %s, want %d", rep.StatusCode, rep.code(), row.status)
			}
			store.become(nil, nil)
			if rep := v.open(row.path); rep.StatusCode != http.StatusOK {
				t.Errorf("afterwards: %d %s", rep.StatusCode, rep.code())
			}
		})
	}
}

// What the store says when a session is written: at a login, after a refresh, at the logout.
func TestGorillaStoreThatWrites(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		found func(*sessions.Session, error) (*sessions.Session, error)
		saved error
	}{
		{"G23_login_and_nothing_and_no_error", saysGone, nil},
		{"G23_login_and_an_error", saysDown, nil},
		{"G23_login_and_an_error_of_Save", nil, errDown},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, store, _ := oddWorld(t)
			a := w.visitor().answer("/auth/login", "bob")
			store.become(row.found, row.saved)
			rep := a.post()
			if set, _ := rep.sets(sessionName); set != nil || rep.StatusCode < 400 || rep.code() == "panic" {
				t.Errorf("%d %s, %v", rep.StatusCode, rep.code(), set)
			}
			if want := "session_store"; row.name != "G23_login_and_nothing_and_no_error" && rep.code() != want {
				t.Errorf("%s, want %s", rep.code(), want)
			}
		})
	}
	for name, found := range map[string]func(*sessions.Session, error) (*sessions.Session, error){
		"E19_refresh_and_nothing_and_no_error": saysGone, "E19_refresh_and_a_new_session": saysNew, "E19_refresh_and_that_there_is_none": saysNone,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, store, v := oddWorld(t, shortTokens)
			w.clock.add(10 * time.Minute)
			w.wire.gate(nil, func(*http.Request) { store.become(found, nil) })
			if rep := v.open("/tokens"); rep.StatusCode == http.StatusOK {
				t.Errorf("a session that has ended is served: %s", rep.body)
			}
		})
	}
	for name, row := range map[string]struct {
		found func(*sessions.Session, error) (*sessions.Session, error)
		saved error
	}{"G23_logout_and_an_error": {saysDown, nil}, "G23_logout_and_an_error_of_Save": {nil, errDown}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, store, v := oddWorld(t)
			news := 0
			found := func(s *sessions.Session, err error) (*sessions.Session, error) {
				if news++; news > 1 && row.found != nil { // the first one reads
					return row.found(s, err)
				}
				return s, err
			}
			store.become(found, row.saved)
			rep := v.clone().send(formPost("/auth/logout", nil))
			if rep.StatusCode != http.StatusServiceUnavailable || strings.Contains(rep.Header.Get("Location"), w.op.URL) {
				t.Errorf("nobody was logged out, and nobody says so: %d %s", rep.StatusCode, rep.code())
			}
		})
	}
}

// stubbornStore does not do what Save says of a session that ends.
type stubbornStore struct {
	sessions.Store
	err error
}

func (s stubbornStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options.MaxAge < 0 {
		return s.err
	}
	return s.Store.Save(r, w, session)
}

// A store that keeps nothing, something else, or for ever, is found out before the first user comes.
func TestGorillaStoreThatIsProbed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	says := func(found func(*sessions.Session, error) (*sessions.Session, error)) sessions.Store {
		return &oddStore{Store: fileStore(t), found: found}
	}
	for name, store := range map[string]sessions.Store{
		"G23_keeps_nothing":                     says(saysNew),
		"G23_keeps_something_else":              says(saysOther),
		"G23_keeps_a_part":                      says(saysLess),
		"G09_deletes_nothing":                   stubbornStore{fileStore(t), nil},
		"G09_cannot_delete":                     stubbornStore{fileStore(t), errDown},
		"G23_says_that_it_is_down":              says(saysDown),
		"G23_says_nothing_and_returns_no_error": says(saysGone),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth, err := middleware.New(middleware.Config{Client: w.client, Keys: [][]byte{attackKey("one")}, Name: "t", Now: w.clock.Now, Logger: discard, Store: store})
			if err == nil {
				_ = auth.Close()
				t.Error("accepted")
			}
		})
	}
}
