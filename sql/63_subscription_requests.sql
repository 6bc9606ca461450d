-- What an application wants of a user's subscription. Each function writes down a request to Stripe, in the caller's
-- transaction; what Stripe answers is applied like any event. docs/stripe-requests.md

-- Which price a plan is sold at: what plan_prices names, with the mirror for lookup keys and products.
CREATE FUNCTION plan_price(plan_id text, cycle text DEFAULT NULL)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    live  boolean := @extschema@.in_live_mode();
    found text[];
BEGIN
    IF cycle IS NOT NULL AND cycle NOT IN ('monthly', 'yearly') THEN
        RAISE EXCEPTION 'cycle must be monthly or yearly, not "%"', left(cycle, 100)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for a plan that is sold at one price.';
    END IF;
    IF NOT EXISTS (SELECT FROM @extschema@.subscription_plans s WHERE s.id = plan_price.plan_id) THEN
        RAISE EXCEPTION 'there is no plan "%"', coalesce(left(plan_price.plan_id, 100), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT id FROM subscription_plans lists them.';
    END IF;
    -- Prices of the mirror, and those that are named and that nobody has told of yet. What is known to be of the cycle
    -- comes before what may be of any: an old price, say, that is only named.
    WITH sold AS (
        SELECT k.price_id AS id, coalesce(max(p.cycle), CASE o.object #>> '{recurring,interval}'
                   WHEN 'month' THEN 'monthly' WHEN 'year' THEN 'yearly' END) AS cycle
          FROM @extschema@.price_plans k
          JOIN @extschema@.stripe_objects o ON o.stripe_account = k.stripe_account AND o.livemode = k.livemode
               AND o.object_type = 'price' AND o.object_id = k.price_id AND NOT o.deleted
          LEFT JOIN @extschema@.plan_prices p ON p.plan_id = k.plan_id
               AND (p.kind, p.reference) IN (('price', k.price_id), ('lookup_key', k.lookup_key))
         WHERE k.plan_id = plan_price.plan_id AND k.stripe_account = '' AND k.livemode = live
           AND coalesce((o.object ->> 'active')::boolean, true)
         GROUP BY k.price_id, o.object
        UNION ALL
        SELECT p.reference, p.cycle FROM @extschema@.plan_prices p
         WHERE p.plan_id = plan_price.plan_id AND p.kind = 'price'
           AND NOT EXISTS (SELECT FROM @extschema@.stripe_objects o
                            WHERE o.stripe_account = '' AND o.livemode = live AND o.object_type = 'price'
                              AND o.object_id = p.reference AND o.object IS NOT NULL))
    SELECT array_agg(c.id ORDER BY c.id) INTO found
      FROM (SELECT s.id, rank() OVER (ORDER BY (s.cycle = plan_price.cycle) IS TRUE DESC) AS place FROM sold s
             WHERE plan_price.cycle IS NULL OR s.cycle IS NULL OR s.cycle = plan_price.cycle) c
     WHERE c.place = 1;
    IF cardinality(found) = 1 THEN
        RETURN found[1];
    END IF;
    RAISE EXCEPTION 'plan "%" has % prices for cycle %', plan_price.plan_id, coalesce(cardinality(found), 0),
                    coalesce(plan_price.cycle, 'any')
        USING ERRCODE = 'invalid_parameter_value', DETAIL = coalesce(array_to_string(found, ', '), ''),
              HINT = CASE WHEN found IS NULL THEN 'Name a price in upsert_plan(); lookup keys and products need pg_billing sync first.'
                          ELSE 'Pass the cycle, or let upsert_plan() name one price for each.' END;
END
$$;
COMMENT ON FUNCTION plan_price(text, text) IS
    'the price that a plan is sold at, of this cycle (monthly, yearly); raises when there is none, or more than one';

-- The subscription that a call is about, with its user locked until the transaction ends.
CREATE FUNCTION subscription_to_change(user_id text, options jsonb)
    RETURNS user_subscriptions
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    subscription @extschema@.user_subscriptions;
    wanted       text;
BEGIN
    PERFORM FROM @extschema@.billing_users u WHERE u.user_id = subscription_to_change.user_id FOR NO KEY UPDATE;
    wanted := coalesce(options ->> 'subscription_id', @extschema@.get_user_subscription_state(
                  subscription_to_change.user_id, statement_timestamp()) ->> 'stripe_subscription_id');
    SELECT s.* INTO subscription FROM @extschema@.user_subscriptions s
     WHERE s.user_id = subscription_to_change.user_id AND s.stripe_subscription_id = wanted AND NOT s.customer_deleted
       AND s.status NOT IN ('canceled', 'incomplete_expired');
    RETURN subscription;
END
$$;
COMMENT ON FUNCTION subscription_to_change(text, jsonb) IS
    'a step of the functions that change subscriptions: the one named in options, else the one that the user''s state is of; null when it is over';

CREATE FUNCTION check_request_options(user_id text, options jsonb, known text[])
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wrong text;
BEGIN
    PERFORM @extschema@.check_user_id(user_id);
    IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, not %', coalesce(options::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "' || array_to_string(known, '", "') || '".';
    END IF;
    SELECT o.key INTO wrong FROM jsonb_object_keys(options) o(key) WHERE o.key <> ALL (known) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unknown option "%"', wrong
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are "' || array_to_string(known, '", "') || '".';
    END IF;
END
$$;
COMMENT ON FUNCTION check_request_options(text, jsonb, text[]) IS 'raises unless this is a user and these are options that are known';

-- One request about a subscription. The same, not answered yet, is not written down twice. A schedule that manages the
-- subscription is let go first: Stripe refuses changes beside it.
CREATE FUNCTION request_of_subscription(subscription user_subscriptions, purpose text, method text, path text,
                                        parameters jsonb, details jsonb, options jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    about  text := '/v1/subscriptions/' || subscription.stripe_subscription_id;
    reply  jsonb := jsonb_build_object('user_id', subscription.user_id,
                                       'stripe_subscription_id', subscription.stripe_subscription_id);
    stored text;
BEGIN
    -- The latest one only: cancel, resume and cancel again are three.
    SELECT CASE WHEN (r.purpose, r.method, r.path, r.parameters)
                     = (request_of_subscription.purpose, request_of_subscription.method, request_of_subscription.path,
                        request_of_subscription.parameters) THEN r.request_id END INTO stored
      FROM @extschema@.stripe_requests r
     WHERE r.subject = about AND r.finished_at IS NULL ORDER BY r.number DESC LIMIT 1;
    IF stored IS NOT NULL AND NOT options ? 'idempotency_key' THEN
        RETURN reply || jsonb_build_object('success', true, 'status', 'exists', 'request_id', stored);
    END IF;
    details := details || jsonb_build_object('stripe_account', subscription.stripe_account);
    IF subscription.schedule_id IS NOT NULL AND purpose <> 'preview_change' THEN
        PERFORM @extschema@.add_stripe_request(subscription.user_id, 'release_schedule', 'POST',
            '/v1/subscription_schedules/' || subscription.schedule_id || '/release', '{}', about, details,
            options ->> 'idempotency_key' || ':release');
    END IF;
    RETURN reply || @extschema@.add_stripe_request(subscription.user_id, purpose, method, path, parameters, about, details,
                                                   options ->> 'idempotency_key');
END
$$;
COMMENT ON FUNCTION request_of_subscription(user_subscriptions, text, text, text, jsonb, jsonb, jsonb) IS
    'a step of the functions that change subscriptions: writes the request down, unless the last one that waits says the same';

CREATE FUNCTION cancel_subscription(user_id text, at_period_end boolean DEFAULT true, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    call         jsonb := jsonb_build_array('cancel_subscription', at_period_end, options);
    subscription @extschema@.user_subscriptions;
    about        jsonb;
    url          text;
    again        jsonb;
BEGIN
    PERFORM @extschema@.check_request_options(user_id, options,
        ARRAY['subscription_id', 'comment', 'feedback', 'idempotency_key']);
    IF at_period_end IS NULL THEN
        RAISE EXCEPTION 'at_period_end must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'true: at the end of the period that is paid; false: now.';
    END IF;
    IF options ->> 'feedback' NOT IN ('customer_service', 'low_quality', 'missing_features', 'other', 'switched_service',
                                      'too_complex', 'too_expensive', 'unused') THEN
        RAISE EXCEPTION 'unknown feedback "%"', options ->> 'feedback'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe''s words: too_expensive, missing_features, switched_service, unused, customer_service, too_complex, low_quality, other.';
    END IF;
    again := @extschema@.repeated_request(user_id, call, options ->> 'idempotency_key');
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    subscription := @extschema@.subscription_to_change(user_id, options);
    IF subscription.stripe_subscription_id IS NULL THEN
        RETURN jsonb_build_object('success', false, 'status', 'no_subscription', 'user_id', cancel_subscription.user_id,
                                  'reason', 'no_subscription', 'next_step', 'checkout');
    END IF;
    url := '/v1/subscriptions/' || subscription.stripe_subscription_id;
    IF at_period_end AND (subscription.cancel_at_period_end OR subscription.cancel_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_requests r WHERE r.subject = url AND r.finished_at IS NULL) THEN
        RETURN jsonb_build_object('success', false, 'status', 'already_ending', 'user_id', cancel_subscription.user_id,
            'stripe_subscription_id', subscription.stripe_subscription_id, 'reason', 'already_ending', 'next_step', 'none',
            'ends_at', coalesce(subscription.cancel_at, subscription.current_period_end));
    END IF;
    about := jsonb_strip_nulls(jsonb_build_object('comment', options -> 'comment', 'feedback', options -> 'feedback'));
    about := CASE about WHEN '{}' THEN '{}' ELSE jsonb_build_object('cancellation_details', about) END;
    RETURN @extschema@.request_of_subscription(subscription, 'cancel_subscription',
        CASE WHEN at_period_end THEN 'POST' ELSE 'DELETE' END, url,
        CASE WHEN at_period_end THEN '{"cancel_at_period_end": true}'::jsonb ELSE '{}' END || about,
        jsonb_build_object('call', call), options);
END
$$;
COMMENT ON FUNCTION cancel_subscription(text, boolean, jsonb) IS
    'asks Stripe to end the user''s subscription with its period, or at once; access follows what Stripe answers';

CREATE FUNCTION resume_subscription(user_id text, options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    call         jsonb := jsonb_build_array('resume_subscription', options);
    subscription @extschema@.user_subscriptions;
    url          text;
    wanted       jsonb;
    again        jsonb;
BEGIN
    PERFORM @extschema@.check_request_options(user_id, options, ARRAY['subscription_id', 'idempotency_key']);
    again := @extschema@.repeated_request(user_id, call, options ->> 'idempotency_key');
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    subscription := @extschema@.subscription_to_change(user_id, options);
    url := '/v1/subscriptions/' || subscription.stripe_subscription_id;
    IF subscription.status = 'paused' THEN
        url := url || '/resume';
        wanted := '{}';
    ELSIF subscription.cancel_at IS NOT NULL AND NOT subscription.cancel_at_period_end THEN
        wanted := '{"cancel_at": ""}';
    ELSIF subscription.cancel_at_period_end
          OR EXISTS (SELECT FROM @extschema@.stripe_requests r WHERE r.subject = url AND r.finished_at IS NULL
                        AND r.purpose = 'cancel_subscription' AND r.method = 'POST') THEN
        wanted := '{"cancel_at_period_end": false}';
    ELSIF subscription.pause_behavior IS NOT NULL THEN
        wanted := '{"pause_collection": ""}';
    END IF;
    IF wanted IS NULL THEN
        RETURN jsonb_build_object('success', false, 'user_id', resume_subscription.user_id,
            'status', CASE WHEN url IS NULL THEN 'no_subscription' ELSE 'not_ending' END,
            'reason', CASE WHEN url IS NULL THEN 'no_subscription' ELSE 'not_ending' END,
            'next_step', CASE WHEN url IS NULL THEN 'checkout' ELSE 'none' END);
    END IF;
    RETURN @extschema@.request_of_subscription(subscription, 'resume_subscription', 'POST', url, wanted,
                                                jsonb_build_object('call', call), options);
END
$$;
COMMENT ON FUNCTION resume_subscription(text, jsonb) IS
    'asks Stripe to keep a subscription that is about to end, or to resume one that is paused';
