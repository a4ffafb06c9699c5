-- Removes entries that are over by `p_now` and by the clock of the server, but for the newest; at most `p_limit` of them.
CREATE PROCEDURE revocation_prune(IN p_now BIGINT, IN p_limit BIGINT)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE v_newest BIGINT;
    ROLLBACK;
    -- Looked up before, so that the deletion locks nothing that whoever adds needs.
    SET v_newest = (SELECT MAX(number) FROM revocation);
    SET p_now = LEAST(p_now, CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) * 1000 AS SIGNED));
    DELETE FROM revocation WHERE keep_until <= p_now AND number < v_newest ORDER BY keep_until, number LIMIT p_limit;
    SELECT 'done' AS what, ROW_COUNT() AS removed;
END
