-- The latest end of everything. Its row in `epoch` goes with the last session it ended; a session that is moved here from
-- another store later, and that was issued at or before it, is one of those it ended.

ALTER TABLE housekeeping ADD COLUMN all_ended_at INTEGER;
ALTER TABLE housekeeping ADD COLUMN all_end_reason TEXT;

UPDATE housekeeping SET (all_ended_at, all_end_reason) = (
    SELECT ended_at, end_reason FROM epoch WHERE issued_before IS NULL ORDER BY ended_at DESC LIMIT 1
);

-- An exchanged token is kept for its own retention, not for as long as its session lives: a session that rotates often
-- would fill the file. Nothing asks for the tokens of a session any more.
UPDATE retired SET due_at = keep_until WHERE due_at <> keep_until;
DROP INDEX retired_id;
