-- Files an exchanged token as another store told of it.
CREATE PROCEDURE retired_import(
    IN p_digest BINARY(34), IN p_id BINARY(16), IN p_rotated_at BIGINT, IN p_keep_until BIGINT
)
MODIFIES SQL DATA SQL SECURITY INVOKER
whole: BEGIN
    DECLARE EXIT HANDLER FOR 1062 BEGIN ROLLBACK; SELECT 'taken' AS what; END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    ROLLBACK;
    START TRANSACTION;
    IF EXISTS (SELECT 1 FROM session WHERE digest = p_digest) THEN
        ROLLBACK;
        SELECT 'taken' AS what;
        LEAVE whole;
    END IF;
    INSERT INTO retired (digest, id, rotated_at, keep_until) VALUES (p_digest, p_id, p_rotated_at, p_keep_until);
    COMMIT;
    SELECT 'done' AS what;
END
