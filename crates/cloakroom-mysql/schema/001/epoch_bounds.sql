-- Sessions issued before the one, or of an earlier generation than the other, are over.
CREATE PROCEDURE epoch_bounds(OUT p_dead_before BIGINT, OUT p_dead_generation BIGINT)
READS SQL DATA SQL SECURITY INVOKER
BEGIN
    SELECT COALESCE(MAX(issued_before), -9223372036854775808), COALESCE(MAX(IF(issued_before IS NULL, number, 0)), 0)
    INTO p_dead_before, p_dead_generation
    FROM epoch;
END
