-- What was ended of sessions that travel in their tokens: nobody keeps a record of those, so this is kept instead, for as
-- long as such a token could be presented. Only ever appended to, and pruned.
--
-- The file has one writer at a time, who takes the next numbers while all before them are committed and nobody else can
-- take one: numbers rise in the order of commits, and whoever has read up to one has missed nothing before it. A number is
-- the one after the last, or if that is later the microseconds since 1970. The last one stays here when its row goes.

ALTER TABLE housekeeping ADD COLUMN last_revocation INTEGER NOT NULL DEFAULT 0;

CREATE TABLE revocation (
    number     INTEGER PRIMARY KEY,
    nonce      INTEGER NOT NULL, -- tells this row from one with its number in another history of the file
    kind       TEXT    NOT NULL, -- from here to `reason` for people; what counts is `entry`
    subject    TEXT,
    decided_at INTEGER NOT NULL,
    keep_until INTEGER NOT NULL, -- no token that it is about can be presented from then on
    reason     TEXT    NOT NULL,
    entry      BLOB    NOT NULL  -- all of it, in the format of cloakroom-store
) STRICT;
CREATE INDEX revocation_keep_until ON revocation (keep_until);

-- For people: what was ended, oldest first.
CREATE VIEW revoked AS
SELECT
    kind,
    subject,
    strftime('%Y-%m-%dT%H:%M:%fZ', decided_at / 1000.0, 'unixepoch') AS at,
    strftime('%Y-%m-%dT%H:%M:%fZ', keep_until / 1000.0, 'unixepoch') AS until,
    reason
FROM revocation
ORDER BY number;
