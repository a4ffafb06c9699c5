INSERT IGNORE INTO counter (name, value) VALUES ('generation', 0), ('pings', 0)
