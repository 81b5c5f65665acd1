package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
	"github.com/twofold-auth/twofold/middleware/storetest"
)

var testKey = []byte("\x8b\x1f\xd0\x5e\x33\x97\x6a\xc4\x02\xee\x79\x41\xbc\x58\x0d\xf6\x25\x9a\x63\x17\xcb\x84\x3e\xa1\x7d\x50\xf9\x2c\x46\xb8\x0b\xe3")

// postgres is the server of this test run.
var postgres struct {
	once sync.Once
	url  string
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if postgres.stop != nil {
		postgres.stop()
	}
	os.Exit(code)
}

// server returns the URL of what TWOFOLD_POSTGRES names, or of a server of our own; it skips where there is none.
func server(t *testing.T) string {
	t.Helper()
	postgres.once.Do(func() {
		if postgres.url = os.Getenv("TWOFOLD_POSTGRES"); postgres.url != "" {
			return
		}
		s, err := servertest.Postgres("-c", "max_connections=300")
		if err != nil {
			postgres.err = err
			return
		}
		postgres.url, postgres.stop = s.PostgresURL(), s.Stop
	})
	skipOrFail(t, postgres.err)
	return postgres.url
}

func skipOrFail(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, servertest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// place is where tables are.
type place struct {
	url, schema, prefix string
	change              func(c *pgx.ConnConfig) // nil: nothing
}

// open returns a store with connections of its own.
func (p place) open(t *testing.T) (*sqlstore.Store, *sql.DB, *servertest.Line) {
	t.Helper()
	config, err := pgx.ParseConfig(p.url)
	if err != nil {
		t.Fatal(err)
	}
	line := &servertest.Line{}
	config.DialFunc = line.Dial
	if p.change != nil {
		p.change(config)
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(4)
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlstore.New(sqlstore.Config{DB: db, Schema: p.schema, Prefix: p.prefix, Keys: [][]byte{testKey}})
	if err != nil {
		t.Fatal(err)
	}
	return store, db, line
}

// migrated returns a place of this test alone, with tables.
func migrated(t *testing.T, change func(c *pgx.ConnConfig)) place {
	t.Helper()
	p := place{url: server(t), schema: "t_" + strings.ToLower(t.Name()), change: change}
	store, db, _ := p.open(t)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(`DROP SCHEMA "` + p.schema + `" CASCADE`); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p place) run(t *testing.T) {
	t.Helper()
	other := p
	other.prefix = "other_"
	if store, _, _ := other.open(t); store.Migrate(t.Context()) != nil {
		t.Fatal("Migrate of the other prefix")
	}
	var lines sync.Map
	storetest.Suite{
		Open: func(t *testing.T) any {
			store, _, line := p.open(t)
			lines.Store(store, line)
			return store
		},
		Other: func(t *testing.T) any {
			store, _, _ := other.open(t)
			return store
		},
		Cut: func(t *testing.T, store any) (mend func()) {
			line, ok := lines.Load(store)
			if !ok {
				t.Fatal("not a store of this suite")
			}
			line.(*servertest.Line).Cut()
			return line.(*servertest.Line).Mend
		},
	}.Run(t)
}

// TestPostgres runs the suite.
func TestPostgres(t *testing.T) { migrated(t, nil).run(t) }

// TestPooler: behind a pooler in transaction mode nothing is prepared.
func TestPooler(t *testing.T) {
	migrated(t, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol }).run(t)
}

// TestSerializable: a database whose transactions are serializable by default refuses what overlaps.
func TestSerializable(t *testing.T) {
	migrated(t, func(c *pgx.ConnConfig) {
		c.RuntimeParams["default_transaction_isolation"] = "serializable"
	}).run(t)
}

var login = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func put(t *testing.T, s *sqlstore.Store, id string, ttl time.Duration, tombs ...string) uint64 {
	t.Helper()
	version, err := s.Put(t.Context(), id, []byte("data"), middleware.PutOptions{TTL: ttl, Tombs: tombs, Issued: login})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// TestRoundTrips: each call waits for the server once, when the connection is there and its statement prepared.
func TestRoundTrips(t *testing.T) {
	store, db, line := migrated(t, nil).open(t)
	db.SetMaxOpenConns(1)
	version := put(t, store, "id", time.Minute, "sid", "sub")
	for _, row := range []struct {
		name string
		call func() error
		want int64
	}{
		{"Load", func() error { _, _, _, err := store.Load(t.Context(), "id", "sid", "sub"); return err }, 1},
		{"Put", func() (err error) {
			version, err = store.Put(t.Context(), "id", []byte("x"), middleware.PutOptions{
				Version: version, TTL: time.Minute, Tombs: []string{"sid", "sub"}, Issued: login,
			})
			return err
		}, 1},
		{"Buried", func() error { _, err := store.Buried(t.Context(), "sid", "sub"); return err }, 1},
		{"Buried of nobody", func() error { _, err := store.Buried(t.Context()); return err }, 0},
		{"Sessions", func() error { _, err := store.Sessions(t.Context(), "sid", 10); return err }, 1},
		{"Bury", func() error { return store.Bury(t.Context(), "somebody", login, time.Minute) }, 1},
		{"Delete", func() error { return store.Delete(t.Context(), "nobody") }, 1},
	} {
		if err := row.call(); err != nil { // prepares
			t.Errorf("%s: %v", row.name, err)
		}
		before := line.Trips()
		if err := row.call(); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if got := line.Trips() - before; got != row.want {
			t.Errorf("%s takes %d round trips, want %d", row.name, got, row.want)
		}
	}
}

// TestMigrate: instances that start at once make the tables once, and again it does nothing.
func TestMigrate(t *testing.T) {
	p := place{url: server(t), schema: "t_migrate", prefix: "at_once_"}
	var wg sync.WaitGroup
	for range 5 {
		store, _, _ := p.open(t)
		wg.Go(func() {
			if err := store.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	store, db, _ := p.open(t)
	t.Cleanup(func() { _, _ = db.Exec(`DROP SCHEMA t_migrate CASCADE`) })
	put(t, store, "id", time.Minute)
	if err := store.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, _, err := store.Load(t.Context(), "id"); err != nil {
		t.Error(err)
	}
	var steps int
	if err := db.QueryRow(`SELECT count(*) FROM t_migrate.at_once_migrations`).Scan(&steps); err != nil || steps != len(store.Migrations()) {
		t.Errorf("%d steps, %v; want %d", steps, err, len(store.Migrations()))
	}
}

// TestMissingTables: the error names the fix, and is not that the session is absent.
func TestMissingTables(t *testing.T) {
	store, _, _ := place{url: server(t), prefix: "nowhere_"}.open(t)
	_, _, _, err := store.Load(t.Context(), "id")
	if err == nil || errors.Is(err, middleware.ErrNoSession) || !strings.Contains(err.Error(), "Migrate") {
		t.Errorf("Load: %v", err)
	}
}

// TestCleanUp: what has ended is removed, a bounded number at once, and nothing else.
func TestCleanUp(t *testing.T) {
	store, db, _ := migrated(t, nil).open(t)
	const ended = 25
	for i := range ended {
		put(t, store, fmt.Sprint("ended", i), time.Millisecond, "sub")
		if err := store.Bury(t.Context(), fmt.Sprint("ended", i), login, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	put(t, store, "alive", time.Minute, "sub")
	if err := store.Bury(t.Context(), "alive", login, time.Minute); err != nil {
		t.Fatal(err)
	}
	unlock, err := store.Lock(t.Context(), "alive", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := db.Exec(`SELECT pg_sleep(0.01)`); err != nil {
		t.Fatal(err)
	}
	if n, err := store.CleanUp(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("CleanUp(0): %d, %v", n, err)
	}
	if n, err := store.CleanUp(t.Context(), 10); n != 20 || err != nil {
		t.Errorf("CleanUp(10): %d, %v; want 10 sessions and 10 tombstones", n, err)
	}
	var removed int
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 3 { // instances do not disturb each other
		wg.Go(func() {
			n, err := store.CleanUp(t.Context(), 1000)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			removed += n
		})
	}
	wg.Wait()
	if removed != 30 {
		t.Errorf("CleanUp: %d, want the other 15 sessions and 15 tombstones", removed)
	}
	if _, _, buried, err := store.Load(t.Context(), "alive", "alive"); err != nil || !buried.Equal(login) {
		t.Errorf("Load: %v, %v", buried, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := store.Lock(ctx, "alive", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock: %v", err)
	}
}

// TestRights: the app's user needs no right but to read and write the rows.
func TestRights(t *testing.T) {
	p := migrated(t, nil)
	_, db, _ := p.open(t)
	for _, statement := range []string{
		`CREATE ROLE storeapp LOGIN`,
		`GRANT USAGE ON SCHEMA "` + p.schema + `" TO storeapp`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "` + p.schema + `" TO storeapp`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = db.Exec(`DROP OWNED BY storeapp; DROP ROLE storeapp`) })
	p.change = func(c *pgx.ConnConfig) { c.User = "storeapp" }
	store, _, _ := p.open(t)
	version := put(t, store, "id", time.Minute, "sub")
	if _, err := store.Put(t.Context(), "id", nil, middleware.PutOptions{Version: version, TTL: time.Minute}); err != nil {
		t.Error(err)
	}
	unlock, err := store.Lock(t.Context(), "id", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := errors.Join(store.Bury(t.Context(), "x", login, time.Minute), store.Delete(t.Context(), "id")); err != nil {
		t.Error(err)
	}
	if _, err := store.CleanUp(t.Context(), 10); err != nil {
		t.Error(err)
	}
}

// TestPostgresFails: killed, restarted, hanging.
func TestPostgresFails(t *testing.T) {
	own, err := servertest.Postgres()
	skipOrFail(t, err)
	t.Cleanup(own.Stop)
	store, db, _ := place{url: own.PostgresURL()}.open(t)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	version := put(t, store, "id", time.Minute, "sub")
	if err := store.Bury(t.Context(), "other", login, time.Minute); err != nil {
		t.Fatal(err)
	}

	own.Kill()
	if _, _, _, err := store.Load(t.Context(), "id"); err == nil || errors.Is(err, middleware.ErrNoSession) {
		t.Errorf("Load while it is dead: %v", err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	if _, got, buried, err := store.Load(t.Context(), "id", "other"); err != nil || got != version || !buried.Equal(login) {
		t.Errorf("Load after a restart: version %d, buried %v, %v", got, buried, err)
	}
	if _, err := store.Put(t.Context(), "id", []byte("new"), middleware.PutOptions{Version: version, TTL: time.Minute}); err != nil {
		t.Errorf("Put after a restart: %v", err)
	}

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`LOCK TABLE twofold_sessions`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, _, err := store.Load(ctx, "id"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Load while it hangs: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if data, _, _, err := store.Load(t.Context(), "id"); err != nil || string(data) != "new" {
		t.Errorf("Load after it hung: %q, %v", data, err)
	}
}

// TestConfig: what would end up in a statement is checked.
func TestConfig(t *testing.T) {
	t.Parallel()
	db := stdlib.OpenDB(pgx.ConnConfig{})
	defer func() { _ = db.Close() }()
	long := strings.Repeat("x", 41)
	for name, c := range map[string]sqlstore.Config{
		"no database":       {},
		"upper-case schema": {DB: db, Schema: "Sessions"},
		"hostile schema":    {DB: db, Schema: `x";drop`},
		"hostile prefix":    {DB: db, Prefix: "x; --"},
		"digit first":       {DB: db, Prefix: "1x"},
		"long prefix":       {DB: db, Prefix: long},
		"weak key":          {DB: db, Keys: [][]byte{make([]byte, 32)}},
	} {
		if _, err := sqlstore.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestK02_keys_are_not_printed covers the struct and a pointer to it.
func TestK02_keys_are_not_printed(t *testing.T) {
	t.Parallel()
	c := sqlstore.Config{Schema: "s", Prefix: "p_", Keys: [][]byte{testKey}}
	const want = `sqlstore.Config{Schema:"s" Prefix:"p_"}`
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, c); got != want {
			t.Errorf("%s: %s", verb, got)
		}
		if got := fmt.Sprintf(verb, &c); got != want {
			t.Errorf("%s of a pointer: %s", verb, got)
		}
	}
}
