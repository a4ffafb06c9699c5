-- Sessions, live and ended, in one table: ending one changes its row, so that its digest and its id stay taken, nothing
-- is ever in two places, and nothing has to be moved. Instants are milliseconds since 1970-01-01T00:00:00Z; durations
-- are milliseconds. Names are bytes: no collation may ever find two principals equal that are not.
CREATE TABLE IF NOT EXISTS session (
    number              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    digest              BINARY(34)      NOT NULL, -- route, SHA-256 of the token
    id                  BINARY(16)      NOT NULL,
    principal           VARBINARY(256)  NULL,     -- NULL: anonymous
    signed_in           TINYINT         NOT NULL, -- whether there is a principal: for counting in an index
    buried              TINYINT         NOT NULL DEFAULT 0, -- 1: has ended; never 0 again
    version             BIGINT          NOT NULL,
    generation          BIGINT          NOT NULL, -- the number of the last end of everything when it was issued
    created_at          BIGINT          NOT NULL,
    last_seen_at        BIGINT          NOT NULL, -- in no index: it changes with every touch
    idle_timeout        BIGINT          NOT NULL,
    absolute_expires_at BIGINT          NOT NULL,
    retention           BIGINT          NOT NULL, -- for how long the row is kept after its end
    -- The instant at which time ends it. DECIMAL: the sum may be later than the last BIGINT.
    expires_at          BIGINT AS (
        CAST(LEAST(CAST(last_seen_at AS DECIMAL(20, 0)) + idle_timeout, absolute_expires_at) AS SIGNED)
    ) VIRTUAL,
    -- Not later than the instant at which the sweeper has something to do here. A touch leaves it alone; the sweeper
    -- moves it when it comes by too early, which happens at most once in an idle timeout.
    due_at              BIGINT          NOT NULL,
    ip                  VARCHAR(45) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ended_at            BIGINT          NULL,
    end_reason          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
    body                MEDIUMBLOB      NULL,     -- the whole record, in the format of cloakroom-store; an ended one has none
    PRIMARY KEY (number),
    UNIQUE KEY session_digest (digest),
    UNIQUE KEY session_id (id),
    -- From the latest issued to the first; the columns after `id` are there for counting without looking at rows.
    KEY session_order (buried, created_at, id, generation, signed_in),
    KEY session_principal (principal, buried, created_at, id),
    KEY session_due (buried, due_at),
    KEY session_generation (buried, generation),
    KEY session_ip (ip),
    CONSTRAINT session_is_whole CHECK (
        (buried = 1) = (ended_at IS NOT NULL) AND (buried = 1) = (end_reason IS NOT NULL)
        AND (buried = 1) = (body IS NULL) AND (signed_in = 1) = (principal IS NOT NULL)
    )
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 ROW_FORMAT = DYNAMIC
