-- What is done: each verb of the store that changes something is one function here or one statement in `src/verb`, so
-- that it is one round trip and happens whole or not at all.
--
-- The functions run at READ COMMITTED: each statement inside them sees what was committed before that statement. They
-- lock first and look afterwards. Rows of several sessions are locked in the order of their digests, everywhere: one by
-- one, by their keys, whatever the server thinks of the size of the table.

-- An instant and a duration added up, where it would overflow the last instant there is.
CREATE FUNCTION cloakroom.plus(instant bigint, duration bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN instant > 9223372036854775807 - duration THEN 9223372036854775807
    ELSE instant + duration
END;

-- The instant at which time ends a session if nothing more is heard (`cloakroom_core::judge`).
CREATE FUNCTION cloakroom.expires_at(last_seen_at bigint, idle_timeout bigint, absolute_expires_at bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN LEAST(absolute_expires_at, CASE
    WHEN last_seen_at > 9223372036854775807 - idle_timeout THEN 9223372036854775807
    ELSE last_seen_at + idle_timeout
END);

-- Which of the two timeouts that is.
CREATE FUNCTION cloakroom.timeout_reason(last_seen_at bigint, idle_timeout bigint, absolute_expires_at bigint)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN last_seen_at > 9223372036854775807 - idle_timeout OR last_seen_at + idle_timeout >= absolute_expires_at
        THEN 'absolute_timeout'
    ELSE 'idle_timeout'
END;

-- Sessions issued or filed before this are over, by one epoch or another.
CREATE VIEW cloakroom.horizon AS
SELECT
    coalesce(max(issued_before), -9223372036854775808) AS issued_before,
    coalesce(max(generation_before), 0) AS generation,
    coalesce(max(number), 0) AS number
FROM cloakroom.epoch;

-- Sessions, each with its end by the first epoch that covers it.
CREATE VIEW cloakroom.filed AS
SELECT
    session.digest, session.id, session.principal, session.created_at, session.last_seen_at, session.idle_timeout,
    session.absolute_expires_at, session.retention, session.version, session.ended_at, session.end_reason,
    epoch.ended_at AS cut_at, epoch.end_reason AS cut_reason, session.body, session.generation, session.ip, session.due_at
FROM cloakroom.session
LEFT JOIN LATERAL (
    SELECT epoch.ended_at, epoch.end_reason FROM cloakroom.epoch
    WHERE session.created_at < epoch.issued_before OR session.generation < epoch.generation_before
    ORDER BY epoch.number LIMIT 1
) AS epoch ON true;

-- All there is to know under a digest.
CREATE VIEW cloakroom.found AS
SELECT
    digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, version, ended_at,
    end_reason, cut_at, cut_reason, NULL::bigint AS rotated_at, body
FROM cloakroom.filed
UNION ALL
SELECT
    digest, id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, rotated_at, NULL
FROM cloakroom.retired;

-- Promise G4 once more, at the lowest place there is.
CREATE FUNCTION cloakroom.refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'an ended session stays as it ended';
END
$body$;
CREATE TRIGGER session_stays_ended BEFORE UPDATE OF ended_at, end_reason ON cloakroom.session
FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION cloakroom.refuse_revival();

-- `insert`. The first row says what came of it; each further row is a session that ended for it.
CREATE FUNCTION cloakroom.insert_session(
    _digest bytea, _id bytea, _principal text, _created_at bigint, _idle_timeout bigint, _absolute_expires_at bigint,
    _retention bigint, _ip inet, _device text, _body bytea, _max integer, _on_limit text, _replaces bytea, _now bigint
) RETURNS TABLE (outcome text, id bytea, principal text, ended_at bigint, end_reason text)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    _rivals integer;
    _condemned bytea[] := '{}';
    _one bytea;
BEGIN
    IF EXISTS (SELECT FROM cloakroom.retired WHERE digest = _digest) THEN
        RETURN QUERY SELECT 'taken', NULL::bytea, NULL, NULL::bigint, NULL;
        RETURN;
    END IF;
    IF _principal IS NOT NULL AND _replaces IS NOT NULL THEN
        _condemned := ARRAY[_replaces];
    END IF;
    IF _principal IS NOT NULL AND _max IS NOT NULL THEN
        -- Sign-ins of one principal happen one after the other; whoever comes next sees what this one committed.
        PERFORM pg_advisory_xact_lock(
            hashtextextended(_principal, 'cloakroom.session'::regclass::oid::bigint)
        );
        SELECT count(*) INTO _rivals
        FROM cloakroom.session, cloakroom.horizon
        WHERE session.principal = _principal AND session.end_reason IS NULL
            AND session.id IS DISTINCT FROM _replaces
            AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
            AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at) > _now;
        IF _rivals >= _max AND _on_limit = 'refuse' THEN
            RETURN QUERY SELECT
                CASE
                    WHEN EXISTS (SELECT FROM cloakroom.session WHERE session.digest = _digest OR session.id = _id)
                        THEN 'taken'
                    ELSE 'limit'
                END,
                NULL::bytea, NULL, NULL::bigint, NULL;
            RETURN;
        END IF;
        IF _rivals >= _max THEN
            SELECT _condemned || array_agg(rival.id) INTO _condemned
            FROM (
                SELECT session.id
                FROM cloakroom.session, cloakroom.horizon
                WHERE session.principal = _principal AND session.end_reason IS NULL
                    AND session.id IS DISTINCT FROM _replaces
                    AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
                    AND cloakroom.expires_at(
                        session.last_seen_at, session.idle_timeout, session.absolute_expires_at
                    ) > _now
                ORDER BY
                    CASE WHEN _on_limit = 'end_idlest' THEN session.last_seen_at END,
                    session.created_at, session.last_seen_at, session.id
                LIMIT _rivals + 1 - _max
            ) AS rival;
        END IF;
    END IF;

    INSERT INTO cloakroom.session (
        digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, due_at, version,
        generation, ip, device, body
    )
    SELECT
        _digest, _id, _principal, _created_at, _created_at, _idle_timeout, _absolute_expires_at, _retention,
        cloakroom.expires_at(_created_at, _idle_timeout, _absolute_expires_at), 1, generation.number, _ip, _device, _body
    FROM cloakroom.generation
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'taken', NULL::bytea, NULL, NULL::bigint, NULL;
        RETURN;
    END IF;
    -- Its digest may have been retired while this waited for the row that had it.
    IF EXISTS (SELECT FROM cloakroom.retired WHERE digest = _digest) THEN
        RAISE unique_violation USING MESSAGE = 'the digest is that of a retired token';
    END IF;

    RETURN QUERY SELECT 'done', NULL::bytea, NULL, NULL::bigint, NULL;
    -- Not asked about nobody: what is in an empty list is in every partial index, and one of them would be read.
    IF _condemned = '{}' THEN
        RETURN;
    END IF;
    SELECT array_agg(session.id ORDER BY session.digest) INTO _condemned
    FROM cloakroom.session WHERE session.id = ANY (_condemned);
    FOREACH _one IN ARRAY coalesce(_condemned, '{}') LOOP
        RETURN QUERY
        UPDATE cloakroom.session SET
            ended_at = _now,
            end_reason = CASE WHEN session.id = _replaces THEN 'replaced' ELSE 'session_limit' END,
            due_at = cloakroom.plus(_now, session.retention), ip = NULL, device = NULL, body = NULL
        FROM cloakroom.horizon
        WHERE session.id = _one AND session.principal = _principal AND session.end_reason IS NULL
            AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
            AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at) > _now
        RETURNING 'ended', session.id, session.principal, session.ended_at, session.end_reason;
    END LOOP;
END
$body$;

-- `replace`, and with `_new` `rekey`: the new version, or what there is instead.
CREATE FUNCTION cloakroom.change_session(
    _digest bytea, _new bytea, _version bigint, _id bytea, _principal text, _created_at bigint, _idle_timeout bigint,
    _absolute_expires_at bigint, _retention bigint, _ip inet, _device text, _body bytea, _now bigint
) RETURNS TABLE (
    outcome text, id bytea, principal text, created_at bigint, last_seen_at bigint, idle_timeout bigint,
    absolute_expires_at bigint, retention bigint, version bigint, ended_at bigint, end_reason text, cut_at bigint,
    cut_reason text, rotated_at bigint, body bytea
)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    _session record;
    _seen_at bigint;
BEGIN
    SELECT
        session.id, session.principal, session.created_at, session.version, session.last_seen_at,
        session.ended_at IS NULL AND session.created_at >= horizon.issued_before
            AND session.generation >= horizon.generation
            AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at) > _now
            AS lives
    INTO _session
    FROM cloakroom.session, cloakroom.horizon
    WHERE session.digest = _digest
    FOR NO KEY UPDATE OF session;
    IF NOT FOUND OR NOT _session.lives OR _session.version <> _version OR _session.id <> _id
        OR _session.principal IS DISTINCT FROM _principal OR _session.created_at <> _created_at
    THEN
        RETURN QUERY SELECT
            'no', found.id, found.principal, found.created_at, found.last_seen_at, found.idle_timeout,
            found.absolute_expires_at, found.retention, found.version, found.ended_at, found.end_reason, found.cut_at,
            found.cut_reason, found.rotated_at, found.body
        FROM cloakroom.found WHERE found.digest = _digest;
        RETURN;
    END IF;
    _seen_at := _session.last_seen_at;
    IF _new IS NOT NULL THEN
        IF EXISTS (SELECT FROM cloakroom.session WHERE session.digest = _new)
            OR EXISTS (SELECT FROM cloakroom.retired WHERE retired.digest = _new)
        THEN
            outcome := 'taken';
            RETURN NEXT;
            RETURN;
        END IF;
        _seen_at := GREATEST(_seen_at, LEAST(_now, _absolute_expires_at));
    END IF;
    UPDATE cloakroom.session SET
        digest = coalesce(_new, _digest), version = _version + 1, last_seen_at = _seen_at,
        idle_timeout = _idle_timeout, absolute_expires_at = _absolute_expires_at, retention = _retention,
        due_at = LEAST(session.due_at, cloakroom.expires_at(_seen_at, _idle_timeout, _absolute_expires_at)),
        ip = _ip, device = _device, body = _body
    WHERE session.id = _id;
    IF _new IS NOT NULL THEN
        INSERT INTO cloakroom.retired (digest, id, rotated_at, keep_until)
        VALUES (_digest, _id, _now, cloakroom.plus(_now, _retention));
        -- The new digest may have been retired while this waited for the row that had it.
        IF EXISTS (SELECT FROM cloakroom.retired WHERE retired.digest = _new) THEN
            RAISE unique_violation USING MESSAGE = 'the digest is that of a retired token';
        END IF;
    END IF;
    outcome := 'done';
    version := _version + 1;
    RETURN NEXT;
END
$body$;

-- `touch` of sessions in the order of their digests: how many moved. Each row is judged when its turn comes, and again
-- where somebody else was just changing it. What changes is in no index: a row's new version stays on its page (HOT).
CREATE FUNCTION cloakroom.touch_sessions(_digests bytea[], _seen_at bigint[], _now bigint) RETURNS bigint
LANGUAGE plpgsql AS $body$
DECLARE
    _horizon record;
    _asked record;
    _moved bigint := 0;
BEGIN
    SELECT horizon.issued_before, horizon.generation INTO _horizon FROM cloakroom.horizon;
    FOR _asked IN
        SELECT asked.digest, asked.seen_at FROM unnest(_digests, _seen_at) AS asked (digest, seen_at)
        ORDER BY asked.digest
    LOOP
        UPDATE cloakroom.session SET last_seen_at = LEAST(_asked.seen_at, session.absolute_expires_at)
        WHERE session.digest = _asked.digest AND session.end_reason IS NULL
            AND session.last_seen_at < LEAST(_asked.seen_at, session.absolute_expires_at)
            AND session.created_at >= _horizon.issued_before AND session.generation >= _horizon.generation
            AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at) > _now;
        IF FOUND THEN
            _moved := _moved + 1;
        END IF;
    END LOOP;
    RETURN _moved;
END
$body$;

-- `end` of one session, or of those of a principal: what ended by it.
CREATE FUNCTION cloakroom.end_sessions(_id bytea, _principal text, _except bytea, _reason text, _now bigint)
RETURNS TABLE (id bytea, principal text, ended_at bigint, end_reason text)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    _condemned bytea[] := ARRAY[_id];
    _one bytea;
BEGIN
    IF _id IS NULL THEN
        SELECT array_agg(session.id ORDER BY session.digest) INTO _condemned FROM cloakroom.session
        WHERE session.principal = _principal AND session.end_reason IS NULL
            AND session.id IS DISTINCT FROM _except;
    END IF;
    FOREACH _one IN ARRAY coalesce(_condemned, '{}') LOOP
        -- Also where time has ended it by this clock: by another one it may live, and must not.
        RETURN QUERY
        UPDATE cloakroom.session SET
            ended_at = LEAST(
                _now, cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at)
            ),
            end_reason = CASE
                WHEN cloakroom.expires_at(
                    session.last_seen_at, session.idle_timeout, session.absolute_expires_at
                ) <= _now THEN cloakroom.timeout_reason(
                    session.last_seen_at, session.idle_timeout, session.absolute_expires_at
                )
                ELSE _reason
            END,
            due_at = cloakroom.plus(LEAST(
                _now, cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at)
            ), session.retention),
            ip = NULL, device = NULL, body = NULL
        FROM cloakroom.horizon
        WHERE session.id = _one AND session.end_reason IS NULL
            AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
        RETURNING session.id, session.principal, session.ended_at, session.end_reason;
    END LOOP;
END
$body$;

-- `end` of everything, or of everything issued before an instant: which sessions it ends that no epoch ended before, or
-- no row where there are none. `estimate` is how many there may be, by the last ANALYZE.
CREATE FUNCTION cloakroom.begin_epoch(_issued_before bigint, _reason text, _now bigint)
RETURNS TABLE (number integer, issued_before bigint, generation integer, estimate bigint)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    _number integer;
    _horizon record;
BEGIN
    -- One epoch after the other.
    UPDATE cloakroom.generation SET number = generation.number + 1 RETURNING generation.number INTO _number;
    SELECT horizon.issued_before, horizon.generation INTO _horizon FROM cloakroom.horizon;
    -- What an earlier call said of a later instant holds already.
    IF _issued_before <= _horizon.issued_before THEN
        RETURN;
    END IF;
    UPDATE cloakroom.generation SET all_ended_at = _now, all_end_reason = _reason
    WHERE _issued_before IS NULL AND (all_ended_at IS NULL OR all_ended_at < _now);
    INSERT INTO cloakroom.epoch (number, issued_before, generation_before, ended_at, end_reason)
    VALUES (
        _number, coalesce(_issued_before, -9223372036854775808),
        CASE WHEN _issued_before IS NULL THEN _number ELSE 0 END, _now, _reason
    );
    -- Reads stay cheap however often everything is ended between two sweeps. Only what a later epoch ends as well is ever
    -- forgotten for it: a dead session may change its reason then, never its state.
    IF (SELECT count(*) FROM cloakroom.epoch) > 32 THEN
        DELETE FROM cloakroom.epoch WHERE epoch.number = (
            SELECT min(older.number) FROM cloakroom.epoch AS older
            WHERE older.number < _number AND (older.generation_before > 0) = (_issued_before IS NULL)
        );
    END IF;
    RETURN QUERY SELECT
        _number, _horizon.issued_before, _horizon.generation,
        (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'cloakroom.session_live'::regclass);
END
$body$;

-- `sweep`. Rows of kind `ended` are sessions found to be over; the last row is of kind `round`, or `elsewhere`.
-- Rows that somebody else works on are left to them: this never waits for a session.
CREATE FUNCTION cloakroom.sweep(_now bigint, _limit integer, _lease bigint, _holder text)
RETURNS TABLE (kind text, id bytea, principal text, ended_at bigint, end_reason text, removed bigint, more boolean)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    _horizon record;
    _session record;
    _one bytea;
    _left integer := _limit;
    _over bytea[] := '{}';
    _found bytea[];
    _removed bigint := 0;
    _rows bigint;
BEGIN
    IF _lease > 0 THEN
        -- A lease that ends later than one taken now would is from a clock that was ahead: it binds nobody.
        UPDATE cloakroom.sweeper SET holder = _holder, leased_until = cloakroom.plus(_now, _lease)
        WHERE holder = _holder OR leased_until <= _now OR leased_until > cloakroom.plus(_now, _lease);
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'elsewhere', NULL::bytea, NULL, NULL::bigint, NULL, 0::bigint, false;
            RETURN;
        END IF;
    END IF;

    SELECT horizon.issued_before, horizon.generation, horizon.number INTO _horizon FROM cloakroom.horizon;
    IF _horizon.number > 0 THEN
        SELECT coalesce(array_agg(due.id), '{}') INTO _over FROM (
            SELECT session.id FROM cloakroom.session
            WHERE session.body IS NOT NULL AND session.generation < _horizon.generation
            LIMIT _left FOR NO KEY UPDATE SKIP LOCKED
        ) AS due;
        _left := _left - cardinality(_over);
        SELECT coalesce(array_agg(due.id), '{}') INTO _found FROM (
            SELECT session.id FROM cloakroom.session
            WHERE session.ended_at IS NULL AND session.created_at < _horizon.issued_before
                AND session.generation >= _horizon.generation
            ORDER BY session.created_at LIMIT _left FOR NO KEY UPDATE SKIP LOCKED
        ) AS due;
        _left := _left - cardinality(_found);
        _over := _over || _found;
    END IF;

    SELECT coalesce(array_agg(due.id), '{}') INTO _found FROM (
        SELECT session.id FROM cloakroom.session
        WHERE session.due_at <= _now AND session.id <> ALL (_over)
        ORDER BY session.due_at LIMIT _left FOR UPDATE SKIP LOCKED
    ) AS due;
    _left := _left - cardinality(_found);

    FOREACH _one IN ARRAY _over || _found LOOP
        SELECT
            filed.retention, filed.cut_at, filed.cut_reason,
            cloakroom.expires_at(filed.last_seen_at, filed.idle_timeout, filed.absolute_expires_at) AS expires_at,
            cloakroom.timeout_reason(filed.last_seen_at, filed.idle_timeout, filed.absolute_expires_at) AS reason
        INTO _session
        FROM cloakroom.filed WHERE filed.id = _one AND filed.end_reason IS NULL;
        CONTINUE WHEN NOT FOUND;
        IF _session.cut_at IS NULL AND _session.expires_at > _now THEN
            -- It was used since: when to come back.
            UPDATE cloakroom.session SET due_at = _session.expires_at WHERE session.id = _one;
            CONTINUE;
        END IF;
        -- Time may have ended it before the epoch did.
        _session.cut_at := coalesce(_session.cut_at, _now);
        IF _session.expires_at <= _session.cut_at THEN
            _session.cut_at := _session.expires_at;
            _session.cut_reason := _session.reason;
        END IF;
        RETURN QUERY
        UPDATE cloakroom.session SET
            ended_at = _session.cut_at, end_reason = _session.cut_reason,
            due_at = cloakroom.plus(_session.cut_at, _session.retention), ip = NULL, device = NULL, body = NULL
        WHERE session.id = _one
        RETURNING 'ended', session.id, session.principal, session.ended_at, session.end_reason, 0::bigint, false;
    END LOOP;

    IF _found <> '{}' THEN
        DELETE FROM cloakroom.session
        WHERE session.id = ANY (_found) AND session.end_reason IS NOT NULL AND session.due_at <= _now;
        GET DIAGNOSTICS _removed = ROW_COUNT;
    END IF;

    SELECT coalesce(array_agg(due.digest), '{}') INTO _found FROM (
        SELECT retired.digest FROM cloakroom.retired
        WHERE retired.keep_until <= _now ORDER BY retired.keep_until LIMIT _left FOR UPDATE SKIP LOCKED
    ) AS due;
    IF _found <> '{}' THEN
        DELETE FROM cloakroom.retired WHERE retired.digest = ANY (_found);
        GET DIAGNOSTICS _rows = ROW_COUNT;
        _removed := _removed + _rows;
    END IF;

    -- Epochs whose sessions are all buried are forgotten, but for the one that keeps late arrivals out. Looked at without
    -- a lock: a session that somebody holds back is seen, and its epoch stays.
    IF _horizon.number > 0 AND NOT EXISTS (
        SELECT FROM cloakroom.session WHERE session.body IS NOT NULL AND session.generation < _horizon.generation
    ) AND NOT EXISTS (
        SELECT FROM cloakroom.session WHERE session.ended_at IS NULL AND session.created_at < _horizon.issued_before
    ) THEN
        DELETE FROM cloakroom.epoch WHERE epoch.number <= _horizon.number AND epoch.number IS DISTINCT FROM (
            SELECT min(keeper.number) FROM cloakroom.epoch AS keeper
            WHERE keeper.issued_before = _horizon.issued_before AND keeper.generation_before = 0
        );
    END IF;

    SELECT horizon.issued_before, horizon.generation, horizon.number INTO _horizon FROM cloakroom.horizon;
    RETURN QUERY SELECT
        'round', NULL::bytea, NULL, NULL::bigint, NULL, _removed,
        EXISTS (SELECT FROM cloakroom.session WHERE session.due_at <= _now)
        OR EXISTS (SELECT FROM cloakroom.retired WHERE retired.keep_until <= _now)
        OR EXISTS (
            SELECT FROM cloakroom.session WHERE session.body IS NOT NULL AND session.generation < _horizon.generation
        )
        OR EXISTS (
            SELECT FROM cloakroom.session
            WHERE session.ended_at IS NULL AND session.created_at < _horizon.issued_before
        );
END
$body$;

-- `import` of a live session; whether it was filed. What ended everything here ended it too, where it was issued by then.
CREATE FUNCTION cloakroom.import_session(
    _digest bytea, _id bytea, _principal text, _created_at bigint, _last_seen_at bigint, _idle_timeout bigint,
    _absolute_expires_at bigint, _retention bigint, _ip inet, _device text, _body bytea, _version bigint
) RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
    _generation cloakroom.generation;
    _expires_at bigint := cloakroom.expires_at(_last_seen_at, _idle_timeout, _absolute_expires_at);
    _ended_at bigint;
BEGIN
    -- Only sessions that are moved may come under one digest twice: one after the other.
    PERFORM pg_advisory_xact_lock(
        hashtextextended(encode(_digest, 'hex'), 'cloakroom.retired'::regclass::oid::bigint)
    );
    -- Nothing ends everything between this look and the commit.
    SELECT * INTO _generation FROM cloakroom.generation FOR SHARE;
    IF EXISTS (SELECT FROM cloakroom.retired WHERE digest = _digest) THEN
        RETURN false;
    END IF;
    IF _generation.all_ended_at >= _created_at THEN
        _ended_at := LEAST(_generation.all_ended_at, _expires_at);
    END IF;
    INSERT INTO cloakroom.session (
        digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, due_at, version,
        generation, ip, device, body, ended_at, end_reason
    )
    VALUES (
        _digest, _id, _principal, _created_at, _last_seen_at, _idle_timeout, _absolute_expires_at, _retention,
        coalesce(cloakroom.plus(_ended_at, _retention), _expires_at), _version, _generation.number,
        CASE WHEN _ended_at IS NULL THEN _ip END, CASE WHEN _ended_at IS NULL THEN _device END,
        CASE WHEN _ended_at IS NULL THEN _body END, _ended_at,
        CASE
            WHEN _ended_at IS NULL THEN NULL
            WHEN _expires_at <= _generation.all_ended_at
                THEN cloakroom.timeout_reason(_last_seen_at, _idle_timeout, _absolute_expires_at)
            ELSE _generation.all_end_reason
        END
    )
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$body$;

-- `import` of what is left of a session; whether it was filed.
CREATE FUNCTION cloakroom.import_remains(
    _digest bytea, _id bytea, _principal text, _created_at bigint, _ended_at bigint, _end_reason text, _retention bigint,
    _kept_until bigint
) RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended(encode(_digest, 'hex'), 'cloakroom.retired'::regclass::oid::bigint)
    );
    IF EXISTS (SELECT FROM cloakroom.retired WHERE digest = _digest) THEN
        RETURN false;
    END IF;
    INSERT INTO cloakroom.session (
        digest, id, principal, created_at, last_seen_at, idle_timeout, absolute_expires_at, retention, due_at, version,
        generation, ended_at, end_reason
    )
    SELECT
        _digest, _id, _principal, _created_at, _ended_at, 0, _ended_at, _retention, _kept_until, 1, generation.number,
        _ended_at, _end_reason
    FROM cloakroom.generation
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$body$;

-- `import` of an exchanged token; whether it was filed.
CREATE FUNCTION cloakroom.import_retired(_digest bytea, _id bytea, _rotated_at bigint, _kept_until bigint)
RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended(encode(_digest, 'hex'), 'cloakroom.retired'::regclass::oid::bigint)
    );
    IF EXISTS (SELECT FROM cloakroom.session WHERE digest = _digest) THEN
        RETURN false;
    END IF;
    INSERT INTO cloakroom.retired (digest, id, rotated_at, keep_until)
    VALUES (_digest, _id, _rotated_at, _kept_until)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$body$;

-- For people: an instant as they write it.
CREATE FUNCTION cloakroom.instant(millis bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN millis >= 253402300800000 THEN 'infinity'::timestamptz
    WHEN millis < -62135596800000 THEN '-infinity'::timestamptz
    ELSE to_timestamp(millis / 1000.0)
END;

-- For people: who is here now. `session` is the id as logs and API show it; no principal: nobody is signed in.
CREATE VIEW cloakroom.active_sessions AS
SELECT
    'ses_' || translate(rtrim(encode(session.id, 'base64'), '='), '+/', '-_') AS session,
    session.principal,
    session.device,
    session.ip,
    cloakroom.instant(session.created_at) AS created_at,
    cloakroom.instant(session.last_seen_at) AS last_seen_at,
    cloakroom.instant(
        cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at)
    ) AS expires_at
FROM cloakroom.session, cloakroom.horizon
WHERE session.ended_at IS NULL
    AND session.created_at >= horizon.issued_before AND session.generation >= horizon.generation
    AND cloakroom.expires_at(session.last_seen_at, session.idle_timeout, session.absolute_expires_at)
        > (extract(epoch FROM now()) * 1000)::bigint;
COMMENT ON VIEW cloakroom.active_sessions IS 'Live sessions, as of now by the clock of this server.';

INSERT INTO cloakroom.schema_version (version) VALUES (2);
