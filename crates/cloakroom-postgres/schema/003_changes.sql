-- News of what changes, for whoever keeps a copy: `src/feed.rs` reads them, and says why none can be missed.
--
-- A change of a session and the row that tells of it are one transaction. The row has the number of that transaction, and
-- a reader tells by two snapshots which transactions came between them. No lock is taken for it, unlike NOTIFY, which in a
-- writing transaction makes all of them wait for the disk one after the other.
--
-- Unlogged: it costs no log, it is empty after a crash and after a fail-over, and no standby shows it.
CREATE UNLOGGED TABLE cloakroom.change (
    xid    xid8  NOT NULL DEFAULT pg_current_xact_id(),
    digest bytea -- NULL: anything may have changed
);
CREATE INDEX change_xid ON cloakroom.change (xid);
COMMENT ON TABLE cloakroom.change IS 'What changed in the last minute or so, for nodes that keep copies. Leave it alone.';

-- One row, or none after a crash. Whoever has read under this name has missed nothing where it read on before `floor` rose
-- above what it had not seen.
CREATE UNLOGGED TABLE cloakroom.feed (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    name       uuid        NOT NULL DEFAULT gen_random_uuid(),
    floor      xid8        NOT NULL DEFAULT '0',        -- what transactions before this one told is being forgotten
    next_floor xid8        NOT NULL DEFAULT '0',        -- and before this one is next,
    next_at    timestamptz NOT NULL DEFAULT '-infinity' -- not before then.
) WITH (fillfactor = 10);
INSERT INTO cloakroom.feed DEFAULT VALUES;
COMMENT ON TABLE cloakroom.feed IS 'The name of the list of changes, and how far it has been forgotten.';

-- Whoever may read sessions may read what changed: nobody has to be granted anything anew.
DO $body$
DECLARE
    _reader text;
BEGIN
    FOR _reader IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = 'cloakroom.session'::regclass AND privilege_type = 'SELECT' AND grantee <> relowner
    LOOP
        EXECUTE 'GRANT SELECT ON cloakroom.change, cloakroom.feed TO ' || _reader;
    END LOOP;
END
$body$;

-- These run with the rights of the schema's owner: whoever may change a session cannot but tell of it.
CREATE FUNCTION cloakroom.tell_of_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO cloakroom.change (digest) VALUES (OLD.digest);
    RETURN NULL;
END
$body$;

CREATE FUNCTION cloakroom.tell_of_everything() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO cloakroom.change (digest) VALUES (NULL);
    RETURN NULL;
END
$body$;

-- The list itself was emptied: from now on it is another one.
CREATE FUNCTION cloakroom.rename_feed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    UPDATE cloakroom.feed SET name = gen_random_uuid();
    RETURN NULL;
END
$body$;

-- Names a list that lost its name, with all it said, in a crash.
CREATE FUNCTION cloakroom.name_feed() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    INSERT INTO cloakroom.feed DEFAULT VALUES ON CONFLICT DO NOTHING;
END
$body$;

-- Forgets what everybody has had half a minute to read; whether there is more of it. Never waits, and does a bounded
-- amount of work. A clock that is wrong makes it forget early, which a reader notices by `floor`.
CREATE FUNCTION cloakroom.forget_changes() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET enable_seqscan = off AS $body$
DECLARE
    _feed cloakroom.feed;
    _forgotten bigint;
    _now timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO _feed FROM cloakroom.feed FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        PERFORM cloakroom.name_feed() WHERE NOT EXISTS (SELECT FROM cloakroom.feed);
        RETURN false;
    END IF;
    IF _feed.next_at <= _now OR _feed.next_at > _now + interval '30 seconds' THEN
        -- Every transaction before the oldest that runs now is over: half a minute from now it has been read about.
        _feed.floor := _feed.next_floor;
        UPDATE cloakroom.feed SET
            floor = _feed.floor, next_floor = pg_snapshot_xmin(pg_current_snapshot()), next_at = _now + interval '30 seconds';
    END IF;
    DELETE FROM cloakroom.change WHERE ctid = ANY (ARRAY(
        SELECT told.ctid FROM cloakroom.change AS told WHERE told.xid < _feed.floor ORDER BY told.xid LIMIT 10000
    ));
    GET DIAGNOSTICS _forgotten = ROW_COUNT;
    RETURN _forgotten >= 10000;
END
$body$;

REVOKE ALL ON FUNCTION cloakroom.tell_of_session(), cloakroom.tell_of_everything(), cloakroom.rename_feed() FROM PUBLIC;

-- What look-ups decide by, and not `last_seen_at`: a touch makes no news and costs nothing here. They hold for whoever
-- changes a row, by whatever tool, also for what another server's replication applies (ALWAYS).
CREATE TRIGGER told_of_change AFTER UPDATE OF
    digest, id, principal, created_at, idle_timeout, absolute_expires_at, retention, version, ended_at, end_reason,
    generation, body
ON cloakroom.session FOR EACH ROW EXECUTE FUNCTION cloakroom.tell_of_session();
-- Nothing here moves an activity back, but somebody may.
CREATE TRIGGER told_of_inactivity AFTER UPDATE OF last_seen_at ON cloakroom.session
FOR EACH ROW WHEN (NEW.last_seen_at < OLD.last_seen_at) EXECUTE FUNCTION cloakroom.tell_of_session();
-- What ended was told when it did.
CREATE TRIGGER told_of_delete AFTER DELETE ON cloakroom.session
FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION cloakroom.tell_of_session();
CREATE TRIGGER told_of_truncate AFTER TRUNCATE ON cloakroom.session
FOR EACH STATEMENT EXECUTE FUNCTION cloakroom.tell_of_everything();
CREATE TRIGGER told_of_epoch AFTER INSERT OR UPDATE ON cloakroom.epoch
FOR EACH STATEMENT EXECUTE FUNCTION cloakroom.tell_of_everything();
CREATE TRIGGER told_of_forgetting AFTER TRUNCATE ON cloakroom.change
FOR EACH STATEMENT EXECUTE FUNCTION cloakroom.rename_feed();
ALTER TABLE cloakroom.session ENABLE ALWAYS TRIGGER told_of_change;
ALTER TABLE cloakroom.session ENABLE ALWAYS TRIGGER told_of_inactivity;
ALTER TABLE cloakroom.session ENABLE ALWAYS TRIGGER told_of_delete;
ALTER TABLE cloakroom.session ENABLE ALWAYS TRIGGER told_of_truncate;
ALTER TABLE cloakroom.epoch ENABLE ALWAYS TRIGGER told_of_epoch;
ALTER TABLE cloakroom.change ENABLE ALWAYS TRIGGER told_of_forgetting;

INSERT INTO cloakroom.schema_version (version) VALUES (3);
