-- Another plan, cycle or quantity for a subscription: now, or from its next period on. docs/stripe-requests.md
CREATE FUNCTION change_subscription(user_id text, plan text DEFAULT NULL, cycle text DEFAULT NULL,
                                    quantity bigint DEFAULT NULL, apply_when text DEFAULT 'now', options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    call         jsonb := jsonb_build_array('change_subscription', plan, cycle, quantity, apply_when, options);
    again        jsonb;
    subscription @extschema@.user_subscriptions;
    item         jsonb;
    price        text;
    count        bigint;
    unchanged    boolean;
    change       jsonb;
    passed       jsonb;
BEGIN
    PERFORM @extschema@.check_request_options(change_subscription.user_id, options, ARRAY['subscription_id', 'price',
        'item', 'proration_behavior', 'payment_behavior', 'preview', 'idempotency_key']);
    IF apply_when IS NULL OR apply_when NOT IN ('now', 'period_end') THEN
        RAISE EXCEPTION 'apply_when must be now or period_end, not "%"', coalesce(left(apply_when, 100), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'period_end: from the next period on, nothing is prorated.';
    END IF;
    IF change_subscription.quantity < 1 THEN
        RAISE EXCEPTION 'quantity must be at least 1, not %', change_subscription.quantity
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to keep it; cancel_subscription() ends it.';
    END IF;
    IF options ->> 'proration_behavior' NOT IN ('always_invoice', 'create_prorations', 'none') THEN
        RAISE EXCEPTION 'unknown proration_behavior "%"', options ->> 'proration_behavior'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe''s words: create_prorations, always_invoice, none.';
    END IF;
    IF options ->> 'payment_behavior' NOT IN ('allow_incomplete', 'default_incomplete', 'error_if_incomplete',
                                              'pending_if_incomplete') THEN
        RAISE EXCEPTION 'unknown payment_behavior "%"', options ->> 'payment_behavior'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Stripe''s words: allow_incomplete, default_incomplete, error_if_incomplete, pending_if_incomplete.';
    END IF;
    IF plan IS NOT NULL AND options ? 'price' THEN
        RAISE EXCEPTION 'both plan and price are given'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass one of them.';
    END IF;
    IF plan IS NULL AND cycle IS NULL AND quantity IS NULL AND NOT options ? 'price' THEN
        RAISE EXCEPTION 'nothing to change is given'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass plan, cycle, quantity, or options {"price": "price_..."}.';
    END IF;
    again := @extschema@.repeated_request(change_subscription.user_id, call, options ->> 'idempotency_key');
    IF again IS NOT NULL THEN
        RETURN again;
    END IF;
    subscription := @extschema@.subscription_to_change(change_subscription.user_id, options);
    IF subscription.stripe_subscription_id IS NULL THEN
        RETURN jsonb_build_object('success', false, 'status', 'no_subscription', 'user_id', change_subscription.user_id,
                                  'reason', 'no_subscription', 'next_step', 'checkout');
    END IF;
    item := @extschema@.item_to_change(subscription, options ->> 'item');
    price := CASE WHEN options ? 'price' THEN options ->> 'price'
                  WHEN plan IS NOT NULL OR cycle IS NOT NULL
                      THEN @extschema@.plan_price(coalesce(plan, @extschema@.plan_of_item(item)),
                               coalesce(cycle, CASE item ->> 'interval' WHEN 'month' THEN 'monthly' WHEN 'year' THEN 'yearly' END))
                  ELSE item ->> 'price_id' END;
    count := coalesce(change_subscription.quantity, (item ->> 'quantity')::bigint);
    unchanged := price = item ->> 'price_id' AND count = (item ->> 'quantity')::bigint;
    change := jsonb_build_object('id', item -> 'id', 'price', price, 'quantity', count);
    passed := jsonb_strip_nulls(jsonb_build_object(
        'proration_behavior', CASE apply_when WHEN 'now' THEN options -> 'proration_behavior' ELSE '"none"' END));
    IF options @> '{"preview": true}' THEN
        RETURN @extschema@.request_of_subscription(subscription, 'preview_change', 'POST', '/v1/invoices/create_preview',
            jsonb_build_object('subscription', subscription.stripe_subscription_id,
                               'subscription_details', jsonb_build_object('items', jsonb_build_array(change)) || passed),
            jsonb_build_object('call', call), options);
    END IF;
    -- What was asked for before and waits is not looked at: the last word counts.
    IF unchanged AND subscription.schedule_id IS NULL
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_requests r WHERE r.finished_at IS NULL
                          AND r.subject = '/v1/subscriptions/' || subscription.stripe_subscription_id) THEN
        RETURN jsonb_build_object('success', false, 'status', 'unchanged', 'user_id', change_subscription.user_id,
            'stripe_subscription_id', subscription.stripe_subscription_id, 'reason', 'unchanged', 'next_step', 'none');
    END IF;
    IF apply_when = 'now' THEN
        RETURN @extschema@.request_of_subscription(subscription, 'change_subscription', 'POST',
            '/v1/subscriptions/' || subscription.stripe_subscription_id,
            jsonb_build_object('items', jsonb_build_array(change)) || passed
                || jsonb_strip_nulls(jsonb_build_object('payment_behavior', options -> 'payment_behavior')),
            jsonb_build_object('call', call), options);
    END IF;
    -- With nothing to change any more, only the schedule goes.
    IF unchanged AND subscription.schedule_id IS NOT NULL THEN
        RETURN jsonb_build_object('user_id', subscription.user_id, 'stripe_subscription_id', subscription.stripe_subscription_id)
            || @extschema@.add_stripe_request(subscription.user_id, 'release_schedule', 'POST',
                   '/v1/subscription_schedules/' || subscription.schedule_id || '/release', '{}',
                   '/v1/subscriptions/' || subscription.stripe_subscription_id,
                   jsonb_build_object('call', call, 'stripe_account', subscription.stripe_account), options ->> 'idempotency_key');
    END IF;
    RETURN @extschema@.request_of_subscription(subscription, 'schedule_change', 'POST', '/v1/subscription_schedules',
        jsonb_build_object('from_subscription', subscription.stripe_subscription_id),
        jsonb_build_object('call', call, 'old_price', item -> 'price_id', 'price', price, 'quantity', count, 'interval',
                           CASE cycle WHEN 'yearly' THEN 'year' WHEN 'monthly' THEN 'month' END), options);
END
$$;
COMMENT ON FUNCTION change_subscription(text, text, text, bigint, text, jsonb) IS
    'asks Stripe for another plan, cycle or quantity, now or from the next period on; with options {"preview": true} for what that would cost';

CREATE FUNCTION plan_of_item(item jsonb)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN (SELECT p.plan_id FROM @extschema@.price_plans p
             WHERE p.price_id = plan_of_item.item ->> 'price_id' AND p.stripe_account = ''
               AND p.livemode = @extschema@.in_live_mode());
END
$$;
COMMENT ON FUNCTION plan_of_item(jsonb) IS 'the plan that an item of a subscription is, by price_plans; null when it is none';

-- The one that is named, else the one that is a plan of its own, else the first.
CREATE FUNCTION item_to_change(subscription user_subscriptions, wanted text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    item jsonb;
BEGIN
    SELECT i.value INTO item
      FROM jsonb_array_elements(subscription.items) WITH ORDINALITY i(value, place)
      LEFT JOIN @extschema@.subscription_plans p ON p.id = @extschema@.plan_of_item(i.value)
     WHERE wanted IS NULL OR i.value ->> 'id' = wanted
     ORDER BY (p.id IS NOT NULL AND NOT p.is_addon) DESC, i.place LIMIT 1;
    IF item IS NULL THEN
        RAISE EXCEPTION 'subscription % has no item %', subscription.stripe_subscription_id, coalesce('"' || wanted || '"', 'yet')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT items FROM user_subscriptions shows them.';
    END IF;
    RETURN item;
END
$$;
COMMENT ON FUNCTION item_to_change(user_subscriptions, text) IS 'which item of a subscription change_subscription() is about';

-- Stripe makes a schedule with the phase that is; the phase to come is a request of its own.
-- https://docs.stripe.com/billing/subscriptions/subscription-schedules
CREATE FUNCTION add_scheduled_phase(request stripe_requests)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    phase    jsonb := request.response #> '{phases,0}';
    items    jsonb;
    changed  jsonb;
    interval text;
BEGIN
    SELECT jsonb_agg(jsonb_build_object('price', @extschema@.stripe_id(i.value -> 'price'), 'quantity', i.value -> 'quantity')
                     ORDER BY i.place),
           jsonb_agg(CASE WHEN @extschema@.stripe_id(i.value -> 'price') = request.details ->> 'old_price'
                          THEN jsonb_build_object('price', request.details -> 'price', 'quantity', request.details -> 'quantity')
                          ELSE jsonb_build_object('price', @extschema@.stripe_id(i.value -> 'price'),
                                                  'quantity', i.value -> 'quantity') END ORDER BY i.place)
      INTO items, changed
      FROM jsonb_array_elements(phase -> 'items') WITH ORDINALITY i(value, place);
    SELECT o.object #>> '{recurring,interval}' INTO interval FROM @extschema@.stripe_objects o
     WHERE o.object_type = 'price' AND o.object_id = request.details ->> 'price'
       AND o.stripe_account = request.stripe_account AND o.livemode = request.livemode;
    PERFORM @extschema@.add_stripe_request(request.user_id, 'change_subscription', 'POST',
        '/v1/subscription_schedules/' || (request.response ->> 'id'),
        jsonb_build_object('end_behavior', 'release', 'proration_behavior', 'none', 'phases', jsonb_build_array(
            jsonb_build_object('items', items, 'start_date', phase -> 'start_date', 'end_date', phase -> 'end_date'),
            jsonb_build_object('items', changed, 'proration_behavior', 'none', 'duration',
                               jsonb_build_object('interval', coalesce(interval, request.details ->> 'interval', 'month'), 'interval_count', 1)))),
        request.subject, jsonb_build_object('stripe_account', request.stripe_account),
        request.request_id || ':phase');
END
$$;
COMMENT ON FUNCTION add_scheduled_phase(stripe_requests) IS 'a step of finish_stripe_request(): asks for the phase that a new schedule was made for';
