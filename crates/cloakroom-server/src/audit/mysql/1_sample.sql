CREATE TABLE IF NOT EXISTS audit_sample (
    series    VARBINARY(255) NOT NULL,
    minute_at BIGINT         NOT NULL,
    node      VARBINARY(255) NOT NULL,
    value     DOUBLE         NOT NULL,
    PRIMARY KEY (series, minute_at, node),
    KEY audit_sample_by_minute (minute_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
