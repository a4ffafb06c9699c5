-- Clears up: buries what epochs and time ended, removes tombstones and retired tokens after their retention. Looks at
-- `p_limit` rows at most. Waits for no row: what somebody else has locked is left to the next round.
CREATE PROCEDURE session_sweep(
    IN p_handle BIGINT, IN p_until BIGINT, -- NULL: without a lease
    IN p_limit BIGINT, IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_dead_before, v_dead_generation, v_at BIGINT;
    DECLARE v_number BIGINT UNSIGNED;
    DECLARE v_digest BINARY(34);
    DECLARE v_reason VARCHAR(32) CHARACTER SET ascii;
    DECLARE v_left BIGINT DEFAULT p_limit;
    DECLARE v_removed BIGINT DEFAULT 0;
    DECLARE v_done INT DEFAULT 0;
    DECLARE issued_before CURSOR FOR
        SELECT number FROM session FORCE INDEX (session_order)
        WHERE buried = 0 AND created_at < v_dead_before
        ORDER BY created_at LIMIT v_left FOR UPDATE SKIP LOCKED;
    DECLARE earlier CURSOR FOR
        SELECT number FROM session FORCE INDEX (session_generation)
        WHERE buried = 0 AND generation < v_dead_generation
        ORDER BY generation LIMIT v_left FOR UPDATE SKIP LOCKED;
    DECLARE due CURSOR FOR
        SELECT number FROM session FORCE INDEX (session_due)
        WHERE buried = 0 AND due_at <= p_now
        ORDER BY due_at LIMIT v_left FOR UPDATE SKIP LOCKED;
    DECLARE tombstones CURSOR FOR
        SELECT number FROM session FORCE INDEX (session_due)
        WHERE buried = 1 AND due_at <= p_now
        ORDER BY due_at LIMIT v_left FOR UPDATE SKIP LOCKED;
    DECLARE tokens CURSOR FOR
        SELECT digest FROM retired FORCE INDEX (retired_due)
        WHERE keep_until <= p_now
        ORDER BY keep_until LIMIT v_left FOR UPDATE SKIP LOCKED;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = 1;
    ROLLBACK;
    IF p_until IS NOT NULL THEN
        -- A lease that ends later than one taken now would is from a clock that was ahead: it binds nobody.
        UPDATE sweeper SET handle = p_handle, until_at = p_until, rounds = rounds + 1
        WHERE singleton = 1 AND (handle = p_handle OR until_at <= p_now OR until_at > p_until);
        IF ROW_COUNT() = 0 THEN
            SELECT 'elsewhere' AS what;
            LEAVE whole;
        END IF;
    END IF;
    IF EXISTS (SELECT 1 FROM epoch) THEN
        CALL epoch_forget();
    END IF;

    START TRANSACTION;
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    IF EXISTS (SELECT 1 FROM epoch) THEN
        SET v_done = 0;
        OPEN issued_before;
        FETCH issued_before INTO v_number;
        WHILE v_done = 0 DO
            SET v_left = v_left - 1;
            CALL session_bury_by_epoch(v_number);
            FETCH issued_before INTO v_number;
        END WHILE;
        CLOSE issued_before;
        SET v_done = 0;
        OPEN earlier;
        FETCH earlier INTO v_number;
        WHILE v_done = 0 DO
            SET v_left = v_left - 1;
            CALL session_bury_by_epoch(v_number);
            FETCH earlier INTO v_number;
        END WHILE;
        CLOSE earlier;
    END IF;

    SET v_done = 0;
    OPEN due;
    FETCH due INTO v_number;
    WHILE v_done = 0 DO
        SET v_left = v_left - 1;
        IF (SELECT expires_at FROM session WHERE number = v_number) <= p_now THEN
            CALL session_bury(v_number, p_now, 'idle_timeout', -9223372036854775808, 0);
        ELSE
            UPDATE session FORCE INDEX (PRIMARY) SET due_at = expires_at WHERE number = v_number AND buried = 0;
        END IF;
        FETCH due INTO v_number;
    END WHILE;
    CLOSE due;

    SET v_done = 0;
    OPEN tombstones;
    FETCH tombstones INTO v_number;
    WHILE v_done = 0 DO
        SET v_left = v_left - 1;
        DELETE session FROM session FORCE INDEX (PRIMARY) WHERE number = v_number AND buried = 1;
        SET v_removed = v_removed + 1;
        FETCH tombstones INTO v_number;
    END WHILE;
    CLOSE tombstones;

    SET v_done = 0;
    OPEN tokens;
    FETCH tokens INTO v_digest;
    WHILE v_done = 0 DO
        SET v_left = v_left - 1;
        DELETE FROM retired WHERE digest = v_digest;
        SET v_removed = v_removed + 1;
        FETCH tokens INTO v_digest;
    END WHILE;
    CLOSE tokens;
    COMMIT;

    SELECT 'done' AS what, v_removed AS removed,
        EXISTS (SELECT 1 FROM session FORCE INDEX (session_due) WHERE buried = 0 AND due_at <= p_now)
        OR EXISTS (SELECT 1 FROM session FORCE INDEX (session_due) WHERE buried = 1 AND due_at <= p_now)
        OR EXISTS (SELECT 1 FROM retired WHERE keep_until <= p_now)
        OR EXISTS (SELECT 1 FROM session WHERE buried = 0 AND created_at < v_dead_before)
        OR EXISTS (SELECT 1 FROM session WHERE buried = 0 AND generation < v_dead_generation) AS more;
END
