-- The latest end of everything. Its row in `epoch` goes with the last session it ended; a session that is moved here from
-- another store later, and that was issued at or before it, is one of those it ended.
CREATE TABLE IF NOT EXISTS end_of_all (
    singleton  TINYINT NOT NULL,
    ended_at   BIGINT  NULL, -- NULL: never
    end_reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
    PRIMARY KEY (singleton)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
