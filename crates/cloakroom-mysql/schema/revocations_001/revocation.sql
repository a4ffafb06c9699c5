-- What was ended of sessions that travel in their tokens: nobody keeps a record of those, so this is kept instead, for as
-- long as such a token could be presented. Only ever appended to, and pruned. Instants are milliseconds since
-- 1970-01-01T00:00:00Z.
CREATE TABLE IF NOT EXISTS revocation (
    number     BIGINT         NOT NULL,
    nonce      BIGINT         NOT NULL, -- tells this row from one with its number in another history
    kind       VARCHAR(32)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- from here to `reason` for people
    subject    VARBINARY(256) NULL,
    decided_at BIGINT         NOT NULL,
    keep_until BIGINT         NOT NULL, -- no token that it is about can be presented from then on
    reason     VARCHAR(32)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    entry      VARBINARY(1024) NOT NULL, -- all of it, in the format of cloakroom-store
    PRIMARY KEY (number),
    KEY revocation_keep_until (keep_until, number)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 ROW_FORMAT = DYNAMIC
