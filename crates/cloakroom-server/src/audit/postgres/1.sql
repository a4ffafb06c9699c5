-- The audit log. Rows are appended and, at their beginning, removed; none is ever changed. Instants are milliseconds since
-- 1970-01-01T00:00:00Z. Where another schema is configured, every `cloakroom.` here is replaced by its name.

CREATE TABLE cloakroom.audit_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT current_user
);
COMMENT ON TABLE cloakroom.audit_version IS 'Which of the files of the audit log have been applied.';

CREATE TABLE cloakroom.audit_event (
    seq        bigint PRIMARY KEY,
    at         bigint NOT NULL,
    event      text   COLLATE "C" NOT NULL,
    principal  text   COLLATE "C",
    session    text   COLLATE "C",
    actor_kind text   NOT NULL,
    actor_id   text   COLLATE "C",
    reason     text,
    ip         text,
    user_agent text,
    detail     text   NOT NULL, -- a JSON object
    prev       bytea  NOT NULL,
    hash       bytea  NOT NULL
);
COMMENT ON TABLE cloakroom.audit_event IS 'The audit log of Cloakroom: `cloakroom audit verify` says whether it is whole.';
-- A page is a stretch of one of these.
CREATE INDEX audit_by_principal ON cloakroom.audit_event (principal, seq) WHERE principal IS NOT NULL;
CREATE INDEX audit_by_actor ON cloakroom.audit_event (actor_id, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_session ON cloakroom.audit_event (session, seq) WHERE session IS NOT NULL;
CREATE INDEX audit_by_event ON cloakroom.audit_event (event, seq);

-- One row, always: the end of the chain. Whoever appends locks it first, so that batches come one after the other.
CREATE TABLE cloakroom.audit_head (
    id   integer PRIMARY KEY CHECK (id = 1),
    seq  bigint  NOT NULL,
    hash bytea   NOT NULL
);
INSERT INTO cloakroom.audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Where in the log the events of a minute are: by number, since clocks of several nodes differ.
CREATE TABLE cloakroom.audit_minute (
    minute    bigint PRIMARY KEY,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL
);

-- How many events there were in a minute; no reason is the empty text.
CREATE TABLE cloakroom.audit_count (
    minute bigint NOT NULL,
    event  text   COLLATE "C" NOT NULL,
    reason text   COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (minute, event, reason)
);

CREATE TABLE cloakroom.audit_sample (
    series text   COLLATE "C" NOT NULL,
    minute bigint NOT NULL,
    node   text   COLLATE "C" NOT NULL,
    value  double precision NOT NULL,
    PRIMARY KEY (series, minute, node)
);
CREATE INDEX audit_sample_by_minute ON cloakroom.audit_sample (minute);

CREATE TABLE cloakroom.audit_seal (
    key_id    text   COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    hash      bytea  NOT NULL,
    at        bigint NOT NULL,
    signature bytea  NOT NULL,
    PRIMARY KEY (key_id, seq)
);

-- Up to which event the log was removed: at most one row.
CREATE TABLE cloakroom.audit_checkpoint (
    id        integer PRIMARY KEY CHECK (id = 1),
    through   bigint NOT NULL,
    hash      bytea  NOT NULL,
    removed   bigint NOT NULL,
    at        bigint NOT NULL,
    key_id    text   NOT NULL,
    signature bytea  NOT NULL
);

-- The last batch of each process that appends: one handed in twice is appended once.
CREATE TABLE cloakroom.audit_writer (
    writer    bytea  PRIMARY KEY,
    batch     bigint NOT NULL,
    at        bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL
);

INSERT INTO cloakroom.audit_version (version) VALUES (1);
