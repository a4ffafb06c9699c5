-- Built-in accounts. `key` is what an account is found by, `name` how it was first written.
CREATE TABLE accounts (
    id                  INTEGER PRIMARY KEY,
    key                 TEXT    NOT NULL UNIQUE,
    name                TEXT    NOT NULL,
    roles               TEXT    NOT NULL, -- joined by commas, which no role may have
    password_hash       TEXT    NOT NULL, -- PHC string
    created_at          INTEGER NOT NULL, -- instants are milliseconds since the Unix epoch
    password_changed_at INTEGER NOT NULL,
    disabled_at         INTEGER,
    credential_epoch    INTEGER NOT NULL  -- rises with every change that a sign-in under way must notice
) STRICT;

-- The one-time token for the first administrator: at most one, and only while there is no account.
CREATE TABLE setup (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    digest     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
