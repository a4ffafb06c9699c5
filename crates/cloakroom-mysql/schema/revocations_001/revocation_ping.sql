-- Changes something, to find out whether anything can be; answers the server's clock.
CREATE PROCEDURE revocation_ping()
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    UPDATE revocation_head SET pings = pings + 1 WHERE singleton = 1;
    SELECT 'done' AS what, CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) * 1000 AS SIGNED) AS now;
END
