-- `generation`: the number of the last epoch there ever was. Whoever issues a session shares its lock until the commit,
-- whoever begins or forgets an epoch has it alone. `pings`: changed to find out whether anything can be.
CREATE TABLE IF NOT EXISTS counter (
    name  VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
