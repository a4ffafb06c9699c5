-- The audit log. Rows are appended and, at their beginning, removed; none is ever changed. Instants are milliseconds since
-- 1970-01-01T00:00:00Z. Texts are UTF-8 as bytes: what is under a hash has to come back byte by byte.
CREATE TABLE IF NOT EXISTS audit_event (
    seq        BIGINT         NOT NULL PRIMARY KEY,
    at         BIGINT         NOT NULL,
    event      VARBINARY(255) NOT NULL,
    principal  VARBINARY(1024) NULL,
    session    VARBINARY(255) NULL,
    actor_kind VARBINARY(255) NOT NULL,
    actor_id   VARBINARY(1024) NULL,
    reason     VARBINARY(255) NULL,
    ip         VARBINARY(255) NULL,
    user_agent BLOB           NULL,
    detail     BLOB           NOT NULL, -- a JSON object
    prev       BINARY(32)     NOT NULL,
    hash       BINARY(32)     NOT NULL,
    -- A page is a stretch of one of these.
    KEY audit_by_principal (principal, seq),
    KEY audit_by_actor (actor_id, seq),
    KEY audit_by_session (session, seq),
    KEY audit_by_event (event, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 ROW_FORMAT = DYNAMIC
