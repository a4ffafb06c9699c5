-- Where in the log the events of a minute are: by number, since clocks of several nodes differ.
CREATE TABLE IF NOT EXISTS audit_minute (
    minute_at BIGINT NOT NULL PRIMARY KEY,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
