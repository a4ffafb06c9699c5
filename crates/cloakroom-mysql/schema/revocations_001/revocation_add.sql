-- Adds entries, all or none. `p_entries`: rows of a nonce, words, instants, and bytes in hexadecimal.
CREATE PROCEDURE revocation_add(IN p_entries LONGTEXT CHARACTER SET utf8mb4, IN p_count BIGINT)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE v_last BIGINT;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_last = NULL;
    ROLLBACK;
    START TRANSACTION;
    SELECT last INTO v_last FROM revocation_head WHERE singleton = 1 FOR UPDATE;
    IF v_last IS NULL THEN
        ROLLBACK;
        SELECT 'headless' AS what;
        LEAVE whole;
    END IF;
    -- The clock as it is now, not as it was before the lock was waited for.
    SET v_last = GREATEST(v_last, CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED) - 1);
    INSERT INTO revocation (number, nonce, kind, subject, decided_at, keep_until, reason, entry)
    SELECT
        v_last + added.position, added.nonce, added.kind, UNHEX(added.subject), added.decided_at, added.keep_until,
        added.reason, UNHEX(added.entry)
    FROM JSON_TABLE(p_entries, '$[*]' COLUMNS (
        position   FOR ORDINALITY,
        nonce      BIGINT                              PATH '$[0]',
        kind       VARCHAR(32)   CHARACTER SET ascii   PATH '$[1]',
        subject    VARCHAR(512)  CHARACTER SET ascii   PATH '$[2]',
        decided_at BIGINT                              PATH '$[3]',
        keep_until BIGINT                              PATH '$[4]',
        reason     VARCHAR(32)   CHARACTER SET ascii   PATH '$[5]',
        entry      VARCHAR(2048) CHARACTER SET ascii   PATH '$[6]'
    )) AS added;
    UPDATE revocation_head SET last = v_last + p_count WHERE singleton = 1;
    COMMIT;
    SELECT 'done' AS what;
END
