-- Writes activity down, in the order of the digests: whoever locks several sessions locks them in that order. The end by
-- time is `cloakroom_core::judge` in SQL, for the sake of one statement instead of two.
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
        digest  CHAR(68) CHARACTER SET ascii PATH '$[0]',
        seen_at BIGINT                       PATH '$[1]'
    )) AS touch
STRAIGHT_JOIN session FORCE INDEX (session_digest) ON session.digest = UNHEX(touch.digest)
SET session.last_seen_at = LEAST(touch.seen_at, session.absolute_expires_at)
WHERE session.buried = 0
    AND session.last_seen_at < LEAST(touch.seen_at, session.absolute_expires_at)
    AND ? < session.expires_at
    AND NOT EXISTS (
        SELECT 1 FROM epoch
        WHERE session.created_at < epoch.issued_before
            OR (epoch.issued_before IS NULL AND session.generation < epoch.number)
    )
