INSERT IGNORE INTO revocation_head (singleton, last, pings) VALUES (1, 0, 0)
