-- Usage of features that Stripe bills: pushed to Stripe's meters, one event for each user, feature and hour.
-- docs/stripe-requests.md and https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api
CREATE TABLE stripe_meters (
    feature    text COLLATE "C" PRIMARY KEY CHECK (octet_length(feature) BETWEEN 1 AND 80),
    event_name text NOT NULL CHECK (length(event_name) BETWEEN 1 AND 100),
    since      timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE stripe_meters IS 'which features Stripe meters; change it with set_stripe_meter()';
COMMENT ON COLUMN stripe_meters.event_name IS 'as in Stripe''s meter';
COMMENT ON COLUMN stripe_meters.since IS 'what was used before is not pushed';

CREATE TABLE stripe_meter_positions (
    user_id        text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    feature        text COLLATE "C" NOT NULL,
    last_record_id bigint NOT NULL,
    last_record_at timestamptz NOT NULL,
    carried        bigint NOT NULL DEFAULT 0 CHECK (carried <= 0),
    PRIMARY KEY (user_id, feature)
);
COMMENT ON TABLE stripe_meter_positions IS 'up to which of a user''s usage_records Stripe''s meters have been told';
COMMENT ON COLUMN stripe_meter_positions.carried IS 'what was given back beyond what its hour had used: less of the hours to come';

CREATE FUNCTION set_stripe_meter(feature text, event_name text, since timestamptz DEFAULT now())
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    IF coalesce(octet_length(set_stripe_meter.feature), 0) NOT BETWEEN 1 AND 80 THEN
        RAISE EXCEPTION 'feature must have 1 to 80 bytes, not %', coalesce(octet_length(set_stripe_meter.feature), 0)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name it as use_feature() does.';
    END IF;
    IF set_stripe_meter.event_name IS NULL THEN
        DELETE FROM @extschema@.stripe_meters m WHERE m.feature = set_stripe_meter.feature;
    ELSIF length(set_stripe_meter.event_name) NOT BETWEEN 1 AND 100 OR set_stripe_meter.since IS NULL
          OR set_stripe_meter.since < now() - interval '35 days' THEN
        RAISE EXCEPTION 'not a meter that usage can be pushed to: "%" since %', left(set_stripe_meter.event_name, 100),
                        coalesce(set_stripe_meter.since::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass the event_name of Stripe''s meter; Stripe takes nothing older than 35 days.';
    ELSE
        INSERT INTO @extschema@.stripe_meters AS m (feature, event_name, since)
        VALUES (set_stripe_meter.feature, set_stripe_meter.event_name, set_stripe_meter.since)
        ON CONFLICT ON CONSTRAINT stripe_meters_pkey DO UPDATE
           SET event_name = excluded.event_name, since = least(m.since, excluded.since), updated_at = now();
    END IF;
    PERFORM @extschema@.audit_by_hand('', 'stripe_meter_set', set_stripe_meter.feature, NULL,
                jsonb_build_object('event_name', set_stripe_meter.event_name, 'since', set_stripe_meter.since));
END
$$;
COMMENT ON FUNCTION set_stripe_meter(text, text, timestamptz) IS
    'pushes what is used of a feature to a meter of Stripe''s, from a time on; with event_name null no more';

-- With the user's windows locked no use is on its way: records are seen in the order of their ids.
CREATE FUNCTION push_usage_of(user_id text, feature text, until timestamptz, customer text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    me       text := push_usage_of.user_id;
    meter    @extschema@.stripe_meters;
    place    @extschema@.stripe_meter_positions;
    hour     record;
    key      text;
    requests bigint := 0;
BEGIN
    SELECT m.* INTO meter FROM @extschema@.stripe_meters m WHERE m.feature = push_usage_of.feature;
    IF NOT FOUND OR customer IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM @extschema@.usage_windows w WHERE w.user_id = me AND w.feature = meter.feature
      ORDER BY w.window_start FOR NO KEY UPDATE;
    SELECT p.* INTO place FROM @extschema@.stripe_meter_positions p WHERE p.user_id = me AND p.feature = meter.feature;
    place.carried := coalesce(place.carried, 0);
    -- Not beyond the first that is not due, should a clock have been set back. By window too, so that what is used as a period ends is billed with it.
    FOR hour IN
        SELECT sum(r.amount)::bigint AS amount, min(r.record_id) AS first, max(r.record_id) AS last, max(r.created_at) AS at
          FROM @extschema@.usage_records r
         WHERE r.user_id = me AND r.feature = meter.feature AND r.created_at >= meter.since
           AND r.record_id > coalesce(place.last_record_id, 0)
           AND r.record_id < coalesce((SELECT min(n.record_id) FROM @extschema@.usage_records n
                                        WHERE n.user_id = me AND n.feature = meter.feature AND n.created_at >= push_usage_of.until
                                          AND n.record_id > coalesce(place.last_record_id, 0)), 9223372036854775807)
         GROUP BY date_trunc('hour', r.created_at), r.window_start
         ORDER BY 4, 2
    LOOP
        place.last_record_id := greatest(place.last_record_id, hour.last);
        place.last_record_at := greatest(place.last_record_at, hour.at);
        place.carried := place.carried + hour.amount;
        CONTINUE WHEN place.carried <= 0;
        key := 'usage:' || meter.feature || ':' || hour.first;
        PERFORM @extschema@.add_stripe_request(me, 'push_stripe_usage', 'POST', '/v1/billing/meter_events',
            jsonb_build_object('event_name', meter.event_name, 'identifier', @extschema@.stripe_request_id(me, key),
                               'timestamp', floor(extract(epoch FROM hour.at))::bigint,
                               'payload', jsonb_build_object('stripe_customer_id', customer, 'value', place.carried::text)),
            'usage ' || @extschema@.stripe_request_id(me, key),
            jsonb_build_object('feature', meter.feature, 'first_record_id', hour.first, 'last_record_id', hour.last), key);
        place.carried := 0;
        requests := requests + 1;
    END LOOP;
    IF place.last_record_id IS NOT NULL THEN
        INSERT INTO @extschema@.stripe_meter_positions AS p (user_id, feature, last_record_id, last_record_at, carried)
        VALUES (me, meter.feature, place.last_record_id, place.last_record_at, place.carried)
        ON CONFLICT ON CONSTRAINT stripe_meter_positions_pkey DO UPDATE
           SET last_record_id = excluded.last_record_id, last_record_at = excluded.last_record_at, carried = excluded.carried;
    END IF;
    RETURN requests;
END
$$;
COMMENT ON FUNCTION push_usage_of(text, text, timestamptz, text) IS
    'a step of push_stripe_usage() and merge_users(): writes the requests for what a user used of a feature before a time; returns how many';

-- An hour is pushed when it is over.
CREATE FUNCTION push_stripe_usage(max_rows integer DEFAULT 500)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
    AS $$
DECLARE
    until    timestamptz := date_trunc('hour', now());
    used     record;
    requests bigint := 0;
BEGIN
    IF max_rows IS NULL OR max_rows < 1 THEN
        RAISE EXCEPTION 'max_rows must be at least 1, not %', coalesce(max_rows::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 500.';
    END IF;
    FOR used IN
        SELECT u.user_id, u.feature, @extschema@.linked_customer(u.user_id) AS customer
          FROM (SELECT DISTINCT w.user_id, w.feature, m.since, p.last_record_id
                  FROM @extschema@.stripe_meters m
                  JOIN @extschema@.usage_windows w ON w.feature = m.feature
                  LEFT JOIN @extschema@.stripe_meter_positions p ON p.user_id = w.user_id AND p.feature = w.feature
                 WHERE w.updated_at >= coalesce(p.last_record_at, m.since)) u
         WHERE EXISTS (SELECT FROM @extschema@.usage_records r
                        WHERE r.user_id = u.user_id AND r.feature = u.feature AND r.created_at >= u.since
                          AND r.created_at < until AND r.record_id > coalesce(u.last_record_id, 0))
           AND @extschema@.linked_customer(u.user_id) IS NOT NULL
         ORDER BY u.user_id, u.feature LIMIT max_rows
    LOOP
        BEGIN
            requests := requests + @extschema@.push_usage_of(used.user_id, used.feature, until, used.customer);
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- an application uses it just now: the next round comes back
        END;
    END LOOP;
    RETURN requests;
END
$$;
COMMENT ON FUNCTION push_stripe_usage(integer) IS
    'writes requests to Stripe''s meters for the hours that are over, of at most so many users and features; returns how many. The worker calls it every minute';
