-- Reconciliation: what Stripe's API says of a span of time beside what has come, each difference kept, and made good.
-- docs/sync.md
CREATE TABLE stripe_reconciliations (
    reconciliation_id integer PRIMARY KEY,
    livemode          boolean NOT NULL,
    since             timestamptz NOT NULL,
    dry_run           boolean NOT NULL DEFAULT false,
    began_at          timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    error             text,
    events_matched    bigint NOT NULL DEFAULT 0,
    events_missing    bigint NOT NULL DEFAULT 0,
    objects_matched   bigint NOT NULL DEFAULT 0,
    objects_updated   bigint NOT NULL DEFAULT 0,
    objects_missing   bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE stripe_reconciliations IS 'comparisons with Stripe''s API: of which span, and what came of them';

CREATE TABLE stripe_reconciliation_differences (
    reconciliation_id integer NOT NULL,
    number            integer NOT NULL,
    difference        text NOT NULL CHECK (difference IN ('event_missing', 'object_missing', 'object_updated')),
    object_type       text COLLATE "C",
    object_id         text COLLATE "C",
    stripe_customer_id text COLLATE "C",
    stripe_event_id   text COLLATE "C",
    event_type        text COLLATE "C",
    was               jsonb,
    now               jsonb,
    repaired          boolean NOT NULL,
    PRIMARY KEY (reconciliation_id, number)
);
CREATE INDEX stripe_reconciliation_differences_object_idx ON stripe_reconciliation_differences (reconciliation_id, object_id);
CREATE INDEX stripe_reconciliation_differences_event_idx ON stripe_reconciliation_differences (reconciliation_id, stripe_event_id);
COMMENT ON TABLE stripe_reconciliation_differences IS 'what a comparison has found: members that differ, as they were and as they are';
COMMENT ON COLUMN stripe_reconciliation_differences.stripe_event_id IS 'the event that should have told us; null when Stripe lists none';

CREATE FUNCTION begin_stripe_reconciliation(livemode boolean, since interval, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    wrong text;
    every interval;
    id    integer;
BEGIN
    IF begin_stripe_reconciliation.livemode IS NULL OR begin_stripe_reconciliation.since IS NULL
       OR begin_stripe_reconciliation.since NOT BETWEEN interval '1 minute' AND interval '30 days' THEN
        RAISE EXCEPTION 'since must be between 1 minute and 30 days, not %', coalesce(begin_stripe_reconciliation.since::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe lists the events of 30 days; what is older is for pg_billing sync.';
    END IF;
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "dry_run" and "every".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key) WHERE o.key NOT IN ('dry_run', 'every') LIMIT 1;
    IF wrong IS NOT NULL OR jsonb_typeof(options -> 'dry_run') NOT IN ('boolean') THEN
        RAISE EXCEPTION 'unusable options %', options
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "dry_run", true or false, and "every", an interval.';
    END IF;
    every := (options ->> 'every')::interval;
    IF begin_stripe_reconciliation.livemode <> @extschema@.in_live_mode() THEN
        RETURN jsonb_build_object('success', false, 'status', 'wrong_mode', 'reason', 'the key is of '
            || CASE WHEN begin_stripe_reconciliation.livemode THEN 'live' ELSE 'test' END || ' mode, billing.mode of this database is '
            || CASE WHEN begin_stripe_reconciliation.livemode THEN 'test' ELSE 'live' END,
            'next_step', 'use the key of the other mode, or set_billing_setting(''mode'', …)');
    END IF;
    LOCK TABLE @extschema@.stripe_reconciliations IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM @extschema@.stripe_reconciliations r WHERE r.began_at > clock_timestamp() - every AND NOT r.dry_run) THEN
        RETURN jsonb_build_object('success', false, 'status', 'not_due', 'reason', 'another began within this time', 'next_step', 'wait');
    END IF;
    DELETE FROM @extschema@.stripe_reconciliation_differences d USING @extschema@.stripe_reconciliations r
     WHERE d.reconciliation_id = r.reconciliation_id AND r.began_at < now() - interval '90 days';
    DELETE FROM @extschema@.stripe_reconciliations r WHERE r.began_at < now() - interval '90 days';
    SELECT coalesce(max(r.reconciliation_id), 0) + 1 INTO id FROM @extschema@.stripe_reconciliations r;
    INSERT INTO @extschema@.stripe_reconciliations (reconciliation_id, livemode, since, dry_run)
    VALUES (id, begin_stripe_reconciliation.livemode, now() - begin_stripe_reconciliation.since, coalesce((options ->> 'dry_run')::boolean, false));
    RETURN jsonb_build_object('success', true, 'status', 'begun', 'reconciliation_id', id,
                              'since', extract(epoch FROM now() - begin_stripe_reconciliation.since)::bigint);
END
$$;
COMMENT ON FUNCTION begin_stripe_reconciliation(boolean, interval, jsonb) IS
    'begins a comparison with Stripe''s API; what is older than 90 days of earlier ones is forgotten';

CREATE FUNCTION open_stripe_reconciliation(reconciliation_id integer)
    RETURNS @extschema@.stripe_reconciliations
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    found @extschema@.stripe_reconciliations;
BEGIN
    SELECT r.* INTO found FROM @extschema@.stripe_reconciliations r
     WHERE r.reconciliation_id = open_stripe_reconciliation.reconciliation_id FOR NO KEY UPDATE;
    IF found.reconciliation_id IS NULL OR found.finished_at IS NOT NULL THEN
        RAISE EXCEPTION 'no reconciliation % is under way', coalesce(open_stripe_reconciliation.reconciliation_id::text, 'null')
            USING ERRCODE = 'no_data_found', HINT = 'Pass what begin_stripe_reconciliation() returned.';
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION open_stripe_reconciliation(integer) IS 'a comparison that is under way, locked; internal';

-- Two versions of the API word the same object differently: then only members count whose meaning is one in all of them.
CREATE FUNCTION stripe_object_difference(was jsonb, now jsonb, same_version boolean)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT jsonb_build_object(
               'was', coalesce(jsonb_object_agg(m.key, m.was), '{}'), 'now', coalesce(jsonb_object_agg(m.key, m.now), '{}'))
      FROM (SELECT k.key, stripe_object_difference.was -> k.key AS was, stripe_object_difference.now -> k.key AS now
              FROM (SELECT jsonb_object_keys(stripe_object_difference.was)
                    UNION SELECT jsonb_object_keys(stripe_object_difference.now)) k(key)
             WHERE same_version OR k.key = ANY ('{active,amount,amount_captured,amount_due,amount_paid,amount_received,amount_refunded,amount_remaining,cancel_at,cancel_at_period_end,canceled_at,captured,currency,customer,disputed,email,ended_at,invoice,latest_invoice,lookup_key,metadata,name,pause_collection,payment_intent,payment_status,product,quantity,reason,recurring,refunded,schedule,status,subscription,trial_end,trial_start,unit_amount}'::text[])
               AND stripe_object_difference.was ? k.key AND stripe_object_difference.now ? k.key
            UNION ALL
            SELECT 'items', i.was, i.now
              FROM (SELECT jsonb_path_query_array(stripe_object_difference.was, '$.items.data[*].price.id')
                           || jsonb_path_query_array(stripe_object_difference.was, '$.items.data[*].quantity') AS was,
                           jsonb_path_query_array(stripe_object_difference.now, '$.items.data[*].price.id')
                           || jsonb_path_query_array(stripe_object_difference.now, '$.items.data[*].quantity') AS now) i
             WHERE NOT same_version) m
     WHERE m.was IS DISTINCT FROM m.now
$$;
COMMENT ON FUNCTION stripe_object_difference(jsonb, jsonb, boolean) IS 'the members in which two snapshots of an object differ, as {"was", "now"}';

CREATE FUNCTION reconcile_stripe_events(reconciliation_id integer, payloads text[])
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    run      @extschema@.stripe_reconciliations;
    unknown  text[];
    last     integer;
    missing  bigint;
    seen     bigint;
BEGIN
    IF payloads IS NULL OR cardinality(payloads) > 200 THEN
        RAISE EXCEPTION 'payloads must be at most 200 events, not %', coalesce(cardinality(payloads)::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass a page of Stripe''s list of events.';
    END IF;
    run := @extschema@.open_stripe_reconciliation(reconcile_stripe_events.reconciliation_id);
    SELECT coalesce(max(d.number), 0) INTO last FROM @extschema@.stripe_reconciliation_differences d
     WHERE d.reconciliation_id = run.reconciliation_id;
    -- Oldest first, as they should have come.
    SELECT array_agg(p.payload ORDER BY (p.payload::jsonb ->> 'created')::bigint, p.n DESC) FILTER (WHERE NOT p.seen AND NOT p.known),
           count(*) FILTER (WHERE p.seen) INTO unknown, seen
      FROM (SELECT u.payload, u.n,
                   EXISTS (SELECT FROM @extschema@.stripe_events e WHERE e.stripe_event_id = u.payload::jsonb ->> 'id') AS known,
                   EXISTS (SELECT FROM @extschema@.stripe_reconciliation_differences d
                            WHERE d.reconciliation_id = run.reconciliation_id AND d.stripe_event_id = u.payload::jsonb ->> 'id'
                              AND d.difference = 'event_missing') AS seen
              FROM unnest(payloads) WITH ORDINALITY u(payload, n)) p;
    missing := coalesce(cardinality(unknown), 0);
    INSERT INTO @extschema@.stripe_reconciliation_differences
           (reconciliation_id, number, difference, object_type, object_id, stripe_customer_id, stripe_event_id, event_type, was, now, repaired)
    SELECT run.reconciliation_id, last + e.n, 'event_missing', e.event #>> '{data,object,object}', e.event #>> '{data,object,id}',
           CASE WHEN e.event #>> '{data,object,object}' = 'customer' THEN e.event #>> '{data,object,id}' ELSE e.event #>> '{data,object,customer}' END,
           e.event ->> 'id', e.event ->> 'type', c.difference -> 'was', c.difference -> 'now', NOT run.dry_run
      FROM (SELECT p.payload::jsonb AS event, p.n::integer AS n FROM unnest(unknown) WITH ORDINALITY p(payload, n)) e
      LEFT JOIN @extschema@.stripe_objects o
        ON o.stripe_account = '' AND o.livemode = run.livemode AND o.object_type = e.event #>> '{data,object,object}'
       AND o.object_id = e.event #>> '{data,object,id}' AND o.object IS NOT NULL
      LEFT JOIN LATERAL @extschema@.stripe_object_difference(o.object, e.event #> '{data,object}', o.api_version = e.event ->> 'api_version')
           c(difference) ON o.object IS NOT NULL;
    IF missing > 0 AND NOT run.dry_run THEN
        PERFORM FROM @extschema@.process_stripe_events(unknown, '{"endpoint": "reconcile"}');
    END IF;
    UPDATE @extschema@.stripe_reconciliations r
       SET events_matched = r.events_matched + cardinality(payloads) - missing - seen, events_missing = r.events_missing + missing
     WHERE r.reconciliation_id = run.reconciliation_id;
    RETURN jsonb_build_object('matched', cardinality(payloads) - missing - seen, 'missing', missing);
END
$$;
COMMENT ON FUNCTION reconcile_stripe_events(integer, text[]) IS
    'events that Stripe lists: those that never came are noted, and take effect as the webhooks that they should have been, unless it is a dry run';

CREATE FUNCTION reconcile_stripe_objects(reconciliation_id integer, objects text, read_after bigint, api_version text)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    run     @extschema@.stripe_reconciliations;
    page    jsonb := objects::jsonb;
    last    integer;
    total   bigint;
    updated bigint;
    missing bigint;
    wanted  jsonb;
BEGIN
    IF page IS NULL OR jsonb_typeof(page) <> 'array' OR read_after IS NULL THEN
        RAISE EXCEPTION 'objects must be an array, and read_after not null'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the member "data" of a list of Stripe''s API, and when its request began.';
    END IF;
    run := @extschema@.open_stripe_reconciliation(reconcile_stripe_objects.reconciliation_id);
    total := jsonb_array_length(page);
    SELECT coalesce(max(d.number), 0) INTO last FROM @extschema@.stripe_reconciliation_differences d
     WHERE d.reconciliation_id = run.reconciliation_id;
    WITH listed AS (SELECT p.object, p.n FROM jsonb_array_elements(page) WITH ORDINALITY p(object, n)),
    compared AS (
        SELECT l.object, l.n, o.object_id IS NULL AS missing, c.difference
          FROM listed l
          LEFT JOIN @extschema@.stripe_objects o
            ON o.stripe_account = '' AND o.livemode = run.livemode AND o.object_type = l.object ->> 'object'
           AND o.object_id = l.object ->> 'id' AND o.object IS NOT NULL AND o.finality >= 0
          LEFT JOIN LATERAL @extschema@.stripe_object_difference(o.object, l.object, o.api_version = reconcile_stripe_objects.api_version)
               c(difference) ON o.object_id IS NOT NULL
         -- What something later is known of was told while the list was read.
         WHERE o.object_id IS NULL OR (c.difference -> 'was' <> '{}' OR c.difference -> 'now' <> '{}')
               AND o.event_created < to_timestamp(read_after)),
    found AS (
        INSERT INTO @extschema@.stripe_reconciliation_differences
               (reconciliation_id, number, difference, object_type, object_id, stripe_customer_id, stripe_event_id, event_type, was, now, repaired)
        SELECT run.reconciliation_id, last + row_number() OVER (ORDER BY c.n)::integer,
               CASE WHEN c.missing THEN 'object_missing' ELSE 'object_updated' END, c.object ->> 'object', c.object ->> 'id',
               CASE WHEN c.object ->> 'object' = 'customer' THEN c.object ->> 'id' ELSE c.object ->> 'customer' END,
               e.stripe_event_id,
               coalesce(e.event_type, CASE WHEN c.object ->> 'object' IN ('subscription', 'subscription_schedule') THEN replace(c.object ->> 'object', 'subscription', 'customer.subscription')
                                           ELSE c.object ->> 'object' END || CASE WHEN c.missing THEN '.created' ELSE '.updated' END),
               c.difference -> 'was', CASE WHEN c.missing THEN c.object ELSE c.difference -> 'now' END, NOT run.dry_run
          FROM compared c
          LEFT JOIN LATERAL (SELECT d.stripe_event_id, d.event_type FROM @extschema@.stripe_reconciliation_differences d
                              WHERE d.reconciliation_id = run.reconciliation_id AND d.object_id = c.object ->> 'id' AND d.difference = 'event_missing'
                              ORDER BY d.number DESC LIMIT 1) e ON true
        RETURNING difference)
    SELECT count(*) FILTER (WHERE f.difference = 'object_updated'), count(*) FILTER (WHERE f.difference = 'object_missing')
      INTO updated, missing FROM found f;
    IF updated + missing > 0 AND NOT run.dry_run THEN
        SELECT jsonb_agg(p.object) INTO wanted FROM jsonb_array_elements(page) p(object)
         WHERE EXISTS (SELECT FROM @extschema@.stripe_reconciliation_differences d
                        WHERE d.reconciliation_id = run.reconciliation_id AND d.number > last
                          AND d.object_type = p.object ->> 'object' AND d.object_id = p.object ->> 'id');
        PERFORM @extschema@.apply_imported_objects(wanted::text, to_timestamp(read_after), jsonb_build_object(
            'api_version', reconcile_stripe_objects.api_version, 'livemode', run.livemode, 'endpoint', 'reconcile'));
    END IF;
    UPDATE @extschema@.stripe_reconciliations r
       SET objects_matched = r.objects_matched + total - updated - missing, objects_updated = r.objects_updated + updated,
           objects_missing = r.objects_missing + missing
     WHERE r.reconciliation_id = run.reconciliation_id;
    RETURN jsonb_build_object('matched', total - updated - missing, 'updated', updated, 'missing', missing);
END
$$;
COMMENT ON FUNCTION reconcile_stripe_objects(integer, text, bigint, text) IS
    'objects as Stripe''s API has them: those that are missing or otherwise here are noted, and follow it, unless it is a dry run';

CREATE FUNCTION stripe_reconciliation_customers(reconciliation_id integer)
    RETURNS SETOF text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT DISTINCT d.stripe_customer_id FROM @extschema@.stripe_reconciliation_differences d
         WHERE d.reconciliation_id = stripe_reconciliation_customers.reconciliation_id AND d.stripe_customer_id LIKE 'cus\_%'
         ORDER BY 1 LIMIT 1000;
END
$$;
COMMENT ON FUNCTION stripe_reconciliation_customers(integer) IS
    'customers of whom something was missing, whose subscriptions are looked at too; a thousand at most';

CREATE FUNCTION finish_stripe_reconciliation(reconciliation_id integer, error text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    run @extschema@.stripe_reconciliations;
BEGIN
    PERFORM @extschema@.open_stripe_reconciliation(finish_stripe_reconciliation.reconciliation_id);
    UPDATE @extschema@.stripe_reconciliations r SET finished_at = clock_timestamp(), error = left(finish_stripe_reconciliation.error, 1000)
     WHERE r.reconciliation_id = finish_stripe_reconciliation.reconciliation_id RETURNING r.* INTO run;
    RETURN jsonb_build_object(
        'success', run.error IS NULL, 'status', CASE WHEN run.error IS NULL THEN 'finished' ELSE 'incomplete' END, 'error', run.error,
        'reconciliation_id', run.reconciliation_id, 'since', run.since, 'dry_run', run.dry_run,
        'matched', run.events_matched + run.objects_matched, 'updated', run.objects_updated,
        'missing', run.events_missing + run.objects_missing,
        'events', jsonb_build_object('matched', run.events_matched, 'missing', run.events_missing),
        'objects', jsonb_build_object('matched', run.objects_matched, 'updated', run.objects_updated, 'missing', run.objects_missing),
        'differences', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                                'difference', d.difference, 'object_type', d.object_type, 'object_id', d.object_id,
                                'stripe_event_id', d.stripe_event_id, 'event_type', d.event_type, 'was', d.was, 'now', d.now,
                                'repaired', d.repaired) ORDER BY d.number), '[]')
                          FROM (SELECT * FROM @extschema@.stripe_reconciliation_differences d
                                 WHERE d.reconciliation_id = run.reconciliation_id ORDER BY d.number LIMIT 1000) d));
END
$$;
COMMENT ON FUNCTION finish_stripe_reconciliation(integer, text) IS
    'ends a comparison and reports what it found; of the differences the first thousand, the table has all';
