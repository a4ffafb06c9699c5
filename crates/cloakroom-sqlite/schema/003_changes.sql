-- What has changed, for whoever keeps a copy: written down by triggers, so that nothing changes unseen, whoever changes it
-- and with which program. Not written down is what no copy need know: a new session, activity, and the clearing up of
-- exchanged tokens and of what is left of ended sessions.
--
-- The file has one writer at a time, who takes the next number while all before it are committed and nobody else can take
-- one: numbers rise in the order of commits, without gaps, and whoever has read up to one has missed nothing before it.
--
-- A ring of 4096 rows that are all there from the beginning and never change their size: so that a sign-out needs no
-- room in a file on a full disk. Who was away for more than 4096 changes finds the row they read last gone, and knows.

ALTER TABLE housekeeping ADD COLUMN last_change INTEGER NOT NULL DEFAULT 1099511627775; -- 2^40 - 1: six bytes, like the rest

CREATE TABLE change (
    slot   INTEGER PRIMARY KEY, -- number % 4096
    number INTEGER NOT NULL,
    mark   INTEGER NOT NULL,    -- random: tells this row from one with its number in another history of the file
    digest BLOB    NOT NULL     -- 34 bytes of zero: anything may have changed
) STRICT;

WITH RECURSIVE slots (slot) AS (VALUES (0) UNION ALL SELECT slot + 1 FROM slots WHERE slot < 4095)
INSERT INTO change (slot, number, mark, digest)
SELECT slot, 1099511627776 - 4096 + slot, random() & 4611686018427387903 | 4611686018427387904, zeroblob(34) FROM slots;

-- `INSERT INTO changed` writes a change down.
CREATE VIEW changed AS SELECT digest FROM change;
CREATE TRIGGER changed_next INSTEAD OF INSERT ON changed
BEGIN
    UPDATE housekeeping SET last_change = last_change + 1;
    INSERT INTO change (slot, number, mark, digest)
    SELECT last_change % 4096, last_change, random() & 4611686018427387903 | 4611686018427387904, NEW.digest
    FROM housekeeping WHERE TRUE
    ON CONFLICT (slot) DO UPDATE SET (number, mark, digest) = (excluded.number, excluded.mark, excluded.digest);
END;

-- The columns that decide what a session answers.
CREATE TRIGGER changed_session AFTER UPDATE
    OF digest, id, principal, created_at, idle_timeout, absolute_expires_at, version, generation, ended_at, end_reason, body
    ON session WHEN OLD.ended_at IS NULL
BEGIN
    INSERT INTO changed (digest) VALUES (OLD.digest);
END;

-- Activity moves forward, unless somebody moves it back by hand.
CREATE TRIGGER changed_activity AFTER UPDATE OF last_seen_at ON session
    WHEN NEW.last_seen_at < OLD.last_seen_at AND OLD.ended_at IS NULL
BEGIN
    INSERT INTO changed (digest) VALUES (OLD.digest);
END;

CREATE TRIGGER changed_removed AFTER DELETE ON session WHEN OLD.ended_at IS NULL
BEGIN
    INSERT INTO changed (digest) VALUES (OLD.digest);
END;

CREATE TRIGGER changed_all AFTER INSERT ON epoch
BEGIN
    INSERT INTO changed (digest) VALUES (zeroblob(34));
END;

CREATE TRIGGER changed_all_again AFTER UPDATE ON epoch
BEGIN
    INSERT INTO changed (digest) VALUES (zeroblob(34));
END;
