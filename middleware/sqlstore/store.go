package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/internal/websession"
)

// Config says which database. [New] copies and checks it.
type Config struct {
	// DB reaches PostgreSQL 12 or later by any driver; the app opens it, limits its connections and closes it. A
	// connection pooler in transaction mode is fine: nothing is kept in a connection. Required.
	DB *sql.DB
	// Schema holds the tables; "" is the first of search_path. Lower-case letters, digits and '_', at most 40.
	Schema string
	// Prefix begins the names of the tables; stores with different prefixes share nothing. "" is "twofold_". Lower-case
	// letters, digits and '_', at most 40.
	Prefix string
	// Keys seal what the app itself keeps in gorilla sessions: 32 random bytes each, the first seals, all open. They
	// may be those of middleware.Config. nil: this store is for package middleware only, which seals by itself, and
	// Get, New and Save of gorilla sessions return an error.
	Keys [][]byte
	// Cookie has the attributes of new gorilla sessions. nil: Path /, MaxAge 12 hours, HttpOnly, Secure, SameSite Lax.
	Cookie *sessions.Options
}

// Format writes where the tables are, and no key.
func (c Config) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "sqlstore.Config{Schema:%q Prefix:%q}", c.Schema, c.Prefix)
}

// Store keeps sessions in PostgreSQL. It is a middleware.SessionStore, SessionLister, Locker and Tombstones, and a
// gorilla sessions.Store. It is safe for concurrent use and has nothing to close.
type Store struct {
	db     *sql.DB
	schema string
	prefix string
	sql    statements
	web    *websession.Store
}

var (
	_ middleware.SessionStore  = (*Store)(nil)
	_ middleware.SessionLister = (*Store)(nil)
	_ middleware.Locker        = (*Store)(nil)
	_ middleware.Tombstones    = (*Store)(nil)
	_ sessions.Store           = (*Store)(nil)
)

// New checks c and sends nothing. The tables are made by [Store.Migrate].
func New(c Config) (*Store, error) {
	if c.DB == nil {
		return nil, errors.New("sqlstore: Config.DB is required")
	}
	if c.Prefix == "" {
		c.Prefix = "twofold_"
	}
	if !isName(c.Prefix) {
		return nil, fmt.Errorf("sqlstore: Config.Prefix %q is not of lower-case letters, digits and '_'", c.Prefix)
	}
	if c.Schema != "" && !isName(c.Schema) {
		return nil, fmt.Errorf("sqlstore: Config.Schema %q is not of lower-case letters, digits and '_'", c.Schema)
	}
	s := &Store{db: c.DB, schema: c.Schema, prefix: c.Prefix}
	s.sql = newStatements(s.names())
	var err error
	if s.web, err = websession.New(s, c.Keys, c.Cookie); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return s, nil
}

// isName reports whether text can stand in a statement as it is: at most 40 bytes, so that every name made of it is
// shorter than PostgreSQL's 63.
func isName(text string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz_"
	return len(text) <= 40 && strings.Trim(text, first+"0123456789") == "" && strings.IndexAny(text, first) == 0
}

// Load is described at [middleware.SessionStore].
func (s *Store) Load(ctx context.Context, id string, tombs ...string) ([]byte, uint64, time.Time, error) {
	var data []byte
	var version, at sql.NullInt64
	if err := s.row(ctx, s.sql.load, escape(id), array(tombs))(&version, &data, &at); err != nil {
		return nil, 0, time.Time{}, explain(err)
	}
	buried := moment(at)
	if !version.Valid {
		return nil, 0, buried, middleware.ErrNoSession
	}
	return data, uint64(version.Int64), buried, nil //nolint:gosec // versions are below 2^63
}

// Put is described at [middleware.SessionStore]. Versions are compared, tombstones read and the session written in
// one statement.
func (s *Store) Put(ctx context.Context, id string, data []byte, o middleware.PutOptions) (uint64, error) {
	if err := checkTTL(o.TTL); err != nil {
		return 0, err
	}
	version := newVersion()
	args := []any{escape(id), version, nonNil(data), array(o.Tombs), o.TTL.Microseconds(), o.Issued.UnixMicro()}
	statement := s.sql.create
	if o.Version != 0 {
		statement = s.sql.replace
		args = append(args, int64(o.Version)) //nolint:gosec // another version than ours is not the stored one
	}
	var written, dead, there bool
	err := s.row(ctx, statement, args...)(&written, &dead, &there)
	switch {
	case isOvertaken(err) && o.Version != 0:
		return 0, middleware.ErrConflict
	case err != nil:
		return 0, explain(err)
	case written:
		return uint64(version), nil //nolint:gosec // newVersion is positive
	case dead || !there:
		return 0, middleware.ErrNoSession
	}
	return 0, middleware.ErrConflict
}

// Delete is described at [middleware.SessionStore].
func (s *Store) Delete(ctx context.Context, id string) error {
	_, err := s.exec(ctx, s.sql.remove, escape(id))
	return explain(err)
}

// Bury is described at [middleware.Tombstones].
func (s *Store) Bury(ctx context.Context, tomb string, at time.Time, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	_, err := s.exec(ctx, s.sql.bury, escape(tomb), at.UnixMicro(), ttl.Microseconds())
	return explain(err)
}

// Buried is described at [middleware.Tombstones].
func (s *Store) Buried(ctx context.Context, tombs ...string) (time.Time, error) {
	if len(tombs) == 0 {
		return time.Time{}, nil
	}
	var at sql.NullInt64
	if err := s.row(ctx, s.sql.buried, array(tombs))(&at); err != nil {
		return time.Time{}, explain(err)
	}
	return moment(at), nil
}

// Sessions is described at [middleware.SessionLister].
func (s *Store) Sessions(ctx context.Context, tomb string, limit int) (found []middleware.StoredSession, err error) {
	err = again(func() (err error) {
		found, err = s.list(ctx, tomb, max(limit, 0))
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	return found, nil
}

func (s *Store) list(ctx context.Context, tomb string, limit int) ([]middleware.StoredSession, error) {
	rows, err := s.db.QueryContext(ctx, s.sql.list, array([]string{tomb}), limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []middleware.StoredSession
	for rows.Next() {
		var one middleware.StoredSession
		var version int64
		if err := rows.Scan(&one.ID, &one.Data, &version); err != nil {
			return nil, err
		}
		one.Version = uint64(version) //nolint:gosec // versions are below 2^63
		if one.ID, err = url.QueryUnescape(one.ID); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

// row returns what scans the one row of a statement.
func (s *Store) row(ctx context.Context, statement string, args ...any) func(to ...any) error {
	return func(to ...any) error {
		return again(func() error { return s.db.QueryRowContext(ctx, statement, args...).Scan(to...) })
	}
}

// exec returns how many rows a statement has changed.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (changed int64, err error) {
	err = again(func() error {
		result, err := s.db.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	return changed, err
}

// tries is how often a statement is sent that others overtake.
const tries = 5

// again repeats a statement that another one has overtaken: where transactions are serializable by default this may
// happen to any of them, and nothing of it was done.
func again(send func() error) (err error) {
	for range tries {
		if err = send(); !isOvertaken(err) {
			return err
		}
	}
	return err
}

// sqlState is an error of a driver that tells PostgreSQL's code, as pgx and lib/pq do.
type sqlState interface{ SQLState() string }

func explain(err error) error {
	var coded sqlState
	if err == nil {
		return nil
	}
	if errors.As(err, &coded) && coded.SQLState() == "42P01" {
		return fmt.Errorf("sqlstore: the tables are missing, call Migrate: %w", err)
	}
	return fmt.Errorf("sqlstore: %w", err)
}

// isOvertaken reports whether another write was faster, where transactions are serializable or repeatable read by default.
func isOvertaken(err error) bool {
	var coded sqlState
	return errors.As(err, &coded) && coded.SQLState() == "40001"
}

// newVersion draws a version. It is random and not a number that grows: after a failover that lost writes, a version
// that was lost never equals one that was written since.
func newVersion() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                                 // never fails: crypto/rand ends the process instead
	return int64(binary.BigEndian.Uint64(b[:])>>2 | 1<<62) //nolint:gosec // 63 bits
}

func checkTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("sqlstore: TTL %v is less than a millisecond", ttl)
	}
	return nil
}

func moment(at sql.NullInt64) time.Time {
	if !at.Valid {
		return time.Time{}
	}
	return time.UnixMicro(at.Int64)
}

// nonNil makes no bytes of nil, which would be NULL.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// escape makes text of any bytes: PostgreSQL's has no NUL and only valid UTF-8.
func escape(text string) string { return url.QueryEscape(text) }

// array is an array of texts as PostgreSQL writes it, for drivers of every kind. What escape returns needs no quoting
// but this.
func array(texts []string) string {
	escaped := make([]string, len(texts))
	for i, text := range texts {
		escaped[i] = `"` + escape(text) + `"`
	}
	return "{" + strings.Join(escaped, ",") + "}"
}
