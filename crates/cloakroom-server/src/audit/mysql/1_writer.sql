-- The last batch of each process that appends: one handed in twice is appended once.
CREATE TABLE IF NOT EXISTS audit_writer (
    writer    BINARY(16) NOT NULL PRIMARY KEY,
    batch     BIGINT     NOT NULL,
    at        BIGINT     NOT NULL,
    first_seq BIGINT     NOT NULL,
    last_seq  BIGINT     NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
