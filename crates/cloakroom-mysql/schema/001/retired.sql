-- Tokens that were exchanged for another.
CREATE TABLE IF NOT EXISTS retired (
    digest     BINARY(34) NOT NULL,
    id         BINARY(16) NOT NULL,
    rotated_at BIGINT     NOT NULL,
    keep_until BIGINT     NOT NULL,
    PRIMARY KEY (digest),
    KEY retired_due (keep_until)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
