-- One row for each 1024th of all principals, by the route of their sessions. Locked by what has to see all sessions of a
-- principal at once: rows that are always there and never change, so that nothing is ever locked but what is asked for.
CREATE TABLE IF NOT EXISTS stripe (
    number SMALLINT NOT NULL,
    PRIMARY KEY (number)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
