-- One row, always: the end of the chain. Whoever appends locks it first, so that batches come one after the other.
CREATE TABLE IF NOT EXISTS audit_head (
    singleton TINYINT    NOT NULL PRIMARY KEY,
    seq       BIGINT     NOT NULL,
    hash      BINARY(32) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
