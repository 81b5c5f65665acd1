package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
)

var errStub = errors.New("connection reset by peer")

// stub is a driver whose answers a test makes up. What is nil succeeds.
type stub struct {
	begin, commit error
	exec          func(statement string) (driver.Result, error)
	query         func(statement string) driver.Rows
}

func (s *stub) open(t *testing.T) *sqlstore.Store {
	t.Helper()
	db := sql.OpenDB(s)
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlstore.New(sqlstore.Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (s *stub) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *stub) Driver() driver.Driver                        { return nil }
func (s *stub) Prepare(string) (driver.Stmt, error)          { return nil, errors.New("nothing is prepared") }
func (s *stub) Close() error                                 { return nil }
func (s *stub) Begin() (driver.Tx, error)                    { return s, s.begin }
func (s *stub) Commit() error                                { return s.commit }
func (s *stub) Rollback() error                              { return nil }

func (s *stub) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return s.Begin() }

func (s *stub) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	if s.exec == nil {
		return driver.RowsAffected(1), nil
	}
	return s.exec(statement)
}

func (s *stub) QueryContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Rows, error) {
	if s.query == nil {
		return &stubRows{columns: 1, rows: [][]driver.Value{{int64(0)}}}, nil
	}
	return s.query(statement), nil
}

// stubRows are rows, and what comes after them.
type stubRows struct {
	columns int
	rows    [][]driver.Value
	err     error // nil is their end
}

func (r *stubRows) Columns() []string { return make([]string, r.columns) }
func (r *stubRows) Close() error      { return nil }

func (r *stubRows) Next(to []driver.Value) error {
	if len(r.rows) == 0 {
		if r.err != nil {
			return r.err
		}
		return io.EOF
	}
	copy(to, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// failAt fails at statements with some text.
func failAt(text string) func(string) (driver.Result, error) {
	return func(statement string) (driver.Result, error) {
		if strings.Contains(statement, text) {
			return nil, errStub
		}
		return driver.RowsAffected(1), nil
	}
}

func TestMigrationThatFails(t *testing.T) {
	t.Parallel()
	if err := (&stub{}).open(t).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		db   stub
		says string
	}{
		"at its begin":       {stub{begin: errStub}, "sqlstore: "},
		"at the lock":        {stub{exec: failAt("pg_advisory_xact_lock")}, "Migrate: "},
		"at its own table":   {stub{exec: failAt("twofold_migrations (step int")}, "Migrate: "},
		"in the first step":  {stub{exec: failAt("twofold_sessions")}, "Migrate: step 1: "},
		"at the step's note": {stub{exec: failAt("INSERT INTO")}, "Migrate: "},
		"at its end":         {stub{commit: errStub}, "Migrate: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := row.db.open(t).Migrate(t.Context()); !errors.Is(err, errStub) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
}

func TestCleanUpThatFails(t *testing.T) {
	t.Parallel()
	calls := 0
	second := &stub{exec: func(string) (driver.Result, error) {
		if calls++; calls == 2 {
			return nil, errStub
		}
		return driver.RowsAffected(3), nil
	}}
	if n, err := second.open(t).CleanUp(t.Context(), 10); !errors.Is(err, errStub) || n != 3 || calls != 2 {
		t.Errorf("%d, %v after %d statements", n, err, calls)
	}
	vague := &stub{exec: func(string) (driver.Result, error) { return driver.ResultNoRows, nil }}
	if n, err := vague.open(t).CleanUp(t.Context(), 10); err == nil || n != 0 {
		t.Errorf("without a count: %d, %v", n, err)
	}
}

// A list that cannot be read to its end is none: "log out everywhere" would leave sessions out.
func TestListThatFails(t *testing.T) {
	t.Parallel()
	good := []driver.Value{"id", []byte("data"), int64(1)}
	for name, rows := range map[string]*stubRows{
		"X4d_version_no_number": {columns: 3, rows: [][]driver.Value{good, {"id", []byte("data"), "x"}}},
		"X4d_ID_of_another":     {columns: 3, rows: [][]driver.Value{good, {"%zz", []byte("data"), int64(1)}}},
		"G23_cut_short":         {columns: 3, rows: [][]driver.Value{good}, err: errStub},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := (&stub{query: func(string) driver.Rows { return rows }}).open(t).Sessions(t.Context(), "tomb", 10)
			if err == nil || errors.Is(err, middleware.ErrNoSession) || found != nil {
				t.Errorf("%d sessions, %v", len(found), err)
			}
		})
	}
}

// overtaken is what PostgreSQL says where transactions are serializable: nothing was done, ask again.
type overtaken struct{}

func (overtaken) Error() string    { return "could not serialize access" }
func (overtaken) SQLState() string { return "40001" }

// overtakenDB lets the first statements be overtaken, so many of them.
func overtakenDB(times int) (db *stub, sent *int) {
	sent = new(int)
	fails := func() error {
		if *sent++; *sent <= times {
			return overtaken{}
		}
		return nil
	}
	db = &stub{
		exec: func(string) (driver.Result, error) { return driver.RowsAffected(1), fails() },
		query: func(statement string) driver.Rows {
			if err := fails(); err != nil {
				return &stubRows{columns: 3, err: err}
			}
			switch {
			case strings.Contains(statement, "LEFT JOIN"):
				return &stubRows{columns: 3, rows: [][]driver.Value{{int64(7), []byte("data"), nil}}}
			case strings.Contains(statement, "written"):
				return &stubRows{columns: 3, rows: [][]driver.Value{{true, false, true}}}
			case strings.Contains(statement, "max(at)"):
				return &stubRows{columns: 1, rows: [][]driver.Value{{int64(1)}}}
			}
			return &stubRows{columns: 3, rows: [][]driver.Value{{"id", []byte("data"), int64(7)}}}
		},
	}
	return db, sent
}

// G23: a statement that another one overtakes is sent again; it is neither a store that is down nor a fact about the session.
func TestG23_statement_that_is_overtaken(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(s *sqlstore.Store) error{
		"Load":     func(s *sqlstore.Store) error { _, _, _, err := s.Load(t.Context(), "id"); return err },
		"Put":      func(s *sqlstore.Store) error { return putOnce(t, s, 0) },
		"Put over": func(s *sqlstore.Store) error { return putOnce(t, s, 7) },
		"Delete":   func(s *sqlstore.Store) error { return s.Delete(t.Context(), "id") },
		"Bury":     func(s *sqlstore.Store) error { return s.Bury(t.Context(), "tomb", login, time.Minute) },
		"Buried":   func(s *sqlstore.Store) error { _, err := s.Buried(t.Context(), "tomb"); return err },
		"CleanUp":  func(s *sqlstore.Store) error { _, err := s.CleanUp(t.Context(), 1); return err },
		"Sessions": func(s *sqlstore.Store) error {
			found, err := s.Sessions(t.Context(), "tomb", 10)
			if err == nil && len(found) != 1 {
				t.Errorf("%d sessions", len(found))
			}
			return err
		},
	} {
		db, _ := overtakenDB(3)
		if err := call(db.open(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		db, sent := overtakenDB(1000)
		err := call(db.open(t))
		if err == nil || errors.Is(err, middleware.ErrNoSession) || errors.Is(err, middleware.ErrConflict) != (name == "Put over") {
			t.Errorf("%s, always: %v", name, err)
		}
		if *sent > 10 {
			t.Errorf("%s was sent %d times", name, *sent)
		}
	}
}

func putOnce(t *testing.T, s *sqlstore.Store, version uint64) error {
	t.Helper()
	_, err := s.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{TTL: time.Minute, Version: version})
	return err
}

// A lock is given back though others are faster, or they would wait for its lease to end.
func TestLockThatIsOvertaken(t *testing.T) {
	t.Parallel()
	db, sent := overtakenDB(3)
	unlock, err := db.open(t).Lock(t.Context(), "key", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	*sent = 0 // again
	unlock()
	if *sent != 4 {
		t.Errorf("Free was sent %d times", *sent)
	}
}
