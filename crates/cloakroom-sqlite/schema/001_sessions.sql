-- Sessions, live and ended, in one table: ending one changes its row, so that its digest and its id stay taken, nothing
-- is ever in two places, and nothing has to be moved. Instants are milliseconds since 1970-01-01T00:00:00Z; durations
-- are milliseconds.
--
-- A new end reason is a new schema version: a process that does not know it must refuse, not guess.

CREATE TABLE session (
    rowid               INTEGER PRIMARY KEY,
    digest              BLOB    NOT NULL UNIQUE CHECK (length(digest) = 34), -- route, SHA-256 of the token
    id                  BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    principal           TEXT,                                                -- NULL: anonymous
    created_at          INTEGER NOT NULL,
    last_seen_at        INTEGER NOT NULL, -- in no index: it changes with every touch
    idle_timeout        INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    retention           INTEGER NOT NULL, -- for how long the row is kept after its end
    -- Not later than the instant at which the sweeper has something to do here. A touch leaves it alone; the sweeper
    -- moves it when it comes by too early, which happens at most once in an idle timeout.
    due_at              INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    generation          INTEGER NOT NULL, -- the number of the last epoch when it was issued
    ip                  TEXT,
    ended_at            INTEGER,          -- NULL: nothing has ended it but perhaps time or an epoch
    end_reason          TEXT,
    body                BLOB,             -- the whole record, in the format of cloakroom-store; an ended one has none
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK ((ended_at IS NULL) = (body IS NOT NULL))
) STRICT;

-- From the latest issued to the first; the columns after `id` are there for counting without looking at rows.
CREATE INDEX session_live ON session (created_at, id, generation, (principal IS NULL), ended_at)
    WHERE ended_at IS NULL;
CREATE INDEX session_ended ON session (created_at, id, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_live_principal ON session (principal) WHERE principal IS NOT NULL AND ended_at IS NULL;
CREATE INDEX session_ended_principal ON session (principal) WHERE principal IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX session_live_due ON session (due_at) WHERE ended_at IS NULL;
CREATE INDEX session_ended_due ON session (due_at) WHERE ended_at IS NOT NULL;

-- Promise G4 once more, at the lowest place there is.
CREATE TRIGGER session_stays_ended BEFORE UPDATE OF ended_at, end_reason ON session WHEN OLD.ended_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'an ended session stays as it ended');
END;

-- Tokens that were exchanged for another.
CREATE TABLE retired (
    digest     BLOB    NOT NULL UNIQUE CHECK (length(digest) = 34),
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    rotated_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    due_at     INTEGER NOT NULL -- keep_until; later while the session lives, for that long it is kept in any case
) STRICT;
CREATE INDEX retired_due ON retired (due_at);
CREATE INDEX retired_id ON retired (id);

-- Ends of many sessions in one row each; every read compares with them. Numbers are never used twice.
CREATE TABLE epoch (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    issued_before INTEGER, -- ends sessions with an earlier created_at; NULL: ends those of an earlier generation
    ended_at      INTEGER NOT NULL,
    end_reason    TEXT    NOT NULL
) STRICT;

CREATE TABLE housekeeping (
    singleton     INTEGER PRIMARY KEY CHECK (singleton = 1),
    sweeper       INTEGER NOT NULL, -- the handle that swept last, and until when the others need not
    sweeper_until INTEGER NOT NULL,
    pings         INTEGER NOT NULL  -- changed to find out whether anything can be
) STRICT;
INSERT INTO housekeeping (singleton, sweeper, sweeper_until, pings) VALUES (1, 0, 0, 0);

-- For people: who is signed in now. `session` is the id as logs and API show it (base64url, six bits a character).
CREATE VIEW signed_in AS
SELECT
    (
        WITH RECURSIVE
            digit (hex) AS (SELECT hex(session.id)),
            text (position, encoded) AS (
                SELECT 0, 'ses_'
                UNION ALL
                SELECT
                    position + 1,
                    encoded || substr(
                        'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
                        1 + CASE position % 2
                            WHEN 0 THEN
                                (instr('0123456789ABCDEF', substr(hex, position * 3 / 2 + 1, 1)) - 1) * 4
                                + (instr('0123456789ABCDEF', substr(hex, position * 3 / 2 + 2, 1)) - 1) / 4
                            ELSE
                                (instr('0123456789ABCDEF', substr(hex, position * 3 / 2 + 1, 1)) - 1) % 4 * 16
                                + (instr('0123456789ABCDEF', substr(hex || '0', position * 3 / 2 + 2, 1)) - 1)
                        END,
                        1
                    )
                FROM text, digit
                WHERE position < 22
            )
        SELECT encoded FROM text WHERE position = 22
    ) AS session,
    principal,
    ip,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_seen_at / 1000.0, 'unixepoch') AS last_seen_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', min(last_seen_at + idle_timeout, absolute_expires_at) / 1000.0, 'unixepoch')
        AS expires_at
FROM session
WHERE ended_at IS NULL
    AND principal IS NOT NULL
    AND min(last_seen_at + idle_timeout, absolute_expires_at) > (julianday('now') - 2440587.5) * 86400000
    AND NOT EXISTS (
        SELECT 1 FROM epoch
        WHERE session.created_at < epoch.issued_before
            OR (epoch.issued_before IS NULL AND session.generation < epoch.number)
    );
