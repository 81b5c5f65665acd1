package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"strings"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations returns the statements that make the tables, oldest first, one text for each step, for apps that run
// them with a tool of their own instead of [Store.Migrate]. A step is never changed after a release.
func (s *Store) Migrations() []string {
	entries, err := files.ReadDir("migrations") // sorted by name
	if err != nil {
		panic("sqlstore: " + err.Error()) // the files are part of the program
	}
	steps := make([]string, len(entries))
	for i, entry := range entries {
		text, err := files.ReadFile("migrations/" + entry.Name())
		if err != nil {
			panic("sqlstore: " + err.Error())
		}
		steps[i] = s.names().Replace(string(text))
	}
	return steps
}

// names fills in what the statements call the tables.
func (s *Store) names() *strings.Replacer {
	schema := ""
	if s.schema != "" {
		schema = `"` + s.schema + `".`
	}
	return strings.NewReplacer("{{schema}}", schema, "{{prefix}}", s.prefix)
}

// Migrate makes the schema and the tables, or brings them up to date. It is idempotent, takes an advisory lock, so that
// instances may call it at once, and changes all or nothing. It needs the right to create tables; the other methods
// need only SELECT, INSERT, UPDATE and DELETE.
func (s *Store) Migrate(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return explain(err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := s.migrate(ctx, tx); err != nil {
		return fmt.Errorf("sqlstore: Migrate: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: Migrate: %w", err)
	}
	return nil
}

// migrate runs under one lock for all apps of the database: they may share a schema that none has made yet.
func (s *Store) migrate(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "twofold"); err != nil {
		return err
	}
	if err := s.makeSchema(ctx, tx); err != nil {
		return err
	}
	table := s.names().Replace("{{schema}}{{prefix}}migrations")
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+table+
		" (step int PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"); err != nil {
		return err
	}
	var done int
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(step), 0) FROM "+table).Scan(&done); err != nil {
		return err
	}
	steps := s.Migrations()
	for ; done < len(steps); done++ {
		if err := apply(ctx, tx, steps[done]); err != nil {
			return fmt.Errorf("step %d: %w", done+1, err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (step) VALUES ($1)", done+1); err != nil { //nolint:gosec // isName
			return err
		}
	}
	return nil
}

// makeSchema asks first: CREATE SCHEMA IF NOT EXISTS needs the right to create one also when there is one.
func (s *Store) makeSchema(ctx context.Context, tx *sql.Tx) error {
	if s.schema == "" {
		return nil
	}
	var there bool
	row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.schema)
	if err := row.Scan(&there); err != nil || there {
		return err
	}
	_, err := tx.ExecContext(ctx, `CREATE SCHEMA "`+s.schema+`"`)
	return err
}

// apply sends the statements of one step one by one: not every driver takes several at once.
func apply(ctx context.Context, tx *sql.Tx, step string) error {
	for statement := range strings.SplitSeq(step, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// CleanUp removes sessions, tombstones and locks that have ended, at most limit of each, and returns how many it
// removed. What has ended is absent without it; it only frees space. Call it every few minutes, from one instance or
// from all (they do not wait for each other), again at once while it returns limit or more.
func (s *Store) CleanUp(ctx context.Context, limit int) (int, error) {
	total := 0
	for _, statement := range s.sql.cleanUp {
		removed, err := s.exec(ctx, statement, max(limit, 0))
		if err != nil {
			return total, explain(err)
		}
		total += int(removed)
	}
	return total, nil
}
