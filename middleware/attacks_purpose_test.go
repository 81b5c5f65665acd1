package middleware_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// sealed is every cookie that an app gives to one browser, by name: a transaction, a done marker, the session and its
// tokens, a login that goes on with the session, a logout under way.
type sealed struct {
	values  map[string]string
	session []string // names of the session's cookies
	pending *attempt // the transaction's answer
	state   string   // the logout's
	more    string   // where the login goes on; "" without sealed cookies
}

func (w *world) sealed() sealed {
	w.Helper()
	v := w.visitor()
	v.login("/auth/login", "alice")
	s := sealed{values: maps.Clone(v.cookies)}
	for name := range v.cookies {
		if strings.HasPrefix(name, cookiePrefix+"s") || strings.HasPrefix(name, cookiePrefix+"t") {
			s.session = append(s.session, name)
		}
	}
	s.pending = w.visitor().answer("/auth/login", "alice")
	maps.Copy(s.values, s.pending.v.cookies)
	more := v.clone()
	rep := more.send(more.answer("/more", "alice").callback().build())
	if to := rep.Header.Get("Location"); strings.HasPrefix(to, "/auth/login-continue?") {
		s.more = to
	}
	maps.Copy(s.values, more.cookies)
	leaving := v.clone()
	rep = leaving.send(formPost("/auth/logout", nil))
	to, err := rep.Location()
	if err != nil {
		w.Fatal(err)
	}
	s.state = to.Query().Get("state")
	maps.Copy(s.values, leaving.cookies)
	return s
}

// L13: every sealed value in the place of every other opens nothing, ends nothing, and leads nowhere.
func TestL13_one_sealed_value_in_the_place_of_another(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			w.mux.Handle("/more", w.auth.Require(func(*http.Request, *middleware.Session) error {
				return &middleware.Challenge{Options: rp.AuthOptions{LoginHint: "more"}}
			}, http.NotFoundHandler()))
			s := w.sealed()
			names := slices.Sorted(maps.Keys(s.values))
			if len(names) < 4 || store.name == "cookies" && s.more == "" {
				t.Fatalf("only %v", names)
			}
			for _, place := range names {
				for _, from := range names {
					if s.values[place] != s.values[from] {
						w.misplaced(s, place, s.values[from], from)
					}
				}
			}
			whole := w.visitor()
			whole.cookies = maps.Clone(s.values)
			if s.more != "" {
				if rep := whole.send(continuation(s.more)); rep.StatusCode != http.StatusSeeOther {
					t.Errorf("the honest continuation: %d %s", rep.StatusCode, rep.code())
				}
			}
			if rep := s.pending.post(); rep.StatusCode != http.StatusSeeOther { // nothing was spent by all that
				t.Errorf("the honest answer: %d %s", rep.StatusCode, rep.code())
			}
		})
	}
}

// misplaced sends a value in the place of another, alone and among the session's own, wherever it could matter.
func (w *world) misplaced(s sealed, place, value, from string) {
	w.Helper()
	jar := func(also ...string) *visitor {
		v := w.visitor()
		for _, name := range also {
			v.cookies[name] = s.values[name]
		}
		v.cookies[place] = value
		return v
	}
	if rep := jar().open("/private"); rep.StatusCode == http.StatusOK {
		w.Errorf("%s as %s is a session", from, place)
	}
	if slices.Contains(s.session, place) {
		if rep := jar(s.session...).open("/tokens"); rep.StatusCode == http.StatusOK {
			w.Errorf("%s as %s, beside the rest of the session, gives tokens", from, place)
		}
	}
	c := s.pending.callback()
	c.header.Set("Cookie", jar().header())
	rep := w.visitor().send(c.build())
	if set, _ := rep.sets(cookiePrefix + "s"); set != nil || rep.StatusCode < http.StatusBadRequest {
		w.Errorf("%s as %s logs in: %d", from, place, rep.StatusCode)
	}
	if s.more != "" {
		rep = jar(s.session...).send(continuation(s.more))
		if set, _ := rep.sets(cookiePrefix + "s"); set != nil || rep.StatusCode < http.StatusBadRequest {
			w.Errorf("%s as %s goes on with a login: %d", from, place, rep.StatusCode)
		}
	}
	rep = jar().open("/auth/logged-out?" + url.Values{"state": {s.state}}.Encode())
	if rep.Header.Get("Refresh") != "" || rep.StatusCode != http.StatusOK {
		w.Errorf("%s as %s ends a logout: %d", from, place, rep.StatusCode)
	}
}

// L19: the session before is being refreshed while its browser logs in anew. What comes late does not bring it back.
func TestL19_refresh_of_the_session_before(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"bob", "alice"} {
		for _, store := range storeKinds {
			t.Run(user+" "+store.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, store.use(t), shortTokens)
				v := w.visitor()
				v.login("/auth/login", "alice")
				w.clock.add(10 * time.Minute)
				var first atomic.Bool
				arrived, release := make(chan struct{}), make(chan struct{})
				w.wire.gate(nil, func(*http.Request) {
					if first.CompareAndSwap(false, true) {
						close(arrived)
						<-release
					}
				})
				late, old := make(chan *reply, 1), v.clone()
				go func() { late <- old.open("/tokens") }()
				<-arrived // the provider has rotated, its answer is on its way
				v.login("/auth/login", user)
				id := v.id()
				close(release)
				rep := <-late
				v.keep(rep)
				if rep.StatusCode == http.StatusOK {
					t.Errorf("the session before is served: %s", rep.body)
				}
				if got := v.open("/private").who(); got.Subject != user || got.ID != id || id == "" {
					t.Errorf("the browser is %+v, want %s", got, user)
				}
				if got := old.open("/private"); got.StatusCode == http.StatusOK {
					t.Error("the session before lives on")
				}
			})
		}
	}
}

// L19: so does a page of the session before that takes its time, and would renew its cookies.
func TestL19_slow_page_of_the_session_before(t *testing.T) {
	t.Parallel()
	for _, store := range storeKinds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store.use(t))
			v := w.visitor()
			v.login("/auth/login", "alice")
			w.clock.add(20 * time.Minute) // time to renew
			arrived, release := make(chan struct{}), make(chan struct{})
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/private/slow" {
					close(arrived)
					<-release
				}
				whoami(rw, r)
			}
			late, old := make(chan *reply, 1), v.clone()
			go func() { late <- old.open("/private/slow") }()
			<-arrived
			v.login("/auth/login", "bob")
			close(release)
			v.keep(<-late)
			if got := v.open("/private").who(); got.Subject != "bob" {
				t.Errorf("the browser is %+v", got)
			}
		})
	}
}
