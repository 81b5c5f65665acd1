package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/rp/optest"
)

// started returns a server of internal/servertest, or skips where the machine has no such program.
func started(t *testing.T, server *servertest.Server, err error) *servertest.Server {
	t.Helper()
	if errors.Is(err, servertest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func TestStore_miniredis(t *testing.T) {
	t.Parallel()
	w := start(t, optest.Config{}, map[string]string{"RP_STORE": "redis://" + miniredis.RunT(t).Addr()})
	w.login(true)
}

func TestStore_redis(t *testing.T) {
	t.Parallel()
	server, err := servertest.Redis(servertest.AOF...)
	server = started(t, server, err)
	start(t, optest.Config{}, map[string]string{"RP_STORE": "redis://" + server.Addr}).outlives(server)
}

func TestStore_postgres(t *testing.T) {
	t.Parallel()
	server, err := servertest.Postgres()
	server = started(t, server, err)
	start(t, optest.Config{}, map[string]string{"RP_STORE": server.PostgresURL()}).outlives(server)
}

// outlives goes through every route, then kills and starts the store's server: what was logged in stays so, and while
// the server is away nobody is let in, logged out or sent to log in.
func (w *world) outlives(server *servertest.Server) {
	t := w.t
	t.Helper()
	w.login(true)
	w.status("/protected", http.StatusOK)
	server.Kill()
	logins := w.op.Calls("/authorize")
	for _, path := range []string{"/me", "/token", "/protected"} {
		if p := w.status(path, http.StatusServiceUnavailable); p.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	w.status("/healthz", http.StatusOK)
	w.status("/discover", http.StatusOK)
	if n := w.op.Calls("/authorize"); n != logins {
		t.Errorf("%d visits of the provider while the store was away", n-logins)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	w.recovers()
	if p := w.status("/me", http.StatusOK); member(t, p, "sub") != "alice" {
		t.Errorf("/me: %s", p.Body)
	}
	w.quiet()
}

// recovers waits until the app has found its store again: where all connections of a pool are lost, and on a machine with
// one processor the pool is small, go-redis looks once a second.
func (w *world) recovers() {
	w.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for w.open("/me").Status == http.StatusServiceUnavailable {
		select {
		case <-tick.C:
		case <-limit:
			w.t.Fatalf("the store is never found again\n%s", w.log)
		}
	}
}

func TestStore_that_was_never_there_stops_neither_start_nor_health(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"redis":    "redis://:hunter2@127.0.0.1:1",
		"postgres": "postgres://app:hunter2@127.0.0.1:1/app?sslmode=disable&connect_timeout=1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, optest.Config{}, map[string]string{"RP_STORE": address})
			w.status("/healthz", http.StatusOK)
			w.status("/discover", http.StatusOK)
			w.status("/me", http.StatusUnauthorized) // without a cookie the store is not asked
			w.status("/protected", http.StatusServiceUnavailable)
			w.status("/me", http.StatusUnauthorized)
			if strings.Contains(w.log.String(), "hunter2") {
				t.Error("the store's password is in the log")
			}
			w.quiet()
		})
	}
}

func TestProgram_names_RP_STORE_without_its_value(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"redis://:hunter2@localhost/first", "postgres://app:hunter2@localhost:port/app", "hunter2://localhost"} {
		out, err := command(t.Context(), map[string]string{"RP_STORE": address}).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "RP_STORE: ") || strings.Contains(string(out), "hunter2") {
			t.Errorf("%v: printed %q", err, out)
		}
	}
}
