-- One row, always: the one-time token for the first administrator, if there is one. Whoever changes who may administer
-- locks it first, so that such changes come one after the other.
CREATE TABLE IF NOT EXISTS account_setup (
    singleton  TINYINT    NOT NULL PRIMARY KEY,
    digest     BINARY(32) NULL,
    expires_at BIGINT     NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
