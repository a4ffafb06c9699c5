-- Makes a session's row what is left of it, and reports it: as of `p_at` and for `p_reason`, or as of its timeout where
-- that came first. Does nothing where it is buried, or where an epoch ended it that is not the caller's.
CREATE PROCEDURE session_bury(
    IN p_number BIGINT UNSIGNED, IN p_at BIGINT, IN p_reason VARCHAR(32) CHARACTER SET ascii,
    IN p_dead_before BIGINT, IN p_dead_generation BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    -- By its number, whatever the optimiser makes of a small table: a scan would lock every row it comes by.
    UPDATE session FORCE INDEX (PRIMARY)
    SET buried = 1,
        ended_at = LEAST(p_at, expires_at),
        end_reason = CASE
            WHEN p_at < expires_at THEN p_reason
            WHEN expires_at = absolute_expires_at THEN 'absolute_timeout'
            ELSE 'idle_timeout'
        END,
        due_at = LEAST(CAST(LEAST(p_at, expires_at) AS DECIMAL(20, 0)) + retention, 9223372036854775807),
        ip = NULL,
        body = NULL
    WHERE number = p_number AND buried = 0 AND created_at >= p_dead_before AND generation >= p_dead_generation;
    IF ROW_COUNT() = 1 THEN
        SELECT 'ended' AS what, id, principal, ended_at, end_reason FROM session WHERE number = p_number;
    END IF;
END
