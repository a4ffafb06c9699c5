-- Forgets the epochs whose sessions are all buried, but for the one that keeps late arrivals out. With the generation
-- locked no session is on its way that one of them would end.
CREATE PROCEDURE epoch_forget()
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    DECLARE v_generation, v_dead_before, v_dead_generation, v_kept BIGINT;
    START TRANSACTION;
    SELECT value INTO v_generation FROM counter WHERE name = 'generation' FOR UPDATE;
    CALL epoch_bounds(v_dead_before, v_dead_generation);
    IF NOT EXISTS (SELECT 1 FROM session WHERE buried = 0 AND created_at < v_dead_before)
        AND NOT EXISTS (SELECT 1 FROM session WHERE buried = 0 AND generation < v_dead_generation)
    THEN
        SET v_kept = (SELECT MIN(number) FROM epoch WHERE issued_before = v_dead_before);
        DELETE FROM epoch WHERE NOT number <=> v_kept;
    END IF;
    COMMIT;
END
