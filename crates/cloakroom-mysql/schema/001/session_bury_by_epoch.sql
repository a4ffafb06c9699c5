-- Buries a session that an epoch ended, as of the first that did.
CREATE PROCEDURE session_bury_by_epoch(IN p_number BIGINT UNSIGNED)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE v_epoch, v_at BIGINT;
    DECLARE v_reason VARCHAR(32) CHARACTER SET ascii;
    SET v_epoch = (
        SELECT MIN(epoch.number) FROM epoch
        INNER JOIN session ON session.created_at < epoch.issued_before
            OR (epoch.issued_before IS NULL AND session.generation < epoch.number)
        WHERE session.number = p_number
    );
    IF v_epoch IS NOT NULL THEN
        SELECT ended_at, end_reason INTO v_at, v_reason FROM epoch WHERE number = v_epoch;
        CALL session_bury(p_number, v_at, v_reason, -9223372036854775808, 0);
    END IF;
END
