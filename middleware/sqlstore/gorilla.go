package sqlstore

import (
	"fmt"
	"net/http"

	"github.com/gorilla/sessions"
)

// Get returns the session of that name; the same one for the same request.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session that the request's cookie of that name has, or a new one. It is never nil. An error means
// that the store is down, or that [Config] has no Keys.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := s.web.Fresh(s, name)
	if err := s.web.Load(r, session); err != nil {
		return session, fmt.Errorf("sqlstore: %w", err)
	}
	return session, nil
}

// Save stores a session of [Store.New] and sets its cookie. Options.MaxAge is its life in the store too: below 0 both are
// deleted, 0 is a cookie that ends with the browser and 12 hours in the store. A session that was loaded and has gone
// since (logged out in another tab) is not made again: [middleware.ErrNoSession]. Of two requests that save at once the
// last wins. For a new ID, at a change of privilege, delete and save under a session.ID of "".
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if err := s.web.Save(r, w, session); err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	return nil
}
