// Package redisstore keeps the sessions of package middleware in Redis or Valkey, for many instances of an app:
// sessions, logouts and locks. A single node, Sentinel and Cluster work, by the client that the app makes; every
// command is older than Redis 5.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(redisstore.Config{Client: client})
//	…
//	auth, err := middleware.New(middleware.Config{Client: provider, Keys: keys, Store: store})
//
// The [Store] is a gorilla sessions.Store too, so that the app may keep other sessions in it: set Config.Keys then.
//
// # What it sends
//
// Load is one pipeline. Put is one pipeline, and a second one for sessions with tombs where keys lie on several nodes.
// Calls end at the deadline of their context; go-redis does not hear that a context is cancelled while it waits for an
// answer, so ReadTimeout (3 s by default) ends those without a deadline. Lower it, DialTimeout and MaxRetries to what a
// request may wait. A command that go-redis repeats, because its answer was lost, counts once.
//
// # Time to live
//
// Redis counts it and removes what has ended. Give Redis the policy noeviction, or one of the volatile ones only if
// losing sessions and logouts to a full memory is acceptable: every key here has a time to live.
//
// # When the server fails
//
// While it does not answer, or is loading, or is a replica that takes no writes, every method returns an error that
// is neither middleware.ErrNoSession nor ErrConflict: nobody is logged out and nobody let in.
//
// What the server itself has lost is another matter. After a restart without AOF, or a failover to a replica that was
// behind or empty, sessions of that moment are absent: their users are sent to log in once. Versions are random, so
// that a write based on a lost one never replaces a newer one. Locks are lost too; two instances may then refresh one
// session at once, and only one of them can write.
//
// Lost tombstones need a thought. The tombstone of a session that was in the same Redis guards nothing any more if the
// session is lost as well; if the replica still had the session, a copy of its cookie works again until the session
// ends. middleware deletes what it logs out, so both writes must have been lost. Tombstones for sealed cookies
// (middleware.Config.Logouts) guard what Redis does not hold: once they are lost, a copy of a logged-out cookie opens
// its session again until its Idle or Absolute limit. Where that counts, run Redis with AOF (appendfsync everysec loses
// a second), with min-replicas-to-write 1, or keep the sessions themselves in a store.
package redisstore
