-- How far the tables of the list of ends are: DDL commits by itself, so that a migration that was interrupted goes on where
-- it stopped.
CREATE TABLE IF NOT EXISTS revocation_schema (
    singleton TINYINT NOT NULL PRIMARY KEY,
    version   INT     NOT NULL,
    step      INT     NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
