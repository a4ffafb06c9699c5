-- For people: who is signed in now, by the clock of the server, in UTC. `session` is the id as logs and API show it.
-- Instants beyond the year 9999 are NULL.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW active_sessions AS
SELECT
    CONCAT('ses_', REPLACE(REPLACE(TRIM(TRAILING '=' FROM TO_BASE64(id)), '+', '-'), '/', '_')) AS session,
    CONVERT(principal USING utf8mb4) AS principal,
    ip,
    CASE WHEN created_at BETWEEN -62135596800000 AND 253402300799999 THEN
        TIMESTAMPADD(MICROSECOND, created_at MOD 1000 * 1000,
            TIMESTAMPADD(SECOND, created_at DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000'))
    END AS created_at,
    CASE WHEN last_seen_at BETWEEN -62135596800000 AND 253402300799999 THEN
        TIMESTAMPADD(MICROSECOND, last_seen_at MOD 1000 * 1000,
            TIMESTAMPADD(SECOND, last_seen_at DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000'))
    END AS last_seen_at,
    CASE WHEN expires_at BETWEEN -62135596800000 AND 253402300799999 THEN
        TIMESTAMPADD(MICROSECOND, expires_at MOD 1000 * 1000,
            TIMESTAMPADD(SECOND, expires_at DIV 1000, TIMESTAMP '1970-01-01 00:00:00.000'))
    END AS expires_at
FROM session
WHERE buried = 0
    AND signed_in = 1
    AND expires_at > UNIX_TIMESTAMP() * 1000
    AND NOT EXISTS (
        SELECT 1 FROM epoch
        WHERE session.created_at < epoch.issued_before
            OR (epoch.issued_before IS NULL AND session.generation < epoch.number)
    )
