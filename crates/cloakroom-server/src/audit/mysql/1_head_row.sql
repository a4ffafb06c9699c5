INSERT IGNORE INTO audit_head (singleton, seq, hash) VALUES (1, 0, REPEAT(CHAR(0), 32))
