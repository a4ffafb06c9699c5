-- Ends the sessions of a principal, but for one that may be excepted. The rows are found by a look that locks nothing and
-- then locked one by one, by their digests, as whoever else locks several does. None is missed: the stripe keeps new ones
-- away, and a number names its session whatever its digest becomes.
CREATE PROCEDURE session_end_principal(
    IN p_principal VARBINARY(256), IN p_stripe INT, IN p_except BINARY(16),
    IN p_reason VARCHAR(32) CHARACTER SET ascii, IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE v_done INT DEFAULT 0;
    DECLARE v_number BIGINT UNSIGNED;
    DECLARE v_dead_before, v_dead_generation, v_stripe BIGINT;
    DECLARE own CURSOR FOR
        SELECT number FROM session
        WHERE principal = p_principal AND buried = 0 AND NOT id <=> p_except
        ORDER BY digest;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_done = 1;
    ROLLBACK;
    START TRANSACTION;
    SELECT number INTO v_stripe FROM stripe WHERE number = p_stripe FOR UPDATE;
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    OPEN own;
    FETCH own INTO v_number;
    WHILE v_done = 0 DO
        CALL session_bury(v_number, p_now, p_reason, v_dead_before, v_dead_generation);
        FETCH own INTO v_number;
    END WHILE;
    CLOSE own;
    COMMIT;
    SELECT 'done' AS what;
END
