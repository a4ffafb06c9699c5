-- Changes something, to find out whether anything can be; answers the server's clock.
CREATE PROCEDURE store_ping()
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    UPDATE counter SET value = value + 1 WHERE name = 'pings';
    SELECT 'done' AS what, CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) * 1000 AS SIGNED) AS now;
END
