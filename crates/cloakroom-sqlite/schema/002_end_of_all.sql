-- The latest end of everything. Its row in `epoch` goes with the last session it ended; a session that is moved here from
-- another store later, and that was issued at or before it, is one of those it ended.

ALTER TABLE housekeeping ADD COLUMN all_ended_at INTEGER;
ALTER TABLE housekeeping ADD COLUMN all_end_reason TEXT;

UPDATE housekeeping SET (all_ended_at, all_end_reason) = (
    SELECT ended_at, end_reason FROM epoch WHERE issued_before IS NULL ORDER BY ended_at DESC LIMIT 1
);
