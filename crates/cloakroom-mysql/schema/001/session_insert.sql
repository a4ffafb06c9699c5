-- Files a new session and makes room for it. Locks, in this order: the principal's stripe, the generation (shared), the
-- new row, the rows that end, by their digests.
CREATE PROCEDURE session_insert(
    IN p_digest BINARY(34), IN p_id BINARY(16), IN p_principal VARBINARY(256), IN p_created_at BIGINT,
    IN p_idle_timeout BIGINT, IN p_absolute_expires_at BIGINT, IN p_retention BIGINT, IN p_due_at BIGINT,
    IN p_ip VARCHAR(45) CHARACTER SET ascii, IN p_body MEDIUMBLOB, IN p_stripe INT,
    IN p_max BIGINT, -- 0: no limit
    IN p_on_limit VARCHAR(16) CHARACTER SET ascii, IN p_replaces BINARY(16), IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_number BIGINT UNSIGNED;
    DECLARE v_generation, v_dead_before, v_dead_generation, v_stripe BIGINT;
    DECLARE v_rivals, v_replaced, v_excess BIGINT DEFAULT 0;
    DECLARE EXIT HANDLER FOR 1062 BEGIN ROLLBACK; SELECT 'taken' AS what; END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    -- START TRANSACTION alone would commit what a killed call may have left open.
    ROLLBACK;
    START TRANSACTION;
    IF p_principal IS NOT NULL THEN
        SELECT number INTO v_stripe FROM stripe WHERE number = p_stripe FOR UPDATE;
    END IF;
    SELECT value INTO v_generation FROM counter WHERE name = 'generation' LOCK IN SHARE MODE;
    IF EXISTS (SELECT 1 FROM retired WHERE digest = p_digest) THEN
        ROLLBACK;
        SELECT 'taken' AS what;
        LEAVE whole;
    END IF;
    INSERT INTO session (
        digest, id, principal, signed_in, version, generation, created_at, last_seen_at, idle_timeout,
        absolute_expires_at, retention, due_at, ip, body
    )
    VALUES (
        p_digest, p_id, p_principal, p_principal IS NOT NULL, 1, v_generation, p_created_at, p_created_at, p_idle_timeout,
        p_absolute_expires_at, p_retention, p_due_at, p_ip, p_body
    );
    SET v_number = LAST_INSERT_ID();
    IF p_principal IS NOT NULL AND (p_max > 0 OR p_replaces IS NOT NULL) THEN
        CALL epoch_bounds(v_dead_before, v_dead_generation);
        SELECT COUNT(*), COALESCE(SUM(id <=> p_replaces), 0) INTO v_rivals, v_replaced
        FROM session
        WHERE principal = p_principal AND buried = 0 AND number <> v_number AND p_now < expires_at
            AND created_at >= v_dead_before AND generation >= v_dead_generation;
        IF p_max > 0 THEN
            SET v_excess = GREATEST(v_rivals - v_replaced + 1 - p_max, 0);
        END IF;
        IF v_excess > 0 AND p_on_limit = 'refuse' THEN
            ROLLBACK;
            SELECT 'limit' AS what;
            LEAVE whole;
        END IF;
        IF v_replaced + v_excess > 0 THEN
            BEGIN
                DECLARE v_done INT DEFAULT 0;
                DECLARE v_rival BIGINT UNSIGNED;
                DECLARE v_reason VARCHAR(32) CHARACTER SET ascii;
                DECLARE rivals CURSOR FOR
                    SELECT number, IF(is_replaced, 'replaced', 'session_limit')
                    FROM (
                        SELECT number, digest, id <=> p_replaces AS is_replaced,
                            ROW_NUMBER() OVER (
                                ORDER BY id <=> p_replaces DESC,
                                    IF(p_on_limit = 'end_idlest', last_seen_at, created_at),
                                    IF(p_on_limit = 'end_idlest', created_at, last_seen_at), id
                            ) AS place
                        FROM session
                        WHERE principal = p_principal AND buried = 0 AND number <> v_number AND p_now < expires_at
                            AND created_at >= v_dead_before AND generation >= v_dead_generation
                    ) AS ranked
                    WHERE place <= v_replaced + v_excess
                    ORDER BY digest;
                DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = 1;
                OPEN rivals;
                FETCH rivals INTO v_rival, v_reason;
                WHILE v_done = 0 DO
                    CALL session_bury(v_rival, p_now, v_reason, v_dead_before, v_dead_generation);
                    FETCH rivals INTO v_rival, v_reason;
                END WHILE;
                CLOSE rivals;
            END;
        END IF;
    END IF;
    COMMIT;
    SELECT 'done' AS what;
END
