package fleettest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/internal/servertest"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
)

const users = 20

// serve starts a server, or skips where its program is missing, but not where CI is set.
func serve(t *testing.T, server *servertest.Server, err error) *servertest.Server {
	t.Helper()
	if errors.Is(err, servertest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// slowLine is a network on which each answer may come late.
type slowLine struct{ delay atomic.Int64 }

func (l *slowLine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &slowConn{conn, l}, nil
}

type slowConn struct {
	net.Conn
	line *slowLine
}

func (c *slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	pass(context.Background(), time.Duration(c.line.delay.Load()))
	return n, err
}

// redisFleet has a client of Redis for each instance, set as docs/sessions.md says for short waits.
func redisFleet(t *testing.T, args ...string) (*fleet, *servertest.Server, *slowLine) {
	t.Helper()
	started, err := servertest.Redis(args...)
	server, line := serve(t, started, err), &slowLine{}
	f := newFleet(t, func() (sessions.Store, error) {
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, Dialer: line.dial, ContextTimeoutEnabled: true, PoolSize: 20, ReadTimeout: time.Second, MaxRetries: 1,
		})
		t.Cleanup(func() { _ = client.Close() })
		return redisstore.New(redisstore.Config{Client: client})
	})
	f.populate()
	return f, server, line
}

// postgresFleet has a pool of connections for each instance.
func postgresFleet(t *testing.T) (*fleet, *servertest.Server, *slowLine) {
	t.Helper()
	started, err := servertest.Postgres()
	server, line := serve(t, started, err), &slowLine{}
	f := newFleet(t, func() (sessions.Store, error) {
		config, err := pgx.ParseConfig(server.PostgresURL())
		if err != nil {
			return nil, err
		}
		config.DialFunc = line.dial
		db := stdlib.OpenDB(*config)
		db.SetMaxOpenConns(20)
		t.Cleanup(func() { _ = db.Close() })
		store, err := sqlstore.New(sqlstore.Config{DB: db})
		if err != nil {
			return nil, err
		}
		return store, store.Migrate(t.Context())
	})
	f.populate()
	return f, server, line
}

// populate logs everybody in, and makes three strangers: without a cookie, with a changed one, with one that was good
// until its session was logged out.
func (f *fleet) populate() {
	f.Helper()
	for i := range users {
		f.sessions = append(f.sessions, f.login(fmt.Sprintf("user-%02d", i)))
	}
	changed := f.sessions[0].browser.Cookies(f.base)
	for _, c := range changed {
		c.Value = c.Value[:20] + string(rune(c.Value[20]^1)) + c.Value[21:]
	}
	former := f.login("former")
	copied := former.browser.Cookies(f.base)
	f.strange = []*session{{}, {cookies: changed}, {cookies: copied}}
	if answer := f.ask(&session{user: "former", cookies: copied}, 0); answer != well {
		f.Fatalf("the cookie that shall be logged out does not work: %s", answer)
	}
	r, _ := http.NewRequestWithContext(f.Context(), http.MethodPost, f.base+"/auth/logout", http.NoBody)
	for _, c := range copied {
		r.AddCookie(c)
	}
	response, err := f.http.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	_ = response.Body.Close()
	if answer := f.ask(f.strange[2], 0); answer != toLogin {
		f.Fatalf("after a logout: %d, then %s", response.StatusCode, answer)
	}
}

// tokensEnd moves the clock on until every access token has ended.
func (f *fleet) tokensEnd() { f.clock.add(tokenLifetime + time.Minute) }

// recovers waits until each instance has found the store again, and says how long it took after began.
func (f *fleet) recovers(began time.Time) {
	f.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for inRow := 0; inRow < 3*instances; {
		if f.ask(f.sessions[inRow%users], 0) == storeDown {
			inRow = 0
		} else {
			inRow++
		}
		select {
		case <-tick.C:
		case <-f.Context().Done():
			f.Fatal("the store is never found again")
		}
		if time.Since(began) > time.Minute {
			f.Fatal("the store is not found again in a minute")
		}
	}
	f.Logf("all instances serve again %v after the store is back, without a restart", time.Since(began).Round(10*time.Millisecond))
}

// dies kills the server in the middle of a stream, goes on without it, with tokens that have ended, and starts it again.
func (f *fleet) dies(server *servertest.Server) {
	f.Helper()
	f.wantRefreshes(f.stream("before", nil, well), 0)
	f.wantRefreshes(f.stream("killed in the middle", server.Kill, well, storeDown), 0)
	f.tokensEnd()
	f.wantRefreshes(f.stream("down, tokens end", nil, storeDown), 0)
	if err := server.Start(); err != nil {
		f.Fatal(err)
	}
	f.recovers(time.Now())
}

// TestRedisKilledWithAOF: nobody loses anything.
func TestRedisKilledWithAOF(t *testing.T) {
	t.Parallel()
	f, server, _ := redisFleet(t, servertest.AOF...)
	f.dies(server)
	f.wantRefreshes(f.stream("back", nil, well), users)
	f.tokensEnd()
	f.wantRefreshes(f.stream("tokens end again", nil, well), users)
	f.report()
}

// TestRedisKilledWithoutAOF is a failover to an empty replica too: everybody is sent to log in, once.
func TestRedisKilledWithoutAOF(t *testing.T) {
	t.Parallel()
	f, server, _ := redisFleet(t)
	f.dies(server)
	f.wantRefreshes(f.stream("back, empty", nil, toLogin, loginNeeded), 0)
	logins := f.provider.Calls("/authorize")
	for _, s := range f.sessions {
		f.opens(s, "/private")
	}
	if n := f.provider.Calls("/authorize") - logins; n != users {
		t.Errorf("%d users were sent to log in %d times", users, n)
	}
	f.wantRefreshes(f.stream("logged in once", nil, well), 0)
	f.tokensEnd()
	f.wantRefreshes(f.stream("tokens end", nil, well), users)
	f.report()
}

// TestRedisSlow: late answers are answers; a server that hangs is a store that is down.
func TestRedisSlow(t *testing.T) {
	t.Parallel()
	f, server, line := redisFleet(t)
	f.stream("before", nil, well)
	line.delay.Store(int64(100 * time.Millisecond))
	f.tokensEnd()
	f.wantRefreshes(f.stream("100 ms late, tokens end", nil, well), users)
	line.delay.Store(0)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	f.atOnce = perPhase // each is refused when the store's time is up
	f.wantRefreshes(f.stream("hangs", nil, storeDown), 0)
	f.atOnce = 10
	f.tokensEnd()
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	f.recovers(time.Now())
	f.wantRefreshes(f.stream("back, tokens end", nil, well), users)
	f.report()
}

// TestPostgresKilled: nobody loses anything.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	f, server, line := postgresFleet(t)
	f.dies(server)
	f.wantRefreshes(f.stream("back", nil, well), users)
	line.delay.Store(int64(20 * time.Millisecond))
	f.tokensEnd()
	f.wantRefreshes(f.stream("20 ms late, tokens end", nil, well), users)
	f.report()
}

// TestProviderSlowThenDown: a token that is still good is used, one that has ended is waited for, and when the provider
// is well again each session goes on with one refresh.
func TestProviderSlowThenDown(t *testing.T) {
	t.Parallel()
	f, _, _ := redisFleet(t)
	f.provider.delay.Store(int64(200 * time.Millisecond))
	f.tokensEnd()
	f.wantRefreshes(f.stream("token endpoint 200 ms late, tokens end", nil, well), users)
	f.provider.delay.Store(0)
	f.provider.down.Store(true)
	f.clock.add(tokenLifetime - 28*time.Second) // soon enough to ask for the next ones
	asked := f.provider.asked.Load()
	f.wantRefreshes(f.stream("token endpoint 503, tokens end in 28 s", nil, well), 0)
	if f.provider.asked.Load() == asked {
		t.Error("the provider was not asked before the tokens ended")
	}
	f.clock.add(time.Minute)
	asked = f.provider.asked.Load()
	r := f.stream("token endpoint 503, tokens have ended", nil, well, providerDown)
	f.wantRefreshes(r, 0)
	if r.answers[well] != perPhase/2 {
		t.Errorf("%d of %d requests that need no tokens were answered", r.answers[well], perPhase/2)
	}
	if n := f.provider.asked.Load() - asked; n > users*instances {
		t.Errorf("the provider was asked %d times for %d sessions at %d instances", n, users, instances)
	}
	f.provider.down.Store(false)
	f.clock.add(2 * time.Minute) // longer than an instance leaves the provider alone
	f.wantRefreshes(f.stream("well again", nil, well), users)
	f.report()
}
