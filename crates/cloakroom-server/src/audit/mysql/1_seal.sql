CREATE TABLE IF NOT EXISTS audit_seal (
    key_id    VARBINARY(255) NOT NULL,
    seq       BIGINT         NOT NULL,
    hash      BINARY(32)     NOT NULL,
    at        BIGINT         NOT NULL,
    signature VARBINARY(255) NOT NULL,
    PRIMARY KEY (key_id, seq),
    KEY audit_seal_by_seq (seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
