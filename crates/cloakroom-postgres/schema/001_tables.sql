-- What is kept. Instants are milliseconds since 1970-01-01T00:00:00Z, durations are milliseconds: every instant there is
-- fits, and reads back equal. The views are for people and have `timestamptz`.
--
-- Where another schema is configured, every `cloakroom.` in these files is replaced by its name.

CREATE TABLE cloakroom.schema_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT current_user
);
COMMENT ON TABLE cloakroom.schema_version IS 'Which of the schema files have been applied.';

-- Sessions, live and ended, in one table: ending one changes its row, so that its digest and its id stay taken, nothing
-- is ever in two places, and nothing has to be moved.
CREATE TABLE cloakroom.session (
    created_at          bigint  NOT NULL,
    last_seen_at        bigint  NOT NULL, -- in no index: it changes with every touch
    idle_timeout        bigint  NOT NULL CHECK (idle_timeout >= 0),
    absolute_expires_at bigint  NOT NULL,
    retention           bigint  NOT NULL CHECK (retention >= 0), -- for how long the row is kept after its end
    -- Not later than the instant at which the sweeper has something to do here. A touch leaves it alone; the sweeper
    -- moves it when it comes by too early, which happens at most once in an idle timeout.
    due_at              bigint  NOT NULL,
    version             bigint  NOT NULL,
    ended_at            bigint,           -- NULL: nothing has ended it but perhaps time or an epoch
    generation          integer NOT NULL, -- the number of the last epoch when it was filed
    anonymous           boolean NOT NULL GENERATED ALWAYS AS (principal IS NULL) STORED,
    id                  bytea   NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    digest              bytea   NOT NULL UNIQUE CHECK (octet_length(digest) = 34), -- route, SHA-256 of the token
    principal           text    COLLATE "C",
    ip                  inet,
    device              text,
    end_reason          text,
    body                bytea,            -- the whole record, in the format of cloakroom-store; an ended one has none
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK ((ended_at IS NULL) = (body IS NOT NULL))
) WITH (
    -- Room on each page for the next version of a row, so that a touch writes that page and no index (HOT).
    fillfactor = 80,
    -- One row in fifty instead of one in five: whoever sweeps steps over what vacuum has not removed yet.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);
COMMENT ON TABLE cloakroom.session IS 'Sessions, live and ended. To see who is signed in: SELECT * FROM cloakroom.active_sessions';

-- A server plans a statement while the table is small and keeps the plan while it grows, until the next ANALYZE. So that
-- there is one index for each statement even then, each is asked for in words of its own: `ended_at`, `end_reason` and
-- `body` say the same of a row (see the checks above), and one partial index knows only one of them.
--
-- From the latest issued to the first; the included columns are there for counting without looking at rows.
CREATE INDEX session_live ON cloakroom.session (created_at, id) INCLUDE (anonymous, generation) WHERE ended_at IS NULL;
CREATE INDEX session_ended ON cloakroom.session (created_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX session_live_principal ON cloakroom.session (principal, created_at, id)
    WHERE principal IS NOT NULL AND end_reason IS NULL;
CREATE INDEX session_ended_principal ON cloakroom.session (principal, created_at, id)
    WHERE principal IS NOT NULL AND end_reason IS NOT NULL;
-- Few values, each many times: a few bytes a session.
CREATE INDEX session_live_generation ON cloakroom.session (generation) WHERE body IS NOT NULL;
CREATE INDEX session_due ON cloakroom.session (due_at);

-- Tokens that were exchanged for another, for as long as a tombstone would be kept.
CREATE TABLE cloakroom.retired (
    rotated_at bigint NOT NULL,
    keep_until bigint NOT NULL,
    id         bytea  NOT NULL CHECK (octet_length(id) = 16),
    digest     bytea  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 34)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX retired_keep_until ON cloakroom.retired (keep_until);
COMMENT ON TABLE cloakroom.retired IS 'Digests of tokens that were exchanged for another.';

-- Ends of many sessions in one row each; every read compares with them. A session is covered by an epoch where it was
-- issued before `issued_before`, or filed when `generation_before` had not been reached.
CREATE TABLE cloakroom.epoch (
    number            integer PRIMARY KEY,
    issued_before     bigint  NOT NULL,
    generation_before integer NOT NULL,
    ended_at          bigint  NOT NULL,
    end_reason        text    NOT NULL
);
COMMENT ON TABLE cloakroom.epoch IS 'Ends of everything, or of everything issued before an instant.';

-- The number of the last epoch there ever was: numbers are never used twice. And the latest end of everything: its row in
-- `epoch` goes with the last session it ended; a session that is moved here from another store later, and that was issued
-- at or before it, is one of those it ended.
CREATE TABLE cloakroom.generation (
    singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number         integer NOT NULL,
    all_ended_at   bigint,
    all_end_reason text
);
INSERT INTO cloakroom.generation (number) VALUES (0);

-- Who swept last, and until when the others need not.
CREATE TABLE cloakroom.sweeper (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder       text    NOT NULL,
    leased_until bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO cloakroom.sweeper (holder, leased_until) VALUES ('', 0);

-- Changed to find out whether anything can be.
CREATE TABLE cloakroom.heartbeat (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    pings     bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO cloakroom.heartbeat (pings) VALUES (0);

INSERT INTO cloakroom.schema_version (version) VALUES (1);
