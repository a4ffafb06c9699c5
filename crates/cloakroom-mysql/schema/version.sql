-- Which schema this database has, and how many steps towards the next one are done: DDL commits by itself, so that a
-- migration that was interrupted goes on where it stopped. `program` tells this table from another program's.
CREATE TABLE IF NOT EXISTS cloakroom_schema (
    singleton TINYINT NOT NULL PRIMARY KEY,
    version   INT     NOT NULL,
    step      INT     NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
