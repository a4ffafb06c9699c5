-- Ends all sessions, or all issued before an instant: one row that every read compares with. Answers how many more
-- sessions are refused from now on, counted to 250 000: an emergency stop must not wait for a count.
CREATE PROCEDURE session_end_all(
    IN p_issued_before BIGINT, -- NULL: all there are
    IN p_reason VARCHAR(32) CHARACTER SET ascii, IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_generation, v_dead_before, v_dead_generation, v_refused BIGINT;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    ROLLBACK;
    START TRANSACTION;
    -- Counted before the lock: whoever signs in meanwhile need not wait for it.
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    -- Bounded by what is looked at, not by what is found.
    SELECT COALESCE(SUM(looked_at.generation >= v_dead_generation), 0) INTO v_refused
    FROM (
        SELECT generation FROM session FORCE INDEX (session_order)
        WHERE buried = 0 AND created_at >= v_dead_before AND (p_issued_before IS NULL OR created_at < p_issued_before)
        LIMIT 250000
    ) AS looked_at;
    SELECT v_refused - COALESCE(SUM(
        looked_at.expires_at <= p_now AND looked_at.generation >= v_dead_generation
        AND looked_at.created_at >= v_dead_before
        AND (p_issued_before IS NULL OR looked_at.created_at < p_issued_before)
    ), 0) INTO v_refused
    FROM (
        SELECT expires_at, created_at, generation FROM session FORCE INDEX (session_due)
        WHERE buried = 0 AND due_at <= p_now
        LIMIT 20000
    ) AS looked_at;
    SELECT value INTO v_generation FROM counter WHERE name = 'generation' FOR UPDATE;
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    -- What an earlier call said of a later instant holds already.
    IF p_issued_before <= v_dead_before THEN
        ROLLBACK;
        SELECT 'done' AS what, 0 AS refused;
        LEAVE whole;
    END IF;
    -- Reads stay cheap however often everything is ended between two sweeps. Only what this epoch ends as well is
    -- forgotten for it: a dead session may change its reason then, never its state.
    IF (SELECT COUNT(*) FROM epoch) >= 32 THEN
        DELETE FROM epoch
        WHERE (p_issued_before IS NULL AND issued_before IS NULL) OR issued_before <= p_issued_before
        ORDER BY number
        LIMIT 1;
    END IF;
    IF p_issued_before IS NULL THEN
        UPDATE end_of_all SET ended_at = p_now, end_reason = p_reason
        WHERE singleton = 1 AND (ended_at IS NULL OR ended_at < p_now);
    END IF;
    UPDATE counter SET value = v_generation + 1 WHERE name = 'generation';
    INSERT INTO epoch (number, issued_before, ended_at, end_reason)
    VALUES (v_generation + 1, p_issued_before, p_now, p_reason);
    COMMIT;
    SELECT 'done' AS what, GREATEST(v_refused, 0) AS refused;
END
