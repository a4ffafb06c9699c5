INSERT IGNORE INTO stripe (number)
WITH RECURSIVE digit (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM digit WHERE n < 31)
SELECT high.n * 32 + low.n FROM digit AS high CROSS JOIN digit AS low
