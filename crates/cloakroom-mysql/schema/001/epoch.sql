-- Ends of many sessions in one row each; every read compares with them. Numbers are never used twice.
CREATE TABLE IF NOT EXISTS epoch (
    number        BIGINT NOT NULL,
    issued_before BIGINT NULL, -- ends sessions with an earlier created_at; NULL: ends those of an earlier generation
    ended_at      BIGINT NOT NULL,
    end_reason    VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (number)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
