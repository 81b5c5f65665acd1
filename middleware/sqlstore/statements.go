package sqlstore

import "strings"

// statements are all that is sent to the database, with the names of the tables. Each is complete in itself and runs
// in a transaction of its own. Times are the server's; $n::text::text[] takes an array as text, from any driver.
type statements struct {
	load, create, replace, remove string
	bury, buried, list            string
	take, free                    string
	cleanUp                       []string
}

func newStatements(names *strings.Replacer) statements {
	return statements{
		load: names.Replace(loadSQL), create: names.Replace(createSQL), replace: names.Replace(replaceSQL),
		remove: names.Replace(removeSQL), bury: names.Replace(burySQL), buried: names.Replace(buriedSQL),
		list: names.Replace(listSQL), take: names.Replace(takeSQL), free: names.Replace(freeSQL),
		cleanUp: []string{
			names.Replace(strings.ReplaceAll(cleanUpSQL, "{{table}}", "{{schema}}{{prefix}}sessions")),
			names.Replace(strings.ReplaceAll(cleanUpSQL, "{{table}}", "{{schema}}{{prefix}}tombs")),
			names.Replace(strings.ReplaceAll(cleanUpSQL, "{{table}}", "{{schema}}{{prefix}}locks")),
		},
	}
}

// loadSQL has one row, also when the session is absent.
const loadSQL = `
SELECT s.version, s.data,
	(SELECT max(at) FROM {{schema}}{{prefix}}tombs WHERE tomb = ANY ($2::text::text[]) AND expires > now())
FROM (SELECT) one LEFT JOIN {{schema}}{{prefix}}sessions s ON s.id = $1 AND s.expires > now()`

// createSQL and replaceSQL tell whether they have written, whether a tomb refused it, and whether there is (or was at
// the start) a session. createSQL takes the place of a session that has ended and was not cleaned up.
const createSQL = `
WITH dead AS (
	SELECT FROM {{schema}}{{prefix}}tombs
	WHERE tomb = ANY ($4::text::text[]) AND at >= $6::bigint AND expires > now()
), written AS (
	INSERT INTO {{schema}}{{prefix}}sessions AS s (id, version, data, tombs, expires)
	SELECT $1::text, $2::bigint, $3::bytea, $4::text::text[], now() + $5::bigint * interval '1 microsecond' WHERE NOT EXISTS (SELECT FROM dead)
	ON CONFLICT (id) DO UPDATE
	SET version = EXCLUDED.version, data = EXCLUDED.data, tombs = EXCLUDED.tombs, expires = EXCLUDED.expires
	WHERE s.expires <= now()
	RETURNING s.id
)
SELECT EXISTS (SELECT FROM written), EXISTS (SELECT FROM dead), true`

// When two statements replace the same version, the second waits for the first and then reads the row again, so that
// exactly one has written.
const replaceSQL = `
WITH dead AS (
	SELECT FROM {{schema}}{{prefix}}tombs
	WHERE tomb = ANY ($4::text::text[]) AND at >= $6::bigint AND expires > now()
), written AS (
	UPDATE {{schema}}{{prefix}}sessions
	SET version = $2, data = $3, tombs = $4::text::text[], expires = now() + $5::bigint * interval '1 microsecond'
	WHERE id = $1 AND version = $7 AND expires > now() AND NOT EXISTS (SELECT FROM dead)
	RETURNING id
)
SELECT EXISTS (SELECT FROM written), EXISTS (SELECT FROM dead),
	EXISTS (SELECT FROM {{schema}}{{prefix}}sessions WHERE id = $1 AND expires > now())`

const removeSQL = `DELETE FROM {{schema}}{{prefix}}sessions WHERE id = $1`

// burySQL keeps the latest time and the longest life, but nothing of a tomb that has ended.
const burySQL = `
INSERT INTO {{schema}}{{prefix}}tombs AS t (tomb, at, expires) VALUES ($1, $2, now() + $3::bigint * interval '1 microsecond')
ON CONFLICT (tomb) DO UPDATE
SET at = CASE WHEN t.expires > now() THEN greatest(t.at, EXCLUDED.at) ELSE EXCLUDED.at END,
	expires = greatest(t.expires, EXCLUDED.expires)`

const buriedSQL = `
SELECT max(at) FROM {{schema}}{{prefix}}tombs WHERE tomb = ANY ($1::text::text[]) AND expires > now()`

const listSQL = `
SELECT id, data, version FROM {{schema}}{{prefix}}sessions
WHERE tombs @> $1::text::text[] AND expires > now() ORDER BY expires DESC LIMIT $2::bigint`

const takeSQL = `
INSERT INTO {{schema}}{{prefix}}locks AS l (key, owner, expires) VALUES ($1, $2, now() + $3::bigint * interval '1 microsecond')
ON CONFLICT (key) DO UPDATE SET owner = EXCLUDED.owner, expires = EXCLUDED.expires
WHERE l.owner = EXCLUDED.owner OR l.expires <= now()`

const freeSQL = `DELETE FROM {{schema}}{{prefix}}locks WHERE key = $1 AND owner = $2`

// cleanUpSQL leaves rows alone that a statement is working on.
const cleanUpSQL = `
DELETE FROM {{table}} WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM {{table}} WHERE expires <= now() ORDER BY expires LIMIT $1::bigint FOR UPDATE SKIP LOCKED
))`
