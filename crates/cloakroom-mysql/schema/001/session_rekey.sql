-- Replaces a live session's record and exchanges its token. Answers `look` where the session is not as the caller read
-- it: a look says what it is.
CREATE PROCEDURE session_rekey(
    IN p_old BINARY(34), IN p_new BINARY(34), IN p_version BIGINT UNSIGNED, IN p_id BINARY(16),
    IN p_principal VARBINARY(256), IN p_created_at BIGINT, IN p_idle_timeout BIGINT, IN p_absolute_expires_at BIGINT,
    IN p_retention BIGINT, IN p_ip VARCHAR(45) CHARACTER SET ascii, IN p_body MEDIUMBLOB, IN p_keep_until BIGINT,
    IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_number BIGINT UNSIGNED;
    DECLARE v_dead_before, v_dead_generation, v_seen_at BIGINT;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_number = NULL;
    DECLARE EXIT HANDLER FOR 1062 BEGIN ROLLBACK; SELECT 'taken' AS what; END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    ROLLBACK;
    START TRANSACTION;
    SELECT number, last_seen_at INTO v_number, v_seen_at
    FROM session FORCE INDEX (session_digest)
    WHERE digest = p_old AND version = p_version AND buried = 0 AND p_now < expires_at AND id = p_id
        AND principal <=> p_principal AND created_at = p_created_at
    FOR UPDATE;
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    IF v_number IS NULL OR EXISTS (
        SELECT 1 FROM session
        WHERE number = v_number AND (created_at < v_dead_before OR generation < v_dead_generation)
    ) THEN
        ROLLBACK;
        SELECT 'look' AS what;
        LEAVE whole;
    END IF;
    -- One statement, one snapshot: a token on its way from the one table to the other is in either.
    IF (SELECT EXISTS (SELECT 1 FROM session WHERE digest = p_new) OR EXISTS (SELECT 1 FROM retired WHERE digest = p_new))
    THEN
        ROLLBACK;
        SELECT 'taken' AS what;
        LEAVE whole;
    END IF;
    SET v_seen_at = GREATEST(v_seen_at, LEAST(p_now, p_absolute_expires_at));
    UPDATE session FORCE INDEX (PRIMARY)
    SET digest = p_new, version = version + 1, last_seen_at = v_seen_at, idle_timeout = p_idle_timeout,
        absolute_expires_at = p_absolute_expires_at, retention = p_retention, ip = p_ip, body = p_body,
        due_at = LEAST(due_at, CAST(v_seen_at AS DECIMAL(20, 0)) + p_idle_timeout, p_absolute_expires_at)
    WHERE number = v_number;
    INSERT INTO retired (digest, id, rotated_at, keep_until) VALUES (p_old, p_id, p_now, p_keep_until);
    COMMIT;
    SELECT 'done' AS what;
END
