package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Loops whose pages have long addresses: the markers that tell a loop must not crowd each other out of the browser.
func TestLoopsWithLongAddresses(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 700, 1500, 2000} {
		path := "/private?x=" + strings.Repeat("x", size)
		t.Run(fmt.Sprintf("X58_no_session_arrives_%d", size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			v := w.visitor()
			for range 3 {
				v.answer(path, "").post()
				for name := range v.cookies {
					if !strings.HasPrefix(name, cookiePrefix+"x") {
						delete(v.cookies, name)
					}
				}
			}
			w.refused(v.open(path), 400, "login_loop")
		})
		t.Run(fmt.Sprintf("X58_an_API_that_is_never_content_%d", size), func(t *testing.T) {
			t.Parallel()
			n := 0
			w := newAPIWorld(t, func(rw http.ResponseWriter, r *http.Request) {
				n++
				wants(fmt.Sprintf(`Bearer %s, acr_values="acr%d"`, insufficient, n))(rw, r)
			})
			v := w.visitor()
			v.login("/auth/login", "")
			path := strings.Replace(path, "/private", "/call", 1)
			for range 4 {
				v.answer(path, "").post()
			}
			w.refused(v.open(path), 400, "login_loop")
		})
		t.Run(fmt.Sprintf("X58_nobody_is_there_%d", size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *settings) { s.auth.AuthOptions.Prompt = "none" })
			v := w.visitor()
			for range 3 {
				a := v.begin(path)
				a.form = map[string][]string{"error": {"login_required"}, "state": {a.to.Query().Get("state")}}
				a.post()
			}
			w.refused(v.open(path), 400, "login_loop")
		})
	}
	t.Run("three_logins_in_more_than_a_minute_are_no_loop", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		path := "/private?x=" + strings.Repeat("x", 1500)
		v := w.visitor()
		for range 4 {
			v.answer(path, "").post()
			delete(v.cookies, sessionName)
			w.clock.add(25 * time.Second)
		}
		if rep := v.open(path); rep.StatusCode != http.StatusFound {
			t.Errorf("%d %s", rep.StatusCode, rep.code())
		}
	})
}
