-- How many events there were in a minute; no reason is the empty text.
CREATE TABLE IF NOT EXISTS audit_count (
    minute_at BIGINT         NOT NULL,
    event     VARBINARY(255) NOT NULL,
    reason    VARBINARY(255) NOT NULL,
    number    BIGINT         NOT NULL,
    PRIMARY KEY (minute_at, event, reason)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
