-- What was ended of sessions that travel in their tokens: nobody keeps a record of those, so this is kept instead, for as
-- long as such a token could be presented. Only ever appended to, and pruned. Instants are milliseconds since
-- 1970-01-01T00:00:00Z. Where another schema is configured, every `cloakroom.` here is replaced by its name.

CREATE TABLE cloakroom.revocation_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT current_user
);
COMMENT ON TABLE cloakroom.revocation_version IS 'Which of the files of the list of ends have been applied.';

CREATE TABLE cloakroom.revocation (
    number     bigint PRIMARY KEY,
    nonce      bigint NOT NULL, -- tells this row from one with its number in another history
    kind       text   COLLATE "C" NOT NULL, -- from here to `reason` for people; what counts is `entry`
    subject    text   COLLATE "C",
    decided_at bigint NOT NULL,
    keep_until bigint NOT NULL, -- no token that it is about can be presented from then on
    reason     text   COLLATE "C" NOT NULL,
    entry      bytea  NOT NULL -- all of it, in the format of cloakroom-store
);
CREATE INDEX revocation_keep_until ON cloakroom.revocation (keep_until, number);
COMMENT ON TABLE cloakroom.revocation IS 'What was ended of sealed sessions. Written by Cloakroom only; read the view revoked.';

-- One row, always. Whoever adds changes it first, and so has it locked until their commit: numbers are handed out in the
-- order of commits, and a row is visible before the next number is there. A sequence would hand numbers out in the order of
-- asking: whoever had read up to 8 would never see a 7 that was committed later. A number is the one after the last, or if
-- that is later the microseconds since 1970.
CREATE TABLE cloakroom.revocation_head (
    singleton integer PRIMARY KEY CHECK (singleton = 1),
    last      bigint  NOT NULL,
    pings     bigint  NOT NULL -- changed to find out whether anything can be
) WITH (fillfactor = 10);
INSERT INTO cloakroom.revocation_head (singleton, last, pings) VALUES (1, 0, 0);
COMMENT ON TABLE cloakroom.revocation_head IS 'The last number of the list of ends.';

-- For people: what was ended, oldest first.
CREATE VIEW cloakroom.revoked AS
SELECT
    kind,
    subject,
    to_timestamp(greatest(least(decided_at, 253402300799999), -62135596800000) / 1000.0) AS at,
    to_timestamp(greatest(least(keep_until, 253402300799999), -62135596800000) / 1000.0) AS until,
    reason
FROM cloakroom.revocation
ORDER BY number;
COMMENT ON VIEW cloakroom.revoked IS 'What was ended of sealed sessions, oldest first.';

INSERT INTO cloakroom.revocation_version (version) VALUES (1);
