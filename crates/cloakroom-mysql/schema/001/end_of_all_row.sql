INSERT IGNORE INTO end_of_all (singleton, ended_at, end_reason) VALUES (1, NULL, NULL)
