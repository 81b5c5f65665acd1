-- Sessions. IDs and tombs are percent-encoded, data is sealed; tombs are the logouts that concern the session.
CREATE TABLE {{schema}}{{prefix}}sessions (
	id      text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	data    bytea NOT NULL,
	tombs   text[] COLLATE "C" NOT NULL,
	expires timestamptz NOT NULL
);
CREATE INDEX {{prefix}}sessions_expires ON {{schema}}{{prefix}}sessions (expires);
CREATE INDEX {{prefix}}sessions_tombs ON {{schema}}{{prefix}}sessions USING gin (tombs);

-- Logouts: at is when, by the provider's clock, in microseconds since 1970.
CREATE TABLE {{schema}}{{prefix}}tombs (
	tomb    text COLLATE "C" PRIMARY KEY,
	at      bigint NOT NULL,
	expires timestamptz NOT NULL
);
CREATE INDEX {{prefix}}tombs_expires ON {{schema}}{{prefix}}tombs (expires);

-- Locks, each a lease of its owner.
CREATE TABLE {{schema}}{{prefix}}locks (
	key     text COLLATE "C" PRIMARY KEY,
	owner   text NOT NULL,
	expires timestamptz NOT NULL
);
CREATE INDEX {{prefix}}locks_expires ON {{schema}}{{prefix}}locks (expires);
