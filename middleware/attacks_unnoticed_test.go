package middleware_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
)

// More rows for places that could be broken without a test that noticed: see internal/mutation.

// dyingStore removes a session, and says that it could not.
type dyingStore struct{ sessions.Store }

func (s dyingStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	err := s.Store.Save(r, w, session)
	if session.Options.MaxAge < 0 {
		err = errDown
	}
	return err
}

// What the operator reads of a store that is no use says what is wrong with it.
func TestProbeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, row := range map[string]struct {
		store sessions.Store
		says  string
	}{
		"G09_deletes_and_says_that_it_cannot": {dyingStore{fileStore(t)}, "cannot delete: "},
		"G09_cannot_delete":                   {stubbornStore{fileStore(t), errDown}, "cannot delete: "},
		"G09_deletes_nothing":                 {stubbornStore{fileStore(t), nil}, "still has a session that was deleted"},
		"G23_keeps_something_else":            {&oddStore{Store: fileStore(t), found: saysOther}, "does not give back what it saved"},
		"G23_keeps_nothing":                   {&oddStore{Store: fileStore(t), found: saysNew}, "cannot load what it saved: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth, err := middleware.New(middleware.Config{
				Client: w.client, Keys: [][]byte{attackKey("one")}, Name: "t", Now: w.clock.Now, Logger: discard, Store: row.store,
			})
			if err == nil {
				_ = auth.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
}

// H15: what is too long leads home, also if it would be short enough once written again.
func TestReturnToThatIsTooLong(t *testing.T) {
	t.Parallel()
	s, err := middleware.NewSite(site+"/auth/callback", "")
	if err != nil {
		t.Fatal(err)
	}
	longest := "/" + strings.Repeat("a", middleware.MaxReturnTo-1)
	for raw, want := range map[string]string{longest: longest, longest + "#": "/", longest + "?#": "/", longest + "a": "/"} {
		if got := s.Resolve(raw); got != want {
			t.Errorf("%d bytes that end in %q lead to %d bytes, want %d", len(raw), raw[len(raw)-2:], len(got), len(want))
		}
	}
}
