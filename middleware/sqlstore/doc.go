// Package sqlstore keeps the sessions of package middleware in PostgreSQL, for many instances of an app: sessions,
// logouts and locks. It uses database/sql and imports no driver; pgx (github.com/jackc/pgx/v5/stdlib) is the one that it
// is tested with.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	…
//	store, err := sqlstore.New(sqlstore.Config{DB: db})
//	…
//	err = store.Migrate(ctx) // makes the tables, or nothing
//	…
//	auth, err := middleware.New(middleware.Config{Client: client, Keys: keys, Store: store})
//
// The [Store] is a gorilla sessions.Store too, so that the app may keep other sessions in it: set Config.Keys then.
//
// # What it sends
//
// One statement for each method, outside of any transaction, and nothing that stays in the connection: a pooler in
// transaction mode is fine. Every call ends when its context does; give the app's http.Server and the database time
// limits (statement_timeout, connect_timeout in the connection string, db.SetConnMaxLifetime) for calls without a
// deadline. Limit connections (db.SetMaxOpenConns): who waits for a lock asks every 100 ms at most and holds none.
//
// # Time to live
//
// Times are the database server's. What has ended is absent at once, but takes space until [Store.CleanUp] removes it.
// The app calls that, every few minutes; nothing runs in the background.
//
// # When the server fails
//
// While it does not answer, every method returns an error that is neither middleware.ErrNoSession nor ErrConflict:
// nobody is logged out and nobody let in. After a restart everything is there that was committed. With
// synchronous_commit off, or after a failover to an asynchronous standby, the last writes may be lost: sessions of that
// moment (their users log in again), and logouts of that moment. A lost logout matters for who was logged out and kept
// a copy of the cookie: of a session in this database, if the standby still has the session; of a sealed cookie
// (middleware.Config.Logouts), until the cookie ends. Where that counts, use a synchronous standby.
package sqlstore
