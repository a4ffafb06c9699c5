-- The audit log. Rows are appended and, at their beginning, removed; none is ever changed.
CREATE TABLE audit_events (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL, -- instants are milliseconds since the Unix epoch
    event      TEXT    NOT NULL,
    principal  TEXT,
    session    TEXT,
    actor_kind TEXT    NOT NULL,
    actor_id   TEXT,
    reason     TEXT,
    ip         TEXT,
    user_agent TEXT,
    detail     TEXT    NOT NULL, -- a JSON object
    prev       BLOB    NOT NULL,
    hash       BLOB    NOT NULL
) STRICT;
-- Each of these has the number behind its column: a page is a stretch of one of them.
CREATE INDEX audit_by_principal ON audit_events (principal) WHERE principal IS NOT NULL;
CREATE INDEX audit_by_actor ON audit_events (actor_id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_session ON audit_events (session) WHERE session IS NOT NULL;
CREATE INDEX audit_by_event ON audit_events (event);

-- Where in the log the events of a minute are: by number, since clocks of several processes differ.
CREATE TABLE audit_minutes (
    minute INTEGER PRIMARY KEY,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
) STRICT;

-- How many events there were in a minute; no reason is the empty text.
CREATE TABLE audit_counts (
    minute INTEGER NOT NULL,
    event  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (minute, event, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_samples (
    series TEXT    NOT NULL,
    minute INTEGER NOT NULL,
    node   TEXT    NOT NULL,
    value  REAL    NOT NULL,
    PRIMARY KEY (series, minute, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_samples_by_minute ON audit_samples (minute);

CREATE TABLE audit_seals (
    key       TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    signature BLOB    NOT NULL,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

-- Up to which event the log was removed: at most one row.
CREATE TABLE audit_checkpoint (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    through   INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    removed   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    signature BLOB    NOT NULL
) STRICT;

-- The last batch of each process that appends: one handed in twice is appended once.
CREATE TABLE audit_writers (
    writer BLOB    PRIMARY KEY,
    batch  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
