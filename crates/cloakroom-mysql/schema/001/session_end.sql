-- Ends one session.
CREATE PROCEDURE session_end(
    IN p_id BINARY(16), IN p_reason VARCHAR(32) CHARACTER SET ascii, IN p_now BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE v_number BIGINT UNSIGNED;
    DECLARE v_dead_before, v_dead_generation BIGINT;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    ROLLBACK;
    START TRANSACTION;
    SET v_number = (SELECT number FROM session WHERE id = p_id);
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    CALL session_bury(v_number, p_now, p_reason, v_dead_before, v_dead_generation);
    COMMIT;
    SELECT 'done' AS what;
END
