INSERT IGNORE INTO sweeper (singleton, handle, until_at, rounds) VALUES (1, 0, -9223372036854775808, 0)
