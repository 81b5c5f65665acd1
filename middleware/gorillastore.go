package middleware

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/rp"
)

// gorillaStore keeps sessions in any gorilla store. The store decides how it names a session in a cookie; around that
// name stands our session ID, and what the store keeps is sealed and bound to that ID, so that a record of another
// session, or one that the store's owner made up, is none. Attributes of the store's cookie never reach a browser.
//
// Of the store only New and Save are called: Get caches in the request and races.
type gorillaStore struct {
	store    sessions.Store
	name     string // of the cookie, in ours and in the store's own requests
	client   *rp.Client
	identity *seal.Box
	tokens   *seal.Box
	// saving keeps a renewal of the identity part and one of the tokens from undoing each other, in this process: a
	// gorilla store compares no versions. One lock for the session IDs of equal hash.
	saving [64]sync.Mutex
}

const (
	fieldIdentity = "identity"
	fieldTokens   = "tokens"
	probeSize     = 8 << 10
	probeAge      = time.Minute
	maxInner      = 1 << 10 // of a store's own name of a session
)

func newGorillaStore(store sessions.Store, a *Auth) (*gorillaStore, error) {
	s := &gorillaStore{
		store: store, name: a.names.identity, client: a.client, identity: a.boxes.identity, tokens: a.boxes.tokens,
	}
	return s, s.probe()
}

func (s *gorillaStore) inCookies() bool { return false }

// lock does nothing: gorilla stores have no lock. In this process a session is refreshed once at a time anyway.
func (s *gorillaStore) lock(context.Context, string) (func(), error) { return func() {}, nil }

// load reads the cookie "<session ID>.<the store's name>".
func (s *gorillaStore) load(ctx context.Context, c cookies) (*record, error) {
	handle, ok := c.get(s.name)
	if !ok {
		return nil, ErrNoSession
	}
	return s.read(ctx, handle)
}

// handle believes a cookie that has the form of ours: drop asks the store whether there is such a session.
func (s *gorillaStore) handle(c cookies) string {
	handle, _ := c.get(s.name)
	if _, _, ok := splitHandle(handle); !ok {
		return ""
	}
	return handle
}

// splitHandle splits "<session ID>.<the store's name>".
func splitHandle(handle string) (id, inner string, ok bool) {
	id, inner, ok = strings.Cut(handle, ".")
	raw, err := base64.RawURLEncoding.DecodeString(id)
	return id, inner, ok && err == nil && len(raw) == 16 && len(id) == base64.RawURLEncoding.EncodedLen(16) && inner != "" && len(inner) <= maxInner
}

func (s *gorillaStore) reload(ctx context.Context, rec *record) (*record, error) {
	return s.read(ctx, rec.handle)
}

func (s *gorillaStore) read(ctx context.Context, handle string) (*record, error) {
	id, inner, ok := splitHandle(handle)
	if !ok {
		return nil, ErrNoSession
	}
	session, err := s.find(ctx, inner)
	if err != nil {
		return nil, err
	}
	sealed, _ := session.Values[fieldIdentity].(string)
	plain, err := s.identity.Open(sealed, s.name, id)
	if err != nil {
		return nil, ErrNoSession
	}
	rec := &record{handle: handle}
	if err := rec.identity.decode(plain); err != nil || rec.identity.id != id {
		return nil, ErrNoSession
	}
	rec.sealed, _ = session.Values[fieldTokens].(string)
	if rec.hasPart() != rec.identity.hasPart {
		return nil, ErrNoSession
	}
	return rec, nil
}

// find loads the store's session. A cookie that the store does not know, or cannot decode, is no session; anything
// else that fails is a broken store.
func (s *gorillaStore) find(ctx context.Context, inner string) (*sessions.Session, error) {
	session, err := s.store.New(s.request(ctx, inner), s.name)
	switch {
	case err != nil && !isMissing(err):
		return nil, fmt.Errorf("%w: %w", errStore, err)
	case err != nil, session == nil, session.IsNew:
		return nil, ErrNoSession
	}
	return session, nil
}

// isMissing reports whether an error of a store means that there is no such session.
func isMissing(err error) bool {
	var codec interface{ IsDecode() bool } // securecookie.Error
	if errors.As(err, &codec) {
		return codec.IsDecode()
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, http.ErrNoCookie)
}

func (s *gorillaStore) openTokens(rec *record) error {
	if rec.part != nil || rec.sealed == "" {
		return nil
	}
	plain, err := s.tokens.Open(rec.sealed, s.name, rec.identity.id)
	if err != nil {
		return ErrNoSession
	}
	if rec.part, err = decodePart(plain, s.client); err != nil {
		return ErrNoSession
	}
	return nil
}

func (s *gorillaStore) save(ctx context.Context, rec *record, what change, now time.Time) ([]string, error) {
	if rec.handle != "" {
		lock := &s.saving[rec.identity.id[0]%64]
		lock.Lock()
		defer lock.Unlock()
	}
	if what == changeIdentity {
		if err := s.catchUp(ctx, rec); err != nil {
			return nil, err
		}
	} else if err := s.sealPart(rec); err != nil {
		return nil, err
	}
	rec.identity.hasPart = rec.hasPart()
	sealed, err := s.identity.Seal(rec.identity.encode(), s.name, rec.identity.id)
	if err != nil {
		return nil, err
	}
	values := map[any]any{fieldIdentity: sealed}
	if rec.sealed != "" {
		values[fieldTokens] = rec.sealed
	}
	age := rec.identity.expires.Sub(now)
	_, inner, _ := strings.Cut(rec.handle, ".")
	inner, err = s.put(ctx, inner, values, age)
	if err != nil {
		return nil, err
	}
	rec.handle = rec.identity.id + "." + inner
	return []string{setCookie(s.name, rec.handle, age, http.SameSiteLaxMode)}, nil
}

// catchUp makes rec what the store has now, but for the time of its last use: since rec was loaded, another request may
// have refreshed the tokens, and an older refresh token must not come back.
func (s *gorillaStore) catchUp(ctx context.Context, rec *record) error {
	current, err := s.read(ctx, rec.handle)
	if err != nil {
		return err
	}
	current.identity.used = rec.identity.used
	*rec = *current
	return nil
}

func (s *gorillaStore) sealPart(rec *record) (err error) {
	rec.sealed = ""
	if rec.part != nil {
		plain := rec.part.encodeWithin(func(text int) bool { return text <= probeSize })
		if plain == nil { // the store may hold more than it was asked for
			plain = rec.part.encodeWith(nil, nil)
		}
		rec.sealed, err = s.tokens.Seal(plain, s.name, rec.identity.id)
	}
	return err
}

// put saves values in the store's session of that name, or a new one, and returns the name. A session that is gone is
// not made again: it was logged out.
func (s *gorillaStore) put(ctx context.Context, inner string, values map[any]any, age time.Duration) (string, error) {
	r := s.request(ctx, inner)
	session, err := s.store.New(r, s.name)
	if err != nil && !isMissing(err) {
		return "", fmt.Errorf("%w: %w", errStore, err)
	}
	if session == nil || inner != "" && (err != nil || session.IsNew) {
		return "", ErrNoSession
	}
	session.Values = values
	session.Options = &sessions.Options{
		Path: "/", MaxAge: max(1, int(age/time.Second)), HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	}
	sink := headerSink{}
	if err := s.store.Save(r, sink, session); err != nil {
		return "", fmt.Errorf("%w: %w", errStore, err)
	}
	return sink.cookie(s.name)
}

func (s *gorillaStore) drop(ctx context.Context, handle string) error {
	_, inner, ok := splitHandle(handle)
	if !ok {
		return nil
	}
	return s.remove(ctx, inner)
}

// remove deletes the store's session of that name.
func (s *gorillaStore) remove(ctx context.Context, inner string) error {
	r := s.request(ctx, inner)
	session, err := s.store.New(r, s.name)
	if err != nil && !isMissing(err) {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	if err != nil || session == nil || session.IsNew {
		return nil
	}
	session.Values = map[any]any{}
	session.Options = &sessions.Options{Path: "/", MaxAge: -1}
	if err := s.store.Save(r, headerSink{}, session); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// request is what the store sees: our context, and the one cookie with its own value.
func (s *gorillaStore) request(ctx context.Context, inner string) *http.Request {
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}}).WithContext(ctx)
	if inner != "" {
		r.Header.Set("Cookie", s.name+"="+inner)
	}
	return r
}

// headerSink catches the store's Set-Cookie.
type headerSink http.Header

func (h headerSink) Header() http.Header         { return http.Header(h) }
func (h headerSink) Write(b []byte) (int, error) { return len(b), nil }
func (h headerSink) WriteHeader(int)             {}

// cookie returns the value of the one cookie that the store has set.
func (h headerSink) cookie(name string) (string, error) {
	for _, line := range h["Set-Cookie"] {
		first, _, _ := strings.Cut(line, ";")
		value, ok := strings.CutPrefix(first, name+"=")
		if !ok {
			continue
		}
		if value == "" || len(value) > maxInner || strings.ContainsFunc(value, notCookieOctet) {
			return "", fmt.Errorf("the store's name of a session takes %d bytes of cookie; "+
				"a store that keeps the session itself in a cookie is no use here: leave Config.Store nil", len(value))
		}
		return value, nil
	}
	return "", fmt.Errorf("%w: Save has set no cookie", errStore)
}

// notCookieOctet tells if a character cannot stand in a cookie's value (RFC 6265 section 4.1.1).
func notCookieOctet(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`",;\`, c) }

// probe proves that the store keeps 8 KB, gives them back, and tells a missing session from a broken store.
func (s *gorillaStore) probe() error {
	ctx := context.Background()
	value := strings.Repeat("x", probeSize)
	inner, err := s.put(ctx, "", map[any]any{fieldTokens: value}, probeAge)
	if err != nil {
		return fmt.Errorf("cannot save 8 KB (gorilla's FilesystemStore needs MaxLength(0), boj/redistore SetMaxLength): %w", err)
	}
	session, err := s.find(ctx, inner)
	if err != nil {
		return fmt.Errorf("cannot load what it saved: %w", err)
	}
	if got, _ := session.Values[fieldTokens].(string); got != value {
		return errors.New("does not give back what it saved")
	}
	if err := s.remove(ctx, inner); err != nil {
		return fmt.Errorf("cannot delete: %w", err)
	}
	switch _, err := s.find(ctx, inner); {
	case err == nil:
		return errors.New("still has a session that was deleted")
	case !errors.Is(err, ErrNoSession):
		return fmt.Errorf("reports a missing session as if it were broken (New must return a new session, or an error that is fs.ErrNotExist): %w", err)
	}
	return nil
}
