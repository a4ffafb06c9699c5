-- Up to which event the log was removed: at most one row.
CREATE TABLE IF NOT EXISTS audit_checkpoint (
    singleton TINYINT        NOT NULL PRIMARY KEY,
    through   BIGINT         NOT NULL,
    hash      BINARY(32)     NOT NULL,
    removed   BIGINT         NOT NULL,
    at        BIGINT         NOT NULL,
    key_id    VARBINARY(255) NOT NULL,
    signature VARBINARY(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
