-- Built-in accounts. `account_key` is what an account is found by, `name` how it was first written. Instants are
-- milliseconds since 1970-01-01T00:00:00Z. Texts are UTF-8 as bytes: no collation may ever find two names equal that are
-- not.
CREATE TABLE IF NOT EXISTS account (
    account_key         VARBINARY(3072) NOT NULL PRIMARY KEY,
    name                VARBINARY(256)  NOT NULL,
    roles               BLOB            NOT NULL, -- joined by commas, which no role may have
    password_hash       VARBINARY(255)  NOT NULL, -- PHC string
    created_at          BIGINT          NOT NULL,
    password_changed_at BIGINT          NOT NULL,
    disabled_at         BIGINT          NULL,
    credential_epoch    BIGINT          NOT NULL  -- rises with every change that a sign-in under way must notice
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 ROW_FORMAT = DYNAMIC
