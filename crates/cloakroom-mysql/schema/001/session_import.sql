-- Files a session as another store told of it, live or ended. Locks in the order of session_insert.
CREATE PROCEDURE session_import(
    IN p_digest BINARY(34), IN p_id BINARY(16), IN p_principal VARBINARY(256), IN p_version BIGINT,
    IN p_created_at BIGINT, IN p_last_seen_at BIGINT, IN p_idle_timeout BIGINT, IN p_absolute_expires_at BIGINT,
    IN p_retention BIGINT, IN p_due_at BIGINT, IN p_ip VARCHAR(45) CHARACTER SET ascii,
    IN p_ended_at BIGINT, IN p_end_reason VARCHAR(32) CHARACTER SET ascii, -- NULL: it lives
    IN p_body MEDIUMBLOB, IN p_stripe INT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_generation, v_stripe, v_all_at BIGINT;
    DECLARE v_all_reason VARCHAR(32) CHARACTER SET ascii;
    DECLARE EXIT HANDLER FOR 1062 BEGIN ROLLBACK; SELECT 'taken' AS what; END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
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
        digest, id, principal, signed_in, buried, version, generation, created_at, last_seen_at, idle_timeout,
        absolute_expires_at, retention, due_at, ip, ended_at, end_reason, body
    )
    VALUES (
        p_digest, p_id, p_principal, p_principal IS NOT NULL, p_ended_at IS NOT NULL, p_version, v_generation, p_created_at,
        p_last_seen_at, p_idle_timeout, p_absolute_expires_at, p_retention, p_due_at, p_ip, p_ended_at, p_end_reason, p_body
    );
    SELECT ended_at, end_reason INTO v_all_at, v_all_reason FROM end_of_all WHERE singleton = 1;
    IF p_ended_at IS NULL AND p_created_at <= v_all_at THEN
        CALL session_bury(LAST_INSERT_ID(), v_all_at, v_all_reason, -9223372036854775808, 0);
    END IF;
    COMMIT;
    SELECT 'done' AS what;
END
