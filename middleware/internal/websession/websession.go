// Package websession makes gorilla sessions out of a [middleware.SessionStore]: a random ID in a cookie, the values
// sealed in the store under a hash of it. redisstore and sqlstore are gorilla stores by it.
package websession

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/middleware"
)

const (
	idSize     = 16
	defaultAge = 12 * time.Hour
)

var encoding = base64.RawURLEncoding.Strict()

var errNoKeys = errors.New("Config.Keys is needed for gorilla sessions")

// Store is a gorilla store without the store. It is safe for concurrent use.
type Store struct {
	sessions middleware.SessionStore
	box      *seal.Box // nil without keys
	options  sessions.Options
}

// New checks keys; without any, the store works for package middleware only. options nil means: Path /, 12 hours,
// HttpOnly, Secure, SameSite Lax.
func New(s middleware.SessionStore, keys [][]byte, options *sessions.Options) (*Store, error) {
	w := &Store{sessions: s, options: sessions.Options{
		Path: "/", MaxAge: int(defaultAge / time.Second), HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	}}
	if options != nil {
		w.options = *options
	}
	if len(keys) == 0 {
		return w, nil
	}
	ring, err := seal.NewRing(keys, "")
	if err != nil {
		return nil, fmt.Errorf("Config.Keys: %w", err)
	}
	w.box, err = ring.Box("gorilla session")
	return w, err
}

// Fresh returns a session that is not stored.
func (w *Store) Fresh(of sessions.Store, name string) *sessions.Session {
	session := sessions.NewSession(of, name)
	options := w.options
	session.Options, session.IsNew = &options, true
	return session
}

// Load fills session from the store if the request's cookie names one that is there. Only a store that is down, and
// one without keys, is an error.
func (w *Store) Load(r *http.Request, session *sessions.Session) error {
	if w.box == nil {
		return errNoKeys
	}
	cookie, err := r.Cookie(session.Name())
	if err != nil || !isID(cookie.Value) {
		return nil
	}
	id, name := cookie.Value, session.Name()
	sealed, _, _, err := w.sessions.Load(r.Context(), key(name, id))
	if errors.Is(err, middleware.ErrNoSession) {
		return nil
	} else if err != nil {
		return err
	}
	plain, err := w.box.Open(string(sealed), name, id)
	if err != nil {
		return nil // another's record, or a key that was retired
	}
	values := map[any]any{}
	if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&values); err != nil { //nolint:gosec // sealed by us
		return fmt.Errorf("values of a session: %w", err)
	}
	session.ID, session.Values, session.IsNew = id, values, false
	return nil
}

// Save stores session and sets its cookie. A MaxAge below 0 deletes both; 0 is a cookie that ends with the browser,
// stored for 12 hours. A session that was loaded and is gone since is not made again: [middleware.ErrNoSession].
func (w *Store) Save(r *http.Request, out http.ResponseWriter, session *sessions.Session) error {
	if w.box == nil {
		return errNoKeys
	}
	if session.Options.MaxAge < 0 {
		return w.remove(r.Context(), out, session)
	}
	ttl := time.Duration(session.Options.MaxAge) * time.Second
	if ttl == 0 {
		ttl = defaultAge
	}
	fresh := session.ID == ""
	if fresh {
		session.ID = newID()
	}
	if err := w.write(r.Context(), session, fresh, ttl); err != nil {
		if fresh {
			session.ID = ""
		}
		return err
	}
	http.SetCookie(out, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}

func (w *Store) remove(ctx context.Context, out http.ResponseWriter, session *sessions.Session) error {
	if session.ID != "" {
		if err := w.sessions.Delete(ctx, key(session.Name(), session.ID)); err != nil {
			return err
		}
	}
	http.SetCookie(out, sessions.NewCookie(session.Name(), "", session.Options))
	return nil
}

// write replaces the stored session whatever its version: gorilla sessions have none, the last write wins.
func (w *Store) write(ctx context.Context, session *sessions.Session, fresh bool, ttl time.Duration) error {
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(session.Values); err != nil {
		return fmt.Errorf("values of a session: %w", err)
	}
	name, id := session.Name(), session.ID
	sealed, err := w.box.Seal(plain.Bytes(), name, id)
	if err != nil {
		return err
	}
	if fresh {
		_, err = w.sessions.Put(ctx, key(name, id), []byte(sealed), middleware.PutOptions{TTL: ttl})
		return err
	}
	_, version, _, err := w.sessions.Load(ctx, key(name, id))
	if err != nil {
		return err
	}
	_, err = w.sessions.Put(ctx, key(name, id), []byte(sealed), middleware.PutOptions{Version: version, TTL: ttl})
	if errors.Is(err, middleware.ErrConflict) {
		return nil // another write came between the two: it is the last, and ours was before it
	}
	return err
}

func newID() string {
	var b [idSize]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return encoding.EncodeToString(b[:])
}

func isID(text string) bool {
	_, err := encoding.DecodeString(text)
	return err == nil && len(text) == encoding.EncodedLen(idSize)
}

// key is what the store calls a session: who reads the store cannot make its cookie.
func key(name, id string) string {
	sum := sha256.Sum256([]byte("gorilla " + id + " " + name))
	return "g-" + encoding.EncodeToString(sum[:])
}
