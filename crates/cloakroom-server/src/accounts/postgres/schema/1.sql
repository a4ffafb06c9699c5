-- Built-in accounts. `key` is what an account is found by, `name` how it was first written. Instants are milliseconds
-- since 1970-01-01T00:00:00Z. Where another schema is configured, every `cloakroom.` here is replaced by its name.

CREATE TABLE cloakroom.account_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text        NOT NULL DEFAULT current_user
);
COMMENT ON TABLE cloakroom.account_version IS 'Which of the files of the accounts have been applied.';

CREATE TABLE cloakroom.account (
    key                 text   COLLATE "C" PRIMARY KEY,
    name                text   NOT NULL,
    roles               text   COLLATE "C" NOT NULL, -- joined by commas, which no role may have
    password_hash       text   COLLATE "C" NOT NULL, -- PHC string
    created_at          bigint NOT NULL,
    password_changed_at bigint NOT NULL,
    disabled_at         bigint,
    credential_epoch    bigint NOT NULL -- rises with every change that a sign-in under way must notice
);
COMMENT ON TABLE cloakroom.account IS 'Built-in accounts of Cloakroom.';

-- One row, always: the one-time token for the first administrator, if there is one. Whoever changes who may administer
-- locks it first, so that such changes come one after the other.
CREATE TABLE cloakroom.account_setup (
    id         integer PRIMARY KEY CHECK (id = 1),
    digest     bytea,
    expires_at bigint,
    CHECK ((digest IS NULL) = (expires_at IS NULL))
);
INSERT INTO cloakroom.account_setup (id) VALUES (1);

INSERT INTO cloakroom.account_version (version) VALUES (1);
