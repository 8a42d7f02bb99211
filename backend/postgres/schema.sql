-- Quorate's schema, version 1, for PostgreSQL 13 or later. Run it once, in a
-- transaction, as the role that shall own it; postgres.Migrate does the same.
-- For a schema of another name replace "quorate" everywhere.
--
-- Every function that a client calls is one statement and one transaction. No
-- lock is held while the server waits for a client, so a client that is paused
-- or cut off stops nobody. The order in which locks are taken is: the rows of
-- quorate.revision by namespace, the rows of quorate.lease by id, then entries.

CREATE SCHEMA quorate;

-- One row. instance is of this schema alone. identity is the server under which
-- expiry was judged last.
CREATE TABLE quorate.server (
    version  integer NOT NULL,
    instance uuid NOT NULL DEFAULT gen_random_uuid(),
    identity text NOT NULL
);
INSERT INTO quorate.server (version, identity) VALUES (1, '');

-- One row for each namespace, the first component of a key. A commit locks it
-- first, so revisions are in the order of commits.
CREATE TABLE quorate.revision (
    namespace text COLLATE "C" PRIMARY KEY,
    revision  bigint NOT NULL
) WITH (fillfactor = 10);

-- A lease lasts as long as its row. The first call after expires deletes it,
-- and all its entries in the same step.
CREATE TABLE quorate.lease (
    id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    ttl     interval NOT NULL,
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE quorate.entry (
    key      text COLLATE "C" PRIMARY KEY,
    dir      text COLLATE "C" GENERATED ALWAYS AS (regexp_replace(key, '/?[^/]*$', '')) STORED,
    value    bytea NOT NULL,
    created  bigint NOT NULL,
    modified bigint NOT NULL,
    lease    uuid REFERENCES quorate.lease ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX entry_dir ON quorate.entry (dir);
CREATE INDEX entry_lease ON quorate.entry (lease) WHERE lease IS NOT NULL;

-- identity names the server and its history: a restart, a failover, a restore
-- and a new schema each change it.
CREATE FUNCTION quorate.identity() RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT concat_ws('/', s.instance, c.system_identifier,
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        extract(epoch FROM pg_postmaster_start_time()))
    FROM quorate.server s, pg_control_system() c
$$;

-- clock is the time by which leases are judged.
CREATE FUNCTION quorate.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() $$;

-- ring tells the watchers which keys changed. The names of too many keys do not
-- fit a notification: an empty one stands for all keys.
CREATE FUNCTION quorate.ring(keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    payload text := array_to_string(keys, E'\n');
BEGIN
    IF octet_length(payload) > 7000 THEN
        payload := '';
    END IF;
    PERFORM pg_notify('quorate', payload);
END
$$;

-- gone raises the revision when entries were deleted, by whatever statement.
CREATE FUNCTION quorate.gone() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM old_entry) THEN
        UPDATE quorate.revision SET revision = revision + 1
        WHERE namespace IN (SELECT split_part(key, '/', 1) FROM old_entry);
        PERFORM quorate.ring(array_agg(key)) FROM old_entry;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER gone AFTER DELETE ON quorate.entry
    REFERENCING OLD TABLE AS old_entry
    FOR EACH STATEMENT EXECUTE FUNCTION quorate.gone();

-- enter begins each call. On a server that has not judged a lease yet it gives
-- every lease its whole TTL once more: the server's clock is another one, or
-- what it knows of renewals is old.
CREATE FUNCTION quorate.enter() RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    present text;
BEGIN
    IF pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN
        RAISE 'quorate: this server is a standby, or the session is read-only'
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'quorate: the session''s default isolation level is not "read committed"'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    -- A commit counts when the standby has it, whatever the role's settings,
    -- and the warning that it may not must reach the client.
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF current_setting('client_min_messages') = 'error' THEN
        PERFORM set_config('client_min_messages', 'warning', true);
    END IF;
    present := quorate.identity();
    IF present <> (SELECT s.identity FROM quorate.server s) THEN
        PERFORM FROM quorate.server s FOR UPDATE;
        IF present <> (SELECT s.identity FROM quorate.server s) THEN
            UPDATE quorate.lease SET expires = greatest(expires, quorate.clock() + ttl);
            UPDATE quorate.server s SET identity = present;
        END IF;
    END IF;
    RETURN present;
END
$$;

-- leave ends each call. Where a commit waits for a standby, a call that only
-- read waits for it too: a server that was deposed gets no answer from there.
CREATE FUNCTION quorate.leave() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('synchronous_standby_names') <> '' THEN
        PERFORM pg_logical_emit_message(true, 'quorate', '');
    END IF;
END
$$;

-- settle locks the rows of the namespaces named, and deletes the leases that
-- have expired, and the victim. The clock is read when their rows are locked:
-- a renewal under way comes first. A lease whose entries lie in a namespace
-- that is not locked is left to the next call.
CREATE FUNCTION quorate.settle(spaces text[], own uuid, victim uuid) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    dying uuid[] := ARRAY(SELECT id FROM quorate.lease WHERE expires <= quorate.clock() OR id = victim);
BEGIN
    IF dying <> '{}' THEN
        spaces := spaces || ARRAY(SELECT DISTINCT split_part(key, '/', 1) FROM quorate.entry WHERE lease = ANY (dying));
    END IF;
    IF spaces <> '{}' THEN
        PERFORM FROM quorate.revision WHERE namespace = ANY (spaces) ORDER BY namespace FOR UPDATE;
    END IF;
    IF own IS NOT NULL OR dying <> '{}' THEN
        PERFORM FROM quorate.lease WHERE id = own OR id = ANY (dying) ORDER BY id FOR UPDATE;
        DELETE FROM quorate.lease l
        WHERE (l.id = victim OR (l.id = own OR l.id = ANY (dying)) AND l.expires <= quorate.clock())
        AND NOT EXISTS (SELECT FROM quorate.entry e WHERE e.lease = l.id AND split_part(e.key, '/', 1) <> ALL (spaces));
    END IF;
END
$$;

-- read returns a first row with target 0: the server's identity, the sum of all
-- revisions in created, and in modified the milliseconds to the next expiry.
-- The entries follow, with the number of their target. They are left out, and
-- content of the first row is not null, when nothing has changed since seen.
CREATE FUNCTION quorate.read(paths text[], dirs boolean[], expected text, seen bigint)
RETURNS TABLE (target integer, key text, content bytea, created bigint, modified bigint, owner text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    target := 0;
    key := quorate.enter();
    PERFORM quorate.settle('{}', NULL, NULL);
    created := (SELECT coalesce(sum(revision), 0) FROM quorate.revision);
    modified := (SELECT greatest(0, ceil(1000 * extract(epoch FROM min(expires) - quorate.clock()))) FROM quorate.lease);
    IF key = expected AND created = seen THEN
        content := '';
    END IF;
    RETURN NEXT;
    IF content IS NULL THEN
        RETURN QUERY
        SELECT t.n::integer, f.key, f.value, f.created, f.modified, f.lease::text
        FROM unnest(paths, dirs) WITH ORDINALITY AS t (path, is_dir, n), LATERAL (
            SELECT e.* FROM quorate.entry e WHERE NOT t.is_dir AND e.key = t.path
            UNION ALL
            SELECT e.* FROM quorate.entry e WHERE t.is_dir AND e.dir = t.path
        ) f
        ORDER BY t.n, f.key;
    END IF;
    PERFORM quorate.leave();
END
$$;

-- commit returns a first row: the outcome (1 applied, 2 refused, 3 the lease is
-- gone), the server's identity, the sum of all revisions in created, and in
-- modified the revision written. When it was refused the entries named follow.
-- A version is what the entry's modified must be: 0 for a key that must be
-- absent, -1 for whatever there is. If expected is not empty, the server must be that one, and
-- its revisions no lower than seen.
CREATE FUNCTION quorate.commit(expected text, seen bigint, own uuid,
    actions text[], keys text[], versions bigint[], contents bytea[])
RETURNS TABLE (target integer, key text, content bytea, created bigint, modified bigint, owner text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    present text := quorate.enter();
    spaces  text[] := ARRAY(SELECT DISTINCT split_part(k, '/', 1) FROM unnest(keys) k ORDER BY 1);
    outcome integer := 1;
    total   bigint;
    next    bigint;
BEGIN
    INSERT INTO quorate.revision (namespace, revision)
    SELECT s, 0 FROM unnest(spaces) s
    WHERE NOT EXISTS (SELECT FROM quorate.revision r WHERE r.namespace = s)
    ON CONFLICT DO NOTHING;
    PERFORM quorate.settle(spaces, own, NULL);
    total := (SELECT sum(r.revision) FROM quorate.revision r);
    IF own IS NOT NULL AND NOT EXISTS (SELECT FROM quorate.lease l WHERE l.id = own AND l.expires > quorate.clock()) THEN
        outcome := 3;
    ELSIF expected <> '' AND (expected <> present OR total < seen) OR EXISTS (
        SELECT FROM unnest(keys, versions) AS t (k, version) LEFT JOIN quorate.entry e ON e.key = t.k
        WHERE t.version >= 0 AND t.version <> coalesce(e.modified, 0)
    ) THEN
        outcome := 2;
    ELSIF actions && '{create,ephemeral,put,delete}' THEN
        next := (SELECT max(r.revision) + 1 FROM quorate.revision r WHERE r.namespace = ANY (spaces));
        UPDATE quorate.revision r SET revision = next WHERE r.namespace = ANY (spaces);
        IF 'put' = ANY (actions) THEN
            UPDATE quorate.entry e SET value = t.c, modified = next
            FROM unnest(actions, keys, contents) AS t (a, k, c)
            WHERE t.a = 'put' AND e.key = t.k;
        END IF;
        IF actions && '{create,ephemeral}' THEN
            INSERT INTO quorate.entry (key, value, created, modified, lease)
            SELECT t.k, t.c, next, next, CASE t.a WHEN 'ephemeral' THEN own END
            FROM unnest(actions, keys, contents) AS t (a, k, c)
            WHERE t.a IN ('create', 'ephemeral');
        END IF;
        IF 'delete' = ANY (actions) THEN
            DELETE FROM quorate.entry e USING unnest(actions, keys) AS t (a, k)
            WHERE t.a = 'delete' AND e.key = t.k;
        END IF;
        PERFORM quorate.ring(array_agg(t.k))
        FROM unnest(actions, keys) AS t (a, k) WHERE t.a IN ('create', 'ephemeral', 'put')
        HAVING count(*) > 0;
        total := (SELECT sum(r.revision) FROM quorate.revision r);
    END IF;
    RETURN QUERY SELECT outcome, present, NULL::bytea, total, next, NULL;
    IF outcome = 2 THEN
        RETURN QUERY SELECT 1, e.key, e.value, e.created, e.modified, e.lease::text FROM quorate.entry e WHERE e.key = ANY (keys);
    END IF;
    PERFORM quorate.leave();
END
$$;

-- status says how the server is set up: the schema's version, whether it is a
-- standby itself, how many standbys it has, and whether commits wait for any.
CREATE FUNCTION quorate.status()
RETURNS TABLE (version integer, standby boolean, standbys bigint, synchronous boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.version, pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication),
        current_setting('synchronous_standby_names') <> ''
    FROM quorate.server s
$$;

-- acquire opens a lease and returns its id.
CREATE FUNCTION quorate.acquire(milliseconds bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    length interval := make_interval(secs => milliseconds / 1000.0);
    opened text;
BEGIN
    PERFORM quorate.enter();
    INSERT INTO quorate.lease (ttl, expires) VALUES (length, quorate.clock() + length)
    RETURNING id::text INTO opened;
    PERFORM quorate.leave();
    RETURN opened;
END
$$;

-- renew prolongs a lease by its TTL, and reports whether it was still there.
CREATE FUNCTION quorate.renew(own uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    there boolean;
BEGIN
    PERFORM quorate.enter();
    PERFORM quorate.settle('{}', NULL, NULL);
    UPDATE quorate.lease SET expires = quorate.clock() + ttl WHERE id = own AND expires > quorate.clock();
    there := FOUND;
    PERFORM quorate.leave();
    RETURN there;
END
$$;

-- revoke ends a lease and its entries.
CREATE FUNCTION quorate.revoke(own uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM quorate.enter();
    WHILE EXISTS (SELECT FROM quorate.lease WHERE id = own) LOOP
        PERFORM quorate.settle('{}', NULL, own);
    END LOOP;
    PERFORM quorate.leave();
END
$$;

-- Nobody but the owner may call anything until it is granted.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA quorate FROM PUBLIC;
