-- Objects that only Stripe's API can settle: events of one second whose order they do not tell, thin events, lists
-- that were cut short, renewals nobody told of. Fetches come back as events of their own and follow the rule of
-- order like any other. docs/architecture.md
CREATE SEQUENCE stripe_fetch_ids;

CREATE TABLE stripe_refetches (
    stripe_account  text COLLATE "C" NOT NULL DEFAULT '',
    livemode        boolean NOT NULL,
    object_type     text COLLATE "C" NOT NULL,
    object_id       text COLLATE "C" NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('ambiguous', 'thin', 'truncated', 'stale', 'missing')),
    wanted_after    timestamptz NOT NULL,
    requested_at    timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL,
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    settled_at      timestamptz,
    error           text,
    PRIMARY KEY (stripe_account, livemode, object_type, object_id)
);
ALTER TABLE stripe_refetches ALTER COLUMN stripe_account SET (n_distinct = 1), ALTER COLUMN object_type SET (n_distinct = 20);
CREATE INDEX stripe_refetches_queue_idx ON stripe_refetches (next_attempt_at) WHERE settled_at IS NULL;
CREATE INDEX stripe_refetches_settled_idx ON stripe_refetches (settled_at) WHERE settled_at IS NOT NULL;
COMMENT ON TABLE stripe_refetches IS 'objects that a worker with a secret key fetches from Stripe''s API, and those that it has fetched within a day';
COMMENT ON COLUMN stripe_refetches.wanted_after IS 'a fetch settles it that began in a later second than this';
COMMENT ON COLUMN stripe_refetches.next_attempt_at IS 'when it may be claimed: while somebody has it, when the lease ends';

CREATE FUNCTION claim_stripe_refetches(max_rows integer DEFAULT 20)
    RETURNS TABLE (stripe_account text, livemode boolean, object_type text, object_id text, reason text, fetch_id text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_rows must be between 1 and 1000, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Claim what is fetched within five minutes.';
    END IF;
    RETURN QUERY
        WITH d AS MATERIALIZED (
            SELECT q.stripe_account, q.livemode, q.object_type, q.object_id FROM @extschema@.stripe_refetches q
             WHERE q.settled_at IS NULL AND q.next_attempt_at <= now()
               AND q.livemode = @extschema@.in_live_mode()
             ORDER BY q.next_attempt_at LIMIT max_rows FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.stripe_refetches f SET next_attempt_at = now() + interval '5 minutes', attempts = f.attempts + 1
          FROM d
         WHERE (f.stripe_account, f.livemode, f.object_type, f.object_id)
               = (d.stripe_account, d.livemode, d.object_type, d.object_id)
        RETURNING f.stripe_account, f.livemode, f.object_type, f.object_id, f.reason,
                  @extschema@.next_stripe_fetch_id();
END
$$;
COMMENT ON FUNCTION claim_stripe_refetches(integer) IS
    'hands out objects to fetch, each to one worker for five minutes; what is fetched comes back through process_stripe_events()';

CREATE FUNCTION postpone_stripe_refetch(stripe_account text, livemode boolean, object_type text, object_id text, error text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    IF coalesce(postpone_stripe_refetch.error, '') = '' THEN
        RAISE EXCEPTION 'error must not be empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why the object could not be fetched.';
    END IF;
    -- What is settled meanwhile stays so.
    UPDATE @extschema@.stripe_refetches f
       SET error = left(postpone_stripe_refetch.error, 1000),
           next_attempt_at = now() + least(interval '1 day', interval '5 seconds' * power(2, least(f.attempts, 20)))
     WHERE f.settled_at IS NULL
       AND (f.stripe_account, f.livemode, f.object_type, f.object_id)
           = (postpone_stripe_refetch.stripe_account, postpone_stripe_refetch.livemode,
              postpone_stripe_refetch.object_type, postpone_stripe_refetch.object_id);
    IF NOT FOUND AND NOT EXISTS (SELECT FROM @extschema@.stripe_refetches f
                                  WHERE (f.stripe_account, f.livemode, f.object_type, f.object_id)
                                        = (postpone_stripe_refetch.stripe_account, postpone_stripe_refetch.livemode,
                                           postpone_stripe_refetch.object_type, postpone_stripe_refetch.object_id)) THEN
        RAISE EXCEPTION 'nobody has asked for % "%"', coalesce(postpone_stripe_refetch.object_type, 'null'),
                        coalesce(postpone_stripe_refetch.object_id, 'null')
            USING ERRCODE = 'no_data_found', HINT = 'Pass what claim_stripe_refetches() returned.';
    END IF;
END
$$;
COMMENT ON FUNCTION postpone_stripe_refetch(text, boolean, text, text, text) IS
    'says why an object could not be fetched; it is tried again later and later, at the end once a day';

CREATE FUNCTION request_stale_refetches(max_rows integer DEFAULT 500)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    requested integer;
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        RAISE EXCEPTION 'max_rows must be at least 1, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 500.';
    END IF;
    DELETE FROM @extschema@.stripe_refetches f WHERE f.settled_at < now() - interval '1 day';
    -- Stripe renews about an hour after the period's end. Whose subscription is on a test clock lives at another time.
    INSERT INTO @extschema@.stripe_refetches AS f
           (stripe_account, livemode, object_type, object_id, reason, wanted_after, next_attempt_at)
    SELECT u.stripe_account, u.livemode, 'subscription', u.stripe_subscription_id, 'stale', now() - interval '10 seconds', now()
      FROM @extschema@.user_subscriptions u
     WHERE u.status IN ('active', 'trialing') AND u.current_period_end < now() - interval '2 hours'
       AND u.test_clock IS NULL AND NOT u.customer_deleted
       AND u.livemode = @extschema@.in_live_mode()
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_refetches r
                        WHERE r.stripe_account = u.stripe_account AND r.livemode = u.livemode
                          AND r.object_type = 'subscription' AND r.object_id = u.stripe_subscription_id
                          AND (r.settled_at IS NULL OR r.settled_at > now() - interval '6 hours'))
     ORDER BY u.current_period_end LIMIT max_rows
    ON CONFLICT ON CONSTRAINT stripe_refetches_pkey DO UPDATE
       SET reason = excluded.reason, wanted_after = excluded.wanted_after, requested_at = now(),
           next_attempt_at = excluded.next_attempt_at, attempts = 0, settled_at = NULL, error = NULL
     WHERE f.settled_at IS NOT NULL;
    GET DIAGNOSTICS requested = ROW_COUNT;
    RETURN requested;
END
$$;
COMMENT ON FUNCTION request_stale_refetches(integer) IS
    'asks for the subscriptions whose renewal nobody has told of two hours after it was due, every six hours; returns how many';

CREATE FUNCTION request_missing_refetches(max_rows integer DEFAULT 500)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    requested integer;
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        RAISE EXCEPTION 'max_rows must be at least 1, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 500.';
    END IF;
    -- What comes a little later by itself is not asked for; what was asked for within a day and was no help neither. Of
    -- a customer its metadata may say whose it is.
    INSERT INTO @extschema@.stripe_refetches
           (stripe_account, livemode, object_type, object_id, reason, wanted_after, next_attempt_at)
    SELECT w.stripe_account, w.livemode, w.object_type, w.object_id, 'missing', '-infinity', now()
      FROM (SELECT e.stripe_account, e.livemode, split_part(e.waiting_for, ':', 1) AS object_type,
                   substr(e.waiting_for, strpos(e.waiting_for, ':') + 1) AS object_id, min(e.created_at) AS since
              FROM @extschema@.stripe_events e
             WHERE e.waiting_for IS NOT NULL AND e.created_at < now() - interval '30 seconds' AND NOT e.processed
               AND e.livemode = @extschema@.in_live_mode()
             GROUP BY 1, 2, 3, 4) w
     WHERE w.object_type IN ('customer', 'price', 'product', 'charge', 'payment_intent', 'invoice')
       AND w.object_id ~ '^(cus|price|plan|prod|ch|py|pi|in)_'
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                        WHERE o.stripe_account = w.stripe_account AND o.livemode = w.livemode
                          AND o.object_type = w.object_type AND o.object_id = w.object_id AND o.finality >= 0)
     ORDER BY w.since LIMIT max_rows
    ON CONFLICT ON CONSTRAINT stripe_refetches_pkey DO NOTHING;
    GET DIAGNOSTICS requested = ROW_COUNT;
    RETURN requested;
END
$$;
COMMENT ON FUNCTION request_missing_refetches(integer) IS
    'asks for what events have waited for for half a minute and nobody has told of: prices, charges, customers; returns how many';

CREATE FUNCTION next_stripe_fetch_id()
    RETURNS text
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT 'fetch_' || lpad(nextval('@extschema@.stripe_fetch_ids')::text, 19, '0')
$$;
COMMENT ON FUNCTION next_stripe_fetch_id() IS 'the id of a fetch that is stored through process_stripe_events()';
