-- What is kept for how long. Payloads lie in a partition for each month of their event's time, made before it begins and
-- dropped whole; the default partition is the net under them. Event ids, the mirror and the ledger are kept for ever.
CREATE FUNCTION retention_limit(class text)
    RETURNS interval
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN s.value <> 'forever' THEN s.value::interval END
      FROM @extschema@.get_billing_settings() s WHERE s.name = class || '_retention'
$$;
COMMENT ON FUNCTION retention_limit(text) IS 'how long a class of data is kept (setting CLASS_retention); null is for ever';

CREATE FUNCTION payload_partitions(OUT name text, OUT since timestamptz, OUT until timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT c.relname::text, m.since, (m.since AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     CROSS JOIN LATERAL (SELECT to_timestamp(right(c.relname, 7) || '_01 +00', 'YYYY_MM_DD TZH') AS since) m
     WHERE i.inhparent = '@extschema@.stripe_event_payloads'::regclass
       AND c.relname ~ '^stripe_event_payloads_[0-9]{4}_[0-9]{2}$'
     ORDER BY 2
$$;
COMMENT ON FUNCTION payload_partitions() IS 'the months that have a partition of stripe_event_payloads, and what each holds';

-- Makes the table of a month, with what the default partition has of it, and puts it into its place. The caller holds
-- the locks.
CREATE FUNCTION add_payload_partition(name text, since timestamptz, until timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    moved   bigint;
    grantee text;
BEGIN
    EXECUTE format('CREATE TABLE @extschema@.%I (LIKE @extschema@.stripe_event_payloads INCLUDING ALL)', name);
    FOR grantee IN
        SELECT DISTINCT coalesce(quote_ident(pg_get_userbyid(nullif(a.grantee, 0))), 'PUBLIC')
          FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
         WHERE c.oid = format('@extschema@.%I', name)::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON @extschema@.%I FROM %s', name, grantee);
    END LOOP;
    EXECUTE format('WITH moved AS (DELETE FROM @extschema@.stripe_event_payloads_default d'
                   ' WHERE d.stripe_created >= $1 AND d.stripe_created < $2 RETURNING d.*)'
                   ' INSERT INTO @extschema@.%I SELECT * FROM moved', name) USING since, until;
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE @extschema@.%I ADD PRIMARY KEY (stripe_created, stripe_event_id)', name);
    EXECUTE format('ALTER TABLE @extschema@.stripe_event_payloads ATTACH PARTITION @extschema@.%I'
                   ' FOR VALUES FROM (%L) TO (%L)', name, since, until);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION add_payload_partition(text, timestamptz, timestamptz) IS
    'a step of apply_retention(): makes the partition of a month; returns how many payloads it took over';

-- Of old payments what they were stays, and who paid is forgotten. Those that a stored payload still tells of wait for
-- its end: a rebuild would bring it back.
CREATE FUNCTION redact_payments(before timestamptz, max_rows integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    personal constant text[] := ARRAY['billing_details', 'collected_information', 'custom_fields', 'customer_address',
                                      'customer_details', 'customer_email', 'customer_name', 'customer_phone', 'evidence',
                                      'payment_method_details', 'receipt_email', 'receipt_url', 'shipping',
                                      'shipping_details', 'source'];
    payment record;
    told    boolean;
    total   bigint := 0;
BEGIN
    FOR payment IN
        SELECT p.user_id, p.payment_id, p.stripe_account, p.livemode,
               ARRAY[p.payment_id, p.stripe_charge_id, p.stripe_checkout_session_id] AS ids
          FROM @extschema@.payments p
         WHERE p.payment_created < before AND p.customer_email IS NOT NULL
         ORDER BY p.payment_created
         LIMIT max_rows
    LOOP
        BEGIN
            SELECT bool_or(EXISTS (SELECT FROM @extschema@.stripe_event_payloads e
                                    WHERE e.stripe_event_id = m.event_id AND e.stripe_created = m.event_created))
              INTO told
              FROM (SELECT o.event_id, o.event_created
                      FROM @extschema@.stripe_objects o
                     WHERE o.stripe_account = payment.stripe_account AND o.livemode = payment.livemode
                       AND ((o.object_type IN ('payment_intent', 'charge', 'checkout.session')
                             AND o.object_id = ANY (payment.ids))
                            OR (o.object_type IN ('charge', 'checkout.session', 'refund', 'dispute')
                                AND o.parent_id = ANY (payment.ids)))
                     ORDER BY o.object_type, o.object_id
                       FOR NO KEY UPDATE) m;
            CONTINUE WHEN told;
            PERFORM FROM @extschema@.billing_users u WHERE u.user_id = payment.user_id FOR NO KEY UPDATE;
            UPDATE @extschema@.stripe_objects o
               SET object = o.object - personal, updated_at = now()
             WHERE o.stripe_account = payment.stripe_account AND o.livemode = payment.livemode
               AND ((o.object_type IN ('payment_intent', 'charge', 'checkout.session') AND o.object_id = ANY (payment.ids))
                    OR (o.object_type IN ('charge', 'checkout.session', 'refund', 'dispute')
                        AND o.parent_id = ANY (payment.ids)))
               AND o.object ?| personal;
            UPDATE @extschema@.payments p
               SET customer_email = NULL, updated_at = now()
             WHERE p.user_id = payment.user_id AND p.payment_id = payment.payment_id;
            total := total + 1;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody works with it: the next run comes back
        END;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION redact_payments(timestamptz, integer) IS
    'a step of apply_retention(): forgets who paid what was paid before a time; returns how many payments';

-- Locks are tried for 100 ms at a time: whoever waits for a lock of a table makes everybody wait who comes after.
CREATE FUNCTION apply_retention(options jsonb DEFAULT '{}', OUT class text, OUT action text, OUT subject text,
                                OUT amount bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
    AS $$
#variable_conflict use_column
DECLARE
    tries   constant integer := 20;
    limits  jsonb := '{"max_rows": 10000, "move_rows": 1000, "months_ahead": 3}';
    option  record;
    rows_at_once integer;
    keeps   interval;
    cutoff  timestamptz;
    month   timestamptz;
    until   timestamptz;
    wanted  text[] := '{}';
    stray   bigint;
    room    bigint;
    item    record;
    done    boolean := false;
    told    jsonb;
BEGIN
    options := coalesce(options, '{}');
    IF jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', options
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out, or pass an object.';
    END IF;
    FOR option IN SELECT o.key, o.value FROM jsonb_each(options) o LOOP
        IF NOT limits ? option.key THEN
            RAISE EXCEPTION 'unknown option "%"', option.key
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are: max_rows, months_ahead, move_rows.';
        ELSIF option.value::text !~ '^[0-9]{1,9}$' OR (option.key = 'months_ahead' AND option.value::text !~ '^[0-9]{1,2}$') THEN
            RAISE EXCEPTION 'option "%" must be a number, not %', option.key, option.value
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for the default.';
        END IF;
    END LOOP;
    limits := limits || options;
    rows_at_once := (limits ->> 'max_rows')::integer;
    IF NOT pg_try_advisory_xact_lock(722022, '@extschema@.stripe_event_payloads'::regclass::oid::integer) THEN
        class := 'all'; action := 'skipped'; subject := 'another run is under way'; amount := NULL;
        RETURN NEXT;
        RETURN;
    END IF;

    -- Logs.
    class := 'logs';
    action := 'deleted';
    keeps := @extschema@.retention_limit('log');
    IF keeps IS NOT NULL THEN
        DELETE FROM @extschema@.subscription_cache_cleanups h WHERE h.cleaned_at < now() - keeps;
        GET DIAGNOSTICS amount = ROW_COUNT;
        subject := 'subscription_cache_cleanups';
        IF amount > 0 THEN RETURN NEXT; END IF;
    END IF;
    -- What has been told keeps from telling it again for a time.
    keeps := @extschema@.retention_limit('log');
    IF keeps IS NOT NULL THEN
        DELETE FROM @extschema@.billing_notifications n
         WHERE (n.user_id, n.notification_id) IN (
               SELECT d.user_id, d.notification_id FROM @extschema@.billing_notifications d
                WHERE d.finished_at < now() - greatest(keeps, '60 days')
                ORDER BY d.finished_at LIMIT rows_at_once FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS amount = ROW_COUNT;
        subject := 'billing_notifications';
        IF amount > 0 THEN RETURN NEXT; END IF;
        -- As long as its key keeps an application from asking again by mistake.
        DELETE FROM @extschema@.stripe_requests r
         WHERE r.request_id IN (SELECT d.request_id FROM @extschema@.stripe_requests d
                                 WHERE d.finished_at < now() - greatest(keeps, '60 days')
                                 ORDER BY d.finished_at LIMIT rows_at_once FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS amount = ROW_COUNT;
        subject := 'stripe_requests';
        IF amount > 0 THEN RETURN NEXT; END IF;
    END IF;
    keeps := @extschema@.retention_limit('audit');
    IF keeps IS NOT NULL THEN
        DELETE FROM @extschema@.audit_logs a
         WHERE (a.user_id, a.fact) IN (
               SELECT d.user_id, d.fact FROM @extschema@.audit_logs d
                WHERE d.created_at < now() - keeps
                  AND NOT EXISTS (SELECT FROM @extschema@.stripe_event_payloads p
                                   WHERE p.stripe_event_id = d.event_id AND p.stripe_created = d.event_created)
                LIMIT rows_at_once FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS amount = ROW_COUNT;
        subject := 'audit_logs';
        IF amount > 0 THEN RETURN NEXT; END IF;
    END IF;

    -- Payments.
    keeps := @extschema@.retention_limit('payment');
    IF keeps IS NOT NULL THEN
        class := 'payments';
        action := 'redacted';
        subject := 'payments';
        amount := @extschema@.redact_payments(now() - keeps, rows_at_once);
        IF amount > 0 THEN RETURN NEXT; END IF;
    END IF;

    -- Payloads. What is parked may still need its own.
    class := 'payloads';
    cutoff := now() - greatest(@extschema@.retention_limit('payload'),
                               (SELECT s.value::interval FROM @extschema@.get_billing_settings() s
                                 WHERE s.name = 'parked_limit'));
    IF @extschema@.retention_limit('payload') IS NULL THEN
        cutoff := '-infinity';
    END IF;
    DELETE FROM @extschema@.stripe_event_payloads_default d
     WHERE (d.stripe_event_id, d.stripe_created) IN (
           SELECT e.stripe_event_id, e.stripe_created FROM @extschema@.stripe_event_payloads_default e
            WHERE e.stripe_created < cutoff
            ORDER BY e.stripe_created LIMIT rows_at_once FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS amount = ROW_COUNT;
    action := 'deleted';
    subject := 'stripe_event_payloads_default';
    IF amount > 0 THEN RETURN NEXT; END IF;

    -- The months to come, this one, and those of what has strayed into the default partition, as far as what is there
    -- is moved at once.
    room := (limits ->> 'move_rows')::bigint;
    month := date_trunc('month', now(), 'UTC');
    FOR item IN
        WITH RECURSIVE strays(since) AS (
            SELECT date_trunc('month', min(d.stripe_created), 'UTC')
              FROM @extschema@.stripe_event_payloads_default d WHERE d.stripe_created >= cutoff
            UNION ALL
            SELECT (SELECT date_trunc('month', min(d.stripe_created), 'UTC')
                      FROM @extschema@.stripe_event_payloads_default d
                     WHERE d.stripe_created >= (s.since AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC')
              FROM strays s WHERE s.since IS NOT NULL
        )
        SELECT m.since, 'stripe_event_payloads_' || to_char(m.since AT TIME ZONE 'UTC', 'YYYY_MM') AS name
          FROM (SELECT s.since FROM strays s WHERE s.since < month
                UNION
                SELECT (month AT TIME ZONE 'UTC' + n * interval '1 month') AT TIME ZONE 'UTC'
                  FROM generate_series(0, (limits ->> 'months_ahead')::integer) n) m
         WHERE NOT EXISTS (SELECT FROM @extschema@.payload_partitions() p WHERE p.since = m.since)
           AND m.since >= '2000-01-01 00:00+00'
         ORDER BY 1 DESC
    LOOP
        until := (item.since AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        SELECT count(*) INTO stray
          FROM (SELECT FROM @extschema@.stripe_event_payloads_default d
                 WHERE d.stripe_created >= item.since AND d.stripe_created < until LIMIT room + 1) s;
        IF stray > room THEN
            action := 'left_in_default';
            subject := item.name;
            amount := NULL;
            RETURN NEXT;
        ELSE
            room := room - stray;
            wanted := wanted || item.name;
        END IF;
    END LOOP;
    -- One kind of change for each run: what waits here for a lock holds none that others want.
    FOR attempt IN 1..tries LOOP
        EXIT WHEN done;
        told := '[]';
        BEGIN
            IF cardinality(wanted) > 0 THEN
                LOCK TABLE ONLY @extschema@.stripe_event_payloads IN SHARE UPDATE EXCLUSIVE MODE;
                LOCK TABLE @extschema@.stripe_event_payloads_default IN ACCESS EXCLUSIVE MODE;
                FOR item IN
                    SELECT w.name, m.since, (m.since AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC' AS until
                      FROM unnest(wanted) w(name)
                     CROSS JOIN LATERAL (SELECT to_timestamp(right(w.name, 7) || '_01 +00', 'YYYY_MM_DD TZH') AS since) m
                LOOP
                    told := told || jsonb_build_object('action', 'partition_created', 'subject', item.name, 'amount',
                                @extschema@.add_payload_partition(item.name, item.since, item.until));
                END LOOP;
            ELSE
                FOR item IN
                    SELECT p.name, greatest(c.reltuples, 0)::bigint AS amount
                      FROM @extschema@.payload_partitions() p
                      JOIN pg_class c ON c.oid = format('@extschema@.%I', p.name)::regclass
                     WHERE p.until <= cutoff
                LOOP
                    IF told = '[]' THEN
                        LOCK TABLE ONLY @extschema@.stripe_event_payloads IN ACCESS EXCLUSIVE MODE;
                    END IF;
                    EXECUTE format('DROP TABLE @extschema@.%I', item.name);
                    told := told || jsonb_build_object('action', 'partition_dropped', 'subject', item.name, 'amount',
                                                       item.amount);
                END LOOP;
            END IF;
            done := true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.05 + random() * 0.2);
        END;
    END LOOP;
    IF NOT done THEN
        told := jsonb_build_array(jsonb_build_object('action', 'postponed', 'subject',
                                                     'stripe_event_payloads is in use: the next run tries again'));
    END IF;
    FOR item IN SELECT t.value AS line FROM jsonb_array_elements(told) t LOOP
        action := item.line ->> 'action';
        subject := item.line ->> 'subject';
        amount := (item.line ->> 'amount')::bigint;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION apply_retention(jsonb) IS
    'drops what has been kept long enough, and makes room for what comes; returns what it did';
