INSERT IGNORE INTO account_setup (singleton) VALUES (1)
