-- Who sweeps, and until when the others need not.
CREATE TABLE IF NOT EXISTS sweeper (
    singleton TINYINT NOT NULL,
    handle    BIGINT  NOT NULL,
    until_at  BIGINT  NOT NULL,
    rounds    BIGINT  NOT NULL,
    PRIMARY KEY (singleton)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
