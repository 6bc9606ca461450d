-- The initial import: everything that an account has, read from the lists of Stripe's API by pg_billing sync. Each
-- page takes effect in the transaction that moves the cursor behind it. docs/sync.md
CREATE TABLE stripe_sync_runs (
    run_id      integer PRIMARY KEY,
    livemode    boolean NOT NULL,
    grants      text NOT NULL CHECK (grants IN ('none', 'current-period')),
    owner       text NOT NULL,
    began_at    timestamptz NOT NULL DEFAULT now(),
    resumed_at  timestamptz,
    finished_at timestamptz,
    outcome     text CHECK (outcome IN ('complete', 'abandoned')),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE stripe_sync_runs IS 'initial imports; at most one of a mode is under way';
COMMENT ON COLUMN stripe_sync_runs.owner IS 'the process that reads it: who resumes it takes it over';
COMMENT ON COLUMN stripe_sync_runs.grants IS 'what invoices grant that were paid before it began: nothing, or what is left of the current period';

CREATE TABLE stripe_sync_slices (
    run_id        integer NOT NULL,
    slice_id      integer NOT NULL,
    object_type   text COLLATE "C" NOT NULL,
    position      smallint NOT NULL,
    per_customer  boolean NOT NULL DEFAULT false,
    parameters    jsonb NOT NULL DEFAULT '{}',
    created_from  timestamptz,
    created_until timestamptz,
    last_object   text COLLATE "C",
    last_created  timestamptz,
    objects       bigint NOT NULL DEFAULT 0,
    parked        bigint NOT NULL DEFAULT 0,
    failed        bigint NOT NULL DEFAULT 0,
    owner         text,
    error         text,
    done_at       timestamptz,
    PRIMARY KEY (run_id, slice_id)
);
COMMENT ON TABLE stripe_sync_slices IS 'the parts of an import: one list of Stripe''s API between two instants, newest first, or one list of each customer';
COMMENT ON COLUMN stripe_sync_slices.last_object IS 'where the next page begins: behind this object, or behind this customer';
COMMENT ON COLUMN stripe_sync_slices.parked IS 'how many wait for a customer''s link, or another object';

CREATE TABLE credit_imported_sources (
    stripe_account text COLLATE "C" NOT NULL DEFAULT '',
    livemode       boolean NOT NULL,
    object_id      text COLLATE "C" NOT NULL,
    current_since  timestamptz,
    PRIMARY KEY (stripe_account, livemode, object_id)
);
COMMENT ON TABLE credit_imported_sources IS 'invoices and checkouts that were paid before an import brought them: they grant no credits';
COMMENT ON COLUMN credit_imported_sources.current_since IS 'those grants are made all the same that end later than this; null: none';

CREATE FUNCTION apply_imported_objects(objects text, read_after timestamptz, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
    AS 'MODULE_PATHNAME', 'apply_imported_objects';
COMMENT ON FUNCTION apply_imported_objects(text, timestamptz, jsonb) IS
    'applies objects as Stripe''s API had them after read_after; internal';

CREATE FUNCTION fix_imported_customer_links()
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'fix_imported_customer_links';
COMMENT ON FUNCTION fix_imported_customer_links() IS 'fix_customer_links() that tells nobody; internal';

CREATE FUNCTION begin_stripe_sync(livemode boolean, owner text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found   @extschema@.stripe_sync_runs;
    wanted  text := options ->> 'grants';
    wrong   text;
    resumed boolean := true;
BEGIN
    IF begin_stripe_sync.livemode IS NULL OR coalesce(begin_stripe_sync.owner, '') = '' THEN
        RAISE EXCEPTION '% must not be null or empty', CASE WHEN begin_stripe_sync.livemode IS NULL THEN 'livemode' ELSE 'owner' END
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the mode of the secret key, and a name that no other process has.';
    END IF;
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "grants" and "restart".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key) WHERE o.key NOT IN ('grants', 'restart') LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'unknown option "%"', wrong
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "grants" and "restart".';
    END IF;
    IF wanted NOT IN ('none', 'current-period') THEN
        RAISE EXCEPTION 'unknown grants "%"', wanted
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use none or current-period.';
    END IF;
    IF jsonb_typeof(options -> 'restart') NOT IN ('boolean') THEN
        RAISE EXCEPTION 'restart must be true or false, not %', options -> 'restart'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to go on with what was begun.';
    END IF;
    IF begin_stripe_sync.livemode <> @extschema@.in_live_mode() THEN
        RETURN jsonb_build_object('success', false, 'status', 'wrong_mode', 'reason', 'the key is of '
            || CASE WHEN begin_stripe_sync.livemode THEN 'live' ELSE 'test' END || ' mode, billing.mode of this database is '
            || CASE WHEN begin_stripe_sync.livemode THEN 'test' ELSE 'live' END,
            'next_step', 'use the key of the other mode, or set_billing_setting(''mode'', …)');
    END IF;
    LOCK TABLE @extschema@.stripe_sync_runs IN SHARE ROW EXCLUSIVE MODE;
    SELECT r.* INTO found FROM @extschema@.stripe_sync_runs r
     WHERE r.livemode = begin_stripe_sync.livemode AND r.finished_at IS NULL;
    IF found.run_id IS NOT NULL AND (options ->> 'restart')::boolean THEN
        UPDATE @extschema@.stripe_sync_runs r SET finished_at = now(), outcome = 'abandoned' WHERE r.run_id = found.run_id;
        found := NULL;
    END IF;
    IF found.run_id IS NOT NULL AND wanted <> found.grants THEN
        RETURN jsonb_build_object('success', false, 'status', 'other_grants',
            'reason', format('the import that is under way has grants = %s', found.grants),
            'next_step', 'go on with the same, or restart');
    END IF;
    IF found.run_id IS NULL THEN
        resumed := false;
        INSERT INTO @extschema@.stripe_sync_runs (run_id, livemode, grants, owner)
        VALUES ((SELECT coalesce(max(r.run_id), 0) + 1 FROM @extschema@.stripe_sync_runs r), begin_stripe_sync.livemode,
                coalesce(wanted, 'none'), begin_stripe_sync.owner)
        RETURNING * INTO found;
        -- What others depend on comes first: less is parked, and nothing else differs.
        INSERT INTO @extschema@.stripe_sync_slices (run_id, slice_id, object_type, position, per_customer, parameters)
        SELECT found.run_id, p.n, p.object_type, p.n, p.per_customer, p.parameters
          FROM (VALUES (1, 'product', false, jsonb '{}'),
                       (2, 'price', false, '{"active": true}'),
                       (3, 'price', false, '{"active": false}'),
                       (4, 'customer', false, '{}'),
                       (5, 'subscription', false, '{"status": "all"}'),
                       (6, 'subscription_schedule', false, '{}'),
                       (7, 'invoice', false, '{}'),
                       (8, 'payment_intent', false, '{}'),
                       (9, 'charge', false, '{}'),
                       (10, 'invoice_payment', false, '{}'),
                       (11, 'refund', false, '{}'),
                       (12, 'dispute', false, '{}'),
                       (13, 'credit_note', false, '{}'),
                       (14, 'checkout.session', false, '{}'),
                       (15, 'webhook_endpoint', false, '{}'),
                       (16, 'payment_method', true, '{}'),
                       (17, 'entitlements.active_entitlement_summary', true, '{}'),
                       -- Lists leave out those that were deleted.
                       (18, 'customer', true, '{}')) p(n, object_type, per_customer, parameters);
    ELSE
        UPDATE @extschema@.stripe_sync_runs r SET owner = begin_stripe_sync.owner, resumed_at = now() WHERE r.run_id = found.run_id;
        UPDATE @extschema@.stripe_sync_slices s SET error = NULL, owner = NULL WHERE s.run_id = found.run_id AND s.done_at IS NULL;
    END IF;
    RETURN jsonb_build_object('success', true, 'status', CASE WHEN resumed THEN 'resumed' ELSE 'begun' END,
                              'run_id', found.run_id, 'grants', found.grants, 'began_at', found.began_at,
                              'objects', (SELECT sum(s.objects) FROM @extschema@.stripe_sync_slices s WHERE s.run_id = found.run_id),
                              'share', (SELECT avg(t.done)::double precision
                                          FROM (SELECT avg((s.done_at IS NOT NULL)::integer) AS done
                                                  FROM @extschema@.stripe_sync_slices s WHERE s.run_id = found.run_id
                                                 GROUP BY s.position) t));
END
$$;
COMMENT ON FUNCTION begin_stripe_sync(boolean, text, jsonb) IS
    'begins the import of a whole account, or goes on with the one that was begun, which is the caller''s from then on';

CREATE FUNCTION claim_stripe_sync_slice(run_id integer, owner text)
    RETURNS TABLE (slice_id integer, object_type text, per_customer boolean, parameters jsonb, created_from bigint,
                   created_until bigint, last_object text, last_created bigint, objects bigint, share double precision)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM @extschema@.check_stripe_sync_owner(claim_stripe_sync_slice.run_id, claim_stripe_sync_slice.owner);
    -- Chosen once: as the inner side of a join it would be chosen anew for each row, and by then others have it.
    RETURN QUERY
        WITH d AS MATERIALIZED (
            SELECT q.slice_id FROM @extschema@.stripe_sync_slices q
             WHERE q.run_id = claim_stripe_sync_slice.run_id AND q.done_at IS NULL AND q.error IS NULL
               AND q.owner IS DISTINCT FROM claim_stripe_sync_slice.owner
               -- Whose lists are read customer by customer needs all of them.
               AND NOT (q.per_customer AND EXISTS (
                       SELECT FROM @extschema@.stripe_sync_slices b
                        WHERE b.run_id = q.run_id AND b.done_at IS NULL AND b.error IS NULL AND NOT b.per_customer
                          AND b.object_type IN ('customer', 'subscription', 'invoice')))
             ORDER BY q.position, q.slice_id LIMIT 1 FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.stripe_sync_slices s SET owner = claim_stripe_sync_slice.owner
          FROM d
         WHERE s.run_id = claim_stripe_sync_slice.run_id AND s.slice_id = d.slice_id
        RETURNING s.slice_id, s.object_type, s.per_customer, s.parameters, extract(epoch FROM s.created_from)::bigint,
                  extract(epoch FROM s.created_until)::bigint, s.last_object, extract(epoch FROM s.last_created)::bigint, s.objects,
                  (SELECT 1 / (count(DISTINCT a.position) * count(*) FILTER (WHERE a.position = s.position))::double precision
                     FROM @extschema@.stripe_sync_slices a WHERE a.run_id = claim_stripe_sync_slice.run_id);
END
$$;
COMMENT ON FUNCTION claim_stripe_sync_slice(integer, text) IS
    'the next part of an import that this owner has not claimed, what others depend on first; no row when there is none at the moment';

CREATE FUNCTION check_stripe_sync_owner(run_id integer, owner text)
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found @extschema@.stripe_sync_runs;
BEGIN
    SELECT r.* INTO found FROM @extschema@.stripe_sync_runs r WHERE r.run_id = check_stripe_sync_owner.run_id;
    IF found.run_id IS NULL THEN
        RAISE EXCEPTION 'there is no import %', coalesce(check_stripe_sync_owner.run_id::text, 'null')
            USING ERRCODE = 'no_data_found', HINT = 'Pass what begin_stripe_sync() returned.';
    END IF;
    IF found.owner IS DISTINCT FROM check_stripe_sync_owner.owner OR found.finished_at IS NOT NULL THEN
        RAISE EXCEPTION 'import % is %', found.run_id,
                        CASE WHEN found.finished_at IS NULL THEN 'another process''s by now' ELSE 'over: ' || found.outcome END
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'begin_stripe_sync() takes over what is under way.';
    END IF;
END
$$;
COMMENT ON FUNCTION check_stripe_sync_owner(integer, text) IS 'raises unless the import is under way and the owner''s';

CREATE FUNCTION lock_stripe_sync_slice(run_id integer, slice_id integer, owner text)
    RETURNS @extschema@.stripe_sync_slices
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found @extschema@.stripe_sync_slices;
BEGIN
    PERFORM @extschema@.check_stripe_sync_owner(lock_stripe_sync_slice.run_id, lock_stripe_sync_slice.owner);
    SELECT s.* INTO found FROM @extschema@.stripe_sync_slices s
     WHERE s.run_id = lock_stripe_sync_slice.run_id AND s.slice_id = lock_stripe_sync_slice.slice_id FOR NO KEY UPDATE;
    IF found.run_id IS NULL OR found.owner IS DISTINCT FROM lock_stripe_sync_slice.owner OR found.done_at IS NOT NULL THEN
        RAISE EXCEPTION 'slice % of import % is not claimed by %', coalesce(lock_stripe_sync_slice.slice_id::text, 'null'),
                        lock_stripe_sync_slice.run_id, lock_stripe_sync_slice.owner
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Pass what claim_stripe_sync_slice() returned, until it is done.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION lock_stripe_sync_slice(integer, integer, text) IS 'a part of an import, locked; raises unless the owner claimed it';

CREATE FUNCTION split_stripe_sync_slice(run_id integer, slice_id integer, owner text, bounds bigint[])
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found  @extschema@.stripe_sync_slices;
    sorted timestamptz[];
    last   integer;
BEGIN
    found := @extschema@.lock_stripe_sync_slice(split_stripe_sync_slice.run_id, split_stripe_sync_slice.slice_id, split_stripe_sync_slice.owner);
    -- Behind the cursor nothing is left to read.
    sorted := ARRAY(SELECT DISTINCT b.bound FROM (SELECT to_timestamp(u.second) AS bound FROM unnest(bounds) u(second)) b
                     WHERE b.bound > coalesce(found.created_from, '-infinity')
                       AND b.bound < coalesce(found.last_created, found.created_until, 'infinity') ORDER BY 1);
    IF found.per_customer OR cardinality(sorted) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM FROM @extschema@.stripe_sync_runs r WHERE r.run_id = found.run_id FOR NO KEY UPDATE;
    SELECT max(s.slice_id) INTO last FROM @extschema@.stripe_sync_slices s WHERE s.run_id = found.run_id;
    INSERT INTO @extschema@.stripe_sync_slices (run_id, slice_id, object_type, position, parameters, created_from, created_until)
    SELECT found.run_id, last + i, found.object_type, found.position, found.parameters,
           CASE WHEN i = 1 THEN found.created_from ELSE sorted[i - 1] END, sorted[i]
      FROM generate_series(1, cardinality(sorted)) i;
    UPDATE @extschema@.stripe_sync_slices s SET created_from = sorted[cardinality(sorted)]
     WHERE s.run_id = found.run_id AND s.slice_id = found.slice_id;
    RETURN cardinality(sorted);
END
$$;
COMMENT ON FUNCTION split_stripe_sync_slice(integer, integer, text, bigint[]) IS
    'cuts what is left of a part of an import at these instants (seconds since 1970), so that several can read it; returns how many parts there are more';

CREATE FUNCTION stripe_sync_customers(run_id integer, slice_id integer, owner text, max_rows integer DEFAULT 50)
    RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found @extschema@.stripe_sync_slices;
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_rows must be between 1 and 1000, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 50.';
    END IF;
    found := @extschema@.lock_stripe_sync_slice(stripe_sync_customers.run_id, stripe_sync_customers.slice_id, stripe_sync_customers.owner);
    IF found.object_type = 'customer' THEN
        RETURN QUERY
            SELECT DISTINCT o.stripe_customer_id FROM @extschema@.stripe_objects o
             WHERE o.stripe_account = '' AND o.object_type IN ('subscription', 'invoice')
               AND o.livemode = (SELECT r.livemode FROM @extschema@.stripe_sync_runs r WHERE r.run_id = found.run_id)
               AND o.stripe_customer_id > coalesce(found.last_object, '') AND o.stripe_customer_id LIKE 'cus\_%'
               AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects c
                                WHERE (c.stripe_account, c.livemode, c.object_type, c.object_id)
                                      = (o.stripe_account, o.livemode, 'customer', o.stripe_customer_id) AND c.finality >= 0)
             ORDER BY 1 LIMIT max_rows;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT o.object_id FROM @extschema@.stripe_objects o
         WHERE o.stripe_account = '' AND o.object_type = 'customer' AND NOT o.deleted
           AND o.livemode = (SELECT r.livemode FROM @extschema@.stripe_sync_runs r WHERE r.run_id = found.run_id)
           AND o.object_id > coalesce(found.last_object, '')
           -- Who has no subscription that lives is entitled to nothing by Stripe.
           AND (found.object_type <> 'entitlements.active_entitlement_summary' OR EXISTS (
                   SELECT FROM @extschema@.stripe_objects s
                    WHERE s.stripe_customer_id = o.object_id AND s.object_type = 'subscription'
                      AND s.object ->> 'status' NOT IN ('canceled', 'incomplete_expired')))
         ORDER BY o.object_id LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION stripe_sync_customers(integer, integer, text, integer) IS 'the next customers whose lists a part of an import reads';

CREATE FUNCTION keep_stripe_sync_page(run_id integer, slice_id integer, owner text, objects text, read_after bigint,
                                      last_object text, last_created bigint, done boolean, api_version text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    run     @extschema@.stripe_sync_runs;
    applied jsonb;
    counts  jsonb;
    total   bigint;
BEGIN
    IF done IS NULL OR read_after IS NULL THEN
        RAISE EXCEPTION '% must not be null', CASE WHEN done IS NULL THEN 'done' ELSE 'read_after' END
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass whether it was the last page, and when its request began, in seconds since 1970.';
    END IF;
    PERFORM @extschema@.lock_stripe_sync_slice(keep_stripe_sync_page.run_id, keep_stripe_sync_page.slice_id, keep_stripe_sync_page.owner);
    SELECT r.* INTO run FROM @extschema@.stripe_sync_runs r WHERE r.run_id = keep_stripe_sync_page.run_id;
    applied := @extschema@.apply_imported_objects(objects, to_timestamp(read_after), jsonb_build_object(
        'api_version', keep_stripe_sync_page.api_version, 'livemode', run.livemode, 'endpoint', 'sync',
        'import_began', floor(extract(epoch FROM run.began_at))::bigint, 'grants', run.grants));
    counts := applied -> 'outcomes';
    total := (SELECT coalesce(sum(c.value::bigint), 0) FROM jsonb_each_text(counts) c);
    UPDATE @extschema@.stripe_sync_slices s
       SET last_object = coalesce(keep_stripe_sync_page.last_object, s.last_object),
           last_created = coalesce(to_timestamp(keep_stripe_sync_page.last_created), s.last_created),
           objects = s.objects + total,
           parked = s.parked + coalesce((counts ->> 'parked')::bigint, 0),
           failed = s.failed + coalesce((counts ->> 'failed')::bigint, 0),
           done_at = CASE WHEN done THEN now() END
     WHERE s.run_id = keep_stripe_sync_page.run_id AND s.slice_id = keep_stripe_sync_page.slice_id;
    RETURN applied;
END
$$;
COMMENT ON FUNCTION keep_stripe_sync_page(integer, integer, text, text, bigint, text, bigint, boolean, text) IS
    'applies a page of a list and moves the cursor behind it, both or neither; nobody is told, and what was paid before the import grants what the import says';

CREATE FUNCTION leave_stripe_sync_slice(run_id integer, slice_id integer, owner text, error text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    IF coalesce(leave_stripe_sync_slice.error, '') = '' THEN
        RAISE EXCEPTION 'error must not be empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why the list could not be read.';
    END IF;
    PERFORM @extschema@.lock_stripe_sync_slice(leave_stripe_sync_slice.run_id, leave_stripe_sync_slice.slice_id, leave_stripe_sync_slice.owner);
    UPDATE @extschema@.stripe_sync_slices s SET error = left(leave_stripe_sync_slice.error, 1000)
     WHERE s.run_id = leave_stripe_sync_slice.run_id AND s.slice_id = leave_stripe_sync_slice.slice_id;
END
$$;
COMMENT ON FUNCTION leave_stripe_sync_slice(integer, integer, text, text) IS
    'says why a part of an import could not be read; the next begin_stripe_sync() tries again';

CREATE FUNCTION finish_stripe_sync(run_id integer, owner text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    types    jsonb;
    unread   jsonb;
    links    jsonb;
    deferred bigint;
BEGIN
    PERFORM @extschema@.check_stripe_sync_owner(finish_stripe_sync.run_id, finish_stripe_sync.owner);
    SELECT count(*) INTO deferred FROM @extschema@.stripe_events e
     WHERE NOT e.processed AND e.endpoint = 'sync' AND e.waiting_for ~ '^(link|user|credits|lock):';
    IF deferred > 0 THEN
        RETURN jsonb_build_object('success', false, 'status', 'deferred', 'reason', deferred || ' events wait for locks of other transactions',
                                  'next_step', 'retry_stripe_events');
    END IF;
    SELECT jsonb_object_agg(t.object_type, jsonb_build_object('objects', t.objects, 'parked', t.parked, 'failed', t.failed))
      INTO types
      FROM (SELECT s.object_type, sum(s.objects) AS objects, sum(s.parked) AS parked, sum(s.failed) AS failed
              FROM @extschema@.stripe_sync_slices s WHERE s.run_id = finish_stripe_sync.run_id GROUP BY 1) t;
    SELECT jsonb_agg(jsonb_build_object('object_type', s.object_type, 'error', s.error) ORDER BY s.slice_id)
      INTO unread
      FROM @extschema@.stripe_sync_slices s WHERE s.run_id = finish_stripe_sync.run_id AND s.done_at IS NULL;
    links := @extschema@.fix_imported_customer_links();
    IF unread IS NULL THEN
        UPDATE @extschema@.stripe_sync_runs r SET finished_at = now(), outcome = 'complete'
         WHERE r.run_id = finish_stripe_sync.run_id;
    END IF;
    RETURN jsonb_build_object('success', unread IS NULL, 'status', CASE WHEN unread IS NULL THEN 'complete' ELSE 'incomplete' END,
                              'run_id', finish_stripe_sync.run_id, 'types', types, 'unread', coalesce(unread, '[]'), 'links', links)
        || CASE WHEN unread IS NULL THEN '{}'::jsonb ELSE '{"reason": "some lists could not be read", "next_step": "begin_stripe_sync"}' END;
END
$$;
COMMENT ON FUNCTION finish_stripe_sync(integer, text) IS
    'ends an import when all has been read: links customers, and reports what came and who is not linked';
