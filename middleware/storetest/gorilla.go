package storetest

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/sessions"
)

var gorillaRows = []row[sessions.Store]{
	{"a_session_comes_back_to_every_instance", webComesBack},
	{"values_of_8_KB_come_back", webSize},
	{"G23_an_absent_session_is_new_and_no_failure", webAbsent},
	{"G05_a_changed_cookie_is_no_session", webTampered},
	{"G24_a_cookie_of_another_name_is_no_session", webOtherName},
	{"G17_a_negative_MaxAge_deletes_session_and_cookie", webDelete},
	{"G25_each_session_has_a_name_of_its_own", webUnique},
	{"G01_an_ID_of_a_stranger_is_not_adopted", webFixation},
	{"G09_what_was_deleted_is_not_saved_again", webResurrection},
	{"cookies_have_the_attributes_of_the_session", webAttributes},
	{"Get_returns_one_session_for_one_request", webGet},
	{"G22_parallel_requests_do_not_disturb_each_other", webParallel},
	{"stores_with_other_prefixes_share_nothing", webIsolated},
	{"G23_a_store_that_is_down_says_so", webDown},
}

const webName = "storetest"

// request has the cookies.
func request(t *testing.T, cookies ...*http.Cookie) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://app.example.com/", http.NoBody)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// webSave saves value in the session that cookies name, or a new one, and returns its cookie.
func webSave(t *testing.T, s sessions.Store, value string, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	r := request(t, cookies...)
	session, err := s.New(r, webName)
	if session == nil {
		t.Fatalf("New: nil, %v", err)
	}
	session.Values["value"], session.Options.MaxAge = value, 60
	return saved(t, s, r, session)
}

// saved saves session and returns its cookie.
func saved(t *testing.T, s sessions.Store, r *http.Request, session *sessions.Session) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	must(t, "Save", s.Save(r, w, session))
	for _, c := range w.Result().Cookies() {
		if c.Name == session.Name() {
			return c
		}
	}
	t.Fatal("Save has set no cookie")
	return nil
}

func wantValue(t *testing.T, s sessions.Store, cookie *http.Cookie, want string) {
	t.Helper()
	session, err := s.New(request(t, cookie), webName)
	must(t, "New", err)
	if got, _ := session.Values["value"].(string); session.IsNew || got != want {
		t.Errorf("New: new %v, %d bytes; want %d bytes", session.IsNew, len(got), len(want))
	}
}

// wantNew fails unless there is no session and the store says so: by no error, fs.ErrNotExist, or one of decoding.
func wantNew(t *testing.T, s sessions.Store, name string, cookies ...*http.Cookie) *sessions.Session {
	t.Helper()
	session, err := s.New(request(t, cookies...), name)
	var codec interface{ IsDecode() bool } // securecookie.Error
	if err != nil && !errors.Is(err, fs.ErrNotExist) && (!errors.As(err, &codec) || !codec.IsDecode()) {
		t.Errorf("New: an absent session is the failure %v", err)
	}
	if session == nil || !session.IsNew || len(session.Values) > 0 {
		t.Fatalf("New: %v, want a new and empty session", session)
	}
	return session
}

func webComesBack(t *testing.T, _ Suite, open func() sessions.Store) {
	one, two := open(), open()
	cookie := webSave(t, one, "first")
	wantValue(t, one, cookie, "first")
	wantValue(t, two, cookie, "first")
	again := webSave(t, two, "second", cookie)
	wantValue(t, one, again, "second")
}

func webSize(t *testing.T, _ Suite, open func() sessions.Store) {
	s, value := open(), strings.Repeat("x", 8<<10)
	wantValue(t, s, webSave(t, s, value), value)
}

func webAbsent(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	wantNew(t, s, webName)
	cookie := webSave(t, s, "x")
	r := request(t, cookie)
	session, err := s.New(r, webName)
	must(t, "New", err)
	session.Options.MaxAge = -1
	saved(t, s, r, session)
	wantNew(t, s, webName, cookie)
}

func webTampered(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	cookie := webSave(t, s, "x")
	last := "A"
	if strings.HasSuffix(cookie.Value, "A") {
		last = "B"
	}
	for _, value := range []string{"", "x", cookie.Value + "A", cookie.Value[1:], "B" + cookie.Value[:len(cookie.Value)-2] + last, "../" + cookie.Value} {
		wantNew(t, s, webName, &http.Cookie{Name: webName, Value: value}) //nolint:gosec // a request's cookie
	}
	wantValue(t, s, cookie, "x")
}

func webOtherName(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	cookie := webSave(t, s, "x")
	wantNew(t, s, "othername", &http.Cookie{Name: "othername", Value: cookie.Value}) //nolint:gosec // a request's cookie
}

func webDelete(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	cookie := webSave(t, s, "x")
	r := request(t, cookie)
	session, err := s.New(r, webName)
	must(t, "New", err)
	session.Options.MaxAge = -1
	if gone := saved(t, s, r, session); gone.MaxAge >= 0 {
		t.Errorf("Save: MaxAge %d, want a cookie that deletes", gone.MaxAge)
	}
	wantNew(t, s, webName, cookie)
	fresh := wantNew(t, s, webName)
	fresh.Options.MaxAge = -1
	saved(t, s, request(t), fresh) // deleting nothing is fine
}

func webUnique(t *testing.T, _ Suite, open func() sessions.Store) {
	s, seen := open(), map[string]bool{}
	for range 20 {
		seen[webSave(t, s, "x").Value] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d names of 20 sessions", len(seen))
	}
}

func webFixation(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	cookie := webSave(t, s, "attacker")
	r := request(t, cookie)
	session, err := s.New(r, webName)
	must(t, "New", err)
	session.Options.MaxAge = -1
	saved(t, s, r, session)
	webSave(t, s, "victim", cookie)
	wantNew(t, s, webName, cookie)
}

func webResurrection(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	cookie := webSave(t, s, "x")
	slow := request(t, cookie)
	late, err := s.New(slow, webName)
	must(t, "New", err)
	r := request(t, cookie)
	session, err := s.New(r, webName)
	must(t, "New", err)
	session.Options.MaxAge = -1
	saved(t, s, r, session)
	if err := s.Save(slow, httptest.NewRecorder(), late); err == nil {
		t.Error("Save: no error for a session that was deleted")
	}
	wantNew(t, s, webName, cookie)
}

func webAttributes(t *testing.T, _ Suite, open func() sessions.Store) {
	s, r := open(), request(t)
	session, _ := s.New(r, webName)
	session.Options = &sessions.Options{Path: "/app", MaxAge: 77, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	c := saved(t, s, r, session)
	if c.Path != "/app" || c.MaxAge != 77 || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" {
		t.Errorf("Save: cookie %v", c)
	}
}

func webGet(t *testing.T, _ Suite, open func() sessions.Store) {
	s, r := open(), request(t)
	one, err := s.Get(r, webName)
	must(t, "Get", err)
	two, err := s.Get(r, webName)
	must(t, "Get", err)
	if one != two || one.Store() != s {
		t.Error("Get: another session, or of another store")
	}
}

func webParallel(t *testing.T, _ Suite, open func() sessions.Store) {
	s := open()
	shared := webSave(t, s, "shared")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			own := webSave(t, s, "own")
			webSave(t, s, "shared", shared)
			session, err := s.New(request(t, own), webName)
			if err != nil || session.Values["value"] != "own" {
				t.Errorf("New: %v, %v", session, err)
			}
		})
	}
	wg.Wait()
	wantValue(t, s, shared, "shared")
}

func webIsolated(t *testing.T, s Suite, open func() sessions.Store) {
	cookie := webSave(t, open(), "x")
	wantNew(t, other[sessions.Store](t, s), webName, cookie)
}

func webDown(t *testing.T, s Suite, open func() sessions.Store) {
	store := open()
	cookie := webSave(t, store, "x")
	mend := s.cut(t, store)
	r := request(t, cookie)
	session, err := store.New(r, webName)
	wantDown(t, "New", err)
	if errors.Is(err, fs.ErrNotExist) {
		t.Errorf("New: %v says that the session is absent", err)
	}
	if session == nil {
		t.Fatal("New: nil; gorilla's stores always return a session")
	}
	wantDown(t, "Save", store.Save(r, httptest.NewRecorder(), session))
	mend()
	eventually(t, "the store recovers", func() bool {
		session, err := store.New(request(t, cookie), webName)
		return err == nil && !session.IsNew
	})
}
